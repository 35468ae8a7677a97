"""The page's figures and tables from rows, without a browser."""

from __future__ import annotations

import json

import pandas as pd
from fracbench_leaderboard.bars import interval_bar
from fracbench_leaderboard.figures import END_KEYS, scatter
from fracbench_leaderboard.table import interval, ranking_frame
from fracbench_leaderboard.views.ranking import _counts
from test_printing import board


def test_the_scatter_draws_points_without_an_interval() -> None:
    rows = board().rows
    chart = scatter(rows)
    assert chart is not None
    (data,) = (d for d in chart.to_dict()["datasets"].values() if "name" in d[0])
    assert {point["name"] for point in data} == {row["submission"] for row in rows}
    assert all({"wide", "narrow"} <= set(point) for point in data), "each name has a place, or none"
    json.dumps(chart.to_dict())


def test_a_point_without_alignment_is_left_out() -> None:
    rows = board().rows
    for row in rows:
        row["calibrated_alignment"]["value"] = None
    assert scatter(rows) is None


def test_tables_show_dashes_for_what_is_undefined() -> None:
    rows = board().rows
    table = ranking_frame(rows, show=lambda name, score: {"": interval(score), " bar": interval_bar(name, score)})
    trial = table[table.Name == "trial"].iloc[0]
    assert trial["Calibrated alignment"].endswith("[–, –]") and trial["Calibrated alignment bar"] == ""
    assert pd.isna(trial["Rank"]) and trial["n"] == "2 + 2"
    numbers = ranking_frame(rows)
    ranked = next(row for row in rows if row["rank"] == 1)
    line = numbers[numbers.Name == ranked["submission"]].iloc[0]
    assert [line["Headline" + end] for end in ("", " low", " high")] == [ranked["headline"][key] for key in END_KEYS]


def test_counts_are_given_only_where_all_rows_share_them() -> None:
    one, other = board().rows
    assert _counts([one]) == "20 fractured (20 annotated) and 20 normal images in 40 groups"
    assert "differs" in _counts([one, other])
