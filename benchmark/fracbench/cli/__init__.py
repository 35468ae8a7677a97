"""The command line. Heavy imports wait inside the commands, so that ``--help`` and ``list`` stay light."""

from __future__ import annotations

import os

import click

from fracbench import __version__, quiet  # noqa: F401
from fracbench.cli.attacking import attack
from fracbench.cli.board import leaderboard, report, summarise
from fracbench.cli.data import data_
from fracbench.cli.doctoring import doctor
from fracbench.cli.listing import list_, validate
from fracbench.cli.run import run
from fracbench.cli.starting import init
from fracbench.cli.studying import study
from fracbench.cli.training import train
from fracbench.cli.verifying import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fracbench")
def main() -> None:
    """Rank bone-fracture classifiers by adversarial robustness and by whether they look at the fracture."""
    # threads that wait for each other soon give their core away: where others use the cores too, a step on few images
    # is otherwise slower by tens of times. Read when torch is loaded, so set before that
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


RESULTS = (summarise, verify, leaderboard, report, study)
for command in (list_, init, validate, doctor, run, *RESULTS, data_, train, attack):
    main.add_command(command)
