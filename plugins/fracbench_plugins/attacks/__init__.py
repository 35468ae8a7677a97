"""Built-in attacks, one idea a file; each is an entry point of ``fracbench.attacks``."""
