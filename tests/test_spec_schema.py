"""Benchmarks, epsilons and threat models: what cannot be is one line."""

from __future__ import annotations

from typing import Any

import pytest
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.schema import ThreatModel, parse_epsilon


@pytest.mark.parametrize(
    "written, says",
    [("4", "did you mean 4/255"), ("0/255", "not positive"), ("a/b", "not a fraction"), ("1/2/3", "not a")],
)
def test_epsilons_are_fractions(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_epsilon(written)
    assert parse_epsilon("0.5/255") == pytest.approx(0.5 / 255)


@pytest.mark.parametrize(
    "norm, epsilon, says",
    [
        ("linf", 4, r"epsilon 4 exceeds the pixel range \[0, 1\]; did you mean 4/255\?"),
        ("linf", 1.5, r"epsilon 1.5 exceeds the pixel range \[0, 1\]$"),
        ("linf", -0.1, "positive and finite"),
        ("l2", float("inf"), "positive and finite"),
        ("linf", "4/255", r"epsilon is text; give a number: parse_epsilon\('4/255'\)"),
        ("l1", 0.1, "unknown norm 'l1'; write linf or l2"),
        ("corruptions", 6, "severity 6 is not one of"),
    ],
)
def test_a_threat_model_that_cannot_be_is_refused(norm: Any, epsilon: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ThreatModel(norm, epsilon)


def test_a_spec_must_be_consistent() -> None:
    from worlds import spec

    with pytest.raises(ValueError, match="panel names explainers the spec does not run: lime"):
        spec(panel=["lime"])
    with pytest.raises(ValueError, match="listed twice"):
        spec(attacks=[{"name": "fgsm"}, {"name": "fgsm"}])
    with pytest.raises(ValueError, match="ascend"):
        ladder = {"epsilons": ["2/255", "1/255"], "attack": {"name": "fgsm"}}
        spec(threat={"norm": "linf", "epsilon": "2/255", "ladder": ladder})
    fgsm = [{"name": "fgsm"}]
    with pytest.raises(ValueError, match=r"epsilon 100/255 is no rung"):
        spec(threat={"norm": "linf", "epsilon": "100/255", "ladder": {"epsilons": ["1/255"], "attack": fgsm[0]}})
    with pytest.raises(ValueError, match=r"epsilon 4 exceeds the pixel range \[0, 1\]; did you mean 4/255\?"):
        spec(threat={"norm": "linf", "epsilon": 4})
    for norm, epsilon, below in (("linf", "128/255", "0.5"), ("l2", "16/1", "16")):
        with pytest.raises(ValueError, match=f"epsilon {epsilon} in {norm} lets every image become grey; .* {below}"):
            spec(further_threats=[{"norm": norm, "epsilon": epsilon, "attacks": fgsm}])
    for severities, says in (
        ([1, 1], "severity is listed twice"),
        ([], "at least 1 item"),
        ([6], "less than or equal"),
    ):
        with pytest.raises(ValueError, match=says):
            spec(corruptions={"kinds": [{"name": "jpeg"}], "severities": severities})
    with pytest.raises(ValueError, match="the attack that answers flags is 'adaptive', not 'fgsm'"):
        spec(adaptive={"name": "fgsm"})
    with pytest.raises(ValueError, match="repeats another"):
        spec(further_threats=[{"norm": "l2", "epsilon": written, "attacks": fgsm} for written in ("0.5", "1/2")])
    assert isinstance(spec(), BenchmarkSpec)
