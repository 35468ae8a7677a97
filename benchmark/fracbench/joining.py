"""One table of each kind from the tables of all cells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from fracbench.plan import Job
from fracbench.robust_cells import plain
from fracbench.robust_scores import carried_over, under
from fracbench.schema import FAITHFULNESS, INSTANCES, SPREAD, STABILITY, ThreatModel
from fracbench.summary import strongest_attack

PREDICTION_COLUMNS = (
    *("image", "threat", "epsilon", "attack", "part", "margin", "correct", "distance"),
    *("adversarial_distance", "carried", "ladder", "zero_gradient", "fracture_margin"),
)
TRUTHS = ("correct", "carried", "ladder", "zero_gradient")
ALIGNMENT_COLUMNS = ("image", "threat", "epsilon", "attack", "explainer", "grid", "blank", "hit",
                     *INSTANCES, *SPREAD, *STABILITY, *FAITHFULNESS)  # fmt: skip


def joined_tables(
    collected: Mapping[str, Sequence[pd.DataFrame]], job: Job, attacks: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Images, predictions, alignment and gallery of a run from those of its cells, which ``collected`` lists by name.

    ``attacks``, in spec order, are those of the reference threat, of which the gallery keeps each image's strongest.
    """

    def joined(name: str) -> pd.DataFrame:
        frames = collected.get(name, [])
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    images, predictions, alignment, gallery = (
        joined(name) for name in ("images", "predictions", "alignment", "gallery")
    )
    if images.empty:  # every clean cell has failed
        images = _bare_images(job)
    for references in _references(collected.get("references", [])):
        images = images.merge(references, on="image", how="left")
    if predictions.empty:
        predictions = pd.DataFrame(columns=PREDICTION_COLUMNS).astype(dict.fromkeys(TRUTHS, bool))
    for name in [
        name for name in PREDICTION_COLUMNS if name not in predictions
    ]:  # only clean cells have them, and all have failed
        predictions[name] = pd.NA
    if alignment.empty:
        alignment = pd.DataFrame(columns=[*ALIGNMENT_COLUMNS, *job.spec.metrics])
    predictions = carried_over(predictions, job.spec.threat.norm)
    return {"images": images, "predictions": predictions, "alignment": alignment,
            "gallery": _strongest_only(gallery, predictions, job.spec.threat.model, attacks)}  # fmt: skip


def _bare_images(job: Job) -> pd.DataFrame:
    samples = [sample for batch in job.batches for sample in batch]
    fields = ("label", "group", "annotated")
    bare = pd.DataFrame({"image": [s.id for s in samples], **{f: [getattr(s, f) for s in samples] for f in fields}})
    unknown = ("mask_area", "content", *(f"chance_{name}" for name in (*job.spec.metrics, "hit")))
    return bare.assign(metadata=[plain(s.metadata) for s in samples], **dict.fromkeys(unknown, float("nan")))


def _references(frames: Iterable[pd.DataFrame]) -> list[pd.DataFrame]:
    """One frame for each grid: explainers that share a grid share their references."""
    by_grid: dict[tuple[str, ...], list[pd.DataFrame]] = defaultdict(list)
    for frame in frames:
        by_grid[tuple(frame.columns)].append(frame)
    return [pd.concat(of).drop_duplicates("image") for of in by_grid.values()]


def _strongest_only(
    gallery: pd.DataFrame, predictions: pd.DataFrame, threat: ThreatModel, attacks: Sequence[str]
) -> pd.DataFrame:
    """Of the attacked pictures keep those of each image's lowest-margin attempt."""
    if gallery.empty or predictions.empty:
        return gallery
    strongest = strongest_attack(under(predictions, threat.norm, threat.epsilon), attacks)
    keep = (gallery.condition == "clean") | (gallery.attack == gallery.image.map(strongest))
    return gallery[keep].reset_index(drop=True)
