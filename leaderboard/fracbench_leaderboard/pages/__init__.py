"""Pages: each reads, filters and draws with the modules beside it."""
