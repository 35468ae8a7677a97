"""What a cell computed again says of what is stored of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fracbench.bench import Bench
from fracbench.beside_quantus import by_quantus
from fracbench.cell_store import CellResult
from fracbench.flags import shown_by
from fracbench.plan import CLEAN, Cell, Job
from fracbench.png import pixels
from fracbench.robust_scores import carried_over, of_third_parties
from fracbench.schema import FAITHFULNESS, INSTANCES, SPREAD, STABILITY

SAME = 1e-5  # of two ways to score maps without ties, and of two runs on one machine
NEAR = 1e-4  # a margin this near to zero may be on either side of it on another machine
POINTS = 0.02  # by which a recrafted accuracy, or a mean score on another machine, may differ
FAR, FEW = 0.05, 0.05  # a score that changed by more is another; of so many maps, on another machine
SPREADS = 1e-3  # of the margins' spread, by which they may differ on another machine
AWAY = 0.2  # of the size of a picture of a clean map, by which it may differ on another machine
ROW = ["image", "threat", "epsilon", "attack", "part"]
PICTURE = ["image", "condition", "attack", "kind", "explainer"]
COLUMNS = ("hit", "blank", *INSTANCES, *SPREAD)  # of scores, beside the spec's metrics
AT_TIMES = (*STABILITY, *FAITHFULNESS)  # scores that only some maps have
WORST = "worst case"


@dataclass(frozen=True)
class Answers:
    """A cell whose predictions were made again: on how many rows the answer is another, and what comes of it.

    ``rows`` are the images, of a ladder at each rung. ``differ`` leaves out margins within 1e-4 of zero; ``accuracy``
    is the largest change of accuracy of the attack, its parts and the worst case of all; ``beyond`` is by how many
    images more differ than may, in either class of any.
    """

    cell: str
    rows: int
    differ: int
    accuracy: float
    beyond: int
    crafted: bool

    @property
    def agrees(self) -> bool:
        """What is crafted anew may take another way; what is predicted anew may not."""
        few = self.accuracy <= max(POINTS, 1 / max(1, self.rows)) and self.beyond <= 0
        return few if self.crafted else self.differ == 0


@dataclass(frozen=True)
class Difference:
    """Largest differences of one score over ``maps`` of a sample.

    ``stored``: from what is stored; ``quantus``: from Quantus on the same maps with their ties broken at random, where
    both must agree; ``as_is``: from Quantus on the maps as they are, where its order of pixels decides between ties.
    The last two are NaN where Quantus has no such score. ``mean``: of the means, now and stored. ``far``: on how many
    maps it is another score, by more than 0.05.
    """

    metric: str
    maps: int
    stored: float
    quantus: float
    as_is: float
    mean: float
    far: int
    same_machine: bool

    @property
    def agrees(self) -> bool:
        alike = self.mean <= POINTS and self.far <= max(1, FEW * self.maps)
        close = self.stored <= SAME if self.same_machine else alike
        return self.maps > 0 and close and not self.quantus > SAME


def stored_rows(job: Job, cell: Cell, predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of a cell that predicts, its parts' too, among those of a run."""
    ids = [sample.id for sample in job.batches[cell.batch]]
    rows = predictions[predictions.image.isin(ids) & (predictions.attack == cell.attack)]
    rows = rows[rows.ladder.astype(bool) == (cell.kind == "ladder")]
    if cell.kind == "ladder":
        return rows[rows.threat == job.spec.threat.norm]
    if cell.kind == "clean":
        return rows[rows.threat == CLEAN]
    threat = job.threat_of(cell)
    norm = cell.kind if cell.kind == "explanation" else threat.norm
    return rows[(rows.threat == norm) & np.isclose(rows.epsilon, threat.epsilon, rtol=1e-9, atol=0)]


