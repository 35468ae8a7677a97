"""Writes what is made from code and data: cli.md, plugins.md, the formats of files, python.md, study.md,
listings in write-a-plugin.md, the table in starters.md, and the JSON Schema of ``submission.yaml`` inside the package.

Run ``python docs/generate.py`` after a change; a test fails while a page is not up to date.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path

from click.testing import CliRunner
from fracbench import registry
from fracbench.cli import main
from fracbench.resolving import NORMS
from fracbench.starting import SCHEMA
from fracbench.submission_schema import Submission
from fracbench.submissions import discover

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

sys.path.insert(0, str(DOCS.parent / "tests"))

import reference  # noqa: E402  # beside this file
import simulated  # noqa: E402  # a test's command, which draws its own table
import studied  # noqa: E402

EXAMPLE = DOCS.parent / "tests" / "example_plugin"
WORLDS = re.compile(r"<!-- from simulated.json -->\n(\|.*\n)+")
LISTING = re.compile(r"<!-- from (\S+) -->\n```(\w+)\n.*?\n```", re.DOTALL)
TABLE = re.compile(r"<!-- from submissions -->\n(\|.*\n)+")


def command_line() -> str:
    """Every command's help text."""
    parts = ["# Command line", "Made from `--help` by `python docs/generate.py`.", _help()]
    for name, command in sorted(main.commands.items()):
        parts += [f"## fracbench {name}", _help(name)]
        for inner in sorted(getattr(command, "commands", {})):
            parts += [f"### fracbench {name} {inner}", _help(name, inner)]
    parts += [
        "## Exit status",
        "0: all done. 1: some cells failed, each is named. 2: the input is wrong, one line per fault, and nothing was "
        "written. 130: stopped with Ctrl-C; the same command goes on.",
    ]
    return "\n\n".join(parts) + "\n"


def _help(*command: str) -> str:
    shown = CliRunner().invoke(main, [*command, "--help"], prog_name="fracbench", terminal_width=100).output
    return f"```\n{shown.strip()}\n```"


def plugins() -> str:
    """Every plugin that ships with fracbench: what it is, its paper, its parameters."""
    parts = [
        "# Plugins",
        "Made from the code by `python docs/generate.py`. Your own: [write a plugin](write-a-plugin.md).",
    ]
    for kind in registry.KINDS:
        parts.append(f"## {kind.capitalize()}")
        for listing in registry.listings(kind):
            if listing.package != "fracbench":
                continue
            factory = registry.load(kind, listing.name)
            module = (inspect.getmodule(factory).__doc__ or "").strip()  # type: ignore[union-attr]
            parts += [f"### `{listing.name}`", _paragraph(module), _paragraph(inspect.getdoc(factory) or "")]
            parameters = _parameters(factory)
            if parameters:
                parts.append(f"Parameters: {parameters}")
            if kind == "attacks":
                parts.append(_traits(factory))
            if cost := _cost(kind, factory):
                parts.append(cost)
            if levels := getattr(factory, "levels", None):
                parts.append(f"Levels at severities 1 to 5: {', '.join(map(str, levels))}")
    return "\n\n".join(parts) + "\n"


def _traits(attack: type) -> str:
    """Where an attack belongs: its norms, and what the framework must know of how it works."""
    known = " and ".join(getattr(attack, "norms", NORMS))
    told = [f"Threat models: {known}."]
    told += ["A black box: it uses no gradient."] if getattr(attack, "black_box", False) else []
    if getattr(attack, "minimal_norm", False):
        told.append("Minimal norm: it looks for the nearest adversarial image, which the referee brings into the ball.")
    return " ".join(told)


def _cost(kind: str, factory: type) -> str:
    """Passes an image takes by the parameters that stand above; nothing for what asks no network."""
    if kind not in ("attacks", "explainers"):
        return ""
    try:
        forward, backward = factory().passes
    except TypeError:  # it has parameters that are required
        return "Cost: as its parameters say."
    if not forward + backward:
        return "Cost: it asks the network nothing."
    return f"Cost: at most {forward:,} forward and {backward:,} backward passes an image."


def _paragraph(text: str) -> str:
    return text.replace("``", "`")


def _parameters(factory: type) -> str:
    shown = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if name == "root" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = parameter.default
        if default is dataclasses.MISSING or default is inspect.Parameter.empty:
            shown.append(f"`{name}` (required)")
        else:
            shown.append(f"`{name}={default!r}`")
    return ", ".join(shown)


def with_listings(page: str) -> str:
    """The page with every listing replaced by the file it shows."""
    return LISTING.sub(
        lambda found: f"<!-- from {found[1]} -->\n```{found[2]}\n{(EXAMPLE / found[1]).read_text().strip()}\n```", page
    )


def starters() -> str:
    """A row for every starter: how it was trained, and the balanced accuracy that its kept epoch had on validation."""
    rows = ["| starter | seed | epoch kept | clean | under PGD | minutes | boards |", "|---|---|---|---|---|---|---|"]
    for entry in discover(DOCS.parent / "submissions", None):
        record = json.loads((entry.folder / "training.json").read_text())
        kept = next((epoch for epoch in record["epochs"] if epoch["epoch"] == record["kept_epoch"]), None)
        scores = [f"{kept[key]:.3f}" if kept and key in kept else "" for key in ("clean", "robust")]
        epoch = f"{kept['epoch']} of {len(record['epochs'])}" if kept else "none"
        boards = ", ".join(entry.submission.benchmarks)
        cells = [f"`{entry.name}`", str(record["seed"]), epoch, *scores, f"{record['seconds'] / 60:.0f}", boards]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(["<!-- from submissions -->", *rows, ""])


def worlds() -> str:
    """The worst world of each kind that ``tests/simulated.py`` drew."""
    found = json.loads((DOCS / "study" / "simulated.json").read_text())
    return f"<!-- from simulated.json -->\n{simulated.table(found)}"


def submission_schema() -> str:
    """What an editor needs to complete and check a ``submission.yaml``; editors know draft 7 best."""
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", **Submission.model_json_schema()}
    return json.dumps(schema, indent=1).replace("``", "`") + "\n"


def pages() -> dict[Path, str]:
    """Path to content of everything generated."""
    by_hand, zoo, question = DOCS / "write-a-plugin.md", DOCS / "starters.md", DOCS / "question.md"
    return {
        DOCS / "cli.md": command_line(),
        DOCS / "plugins.md": plugins(),
        DOCS / "submission-format.md": reference.submission_format(),
        DOCS / "benchmark-format.md": reference.benchmark_format(),
        DOCS / "python.md": reference.python(),
        DOCS / "study.md": studied.page_of_all(DOCS / "study"),
        by_hand: with_listings(by_hand.read_text()),
        question: WORLDS.sub(lambda _: worlds(), question.read_text()),
        zoo: TABLE.sub(lambda _: starters(), zoo.read_text()),
        SCHEMA: submission_schema(),
    }


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
