"""The rows of a run's tables, held against those that the cells of its benchmark have: each once, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fracbench.contracts import Ensemble
from fracbench.plan import CLEAN, Cell, Job
from fracbench.robust_scores import of_third_parties
from fracbench.schema import FAITHFULNESS, STABILITY, with_rounding

# beside what scores are read against
OF_AN_IMAGE = ("image", "label", "group", "annotated", "mask_area", "instances", "content", "metadata")
SHARES = ("hit", "blank", "instance_hit", "instance_recall", "concentration", "outside_anatomy", "top_overlap")


def false_rows(job: Job, done: Sequence[Cell], tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """A sentence for each kind of rows that are missing, there twice, or of no cell that was ``done``."""
    yield from _of_predictions(job, done, tables["predictions"])
    yield from _of_alignment(job, done, tables["alignment"])
    yield from _of_columns(job, tables["images"], tables["alignment"])


def _ids(job: Job, cell: Cell) -> list[str]:
    return [sample.id for sample in job.batches[cell.batch]]


def _annotated(job: Job, cell: Cell) -> list[str]:
    return [sample.id for sample in job.batches[cell.batch] if sample.label == 1 and sample.annotated]


def _at(epsilon: float) -> str:
    """An epsilon as it is compared."""
    return f"{epsilon:.9g}"


def _of_predictions(job: Job, done: Sequence[Cell], predictions: pd.DataFrame) -> Iterator[str]:
    wanted: Counter[tuple[Any, ...]] = Counter()
    for cell in done:
        wanted.update(_rows_of(job, cell))
    own = predictions[~of_third_parties(predictions)]
    keys = zip(own.attack, own.threat, map(_at, own.epsilon), own.part, own.ladder.astype(bool), own.image, strict=True)
    there = Counter(keys)
    wrong = {(attack, ladder) for attack, _, _, _, ladder, _ in (wanted - there) + (there - wanted)}
    known = {cell.attack for cell in done}
    for attack, ladder in sorted(wrong):
        if attack not in known:
            yield f"there are rows of '{attack}', which no cell of this benchmark makes"
        elif ladder:
            yield f"the ladder of '{attack}' does not have one row for each image and rung"
        else:
            yield f"'{attack}' does not have one row for each image"
    ball = predictions[predictions.threat.isin(("linf", "l2")) & predictions.distance.notna()]
    if not ball.distance.between(0, ball.epsilon.map(with_rounding)).all():
        yield "a distance is outside its ball"
    asked = predictions[~(predictions.ladder | predictions.carried).astype(bool)]
    if (asked.correct.astype(bool) != (asked.margin > 0)).any():
        yield "an answer does not follow from its margin"


def _rows_of(job: Job, cell: Cell) -> Iterator[tuple[Any, ...]]:
    """(attack, threat, epsilon, part, ladder, image) of the rows of a cell that predicts."""
    norm = job.spec.threat.norm
    if cell.kind == CLEAN:
        yield from ((CLEAN, CLEAN, _at(0.0), "", False, image) for image in _ids(job, cell))
    elif cell.kind == "ladder":
        yield from ((cell.attack, norm, _at(rung), "", True, image) for rung in job.rungs for image in _ids(job, cell))
    elif cell.kind == "explanation":
        at = _at(job.threat_of(cell).epsilon)
        yield from ((cell.attack, cell.kind, at, "", False, image) for image in _annotated(job, cell))
    elif cell.kind in ("attack", "further", "corruption"):
        threat, attack = job.threat_of(cell), job.attack_of(cell)
        parts = ["", *(attack.parts if isinstance(attack, Ensemble) else ())]
        place = (cell.attack, threat.norm, _at(threat.epsilon))
        yield from ((*place, part, False, image) for part in parts for image in _ids(job, cell))


def _of_alignment(job: Job, done: Sequence[Cell], alignment: pd.DataFrame) -> Iterator[str]:
    wanted: Counter[tuple[str, str, str]] = Counter()
    at_most: Counter[tuple[str, str, str]] = Counter()
    aimed = job.spec.explanation_attack
    for cell in done:
        if cell.kind != "explain":
            continue
        images = _ids(job, cell) if cell.attack == CLEAN else _annotated(job, cell)
        rows = ((cell.attack, cell.explainer, image) for image in images)
        # of an attack on the explanation those are explained whose answer it kept
        (at_most if aimed and cell.attack == aimed.name else wanted).update(rows)
    there = Counter(zip(alignment.attack, alignment.explainer, alignment.image, strict=True))
    for attack, explainer in sorted({of[:2] for of in (wanted - there) + (there - wanted - at_most)}):
        yield f"'{explainer}' on {attack} does not have one row for each image"
    scores = alignment[[*job.spec.metrics, *SHARES]].astype(float)
    beyond = [name for name in scores if not (scores[name].isna() | scores[name].between(-1e-6, 1 + 1e-6)).all()]
    yield from (f"{name} of a map is no share of 1" for name in dict.fromkeys(beyond))
    clean, sampled = alignment.attack == CLEAN, alignment.image.isin(job.faithfulness_sample)
    for names, where in ((FAITHFULNESS, clean & sampled), (STABILITY, ~clean)):
        yield from (
            f"{name} stands where it is not measured" for name in names if alignment[name][~where].notna().any()
        )


def _of_columns(job: Job, images: pd.DataFrame, alignment: pd.DataFrame) -> Iterator[str]:
    """A column more could stand in for another that scores are read against."""
    grids = ["", *(f"_{grid}" for grid in alignment.grid.unique())]
    kinds = [name for name in images if name.startswith(("chance_", "ceiling_"))]
    for name in sorted(set(images) - set(OF_AN_IMAGE) - set(kinds)):
        yield f"images have a column '{name:.80}' that no run writes"
    for name in kinds:
        kind, _, what = name.partition("_")
        grid = next((of for of in sorted(grids, key=len, reverse=True) if what.endswith(of)), "")
        metric = what.removesuffix(grid) if grid else what
        doubled = bool(grid) and f"{kind}_{metric}" in images
        if doubled or (kind == "ceiling" and not grid) or images[name].map(_beyond).any():
            yield f"the column '{name:.80}' of images is not one that a run writes"


def _beyond(value: object) -> bool:
    return not isinstance(value, int | float | np.number) or bool(value < 0 or value > 1 + 1e-6)
