"""From the founding study's protocol to ours, one change at a time: on the same models, where do they part?

Najafi et al. 2025 (arXiv 2504.05483) ranked models by how far Linf PGD drops their accuracy, and looked at saliency,
occlusion and DeepLIFT maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.study.studied import Studied, number

FOUNDING_ATTACK, FOUNDING_PANEL = "pgd", ("saliency", "occlusion", "deeplift")
EVERY = "ours, every model"  # what the last lines are called, which stand apart from the steps to ours
Measure = Callable[[Studied], float]


@dataclass(frozen=True)
class Protocol:
    """How a model's robustness and its alignment are read; ``change`` is what it alters of the protocol before it."""

    change: str
    robustness: str
    alignment: str
    robust: Measure
    aligned: Measure


def clean_accuracy(model: Studied) -> float:
    return number(model.row["clean"]["balanced_accuracy"])


def area(model: Studied) -> float:
    return number(model.row["curve_area"])


def calibrated(model: Studied) -> float:
    return number(model.row["calibrated_alignment"])


def under(attack: str) -> Measure:
    """Balanced accuracy under one attack of the reference threat."""
    return lambda model: number(model.row["attacks"].get(attack, {}).get("robust_balanced_accuracy"))


def worst(model: Studied) -> float:
    return number(model.row["robust"]["balanced_accuracy"])


def drop(robust: Measure) -> Measure:
    """How little accuracy falls, so that more is more robust: minus the drop."""
    return lambda model: robust(model) - clean_accuracy(model)


def raw(panel: Sequence[str], metric: str) -> Measure:
    return lambda model: float(model.raw(panel, metric).mean())


def protocols(spec: BenchmarkSpec, metric: str) -> Iterator[Protocol]:
    """The founding protocol, then each that differs from the one before in one thing, and at last ours.

    None where the benchmark has not the founding study's attack and maps.
    """
    there = {ref.name for ref in spec.explainers}, {ref.name for ref in spec.attacks}
    if not set(FOUNDING_PANEL) <= there[0] or FOUNDING_ATTACK not in there[1]:
        return
    ours, theirs = ", ".join(spec.panel), ", ".join(FOUNDING_PANEL)
    each = Protocol("the founding protocol", "minus the drop under PGD", f"raw, {theirs}",
                    drop(under(FOUNDING_ATTACK)), raw(FOUNDING_PANEL, metric))  # fmt: skip
    yield each
    each = replace(
        each, change="accuracy itself, not its drop", robustness="accuracy under PGD", robust=under(FOUNDING_ATTACK)
    )
    yield each
    each = replace(each, change="every attack, not PGD alone", robustness="accuracy under every attack", robust=worst)
    yield each
    each = replace(each, change="every epsilon, not one", robustness="area under the curve", robust=area)
    yield each
    each = replace(each, change="our panel", alignment=f"raw, {ours}", aligned=raw(spec.panel, metric))
    yield each
    yield replace(each, change="calibrated: ours", alignment=f"calibrated, {ours}", aligned=calibrated)


def every(ours: Protocol) -> Protocol:
    """Ours over all models, not over those alone that have the founding study's maps."""
    return replace(ours, change=EVERY)


def with_drop(ours: Protocol) -> Protocol:
    """The same, but ranked by the drop under every attack, since a conclusion may hang on it."""
    return replace(
        ours,
        change=f"{EVERY}, but by the drop",
        robustness="minus the drop under every attack",
        robust=drop(worst),
    )
