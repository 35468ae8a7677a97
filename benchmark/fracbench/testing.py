"""Conformance kit: run a plugin through what its contract promises. For plugin authors' own tests.

Each check raises ``AssertionError`` with one sentence on what is broken; a fault of the referee or an
exception of the plugin passes through as it is.
"""

from __future__ import annotations

import torch
from torch import nn

from fracbench.alignment import explain
from fracbench.contracts import AlignmentMetric, Attack, Dataset, Explainer, MarginModel, contract_fault
from fracbench.data import load
from fracbench.models import Guarded, guard
from fracbench.robustness import craft, norms_of, referee_passes
from fracbench.schema import ThreatModel
from fracbench.tensors import Images
from fracbench.threat import distance
from fracbench.undisturbed import out_of_place, undisturbed

SIDE = 32
THREATS = (ThreatModel("linf", 0.02), ThreatModel("l2", 0.5), ThreatModel("corruptions", 3))


class TinyNet(nn.Module):
    """A small smooth network with a 2-D grid, the kit's victim."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(6, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def forward(self, images: Images) -> torch.Tensor:
        return self.head(self.features(images - 0.5).mean((2, 3)))


def _images(n: int) -> Images:
    return torch.rand(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def _unchanged(model: nn.Module, before: dict[str, torch.Tensor], what: str) -> None:
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), f"{what} changed the weights"
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules()), f"{what} left a hook behind"
    assert all(p.grad is None for p in model.parameters()), f"{what} left gradients in the parameters"


def _keeps_contract(kind: str, plugin: object) -> None:
    fault = contract_fault(kind, plugin)
    assert fault is None, fault


def check_model(model: object, image_size: int = SIDE) -> None:
    """Two logits, finite, gradients reach the image, one image alone as in a batch."""
    guarded = guard(model, image_size)
    images = torch.rand(4, 1, image_size, image_size, generator=torch.Generator().manual_seed(1))
    with undisturbed(guarded):
        with torch.no_grad():
            logits = guarded(images)
            alone = torch.cat([guarded(image[None]) for image in images])
        given = images.clone().requires_grad_(True)
        margin = MarginModel(guarded)(given).sum()
        (gradient,) = torch.autograd.grad(margin, given, allow_unused=True, materialize_grads=True)
        # a network before training may be too flat for an attack to get anywhere, and still be whole
        blind = int((~gradient.flatten(1).any(1)).sum())
    assert logits.shape == (4, 2), f"the model returned {tuple(logits.shape)} for 4 images"
    assert torch.allclose(alone, logits, atol=1e-4), "an image alone has other logits than in a batch"
    assert not blind, f"no gradient reaches the image on {blind} of 4 images"


def check_attack(attack: Attack) -> None:
    """In each norm it knows: inside the ball, never the clean image, repeatable, within its declared passes.

    A ``minimal_norm`` attack may leave the ball, but not [0, 1]; a corruption is held to [0, 1] alone.
    """
    _keeps_contract("attacks", attack)
    model: nn.Module = TinyNet().eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = _images(6)
    labels = model(images).argmax(1)
    threats = [threat for threat in THREATS if threat.norm in norms_of(attack)]
    assert threats, f"{type(attack).__name__} knows neither linf nor l2, and is no corruption"
    for threat in threats:
        guarded: Guarded = guard(model, SIDE)
        first = craft(guarded, attack, images, labels, threat, torch.Generator().manual_seed(2))
        spent = guarded.passes.copy()
        second = craft(guarded, attack, images, labels, threat, torch.Generator().manual_seed(2))
        assert torch.equal(first.images, second.images), "the same generator gave other images"
        with undisturbed(guarded):
            raw = attack(guarded, images.clone(), labels, threat, generator=torch.Generator().manual_seed(2))
        outside = (distance(images, raw, threat.norm) > threat.epsilon * (1 + 1e-4)).any()
        assert not outside or getattr(attack, "minimal_norm", False), f"leaves the {threat.norm} ball"
        assert raw.min() >= -1e-6 and raw.max() <= 1 + 1e-6, "leaves [0, 1]"
        changed = (first.images != images).flatten(1).any(1)
        assert changed.all(), "returned a clean image as its attempt"
        forward, backward = attack.passes
        assert spent.forward <= (forward + referee_passes(attack)) * len(images), (
            "takes more forward passes than it declares"
        )
        assert spent.backward <= backward * len(images), "takes more backward passes than it declares"
    _unchanged(model, before, "the attack")


def check_explainer(explainer: Explainer, model: nn.Module | None = None) -> None:
    """(batch, h, w) maps, detached and finite; an image alone as in a batch; the model as before."""
    _keeps_contract("explainers", explainer)
    network = model or TinyNet().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    guarded = guard(network, SIDE)
    images = _images(5)
    valid = torch.ones(5, SIDE, SIDE, dtype=torch.bool)
    start = guarded.passes.copy()
    together = explain(explainer, guarded, images, valid)
    spent = guarded.passes.minus(start)
    forward, backward = explainer.passes
    assert spent.forward <= forward * 5 and spent.backward <= backward * 5, "takes more passes than it declares"
    with undisturbed(guarded), out_of_place(guarded):
        raw = explainer(MarginModel(guarded.network, through=guarded), images.clone())
    assert not raw.requires_grad, "the attributions still require grad; detach them"
    assert raw.isfinite().all(), "an attribution is not finite"
    alone = torch.cat([explain(explainer, guarded, image[None], valid[:1]).maps for image in images])
    assert torch.allclose(alone, together.maps, atol=1e-3), "an image alone has another map than in a batch"
    _unchanged(network, before, "the explainer")


def check_metric(metric: AlignmentMetric) -> None:
    """One finite score per image; the mask itself scores better than its complement."""
    _keeps_contract("metrics", metric)
    masks = torch.zeros(3, SIDE, SIDE, dtype=torch.bool)
    for i in range(3):
        masks[i, 4 + i : 12 + i, 6 : 9 + i] = True
    best, worst = metric(masks.float(), masks), metric((~masks).float(), masks)
    assert best.shape == (3,), f"{metric.name} returned {tuple(best.shape)} for 3 images"
    assert torch.isfinite(best).all() and torch.isfinite(worst).all(), f"{metric.name} returned a non-finite score"
    better = best > worst if metric.higher_is_better else best < worst
    assert better.all(), f"{metric.name} does not prefer the mask to its complement"


def check_dataset(dataset: Dataset, split: str, n: int = 8) -> None:
    """Unique ids, labels 0 and 1, a stable fingerprint, and images that load with their masks."""
    samples = list(dataset.samples(split))
    assert len({sample.id for sample in samples}) == len(samples), "ids are not unique"
    assert {sample.label for sample in samples} <= {0, 1}, "labels must be 0 or 1"
    assert dataset.fingerprint(split) == dataset.fingerprint(split), "the fingerprint is not stable"
    batch = load(dataset, samples[:n], 64)
    has_mask = batch.masks.flatten(1).any(1)
    annotated = (batch.labels == 1) & batch.annotated
    assert torch.equal(has_mask, annotated), "masks must be on annotated fractured images and on no other"
