"""Corruptions against what physics says of them."""

from __future__ import annotations

import pytest
import torch
from fracbench import registry
from fracbench.data import load
from fracbench.schema import CORRUPTIONS, SEVERITIES, ThreatModel
from fracbench_plugins.attacks.corruptions._base import ATTENUATION

KINDS = [n for n in registry.names("attacks") if CORRUPTIONS in getattr(registry.load("attacks", n), "norms", ())]
WANTED = {
    "quantum-noise", "detector-blur", "exposure", "contrast-loss", "scatter-fog", "jpeg", "low-resolution",
    "rotation-shift", "collimation", "side-marker", "metal", "clipped-histogram",
}  # fmt: skip


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def corrupted(kind: str, images: torch.Tensor, severity: int, seed: int = 0) -> torch.Tensor:
    plugin = registry.make("attacks", kind, {})
    labels = torch.zeros(len(images), dtype=torch.long)
    return plugin(None, images, labels, ThreatModel(CORRUPTIONS, severity), generator=rng(seed))


@pytest.fixture(scope="module")
def radiographs() -> torch.Tensor:
    dataset = registry.make("datasets", "phantom", {"test": 12})
    return load(dataset, dataset.samples("test"), 96).images


def test_all_kinds_are_registered() -> None:
    assert set(KINDS) == WANTED


@pytest.mark.parametrize("kind", KINDS)
def test_every_severity_changes_every_image_and_more_than_the_one_before(kind: str, radiographs: torch.Tensor) -> None:
    before = radiographs.clone()
    changes = []
    for severity in SEVERITIES:
        images = corrupted(kind, radiographs, severity)
        assert images.shape == radiographs.shape and images.min() >= 0 and images.max() <= 1
        changes.append((images - radiographs).abs().flatten(1).mean(1))
    assert torch.equal(radiographs, before), "the images given are left alone"
    # a marker may fall where the picture is white already
    assert (torch.stack(changes) > 0).float().mean() >= (0.9 if kind == "side-marker" else 1)
    means = [float(change.mean()) for change in changes]
    assert means == sorted(means) and means[-1] > 1.5 * means[0]


@pytest.mark.parametrize("kind", KINDS)
def test_draws_follow_the_generator_alone(kind: str, radiographs: torch.Tensor) -> None:
    torch.manual_seed(5)
    first = corrupted(kind, radiographs, 3)
    torch.manual_seed(6)
    assert torch.equal(corrupted(kind, radiographs, 3), first)
    random = kind in ("quantum-noise", "exposure", "rotation-shift", "collimation", "side-marker", "metal")
    assert torch.equal(corrupted(kind, radiographs, 3, seed=1), first) != random


def test_quantum_noise_has_the_variance_of_counted_photons() -> None:
    """Var(-log(N / N0) / k) = 1 / (k^2 N) where N = N0 exp(-k x) photons are expected and N is large."""
    grey = torch.full((1, 1, 400, 400), 0.3)
    noise = corrupted("quantum-noise", grey, 1) - grey
    expected = 2000 * torch.exp(torch.tensor(-ATTENUATION * 0.3))
    assert float(noise.var()) == pytest.approx(float(1 / (ATTENUATION**2 * expected)), rel=0.05)
    assert abs(float(noise.mean())) < 1e-3


def test_blur_and_fog_keep_a_uniform_image_and_contrast_loss_keeps_the_mean(radiographs: torch.Tensor) -> None:
    grey = torch.full((1, 1, 64, 64), 0.4)
    for kind in ("detector-blur", "scatter-fog", "contrast-loss", "low-resolution"):
        assert torch.allclose(corrupted(kind, grey, 5), grey, atol=1e-4), kind
    paler = corrupted("contrast-loss", radiographs, 3)
    assert torch.allclose(paler.mean((2, 3)), radiographs.mean((2, 3)), atol=1e-4)
    assert torch.allclose(paler.std((2, 3)), radiographs.std((2, 3)) / 2, rtol=1e-3)


def test_scatter_lowers_the_contrast_by_the_scatter_fraction() -> None:
    """Far from the object scatter is uniform, so that a faint detail keeps 1 / (1 + SPR) of its contrast."""
    image = torch.full((1, 1, 201, 201), 0.2)
    image[:, :, 100, 100] += 0.01
    fogged = corrupted("scatter-fog", image, 3)  # a scatter-to-primary ratio of 1
    detail = float(fogged[0, 0, 100, 100] - fogged[0, 0, 0, 0])
    assert detail == pytest.approx(0.005, rel=0.03)


def test_masks_move_with_the_image() -> None:
    masks = torch.zeros(6, 96, 96, dtype=torch.bool)
    masks[:, 40:60, 30:44] = True
    plugin = registry.make("attacks", "rotation-shift", {})
    for severity in SEVERITIES:
        threat = ThreatModel(CORRUPTIONS, severity)
        moved = plugin.masks(masks, threat, rng(3))
        images = plugin(None, masks[:, None].float(), torch.ones(6).long(), threat, generator=rng(3))
        same = (moved & (images[:, 0] > 0.5)).sum((1, 2)) / (moved | (images[:, 0] > 0.5)).sum((1, 2))
        assert (same > 0.9).all() and not torch.equal(moved, masks)
        assert ((moved.sum((1, 2)) / masks.sum((1, 2)) - 1).abs() < 0.1).all()


def test_a_severity_beyond_five_is_refused() -> None:
    with pytest.raises(ValueError, match="severity 6 is not one of 1, 2, 3, 4, 5"):
        ThreatModel(CORRUPTIONS, 6)
