"""The command line. Heavy imports wait inside the commands, so that ``--help`` and ``list`` stay light."""

from __future__ import annotations

import warnings

import click

from fracbench import __version__
from fracbench.cli.board import leaderboard, summarise
from fracbench.cli.listing import list_, validate
from fracbench.cli.making import data_, train
from fracbench.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fracbench")
def main() -> None:
    """Rank bone-fracture classifiers by adversarial robustness and by whether they look at the fracture."""
    # torch warns about its own use of torch.jit; nobody who runs a benchmark can do anything about it
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")


for command in (list_, validate, run, summarise, leaderboard, data_, train):
    main.add_command(command)
