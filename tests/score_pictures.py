"""Pictures of what scores mean, for docs/scoring.md: ``python tests/score_pictures.py RESULTS [--out docs/scoring]``.

RESULTS is a results folder that holds a network, its adversarially trained twin, and two controls. ``case.png`` is the
fracture that the two tell apart most clearly: the widest gap of their margins under attack among those that the one
keeps, looking at the fracture, and the other loses. ``curves.svg`` and ``alignment.svg`` are the board's own figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fracbench.store import ResultFolder
from fracbench.summary import rank
from fracbench_leaderboard.cases import cases_of
from fracbench_leaderboard.curves import curves
from fracbench_leaderboard.dots import clean_scores, dots
from fracbench_leaderboard.drawing import drawn
from fracbench_leaderboard.pictures import SIDE, amplified, overlay, plane, together
from fracbench_leaderboard.reading import picture, read_gallery
from PIL import Image, ImageDraw

TWINS = ("phantom-resnet-standard", "phantom-resnet-pgd-at")
CONTROLS = ("cheater", "always-fracture")
EXPLAINER, METRIC, TOLERANCE, FACTOR = "saliency", "relevance_rank_accuracy", 15 / 224, 8
RING = (230, 60, 60)


def rows(results: Path, benchmark: str) -> dict[str, dict[str, Any]]:
    """Ranked summaries of the networks shown, with the folder of each."""
    folders = {name: results / name / benchmark for name in (*TWINS, *CONTROLS)}
    ranked = rank([ResultFolder(path, name, benchmark).summary() for name, path in folders.items()])  # type: ignore[misc]
    return {row["submission"]: {**row, "path": str(folders[row["submission"]])} for row in ranked}


def chosen(cases: Mapping[str, pd.DataFrame]) -> str:
    """The fracture, see above."""
    lost, kept = (cases[name] for name in TWINS)
    both = lost.join(kept, lsuffix="_lost", rsuffix="_kept", how="inner")
    telling = both[(both.outcome_lost == "missed under attack") & (both.outcome_kept == "survived")
                   & (both.hit_kept >= 0.5) & (both.hit_attacked_kept >= 0.5)]  # fmt: skip
    return str((telling.attacked_kept - telling.attacked_lost).idxmax())


def ringed(shown: Image.Image, map_png: bytes) -> Image.Image:
    """With a ring around the map's peak, as wide as the tolerance."""
    values = plane(map_png)
    row, column = (SIDE * (at + 0.5) / side for at, side in zip(np.unravel_index(values.argmax(), values.shape),
                                                                values.shape, strict=True))  # fmt: skip
    reach = SIDE * TOLERANCE
    drawn_on = shown.copy()
    ImageDraw.Draw(drawn_on).ellipse((column - reach, row - reach, column + reach, row + reach), outline=RING, width=3)
    return drawn_on


def case(of: Mapping[str, dict[str, Any]]) -> bytes:
    """A row for each twin: where it looks before, what the attack adds, where it looks after."""
    cases = {name: cases_of(of[name]) for name in TWINS}
    image = chosen({name: table for name, table in cases.items() if table is not None})
    shown: list[tuple[str, Image.Image]] = []
    for name, table in cases.items():
        assert table is not None
        facts = table.loc[image]
        gallery = read_gallery(of[name])
        take = partial(_taken, gallery[gallery.image == image])
        mask = take("clean", "mask")
        for condition, margin in (("clean", facts.margin), ("strongest", facts.attacked)):
            if condition == "strongest":
                added = amplified(take(condition, "perturbation"), FACTOR)
                shown.append((f"{facts.attack}: grey is no change, black and white epsilon / {FACTOR} and more", added))
            attributions = take(condition, "attributions", EXPLAINER)
            over = overlay(take(condition, "radiograph"), mask, attributions)
            told = "without an attack" if condition == "clean" else f"under attack: {facts.outcome}"
            caption = f"{name}, margin {margin:+.2f} {told}. {EXPLAINER} in orange, its peak with the tolerance in red"
            shown.append((caption, ringed(over, attributions)))
    return together(shown, 3)


def _taken(mine: pd.DataFrame, condition: str, kind: str, explainer: str = "") -> bytes:
    png = picture(mine, condition, kind, explainer)
    assert png is not None, f"no {kind} of the {condition} image"
    return png


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--benchmark", default="phantom-study-v1")
    parser.add_argument("--out", type=Path, default=Path("docs/scoring"))
    arguments = parser.parse_args()
    of = rows(arguments.results, arguments.benchmark)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "case.png").write_bytes(case(of))
    lines = curves(list(of.values()))
    assert lines is not None, "no entry has a curve"
    (arguments.out / "curves.svg").write_bytes(drawn(lines, "svg"))
    points = [point for point in clean_scores(of, METRIC) if point["name"] in TWINS]
    (arguments.out / "alignment.svg").write_bytes(drawn(dots(points, METRIC), "svg"))


if __name__ == "__main__":
    main()
