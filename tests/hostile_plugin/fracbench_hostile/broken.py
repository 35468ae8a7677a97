"""Code that cannot be imported."""

raise RuntimeError("no such library")
