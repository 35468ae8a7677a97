"""The whole study of one board as plain data: what the pre-registered plan asks first, then all that lies beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fracbench import recipes
from fracbench.benchmark_schema import BenchmarkSpec, StudyPlan
from fracbench.map_kinds import map_kind
from fracbench.study.effects import Asked, together, within
from fracbench.study.protocols import (
    FOUNDING_PANEL,
    Protocol,
    area,
    calibrated,
    clean_accuracy,
    every,
    protocols,
    with_drop,
    worst,
)
from fracbench.study.relations import relations
from fracbench.study.studied import CLEAN, Studied
from fracbench.study.twins import Pair, families, pairs, series, words_of
from fracbench.subgroups import lesion_thirds
from fracbench.ties import adjusted

THIRDS = ("small", "middle", "large")


def answer(
    spec: BenchmarkSpec,
    models: Sequence[Studied],
    shifted: Mapping[str, Sequence[Studied]] | None = None,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``models``, evaluated on ``spec`` and ranked or controls, say; ``shifted`` are those on other splits.

    ``left_out`` says why other rows are not among them, which the answer hands on.
    Raises ``ValueError`` where the spec registers no study.
    """
    plan = spec.study
    if plan is None:
        raise ValueError(f"{spec.name} registers no study")
    entries = [model for model in models if not model.row["control"]]
    twins, unclear = pairs(entries, plan)
    asked = Asked(plan.panel, plan.metric)
    attacked = {ref.name: replace(asked, attack=ref.name) for ref in spec.attacks}
    moved = {split: pairs(of, plan) for split, of in (shifted or {}).items()}
    doses = series(entries, plan, spec.threat.norm)
    instead, doubtful = in_place(models, twins, plan)
    told = {CLEAN: asked} | {f"under {name}": of for name, of in attacked.items()}
    stood_in = against(instead, twins, told, plan)
    for split, of in moved.items():
        there = in_place((shifted or {})[split], of[0], plan)[0]
        for recipe, found in against(there, of[0], {f"on {split}": asked}, plan).items():
            stood_in.setdefault(recipe, {}).update(found)
    return {
        "benchmark": spec.name,
        "plan": plan.model_dump(mode="json"),
        "entries": [entry(model) for model in entries],
        "registered_after": [of.name for of in entries if of.plan != plan.model_dump(mode="json")],
        "left_out": list(left_out),
        "unclear": [*unclear, *doubtful, *(f"on {split}, {line}" for split, of in moved.items() for line in of[1])],
        "primary": change(twins, asked, plan),
        "unseen": change([of for of in twins if of.seed not in plan.seen_seeds], asked, plan),
        "by_explainer": corrected(by_explainer(spec, twins, plan)),
        "by_architecture": by_architecture(twins, asked, plan),
        "other_metrics": {
            name: change(twins, Asked(plan.panel, name), plan) for name in spec.metrics if name != plan.metric
        },
        "founding_panel": change(twins, Asked(FOUNDING_PANEL, plan.metric), plan),
        "under_attack": {name: change(twins, of, plan) for name, of in attacked.items()},
        "by_lesion_size": by_lesion_size(twins, plan),
        "shifted": {split: change(of[0], asked, plan) for split, of in moved.items()},
        "manipulation": {"clean": accuracies(twins, clean_accuracy, plan), "robust": accuracies(twins, worst, plan)},
        "across": across(spec, entries, plan),
        "dose": [[dose(epsilon, model, plan) for epsilon, model in of] for of in doses],
        "beside": beside(models, twins, plan),
        "against": {recipe: of for recipe, of in stood_in.items() if CLEAN in of},
        "blind": blind(entries, plan.metric),
    }  # fmt: skip


def entry(model: Studied) -> dict[str, Any]:
    """Where each number of a model comes from."""
    return {"name": model.name, "path": _near(model.row["path"]), "network": words_of(model), "threat": model.threat,
            "recipe": model.training["recipe"], "seed": model.training["seed"], "clean": clean_accuracy(model),
            "robust": worst(model), "area": area(model), "calibrated": calibrated(model)}  # fmt: skip


