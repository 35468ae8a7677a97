"""Figure and tables of the alignment page from rows, without a browser."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from fracbench import registry, specs
from fracbench.map_kinds import BASELINES, map_kind
from fracbench.schema import INSTANCES
from fracbench.store import finite
from fracbench.summary import rank, summarise
from fracbench_leaderboard import alignment_tables as tables
from fracbench_leaderboard.choosing import by_name
from fracbench_leaderboard.dots import clean_scores, dots
from fracbench_leaderboard.words import ALIGNMENT as TERMS
from test_printing import board
from test_summary import run
from test_summary import tables as made_tables

METRIC = "relevance_rank_accuracy"
EXPLAINERS = ["cam", "saliency", "random"]


@pytest.fixture
def row() -> dict[str, Any]:
    """Twenty fractures that survive both attacks: raw .5, chance .1, ceiling .9; where the mass lies is known of no
    normal image, and no explanation was attacked."""
    (found,) = (row for row in board().rows if row["submission"] != "trial")
    return found


def test_every_baseline_is_an_explainer_there_is() -> None:
    assert set(BASELINES) <= set(registry.names("explainers"))
    assert [map_kind(name) for name in ("saliency", "random", "reader")] == ["explainer", "baseline", "given map"]


def test_the_clean_table_has_all_images_and_true_positives(row: dict[str, Any]) -> None:
    table = tables.clean(row, METRIC)
    assert list(table["", "Explainer"]) == EXPLAINERS
    assert tables.panel(row).startswith("The headline's explainers (cam, saliency) together have")
    for part in ("all images", "true positives"):
        assert table[part].iloc[0].to_dict() == {
            "Raw": "0.500", "Chance": "0.100", "Ceiling": "0.900", "Calibrated": "0.500", "n": "20"
        }  # fmt: skip


def test_every_metric_to_choose_is_explained() -> None:
    metrics = {name for spec in specs.names() for name in specs.load(spec).metrics}
    for name in (*metrics, *INSTANCES, "hit"):
        assert f"**{name}**: " in TERMS or f"**{name}** whether" in TERMS, name


def test_blank_maps_are_counted_and_not_shown_where_there_is_none(row: dict[str, Any]) -> None:
    assert tables.blank_maps(row).empty
    made = made_tables()
    maps = made["alignment"]
    maps.loc[(maps.explainer == "cam") & (maps.attack == "fgsm") & (maps.image < "f03"), "blank"] = True
    normal = maps[:1].assign(image="n00", blank=True)  # nothing to find there: a blank map is no fault
    (summary,) = rank([finite(summarise(run(), made | {"alignment": pd.concat([maps, normal])}))])
    assert summary["blank_maps"]["cam"] == {
        "clean": {"blank": 0, "n": 20}, "fgsm": {"blank": 3, "n": 20}, "autoattack": {"blank": 0, "n": 20}
    }  # fmt: skip
    assert tables.blank_maps(summary).to_dict("records") == [
        {"Explainer": "cam", "clean": "0 of 20", "fgsm": "3 of 20", "autoattack": "0 of 20"}
    ]


def test_undefined_numbers_are_dashes_with_their_n(row: dict[str, Any]) -> None:
    row["alignment"]["cam"][METRIC]["clean"]["calibrated"] = None
    row["alignment"]["saliency"] = {}  # the explainer is not valid for the network
    calibrated = tables.clean(row, METRIC)["all images"][["Calibrated", "n"]].to_numpy().tolist()
    assert calibrated == [["–", "20"], ["–", "0"], ["0.500", "20"]]


def test_images_that_survived_stand_apart_from_those_that_flipped(row: dict[str, Any]) -> None:
    flipped = {METRIC: {"fgsm": {"raw": 0.2, "chance": 0.1, "ceiling": 0.9, "calibrated": 0.125, "n": 3}}}
    row["alignment_by_outcome"]["flipped"]["cam"] = flipped
    table = tables.under(row, METRIC, "fgsm").set_index(("", "Explainer"))
    assert table.loc["cam", ("survived", "n")] == "20" and table.loc["cam", ("flipped", "n")] == "3"
    assert table.loc["cam", ("flipped", "Calibrated")] == "0.125"
    assert table.loc["random", ("flipped", "Calibrated")] == "–" and table.loc["random", ("flipped", "n")] == "0"


def test_an_attack_on_explanations_has_no_outcome_but_a_sentence(row: dict[str, Any]) -> None:
    assert tables.robust(row) is None
    row["alignment"]["cam"][METRIC]["explanation"] = row["alignment"]["cam"][METRIC]["clean"] | {"n": 18}
    table = tables.under(row, METRIC, "explanation")
    assert list(table["", "Explainer"]) == ["cam"] and list(table["answer kept", "n"]) == ["18"]
    means = {"value": 0.25, "low": None, "high": 0.5, "n": 18}
    row["robust_alignment"] = {"attack": "explanation", "attempted": 20, "n": 18,
                               "clean": means, "attacked": means | {"value": None},
                               "hit": {"clean": 0.5, "attacked": 0.25}}  # fmt: skip
    told = tables.robust(row)
    assert told is not None and "of 20 images whose explanations were attacked, 18 are" in told
    assert "from 0.250 [–, 0.500] (n = 18) to – (n = 18)" in told and "from 0.500 to 0.250 (n = 18)" in told


def test_stability_faithfulness_and_spread_have_n_beside_each_mean(row: dict[str, Any]) -> None:
    assert tables.attacks(row) == ["fgsm", "autoattack"]
    stable = tables.stability(row, "fgsm")
    assert stable.iloc[0].to_dict() == {
        "Explainer": "cam", "Rank correlation": "0.700 (n = 20)", "Top overlap": "0.600 (n = 20)"
    }  # fmt: skip
    assert tables.stability(row, "square").empty and tables.faithfulness(row).empty
    row["faithfulness"] = {"cam": {"pixel_flipping": {"value": 0.3, "n": 2}, "sparseness": {"value": None, "n": 0}}}
    assert tables.faithfulness(row).to_numpy().tolist() == [["cam", "0.300 (n = 2)", "– (n = 0)"]]
    assert tables.spread(row).iloc[0].to_dict() == {
        "Explainer": "cam", "Concentration, fractured": "0.400 (n = 20)", "Concentration, normal": "– (n = 0)",
        "Outside anatomy, fractured": "0.100 (n = 20)", "Outside anatomy, normal": "– (n = 0)",
    }  # fmt: skip


def test_the_figure_has_baselines_and_given_maps_below_the_explainers(row: dict[str, Any]) -> None:
    row["alignment"] = {"reader": row["alignment"]["cam"], "random": row["alignment"]["random"], **row["alignment"]}
    points = clean_scores(by_name([row]), METRIC)
    chart = dots(points, METRIC).to_dict()
    assert chart["layer"][0]["encoding"]["y"]["sort"] == ["cam", "saliency", "random", "reader"]
    json.dumps(chart)
    drawn = {p["explainer"]: p for of in chart["datasets"].values() for p in of if "calibrated" in p}
    assert {name: point["kind"] for name, point in drawn.items()} == {
        "cam": "explainer", "saliency": "explainer", "random": "baseline", "reader": "given map"
    }  # fmt: skip
    assert {point["calibrated"] for point in drawn.values()} == {row["alignment"]["cam"][METRIC]["clean"]["calibrated"]}


def test_a_score_that_is_undefined_has_no_point(row: dict[str, Any]) -> None:
    row["alignment"]["cam"][METRIC]["clean"]["calibrated"] = None
    assert {point["explainer"] for point in clean_scores(by_name([row]), METRIC)} == {"saliency", "random"}
    assert clean_scores(by_name([row]), "auc") == []
