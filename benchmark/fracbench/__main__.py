"""``python -m fracbench`` is the command ``fracbench``."""

from fracbench.cli import main

main(prog_name="fracbench")