def _near(path: str) -> str:
    """From where the command was typed, else the last folders: a page says the same on another machine."""
    place = Path(path)
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else Path(*place.parts[-3:]))


def change(twins: Sequence[Pair], asked: Asked, plan: StudyPlan) -> dict[str, Any]:
    """What adversarial training changes in what is asked: each pair, and all together."""
    each = [within(pair, asked) for pair in twins]
    return together([of["value"] for of in each], [of["family"] for of in each], plan.level) | {"each": each}


def by_architecture(twins: Sequence[Pair], asked: Asked, plan: StudyPlan) -> dict[str, Any]:
    """The same with the architecture as unit: what holds for others than these has to show here."""
    changes: dict[str, list[float]] = {}
    for pair in twins:
        value = within(pair, asked)["value"]
        if np.isfinite(value):
            changes.setdefault(pair.family, []).append(value)
    return together([float(np.mean(of)) for of in changes.values()], list(changes), plan.level)


def by_explainer(spec: BenchmarkSpec, twins: Sequence[Pair], plan: StudyPlan) -> dict[str, dict[str, Any]]:
    """Maps of the model alone: what looks at no model cannot change with its training."""
    names = [ref.name for ref in spec.explainers if map_kind(ref.name) == "explainer"]
    found = {name: change(twins, Asked((name,), plan.metric), plan) for name in names}
    return {name: of for name, of in found.items() if of["pairs"]}


