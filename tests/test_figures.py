"""The page's figures and tables from rows, without a browser."""

from __future__ import annotations

import json

from fracbench_leaderboard.figures import scatter
from fracbench_leaderboard.table import explainer_table, ranking_table
from fracbench_leaderboard.views.ranking import _counts
from test_printing import board


def test_the_scatter_draws_points_without_an_interval() -> None:
    rows = board().rows
    chart = scatter(rows)
    assert chart is not None
    (data,) = (d for d in chart.to_dict()["datasets"].values() if "name" in d[0])
    assert {point["name"] for point in data} == {row["submission"] for row in rows}
    assert {point["side"] for point in data} == {0, 1}, "neighbours have their names on different sides"
    json.dumps(chart.to_dict())


def test_a_point_without_alignment_is_left_out() -> None:
    rows = board().rows
    for row in rows:
        row["calibrated_alignment"]["value"] = None
    assert scatter(rows) is None


def test_tables_show_dashes_for_what_is_undefined() -> None:
    table = ranking_table(board().rows)
    trial = table[table.Name == "trial"].iloc[0]
    assert trial["Calibrated alignment"].endswith("[–, –]") and trial["Rank"] == "–" and trial["n"] == "2 + 2"
    hits = explainer_table(board().rows[0])
    assert set(hits["Hit ceiling"]) == {"0.800"} and set(hits["Hit by chance"]) == {"0.100"}


def test_counts_are_given_only_where_all_rows_share_them() -> None:
    one, other = board().rows
    assert _counts([one]) == "20 fractured (20 annotated) and 20 normal images in 40 groups"
    assert "differs" in _counts([one, other])
