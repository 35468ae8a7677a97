"""The pixels of maps from the highest attribution to the lowest: one sort serves every score that needs their order."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from fracbench.tensors import Maps, Masks, Scores


class Order:
    """Maps (batch, H, W) with their masks, bool of that shape, sorted once.

    Pixels of equal attribution form a run. No score may depend on which of them comes first, so places are those of
    runs: ``first`` and ``last`` (batch, pixels) are the places, from 0, at which the run of a sorted pixel begins and
    ends; ``inside`` (batch, pixels) says which sorted pixels lie in the mask. All stay on the device of the maps.
    """

    def __init__(self, maps: Maps, masks: Masks) -> None:
        self.values, by_value = maps.flatten(1).sort(1, descending=True)
        self.inside = masks.flatten(1).gather(1, by_value)
        self._found = self.inside.cumsum(1)

    @property
    def pixels(self) -> int:
        return self.values.shape[1]

    @property
    def sizes(self) -> Tensor:
        """(batch,) pixels of each mask."""
        return self._found[:, -1]

    @cached_property
    def _begins(self) -> Tensor:
        """(batch, pixels) bool: where a run begins."""
        begins = torch.ones_like(self.inside)
        torch.ne(self.values[:, 1:], self.values[:, :-1], out=begins[:, 1:])
        return begins

    @cached_property
    def first(self) -> Tensor:
        places = torch.arange(self.pixels, device=self.values.device)
        return torch.where(self._begins, places, 0).cummax(1).values

    @cached_property
    def last(self) -> Tensor:
        places = torch.arange(self.pixels, device=self.values.device)
        ends = torch.cat([self._begins[:, 1:], torch.ones_like(self._begins[:, :1])], 1)
        return torch.where(ends, places, self.pixels).flip(1).cummin(1).values.flip(1)

    def among_highest(self, count: Tensor) -> Scores:
        """Expected number of mask pixels among each map's ``count`` (batch,) highest, over all orders within runs."""
        at = (count - 1)[:, None]
        first, last = self.first.gather(1, at), self.last.gather(1, at)
        before = torch.where(first > 0, self._found.gather(1, (first - 1).clamp_min(0)), 0)
        share = (self._found.gather(1, last) - before) / (last - first + 1)
        return (before + (count[:, None] - first) * share)[:, 0]

    def mean_places(self) -> Scores:
        """(batch,) mean place of the mask's pixels, each at the middle of its run; float64."""
        places = torch.where(self.inside, self.first + self.last, 0).sum(1, dtype=torch.float64)
        return places / 2 / self.sizes