def corrected(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """With ``holm`` beside each p, corrected over all of them."""
    holm = adjusted([of["p"] for of in found.values()])
    return {name: of | {"holm": p} for (name, of), p in zip(found.items(), holm, strict=True)}


def by_lesion_size(twins: Sequence[Pair], plan: StudyPlan) -> dict[str, dict[str, Any]]:
    if not twins:
        return {}
    thirds = lesion_thirds(twins[0].standard.images)
    parts = {word: frozenset(thirds.index[thirds == place]) for place, word in enumerate(THIRDS)}
    return {word: change(twins, Asked(plan.panel, plan.metric, images=of), plan) for word, of in parts.items() if of}


def accuracies(twins: Sequence[Pair], measure: Any, plan: StudyPlan) -> dict[str, Any]:
    """Whether training did what it is for: accuracies of the two halves of all pairs."""
    both = np.array([[measure(of.standard), measure(of.adversarial)] for of in twins]).reshape(-1, 2)
    changes = both[:, 1] - both[:, 0]
    return together(changes.tolist(), [of.family for of in twins], plan.level) | {
        "standard": both[:, 0].tolist(), "adversarial": both[:, 1].tolist()}  # fmt: skip


def across(spec: BenchmarkSpec, entries: Sequence[Studied], plan: StudyPlan) -> list[dict[str, Any]]:
    """Robustness against alignment by the founding protocol, by ours, and on the way between, all on the same models.

    At last by ours over all entries, also those that lack what the founding protocol reads.
    """
    steps = list(protocols(spec, plan.metric))
    ours = steps[-1] if steps else Protocol("ours", "area under the curve", "calibrated", area, calibrated)
    whole = [
        of
        for of in entries
        if np.isfinite([measure(of) for step in steps for measure in (step.robust, step.aligned)]).all()
    ]
    return [_related(of, whole) for of in steps] + [_related(of, entries) for of in (every(ours), with_drop(ours))]


def _related(of: Protocol, entries: Sequence[Studied]) -> dict[str, Any]:
    x, y, held = ([measure(model) for model in entries] for measure in (of.robust, of.aligned, clean_accuracy))
    named = zip(entries, x, y, strict=True)
    points = [{"name": model.name, "robustness": one, "alignment": other} for model, one, other in named]
    words = {"change": of.change, "robustness": of.robustness, "alignment": of.alignment}
    return words | relations(x, y, held) | {"points": points}


def dose(epsilon: float, model: Studied, plan: StudyPlan) -> dict[str, Any]:
    """One step of a series of growing epsilon."""
    scores = model.raw(plan.panel, plan.metric)
    return entry(model) | {"epsilon": epsilon, "raw": float(scores.mean()), "n": int(scores.notna().sum())}


def beside(models: Sequence[Studied], twins: Sequence[Pair], plan: StudyPlan) -> list[dict[str, Any]]:
    """Every other training of a network against its standard model of the same data and seed.

    Such as models built to look elsewhere, models shown the mask, and models trained for longer without attacks, which
    tell length from robustness: ``twin`` is what the adversarial twin has more than the model, None without one.
    """
    asked = Asked(plan.panel, plan.metric)
    found = []
    for pair, twin in _others(models, twins, plan):
        model = pair.adversarial
        more = within(replace(pair, standard=model, adversarial=twin), asked) if twin else None
        facts = {"recipe": model.training["recipe"], "clean": clean_accuracy(model), "robust": worst(model)}
        found.append(within(pair, asked) | facts | {"name": model.name, "calibrated": calibrated(model), "twin": more})
    return found


def _others(models: Sequence[Studied], twins: Sequence[Pair], plan: StudyPlan) -> Iterator[tuple[Pair, Studied | None]]:
    """Each standard model with another training in the adversarial one's place, and that one where there is one."""
    paired = {model.name for pair in twins for model in (pair.standard, pair.adversarial)}
    robust = {pair.standard.name: pair.adversarial for pair in twins}
    for (_, seed), family in families(models, controls=True).items():
        plain = [of for of in family if of.training["recipe"] == plan.standard and not of.row["control"]]
        for model in family if len(plain) == 1 else ():
            if model.name not in paired | {plain[0].name}:
                yield Pair(words_of(model), seed, plain[0], model), robust.get(plain[0].name)


def in_place(
    models: Sequence[Studied], twins: Sequence[Pair], plan: StudyPlan
) -> tuple[dict[str, list[Pair]], list[str]]:
    """By recipe, adversarial twins with a model of it, trained by the standard objective, in the standard one's place.

    Of recipes that this package knows, since others are any words, and without controls; and a line for each twin that
    several models of one recipe stand beside.
    """
    by_twin: dict[tuple[str, str], list[Pair]] = {}
    for pair, twin in _others(models, twins, plan):
        other = pair.adversarial
        recipe = other.training["recipe"]
        if twin and recipe in _plain_recipes() and not other.threat and not other.row["control"]:
            by_twin.setdefault((recipe, twin.name), []).append(replace(pair, standard=other, adversarial=twin))
    found: dict[str, list[Pair]] = {}
    unclear = []
    for (recipe, twin_name), of in by_twin.items():
        if len(of) == 1:
            found.setdefault(recipe, []).extend(of)
        else:
            names = ", ".join(pair.standard.name for pair in of)
            unclear.append(
                f"{names}: all {recipe}; which stands for the standard twin of {twin_name} is not to be told"
            )
    return found, unclear


@cache
def _plain_recipes() -> frozenset[str]:
    return frozenset(name for name in recipes.names() if recipes.load(name).objective == "standard")


def against(
    instead: Mapping[str, Sequence[Pair]], twins: Sequence[Pair], asked: Mapping[str, Asked], plan: StudyPlan
) -> dict[str, dict[str, Any]]:
    """What changes by recipe, and by input, where two twins or more have a model of the recipe beside them.

    ``usual`` is what changes of the same adversarial twins with their standard ones.
    """
    found: dict[str, dict[str, Any]] = {}
    for recipe, of in instead.items():
        names = {pair.adversarial.name for pair in of}
        same = [pair for pair in twins if pair.adversarial.name in names]
        changes = {name: change(of, what, plan) | {"usual": change(same, what, plan)} for name, what in asked.items()}
        kept = {name: change for name, change in changes.items() if change["pairs"] > 1}
        found |= {recipe: kept} if kept else {}
    return found


def blind(entries: Iterable[Studied], metric: str) -> dict[str, Any]:
    """Raw scores of what looks at no model, or at one whose weights were drawn anew, on the same images."""
    found: dict[str, list[float]] = {}
    for model in entries:
        for name in dict.fromkeys(model.maps.explainer):
            if map_kind(name) == "baseline" or name == "mean_mask":
                found.setdefault(name, []).append(float(model.raw((name,), metric).mean()))
    return {name: {"raw": float(np.nanmean(of)), "models": len(of)} for name, of in found.items()}
