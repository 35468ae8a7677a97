"""Which patient, view and shortcuts make up each numbered picture of a split."""

from __future__ import annotations

import numpy as np

from fracbench_plugins.datasets.phantom.anatomy import draw_patient
from fracbench_plugins.datasets.phantom.scene import VIEWS, Lures, Picture, draw_tempting, render

# how often each planted shortcut agrees with the label
LURES = {
    split: Lures(agree, agree, agree)
    for split, agree in (
        ("train", 0.6), ("val", 0.5), ("test", 0.5), ("test-shift-site", 0.5), ("test-shift-shortcut", 0.2)
    )
}  # fmt: skip
SPLITS = tuple(LURES)
SHARED = 0.4  # of the pairs of a normal and a fractured picture are of one patient, outside train


def make(seed: int, split: str, index: int, lures: Lures) -> Picture:
    """Picture ``index`` of a split; odd ones are fractured. The same on every machine.

    In training a pair is one limb in one pose, before and after it broke; elsewhere two views, often of two patients.
    """
    place, pair, side = SPLITS.index(split), index // 2, index % 2

    def stream(number: int) -> np.random.Generator:
        return np.random.default_rng([seed, place, pair, number])

    twins = split == "train"
    same = twins or stream(0).random() < SHARED
    patient = draw_patient(stream(1 if same else 2 + side))
    pose, own = stream(4 if twins else 4 + side), stream(6 + side)
    view = str(pose.choice(list(VIEWS), p=(0.4, 0.3, 0.3)))
    tempting = draw_tempting(own, side == 1, lures, split == "test-shift-site")
    picture = render(pose, own, patient, view, side == 1, tempting)
    picture.facts["patient"] = f"{split}-{pair:05d}" + ("" if same else "ab"[side])
    return picture
