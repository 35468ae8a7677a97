"""The pixels of maps in the order of their attribution. Sorting is what scores cost, so it is done once, and fast."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fracbench.tensors import Maps, Masks, Scores

BY_NUMPY = ("cpu",)  # devices on which NumPy sorts, several times as fast as torch


class Order:
    """Maps (batch, H, W) with their masks, bool of that shape, sorted once for all scores that need an order.

    No score may depend on which of several pixels of equal attribution comes first: such a run counts as if all its
    orders were averaged. All stays on the device of the maps.
    """

    def __init__(self, maps: Maps, masks: Masks) -> None:
        self._values, self._inside = maps.flatten(1), masks.flatten(1)
        self._ascending = _sorted(self._values)

    @property
    def pixels(self) -> int:
        return self._values.shape[1]

    @property
    def sizes(self) -> Tensor:
        """(batch,) pixels of each mask."""
        return counted(self._inside)

    def among_highest(self, count: Tensor) -> Scores:
        """Expected number of mask pixels among each map's ``count`` (batch,) highest, over all orders within runs."""
        line = self._ascending.gather(1, self.pixels - count[:, None])
        above, tied = self._values > line, self._values == line
        left = count - counted(above)
        return counted(above & self._inside) + left * counted(tied & self._inside) / counted(tied)

    def mean_places(self) -> Scores:
        """(batch,) mean place of the mask's pixels from the highest, 0, each at the middle of its run; float64."""
        means = []
        for values, inside, ascending in zip(self._values, self._inside, self._ascending, strict=True):
            marked = values[inside]
            lower, up_to = (torch.searchsorted(ascending, marked, right=right) for right in (False, True))
            means.append(self.pixels - 1 - (lower + up_to - 1).double().mean() / 2)
        return torch.stack(means)


def counted(pixels: Tensor) -> Tensor:
    """(batch,) how many of the pixels (batch, n) are true; int32, in which a CPU adds several times as fast."""
    return pixels.sum(1, dtype=torch.int32)


def runs(maps: Maps, valid: Masks) -> tuple[Tensor, Tensor]:
    """For each pixel of maps (batch, H, W), non-negative float32, the first and last place of its run, float32.

    Both (batch, H x W), ascending from 0; pixels outside ``valid`` (batch, H, W) come first. Places are exact below
    2^24 pixels.
    """
    values, inside = (maps + 0.0).flatten(1), valid.flatten(1)  # + 0.0: the bits of -0.0 would come last
    at = torch.arange(values.shape[1], device=maps.device)
    keys = torch.where(inside, values.view(torch.int32).long() + 1, 0)  # floats from 0 are ordered as their bits are
    ordered = _sorted(keys << 32 | at)
    keys, pixel = ordered >> 32, ordered & 0xFFFFFFFF
    begins = torch.ones_like(keys, dtype=torch.bool)
    torch.ne(keys[:, 1:], keys[:, :-1], out=begins[:, 1:])
    ends = torch.cat([begins[:, 1:], torch.ones_like(begins[:, :1])], 1)
    first = _highest_so_far(torch.where(begins, at, 0))
    last = at[-1] - _highest_so_far(torch.where(ends, at[-1] - at, 0).flip(1)).flip(1)
    back = torch.empty_like(values), torch.empty_like(values)
    return back[0].scatter_(1, pixel, first.float()), back[1].scatter_(1, pixel, last.float())


def _sorted(values: Tensor) -> Tensor:
    """Each row in ascending order."""
    if values.device.type in BY_NUMPY:
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values


def _highest_so_far(values: Tensor) -> Tensor:
    if values.device.type in BY_NUMPY:
        return torch.from_numpy(np.maximum.accumulate(values.numpy(), axis=1))
    return values.cummax(1).values
