"""What the pages compute themselves: filters, the Pareto front, cases, twins and definitions."""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from fracbench import alignment
from fracbench.board import read_board, whole
from fracbench.subgroups import lesion_thirds
from fracbench_leaderboard import joint
from fracbench_leaderboard.bars import interval_bar
from fracbench_leaderboard.cases import cases_of, disagreements
from fracbench_leaderboard.definitions import DEFINITIONS, drawing, example
from fracbench_leaderboard.filtering import Filters, training_kind
from fracbench_leaderboard.offering import aligned
from fracbench_leaderboard.pictures import coloured
from fracbench_leaderboard.table import number
from test_printing import board


@cache
def ranked() -> dict[str, Any]:
    return next(of for of in board().rows if of["rank"])


def row(**changes: Any) -> dict[str, Any]:
    return ranked() | changes


def test_a_point_is_on_the_front_when_nobody_beats_it() -> None:
    points = [(0.9, 0.1), (0.5, 0.5), (0.5, 0.4), (0.1, 0.9), (0.1, 0.9), (0.05, 0.9)]
    assert joint.pareto(points) == [0, 1, 3, 4]
    assert joint.pareto([]) == []


def test_weights_go_from_one_number_to_the_other() -> None:
    of = row()
    robust, aligned_score = joint.robustness(of)["value"], joint.alignment(of)["value"]
    assert joint.weighted(of, 1) == robust and joint.weighted(of, 0) == aligned_score
    assert joint.weighted(of, 0.5) == pytest.approx((robust + aligned_score) / 2)
    assert joint.weighted(of, 0.5, explainer="nothing") is None


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (Filters(), True),
        (Filters(words="RESNET a-name"), True),
        (Filters(words="resnet other"), False),
        (Filters(training=["standard"]), True),
        (Filters(training=["adversarial"]), False),
        (Filters(architectures=["resnet18"]), True),
        (Filters(architectures=["vit"]), False),
        (Filters(most_parameters=1), True),
        (Filters(most_parameters=0.1), False),
        (Filters(since=date(2026, 1, 2)), True),
        (Filters(since=date(2026, 1, 3)), False),
        (Filters(ranked=True), True),
    ],
)
def test_a_filter_keeps_what_it_says(asked: Filters, kept: bool) -> None:
    assert asked.keeps(row(parameters=300_000)) == kept
    assert not Filters(ranked=True).keeps(row(rank=None))


def test_a_stated_threat_makes_a_training_adversarial() -> None:
    kinds = [
        training_kind(row(training={"data": "d", "recipe": "r", "threat": threat})) for threat in ("linf 1/255", None)
    ]
    assert kinds == ["adversarial", "standard"] and training_kind(row(trained_on="not stated")) == "not stated"


def paths(bar: str) -> list[str]:
    svg = ElementTree.fromstring(unquote(bar.partition(",")[2]))
    return [of.get("d") or "" for of in svg if of.tag.endswith("path")]


def ends(path: str) -> tuple[float, float]:
    left, right = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", path).groups()  # type: ignore[union-attr]
    return float(left), float(right)


def test_a_bar_spans_its_interval_on_one_scale() -> None:
    bar = interval_bar("Headline", {"value": 0.5, "low": 0.25, "high": 1.0})
    scale, interval = map(ends, paths(bar))
    assert interval[0] == pytest.approx(scale[0] + (scale[1] - scale[0]) / 4, abs=0.1)
    assert interval[1] == scale[1] and "#" not in bar
    unknown = ({"value": 0.5, "low": None, "high": None}, {"value": None})
    assert [interval_bar("Headline", of) for of in unknown] == ["", ""]
    worse_than_chance = interval_bar("Calibrated alignment", {"value": -0.2, "low": -0.3, "high": -0.1})
    assert ends(paths(worse_than_chance)[1])[0] > scale[0], "it has room below 0"


def test_numbers_stand_on_the_right_and_words_on_the_left() -> None:
    frame = pd.DataFrame({"a": ["0.1 [0.0, 0.2]", "–"], "b": ["x", "1"], "c": [1, 2], "d": ["8 + 8", "1/4 (n = 2)"]})
    assert set(aligned(frame)) == {"a", "d"} and aligned(frame[:0]) == {}
    assert number(-0.0001) == "0.000" and number(None) == "–"


def test_cases_say_what_the_tables_say(smoke: Path) -> None:
    rows = {of["submission"]: whole(of) for of in read_board(smoke / "none", smoke).rows}
    found = {name: cases_of(of) for name, of in rows.items()}
    constant = found["always-fracture"]
    assert constant is not None
    assert set(constant.outcome[constant.label == 0]) == {"false alarm already"}
    assert set(constant.outcome[constant.label == 1]) == {"survived"}
    of = rows["phantom-resnet-standard"]
    cases = found["phantom-resnet-standard"]
    assert cases is not None and len(cases) == 16 and cases.margin.is_monotonic_increasing
    clean, robust = of["clean"]["balanced_accuracy"]["value"], of["robust"]["balanced_accuracy"]["value"]
    right = ~cases.outcome.isin(["missed already", "false alarm already"])
    assert right.groupby(cases.label).mean().mean() == pytest.approx(clean)
    assert (cases.outcome == "survived").groupby(cases.label).mean().mean() == pytest.approx(robust)
    assert set(cases["size"]) == {""}, "eight fractures make no thirds"
    images = pd.DataFrame({"label": [1] * 18 + [0] * 2, "content": 100, "mask_area": [*range(1, 18), 0, 0, 0],
                           "annotated": [True] * 17 + [False] + [True] * 2})  # fmt: skip
    sizes = lesion_thirds(images)
    assert sorted(sizes.value_counts()) == [5, 6, 6] and len(sizes) == 17 and (sizes[0], sizes[16]) == (0, 2)
    apart = disagreements({name: of for name, of in found.items() if of is not None})
    assert not apart.empty and apart.gap.is_monotonic_decreasing
    assert disagreements({"a": cases, "b": cases}).empty


def test_pictures_of_scores_show_the_very_scores() -> None:
    """What the page About draws is what the benchmark computes on the same map and mask."""
    import torch

    values, mask = example()
    given = torch.from_numpy(values).float()[None], torch.from_numpy(mask)[None]
    scores = alignment.score(*given)
    for name in set(scores) & set(DEFINITIONS):
        assert drawing(name)[1] == pytest.approx(float(scores[name]), abs=0.02), name
    assert {"pointing_game", "relevance_rank_accuracy", "iou", "auc"} <= set(scores)


def test_a_colour_map_goes_from_its_first_colour_to_its_last() -> None:
    ends = coloured(np.array([0.0, 1.0]), "viridis")
    assert ends.tolist() == [[68, 1, 84], [253, 231, 37]]
