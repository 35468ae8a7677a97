"""Built-in metrics, one idea a file; each is an entry point of ``fracbench.metrics``."""
