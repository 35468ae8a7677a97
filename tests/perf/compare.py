"""Ratios of speed, each pair in turns: ``python tests/perf/compare.py [--device cuda] [--out FILE]``.

Prints a table and, with ``--out``, writes every measured time; asserts nothing, since times belong to a machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from fracbench import alignment, registry
from fracbench.models import guard
from fracbench.robustness import craft
from fracbench.schema import ThreatModel
from fracbench.testing import TinyNet

ROUNDS, MAPS = 5, 64
Pair = tuple[str, list[float], list[float]]


def paired(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Pair:
    """Seconds of each, run in turns after one warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS + 1):
        for work, spent in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                spent.append(time.perf_counter() - start)
    return name, *times


def metrics_against_quantus(device: str) -> Pair:
    """Quantus computes on the CPU, so for maps on a card its time includes taking them there."""
    import quantus

    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.random((MAPS, 224, 224))).float().to(device)
    masks = torch.zeros(MAPS, 224, 224, dtype=torch.bool, device=device)
    masks[:, 100:120, 90:105] = True
    given = {"normalise": False, "abs": False, "disable_warnings": True}
    theirs = [
        quantus.PointingGame(**given),
        quantus.RelevanceMassAccuracy(**given),
        quantus.RelevanceRankAccuracy(**given),
        quantus.AttributionLocalisation(**given),
        quantus.TopKIntersection(k=2508, **given),
        quantus.AUC(**given),
    ]

    def quantus_scores() -> None:
        a, s = maps[:, None].cpu().numpy(), masks[:, None].cpu().numpy().astype(int)
        x, y = np.zeros_like(a), np.ones(len(a), dtype=int)
        for metric in theirs:
            metric(model=None, x_batch=x, y_batch=y, a_batch=a, s_batch=s, batch_size=MAPS)

    six = [name for name in alignment.METRICS if name != "iou"]
    return paired(
        f"six metrics, {MAPS} maps of 224 px / Quantus", lambda: alignment.score(maps, masks, six), quantus_scores
    )


def apgd_against_pyautoattack(device: str) -> Pair:
    from pyautoattack.autopgd_base import APGDAttack

    network = TinyNet().eval().to(device)
    images = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    labels = network(images).argmax(1)
    guarded, attack = guard(network, 64, device), registry.make("attacks", "apgd-ce", {"steps": 20})
    reference = APGDAttack(network, n_iter=20, norm="Linf", eps=0.01, loss="ce", seed=0, device=device)

    def ours() -> None:
        craft(guarded, attack, images, labels, ThreatModel("linf", 0.01), torch.Generator().manual_seed(0))

    return paired("refereed apgd-ce, 64 images / pyautoattack", ours, lambda: reference.perturb(images, labels))


def explainers_together(device: str) -> Pair:
    """Explainers that need the same passes: sharing them, as a run does, against each for itself."""
    torch.manual_seed(0)
    network = registry.make("models", "timm", {"architecture": "resnet18"}).eval().to(device)
    images = torch.rand(8, 1, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    model, valid = guard(network, 224, device), torch.ones(8, 224, 224, dtype=torch.bool, device=device)
    names = ("saliency", "input_x_gradient", "gradcam", "gradcam_plus_plus", "layercam", "hirescam")
    chosen = [registry.make("explainers", name, {}) for name in names]

    def all_by(kept: dict[int, Any] | None) -> None:
        for explainer in chosen:
            alignment.explain(explainer, model, images, valid, kept)

    return paired(f"{len(names)} explainers, 8 images of 224 px / each alone", lambda: all_by({}), lambda: all_by(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON file for every time")
    arguments = parser.parse_args()
    device = arguments.device
    measured = [of(device) for of in (metrics_against_quantus, apgd_against_pyautoattack, explainers_together)]
    pairs = {name: {"ours": ours, "reference": theirs} for name, ours, theirs in measured}
    record.write(arguments.out, device, pairs, {})


if __name__ == "__main__":
    main()
