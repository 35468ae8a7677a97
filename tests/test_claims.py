"""What a run says of itself, against the benchmark and the submission, and what no run can say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forging import faults_of, run_of


@pytest.mark.parametrize(
    "said, of",
    [
        ({"epsilon": "0.01/255"}, "benchmark"),
        ({"panel": ["random"]}, "benchmark"),
        ({"ladder": []}, "benchmark"),
        ({"black_box": []}, "benchmark"),
        ({"attacks": ["fgsm", "pgd"]}, "benchmark"),
        ({"title": "Verified champion"}, "submission"),
        ({"control": True}, "submission"),
        ({"overlap": {"such_images": False, "by": "hashes", "images": 0, "badge": ""}}, "submission"),
    ],
)
def test_what_run_json_says_is_what_benchmark_and_submission_say(results: Path, said: dict[str, Any], of: str) -> None:
    (name,) = said
    assert f"{name} of run.json is not this {of}'s" in faults_of(results, said)


def test_each_cell_of_the_benchmark_has_one_record_and_is_done(results: Path) -> None:
    records = run_of(results)["cells"]
    pgd, clean = (next(of for of in records if of["attack"] == name) for name in ("pgd", "clean"))
    strange, failed = dict(pgd, attack="harmless"), dict(clean, status="unsupported")
    others = [of for of in records if of not in (pgd, clean)]
    wrong = faults_of(results, {"cells": [strange, failed, *others]})
    assert "'pgd 0.5/255' of batch 0 has 0 records, not one" in wrong
    assert "'harmless 0.5/255' of batch 0 is no cell of this benchmark" in wrong
    assert "'clean' of batch 0 is unsupported" in wrong


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda rows: rows[~(rows.ladder & (rows.epsilon > 0.003))],
         "the ladder of 'apgd-margin' does not have one row for each image and rung"),
        (lambda rows: rows.assign(correct=rows.correct.where(~rows.ladder, rows.epsilon > 0.003)),
         "an image that breaks on the ladder of 'apgd-margin' is whole on a higher rung"),
        (lambda rows: pd.concat([rows, rows[rows.attack == "pgd"].assign(attack="third-party/zoe")]),
         "the rows of third parties are not those of the files kept"),
        (lambda rows: rows.assign(distance=rows.distance * 3), "a distance is outside its ball"),
        (lambda rows: rows.assign(correct=True), "an answer does not follow from its margin"),
    ],
)  # fmt: skip
def test_ladders_and_rows_of_others_are_looked_at_whole(results: Path, change: Any, says: str) -> None:
    assert says in faults_of(results, predictions=change)


def also(rows: pd.DataFrame, **other: Any) -> pd.DataFrame:
    return pd.concat([rows, rows[rows.attack == "pgd"].assign(**other)], ignore_index=True)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"predictions": lambda rows: also(rows, attack="made-up")},
         "there are rows of 'made-up', which no cell of this benchmark makes"),
        ({"predictions": lambda rows: also(rows, part="my-own")}, "'pgd' does not have one row for each image"),
        ({"predictions": lambda rows: also(rows)}, "'pgd' does not have one row for each image"),
        ({"predictions": lambda rows: also(rows, epsilon=0.9)}, "'pgd' does not have one row for each image"),
        ({"alignment": lambda rows: also(rows, attack="square")}, "'saliency' on square does not have"),
        ({"alignment": lambda rows: also(rows)}, "'saliency' on pgd does not have one row for each image"),
        ({"alignment": lambda rows: rows.assign(hit=rows.hit + 0.0195)}, "hit of a map is no share of 1"),
        ({"alignment": lambda rows: rows.assign(auc=-1.0)}, "auc of a map is no share of 1"),
        ({"alignment": lambda rows: rows.assign(sparseness=0.5)}, "sparseness stands where it is not measured"),
        ({"alignment": lambda rows: rows.assign(top_overlap=0.5)}, "top_overlap stands where it is not measured"),
        ({"images": lambda rows: rows.assign(ceiling_relevance_rank_accuracy=0.3)},
         "the column 'ceiling_relevance_rank_accuracy' of images is not one that a run writes"),
        ({"images": lambda rows: rows.assign(chance_hit_8x8=0.3)}, "the column 'chance_hit_8x8' of images is not one"),
        ({"images": lambda rows: rows.assign(advert="buy")}, "images have a column 'advert' that no run writes"),
        ({"said": {"champion": True}}, "run.json has a field 'champion' that no run writes"),
        ({"gallery": lambda rows: rows.assign(label=1 - rows.label)}, "the gallery does not have the benchmark's"),
        ({"gallery": lambda rows: pd.concat([rows.assign(attack="a"), rows])}, "each picture once"),
    ],
)  # fmt: skip
def test_what_is_of_nothing_in_the_benchmark_is_told(results: Path, changes: dict[str, Any], says: str) -> None:
    assert any(says in fault for fault in faults_of(results, **changes))


@pytest.mark.parametrize(
    "change, says",
    [
        (
            {"symptoms": {"images": 10**6, "crossed": 10**9, "jumps": 0, "probabilities": False}},
            "the fields that a run",
        ),
        ({"forward": 10**6}, "the images or passes of 'clean' of batch 0 are not those"),
        ({"images": 5}, "the images or passes of 'clean' of batch 0 are not those"),
        ({"attack": "x\r verified: all\n"}, "' verified: all"),
        ({"attack": ["list"]}, "is not one that `fracbench run` writes (TypeError"),
    ],
)
def test_records_say_what_a_run_writes(results: Path, change: dict[str, Any], says: str) -> None:
    first, *others = run_of(results)["cells"]
    found = faults_of(results, {"cells": [first | change, *others]})
    assert any(says.strip("' ") in fault for fault in found) and not any("\r" in fault for fault in found)
