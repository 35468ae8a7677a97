"""Built-in explainers, one idea a file; each is an entry point of ``fracbench.explainers``."""
