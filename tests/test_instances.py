"""Fractures one by one: the tolerance, the peak, and which of several are found."""

from __future__ import annotations

import pytest
import torch
from fracbench import alignment
from fracbench.instances import HIGHEST, dilate, instance_scores, peak_hit


def test_tolerant_hit_is_euclidean_and_shares_ties() -> None:
    masks = torch.zeros(1, 21, 21, dtype=torch.bool)
    masks[0, 10, 10] = True
    near = dilate(masks, 3.0)
    rows, columns = torch.meshgrid(torch.arange(21), torch.arange(21), indexing="ij")
    assert torch.equal(near[0], ((rows - 10) ** 2 + (columns - 10) ** 2) <= 9)
    maps = torch.zeros(1, 21, 21)
    maps[0, 10, 13] = maps[0, 0, 0] = 1
    assert peak_hit(maps, near)[0] == 0.5
    assert peak_hit(torch.zeros(1, 21, 21), near)[0] == 0


def squares(*corners: tuple[int, int], side: int = 2, size: int = 40) -> torch.Tensor:
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (row, column) in zip(masks, corners, strict=True):
        mask[row : row + side, column : column + side] = True
    return masks


def test_of_several_instances_each_is_found_by_its_own_maximum() -> None:
    near = [squares((2, 2), (20, 20)), squares((5, 5)), squares()]
    maps = torch.linspace(0, 0.5, 1600).view(1, 40, 40).repeat(3, 1, 1)
    maps[0, 3, 3] = 0.9
    maps[1, 30, 30] = 1
    found = instance_scores(maps, near)
    assert found["instance_hit"][:2].tolist() == [1, 0] and found["instance_recall"][:2].tolist() == [0.5, 0]
    assert found["instance_hit"][2].isnan() and found["instance_recall"][2].isnan()


def test_the_line_runs_after_one_percent_of_the_pixels_and_ties_share() -> None:
    near, kept = [squares((10, 10), side=1)], int(HIGHEST * 1600)
    ranks = torch.arange(1600.0).flip(0)
    order = torch.randperm(1600, generator=torch.Generator().manual_seed(0))
    for place, wanted in ((kept - 1, 1.0), (kept, 0.0)):
        flat = torch.empty(1600)
        flat[order] = ranks
        here = int((flat == ranks[place]).nonzero())
        flat[[here, 10 * 40 + 10]] = flat[[10 * 40 + 10, here]]
        assert float(instance_scores(flat.view(1, 40, 40), near)["instance_hit"]) == wanted
    tied = torch.zeros(1, 40, 40)
    tied[0, :4, 0] = 2
    tied[0, 10, :24] = 1  # 12 of these 24 are above the line
    assert float(instance_scores(tied, near)["instance_hit"]) == pytest.approx((kept - 4) / 24)
    wide = [squares((9, 9), side=2)]  # two of its pixels tie: one of them is enough
    assert float(instance_scores(tied, wide)["instance_hit"]) == pytest.approx(1 - (12 / 24) * (11 / 23))
    pair = [torch.cat([squares((10, 2), side=1), squares((10, 20), side=1)])]
    found = instance_scores(tied, pair)
    assert float(found["instance_recall"]) == pytest.approx(12 / 24)
    assert float(found["instance_hit"]) == pytest.approx(1 - (12 / 24) * (11 / 23)), "one of the two is enough"
    mask = squares((10, 10), side=10)
    assert float(instance_scores(mask.float(), [mask])["instance_hit"]) == 1, "the mask itself finds its instance"
    assert float(instance_scores(torch.ones(1, 40, 40), near)["instance_hit"]) == 0


def test_scored_beside_the_metrics_without_padding() -> None:
    """Of the picture's own pixels: padding makes the highest 1 % no larger."""
    valid = torch.zeros(2, 40, 40, dtype=torch.bool)
    valid[:, :, 10:30] = True
    near = [squares((5, 12)), squares((5, 12), (30, 20))]
    masks = torch.stack([of.any(0) for of in near])
    maps = torch.rand(2, 40, 40, generator=torch.Generator().manual_seed(0)) * valid
    scores = alignment.score(maps, masks, ["auc"], valid, near)
    cut = [of[:, :, 10:30] for of in near]
    alone = instance_scores(maps[:, :, 10:30], cut)
    assert set(scores) == {"auc", "instance_hit", "instance_recall"}
    assert all(torch.equal(scores[name], alone[name]) for name in alone)
    blank = alignment.score(torch.zeros(2, 40, 40), masks, ["auc"], valid, near)
    assert blank["instance_recall"].tolist() == [0, 0]
