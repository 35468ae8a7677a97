"""The plan that a benchmark registers for its study."""

from __future__ import annotations

from typing import Any

import pytest
from fracbench import specs
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.study.answer import answer

SPEC = specs.load("phantom-v1")


def test_a_benchmark_without_a_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="registers no study"):
        answer(specs.load("smoke"), [])


@pytest.mark.parametrize(
    ("change", "said"),
    [({"panel": ["lime"]}, "study's panel names explainers"), ({"metric": "dice"}, "study's metric is not among")],
)
def test_a_plan_asks_for_what_the_benchmark_measures(change: dict[str, Any], said: str) -> None:
    given = SPEC.model_dump(mode="json")
    with pytest.raises(ValueError, match=said):
        BenchmarkSpec.model_validate(given | {"study": given["study"] | change})


def test_a_plan_is_no_part_of_what_makes_a_board() -> None:
    assert SPEC.decisive() == SPEC.model_copy(update={"study": None}).decisive()
