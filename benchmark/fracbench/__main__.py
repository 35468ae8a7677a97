"""``python -m fracbench`` is the command ``fracbench``."""

from fracbench.cli import main

if __name__ == "__main__":  # not where a process that it started imports it
    main(prog_name="fracbench")