def rows_now(job: Job, cell: Cell, result: CellResult, predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of a cell as they would be stored now, where a ladder knows of what ran after it."""
    now = result.tables["predictions"]
    if cell.kind != "ladder":
        return now
    own = predictions[~of_third_parties(predictions)]
    others = own.drop(stored_rows(job, cell, own).index)
    whole = carried_over(pd.concat([now, others], ignore_index=True), job.spec.threat.norm)
    return whole.iloc[: len(now)]


def answers(cell: Cell, now: pd.DataFrame, before: pd.DataFrame, images: pd.DataFrame) -> Answers:
    """How the predictions of a cell made again differ from those stored; ``images`` have the labels."""
    both = now.merge(before, on=ROW, how="left", suffixes=("", "_stored"))
    then = both.correct_stored.where(both.correct_stored.notna(), ~both.correct.astype(bool)).astype(bool)
    near = both.margin.abs() < NEAR  # by what is stored, anybody's could be made to look near
    labels = both.image.map(images.drop_duplicates("image").set_index("image").label).fillna(-1)
    parts = both.epsilon.map("rung {:g}".format) if cell.kind == "ladder" else both.part
    rows = pd.DataFrame({"image": both.image, "part": parts, "label": labels, "now": both.correct.astype(bool),
                         "then": then, "counts": ~near})  # fmt: skip
    worst = rows.groupby(["image", "label"], as_index=False)[["now", "then", "counts"]].all().assign(part=WORST)
    every = pd.concat([rows, worst], ignore_index=True)
    every["differ"] = (every.now != every.then) & every.counts
    changes = (every.now.astype(float) - every.then.astype(float)).groupby(every.part).mean().abs()
    by_class = every.groupby(["part", "label"]).differ.agg(["sum", "size"])
    beyond = (by_class["sum"] - (POINTS * by_class["size"]).clip(lower=1)).max()
    whole = every[(every.part != WORST) if cell.kind == "ladder" else (every.part == "")]
    crafted = cell.kind not in ("clean", "corruption")
    return Answers(cell.label, len(whole), int(whole.differ.sum()), float(changes.max()), int(np.ceil(beyond)), crafted)


def of_attacked_margins(cell: Cell, now: pd.DataFrame, before: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """Margins under attack, which say what was strongest, are what is stored; elsewhere half of them nearly."""
    both = now.merge(before, on=ROW, how="left", suffixes=("", "_stored"))
    mine, theirs = both.margin.astype(float).to_numpy(), both.margin_stored.astype(float).to_numpy()
    asked = np.isfinite(mine)
    spread = float(np.std(mine[asked]) + np.abs(mine[asked]).mean()) if asked.any() else 0.0
    gaps = np.where(asked == np.isfinite(theirs), np.abs(np.where(asked, mine - theirs, 0)), np.inf)[
        asked | np.isfinite(theirs)
    ]
    if not len(gaps):
        return
    if (gaps.max() > SAME * spread) if same_machine else (np.median(gaps) > FAR * spread):
        yield f"the margins of '{cell.label}', batch {cell.batch}"


def of_distances(cell: Cell, now: pd.DataFrame, before: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """How far images were moved, and how near something adversarial is known, is what is stored.

    Beyond the ball all distances are alike. On another machine the mean over the images counts, as in accuracies.
    """
    both = now.merge(before, on=ROW, how="left", suffixes=("", "_stored"))
    for name in ("distance", "adversarial_distance"):
        ball = both.epsilon.astype(float).to_numpy()
        mine, theirs = (both[of].astype(float).clip(upper=ball).to_numpy() for of in (name, f"{name}_stored"))
        unlike = np.isnan(mine) != np.isnan(theirs)
        gaps = np.where(unlike, ball, np.nan_to_num(np.abs(mine - theirs)))
        may = np.where(same_machine, SAME * ball, max(FAR, 1 / len(both)) * ball)
        far = gaps > may if same_machine else gaps.mean(keepdims=True) > may.mean(keepdims=True)
        if far.any():
            yield f"the {name} of '{cell.label}', batch {cell.batch}"


def of_images(cell: Cell, now: pd.DataFrame | None, images: pd.DataFrame) -> Iterator[str]:
    """What scores are read against, the same for every model, is what is stored."""
    if now is None:
        return
    now = now.set_index("image").select_dtypes("number")
    before = images.drop_duplicates("image").set_index("image").reindex(index=now.index, columns=now.columns)
    for name in now:
        if not np.allclose(now[name], before[name].astype(float), rtol=0, atol=SPREADS, equal_nan=True):
            yield f"{name} of the images of batch {cell.batch} is not the benchmark's"


def of_margins(cell: Cell, now: pd.DataFrame, before: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """On clean images the margins and gradients are those that are stored."""
    now = now.set_index("image")
    before = before.drop_duplicates("image").set_index("image").reindex(now.index)
    may = (SAME if same_machine else SPREADS) * float(now.fracture_margin.std(ddof=0) + now.margin.abs().mean())
    for name in ("margin", "fracture_margin"):
        if not ((now[name] - before[name].astype(float)).abs() <= may).all():
            yield f"the {name} of clean images, batch {cell.batch}"
    others = int((now.zero_gradient.astype(bool) != before.zero_gradient.fillna(False).astype(bool)).sum())
    if others > (0 if same_machine else max(1, POINTS * len(now))):
        yield f"zero_gradient of clean images, batch {cell.batch}"


def of_symptoms(cell: Cell, now: Mapping[str, Any], before: Mapping[str, Any], same_machine: bool) -> Iterator[str]:
    """The symptoms of a batch, counted again, show the flags that are recorded; on one machine they are the same."""
    told, said = (shown_by([of], of.get("survivors", ())) for of in (before, now))
    exact = ("images", *(("jumps", "crossed", "survivors") if same_machine else ()))
    others = {name for name in exact if before.get(name) != now[name]}
    yield from (f"the symptoms of batch {cell.batch}: {name}" for name in sorted(others | (told.keys() ^ said.keys())))


def scores(bench: Bench, cell: Cell, result: CellResult, stored: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each image and score that it has, now or stored: both, and where Quantus has it what Quantus says."""
    now = result.tables["alignment"].set_index("image")
    before = stored[(stored.attack == cell.attack) & (stored.explainer == cell.explainer)].set_index("image")
    quantus = by_quantus(bench, cell)
    for name in now.index:
        for column in (*bench.job.spec.metrics, *COLUMNS, *AT_TIMES):
            theirs = quantus.get((name, column), {"untied": np.nan, "as_is": np.nan})
            then = before[column].get(name, np.nan) if column in before else np.nan
            if np.isnan(now[column][name]) and np.isnan(then):
                continue
            yield {"metric": column, "ours": float(now[column][name]), "stored": float(then), **theirs}


def of_grids(cell: Cell, result: CellResult, stored: pd.DataFrame) -> Iterator[str]:
    """The grid of a map, which decides what its scores are read against, is what is stored."""
    now = result.tables["alignment"].set_index("image").grid
    before = stored[(stored.attack == cell.attack) & (stored.explainer == cell.explainer)].set_index("image").grid
    if not now.equals(before.reindex(now.index).astype(now.dtype)):
        yield f"the grid of '{cell.label}', batch {cell.batch}"


def difference(metric: str, rows: pd.DataFrame, same_machine: bool) -> Difference:
    """One score over the maps of a sample, from the rows that ``scores`` gives."""
    neither = rows.ours.isna() & rows.stored.isna()
    # what is not a number on one side alone differs without bound
    apart = (rows.ours - rows.stored).abs().where(~neither, 0).fillna(np.inf)
    mean = abs(float(rows.ours.fillna(0).mean() - rows.stored.fillna(0).mean())) if np.isfinite(apart).all() else np.inf
    untied, as_is = (float(rows[name].abs().max()) for name in ("untied", "as_is"))
    far = int((apart > FAR).sum())
    return Difference(metric, len(rows), float(apart.max()), untied, as_is, mean, far, same_machine)


def of_pictures(cell: Cell, now: pd.DataFrame | None, gallery: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """The pictures of a cell that are shown are those it makes now; what an attack made elsewhere may differ."""
    if now is None or now.empty or not (same_machine or cell.attack == CLEAN):
        return
    kept = gallery.drop_duplicates(PICTURE) if {*PICTURE, "png"} <= set(gallery) else now.iloc[:0]
    both = now.merge(kept, on=PICTURE, how="left", suffixes=("", "_stored"))
    if cell.attack != CLEAN:  # of attacked images the strongest attempts are kept
        both = both[both.png_stored.notna()]
    exact = same_machine or cell.kind == "clean"
    if not all(alike(*pair, exact) for pair in zip(both.png, both.png_stored, strict=True)):
        yield f"the pictures of '{cell.label}', batch {cell.batch}"


def alike(picture: object, other: object, exact: bool = True) -> bool:
    """Whether two pictures of a gallery show the same, but for rounding; False where one is none."""
    mine, theirs = pixels(picture), pixels(other)
    if mine is None or theirs is None:
        return False
    gap = np.abs(mine - theirs)
    return bool(gap.max() <= 1 if exact else np.sqrt((gap**2).mean()) <= 1 + AWAY * np.sqrt((mine**2).mean()))


def of_third_party(now: Sequence[pd.DataFrame], predictions: pd.DataFrame, same_machine: bool) -> Iterator[str]:
    """What the model answers to images that others sent, and how far they are, is what is stored."""
    if not now:
        return
    rows = pd.concat(now)
    near = set() if same_machine else set(rows.image[rows.margin.abs() < NEAR])
    for name, of in rows.groupby("attack"):
        told = [some[~some.image.isin(near)].sort_values(["image", "correct", "distance"], ignore_index=True)
                for some in (of, predictions[predictions.attack == name])]  # fmt: skip
        alike = [told[0][column].tolist() == told[1][column].tolist() for column in ("image", "correct")]
        away = [some[["distance", "adversarial_distance"]].astype(float).clip(upper=1e9).to_numpy() for some in told]
        close = away[0].shape == away[1].shape and np.allclose(away[0], away[1], rtol=0, atol=SAME)
        if not (all(alike) and close):
            yield f"the answers to the images of '{name}'"
