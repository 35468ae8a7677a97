"""Ratios of speed, each pair measured side by side in turns: ``python tests/perf/compare.py``.

Prints a table; asserts nothing, since times belong to a machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from fracbench import alignment, registry
from fracbench.models import guard
from fracbench.robustness import craft
from fracbench.schema import ThreatModel
from fracbench.testing import TinyNet

ROUNDS = 5


def paired(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, run in turns after one warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS + 1):
        for work, spent in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                spent.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def metrics_against_quantus() -> tuple[str, float, float]:
    import quantus

    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.random((32, 224, 224))).float()
    masks = torch.zeros(32, 224, 224, dtype=torch.bool)
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
    a, s = maps[:, None].numpy(), masks[:, None].numpy().astype(int)
    x, y = np.zeros_like(a), np.ones(len(a), dtype=int)

    def quantus_scores() -> None:
        for metric in theirs:
            metric(model=None, x_batch=x, y_batch=y, a_batch=a, s_batch=s, batch_size=32)

    return ("six metrics, 32 maps of 224 px / Quantus", *paired(lambda: alignment.score(maps, masks), quantus_scores))


def apgd_against_pyautoattack() -> tuple[str, float, float]:
    from pyautoattack.autopgd_base import APGDAttack

    network = TinyNet().eval()
    images = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = network(images).argmax(1)
    guarded, attack = guard(network, 64), registry.make("attacks", "apgd-ce", {"steps": 20})
    reference = APGDAttack(network, n_iter=20, norm="Linf", eps=0.01, loss="ce", seed=0, device="cpu")

    def ours() -> None:
        craft(guarded, attack, images, labels, ThreatModel("linf", 0.01), torch.Generator().manual_seed(0))

    return ("refereed apgd-ce, 64 images / pyautoattack", *paired(ours, lambda: reference.perturb(images, labels)))


if __name__ == "__main__":
    print(f"{'ours / reference':<48}{'ours':>10}{'reference':>12}{'ratio':>8}")
    for measure in (metrics_against_quantus, apgd_against_pyautoattack):
        name, ours, theirs = measure()
        print(f"{name:<48}{ours:>8.3f} s{theirs:>10.3f} s{ours / theirs:>8.2f}")
