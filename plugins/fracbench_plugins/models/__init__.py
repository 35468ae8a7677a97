"""Built-in models, one idea a file; each is an entry point of ``fracbench.models``."""
