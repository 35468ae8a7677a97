"""Built-in datasets, one idea a file; each is an entry point of ``fracbench.datasets``."""
