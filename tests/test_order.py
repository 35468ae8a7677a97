"""The order of pixels: ties, padding, and the same numbers by NumPy's sort and by torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fracbench import order
from fracbench.order import Order, runs
from fracbench.stability import stability
from scipy.stats import rankdata

RNG = np.random.default_rng(3)
MAPS = torch.from_numpy(np.where(RNG.random((6, 12, 10)) < 0.4, 0, RNG.integers(0, 9, (6, 12, 10)) / 9)).float()
MASKS = torch.from_numpy(RNG.random((6, 12, 10)) < 0.2)
VALID = torch.ones_like(MASKS)
VALID[::2, :, :3] = False


def test_places_are_those_of_scipy_on_the_picture() -> None:
    first, last = (of.reshape(MAPS.shape) for of in runs(-0.0 + MAPS, VALID))
    for values, inside, low, high in zip(MAPS, VALID, first, last, strict=True):
        outside = int((~inside).sum())
        for method, found in (("min", low), ("max", high)):
            expected = rankdata(values[inside].numpy(), method=method) - 1 + outside
            np.testing.assert_array_equal(found[inside].numpy(), expected)


def test_the_order_within_a_run_never_counts() -> None:
    """Against the mean over many random orders of tied pixels."""
    count = torch.full((len(MAPS),), 17)
    highest, places = [], []
    for _ in range(4000):
        jitter = torch.from_numpy(RNG.random(MAPS.shape) * 1e-3).float()
        by_value = (MAPS + jitter).flatten(1).argsort(1, descending=True)
        inside = MASKS.flatten(1).gather(1, by_value).double()
        highest.append(inside[:, :17].sum(1))
        places.append((inside * torch.arange(inside.shape[1])).sum(1) / inside.sum(1))
    found = Order(MAPS, MASKS)
    assert found.among_highest(count).double().allclose(torch.stack(highest).mean(0), atol=0.1)
    assert found.mean_places().allclose(torch.stack(places).mean(0), atol=0.3)


def test_torch_sorts_as_numpy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> list[torch.Tensor]:
        of = Order(MAPS, MASKS)
        pairs = stability(MAPS, MAPS.flip(1), VALID).values()
        return [*runs(MAPS, VALID), of.among_highest(of.sizes), of.mean_places(), *pairs]

    by_numpy = everything()
    monkeypatch.setattr(order, "BY_NUMPY", ())
    for one, other in zip(by_numpy, everything(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
