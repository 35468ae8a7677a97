"""Chance, by formula and by trying, and the ceiling of a grid."""

from __future__ import annotations

import pytest
import torch
from fracbench import alignment, references
from fracbench.instances import dilate
from scipy.stats import hypergeom
from test_alignment import RNG, masks_of


def test_chance_is_what_random_maps_score() -> None:
    masks, valid = masks_of(1).expand(400, -1, -1), torch.ones(400, 32, 32, dtype=torch.bool)
    maps = torch.from_numpy(RNG.random((400, 32, 32))).float()
    expected = references.chance(masks[:1], valid[:1])
    assert set(expected) == set(alignment.METRICS) - {"iou"}, "what a uniform map is cut to is not known beforehand"
    for name in expected:
        scores = alignment.score(maps, masks)[name]
        assert abs(float(scores.mean() - expected[name][0])) < 4 * float(scores.std()) / 20 + 1e-4, name


def test_padding_neither_helps_nor_hurts() -> None:
    """On two shapes of picture in one batch: scores equal those of the pictures cut out, chance stays chance."""
    n = 300
    masks, valid = torch.zeros(n, 32, 32, dtype=torch.bool), torch.zeros(n, 32, 32, dtype=torch.bool)
    valid[: n // 2, :, 8:24], valid[n // 2 :, 4:28, :] = True, True
    masks[:, 12:18, 10:14] = True
    maps = torch.from_numpy(RNG.random((n, 32, 32))).float() * valid
    scores = alignment.score(maps, masks, valid=valid)
    cut_out = alignment.score(maps[: n // 2, :, 8:24], masks[: n // 2, :, 8:24])
    for name, chance in references.chance(masks, valid).items():
        assert torch.equal(scores[name][: n // 2], cut_out[name]), name
        for half in (slice(n // 2), slice(n // 2, n)):
            of = scores[name][half]
            assert abs(float((of - chance[half]).mean())) < 4 * float(of.std()) / (n // 2) ** 0.5 + 1e-4, name
    assert float(alignment.score(maps, masks)["auc"].mean()) > 0.55, "uncut, the padding lifts the auc"


def test_ceiling_is_one_at_full_resolution_and_less_on_a_coarse_grid() -> None:
    masks = masks_of()
    valid = torch.ones_like(masks)
    full, coarse = (
        alignment.score(references.ceiling_maps(masks, valid, grid), masks)["relevance_rank_accuracy"]
        for grid in ("full", "4x4")
    )
    assert (full == 1).all() and float(coarse.mean()) < 0.8


def test_chance_of_iou_and_instances_is_that_of_uniform_maps_on_the_grid() -> None:
    """On the full grid it is known: a cut in half for iou, draws without replacement for instances."""
    masks = masks_of(2)
    valid, near = torch.ones_like(masks), [dilate(mask[None], 2.0) for mask in masks]
    fine, coarse = (references.tried_chance(masks, valid, near, grid, ["iou", "auc"], 0) for grid in ("full", "4x4"))
    assert set(fine) == {"iou", "instance_hit", "instance_recall"}
    for i, mask in enumerate(masks):
        size, pixels = int(mask.sum()), mask.numel()
        assert float(fine["iou"][i]) == pytest.approx(size / 2 / (pixels / 2 + size / 2), abs=0.004)
        none_found = hypergeom(pixels, int(near[i].sum()), pixels // 100).pmf(0)
        assert float(fine["instance_hit"][i]) == pytest.approx(1 - none_found, abs=4 * 0.5 / 10)
    again = references.tried_chance(masks, valid, near, "4x4", ["iou"], 0)
    assert all(torch.equal(coarse[name], again[name]) for name in coarse), "seeded"
    assert not torch.equal(coarse["iou"], fine["iou"])


@pytest.mark.parametrize("side", [2, 4, 8, 16])
@pytest.mark.parametrize("grid", ["full", "8x8", "4x4"])
def test_calibrated_the_mask_is_one_and_noise_is_zero(side: int, grid: str) -> None:
    """An oracle on its own grid reaches the ceiling, uniform maps reach chance, at every size of lesion."""
    masks = torch.zeros(60, 32, 32, dtype=torch.bool)
    for i in range(60):
        row, column = RNG.integers(0, 32 - side, 2)
        masks[i, row : row + side, column : column + side] = True
    valid = torch.ones_like(masks)
    name = "relevance_rank_accuracy"
    top = alignment.score(references.ceiling_maps(masks, valid, grid), masks)[name].mean()
    shape = (32, 32) if grid == "full" else (int(grid[0]),) * 2
    noise, _ = alignment.to_maps(torch.from_numpy(RNG.random((60, *shape))).float(), "positive", valid)
    low, drawn = references.chance(masks, valid)[name].mean(), alignment.score(noise, masks)[name]
    spread = 5 * max(float(drawn.std()), 0.05) / 60**0.5 / float(top - low)
    assert float((drawn.mean() - low) / (top - low)) == pytest.approx(0, abs=spread)
    assert top > low and (grid != "full" or top == 1)
