"""What each objective minimises, and how images are changed before it sees them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fracbench import registry
from fracbench.contracts import InputError
from fracbench.data import load
from fracbench.schema import ThreatModel
from fracbench.submissions import discover, load_model
from fracbench.training import augmentation, objectives
from fracbench.training.objectives import OBJECTIVES
from tiny_training import CHANGES, network, recipe, step, trained
from worlds import Blobs

pytestmark = pytest.mark.usefixtures("blobs")


def test_the_tests_know_every_objective() -> None:
    assert set(CHANGES) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", CHANGES)
def test_every_objective_reaches_every_parameter(objective: str) -> None:
    model = network()
    threat = ThreatModel("linf", 2 / 255) if "threat" in CHANGES[objective] else None
    loss = OBJECTIVES[objective](model, step(threat=threat))
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in model.parameters())


def test_training_attacks_inside_the_ball_and_in_evaluation_mode() -> None:
    model, given = network(), step(threat=ThreatModel("linf", 2 / 255))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for images in (
        objectives.attacked(model, given),
        objectives._diverging(model, given.images, given.threat, given.rng),  # type: ignore[arg-type]
    ):
        assert 0 < (images - given.images).abs().max() <= 2 / 255 + 1e-6 and 0 <= images.min() <= images.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "statistics moved"
    assert model.training


def test_trades_pushes_predictions_apart() -> None:
    model, given = network(), step()
    threat = ThreatModel("linf", 8 / 255)
    images = objectives._diverging(model, given.images, threat, given.rng)
    noise = given.images + threat.epsilon * torch.randn(given.images.shape, generator=given.rng).sign()
    model.eval()
    with torch.no_grad():
        clean = model(given.images)
        found, random = (objectives._divergence(clean, model(x)).mean() for x in (images, noise.clamp(0, 1)))
    assert found > 2 * random > 0
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=clean), torch.distributions.Categorical(logits=clean.flip(1))
    )
    assert torch.allclose(objectives._divergence(clean, clean.flip(1)), expected, atol=1e-6)


def test_the_gradient_penalty_is_the_squared_norm_of_the_input_gradient() -> None:
    model = network().eval()
    plain, penalised = (objectives.gradient_penalty(model, step(weight)) for weight in (0.0, 3.0))
    images = step().images.requires_grad_()
    losses = torch.nn.functional.cross_entropy(model(images), step().labels, reduction="sum")
    (gradient,) = torch.autograd.grad(losses, images)
    assert float((penalised - plain).detach()) == pytest.approx(3 * float(gradient.square().sum()) / len(images), 1e-4)
    penalised.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("objective", ["mask-supervision", "mask-location"])
def test_masks_teach_where_the_square_is(tmp_path: Path, objective: str) -> None:
    hits = {}
    for weight in (0.0, 5.0):
        made = recipe(objective, weight=weight, dataset={"name": "blobs", "params": {"n": 64}}, epochs=8)
        out = tmp_path / f"weight{weight:.0f}"
        trained(made, out)
        model = load_model(discover(tmp_path, None, [out.name])[0], 32, "cpu", 64).network
        batch = load(Blobs(n=64), Blobs(n=64).samples("test"), 32)
        positive = batch.labels == 1
        with torch.no_grad():
            logits, margins = model.evidence(batch.images[positive])
            assert torch.allclose(logits, model(batch.images[positive]), atol=1e-5)
        cells = torch.nn.functional.adaptive_max_pool2d(batch.masks[positive][:, None].float(), margins.shape[1:])
        peaks = margins.flatten(1).argmax(1, keepdim=True)
        hits[weight] = float(cells.flatten(1).gather(1, peaks).mean())
    assert hits[5.0] > 0.9 and hits[5.0] > hits[0.0]


class Evidence(torch.nn.Module):
    """A map of its own, the same for every image."""

    def __init__(self, margins: torch.Tensor) -> None:
        super().__init__()
        self.margins = margins

    def evidence(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(images), 2), self.margins.expand(len(images), -1, -1)


def test_mask_location_asks_where_and_leaves_the_level_free() -> None:
    given = step(weight=1)
    chance = float(objectives.mask_location(Evidence(torch.zeros(4, 4)), given))
    assert chance == pytest.approx(math.log(2) + math.log(16), rel=1e-5), "a flat map knows nothing"
    assert float(objectives.mask_location(Evidence(torch.full((4, 4), -9.0)), given)) == pytest.approx(chance)
    share = torch.nn.functional.adaptive_avg_pool2d(given.masks[given.labels == 1, None].float(), (4, 4))
    best = (share.mean(0)[0] + 1e-6).log()
    assert float(objectives.mask_location(Evidence(best), given)) < chance - 0.1
    assert float(objectives.mask_location(Evidence(-best), given)) > chance + 0.1
    normal = replace(given, masks=torch.zeros_like(given.masks))
    assert float(objectives.mask_location(Evidence(best), normal)) == pytest.approx(math.log(2))


def test_mask_supervision_needs_a_map() -> None:
    with pytest.raises(InputError, match="needs a model with a method evidence"):
        objectives.mask_supervision(torch.nn.Flatten(), step())
    vit = {"architecture": "vit_tiny_patch16_224", "options": {"img_size": 32, "embed_dim": 24, "depth": 1}}
    with pytest.raises(InputError, match="no feature map"):
        objectives.mask_supervision(registry.make("models", "timm", vit), step())


def test_augmentation_moves_masks_with_images_and_corrupts_each_image() -> None:
    given = step()
    for seed in range(6):
        images, masks = augmentation.turned(given.images, given.masks, torch.Generator().manual_seed(seed))
        bright = (images[:, 0] > 0.55) & given.masks.any((1, 2))[:, None, None]
        assert torch.equal(bright & masks, masks), "the mask is on the bright square"
    torch.manual_seed(0)
    changed = augmentation.corrupted(given.images)
    apart = (changed - given.images).abs().amax((1, 2, 3))
    assert len(apart[apart > 0].unique()) > 5 and (apart == 0).any(), "other changes for other images, some none"
    assert changed.min() >= 0 and changed.max() <= 1
