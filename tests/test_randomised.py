"""The randomised baseline: which layers it draws anew, and that the network itself stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from analytic import SmallNet, images
from fracbench import registry
from fracbench.contracts import MarginModel, Unsupported
from torch import nn
from worlds import registered

SEEN: list[dict[str, torch.Tensor]] = []


@dataclass(frozen=True)
class Spy:
    """Keeps the weights of the network that it is to explain."""

    sign: ClassVar[str] = "positive"
    passes: ClassVar[tuple[int, int]] = (3, 2)

    def __call__(self, margin_model: MarginModel, images: torch.Tensor) -> torch.Tensor:
        SEEN.append({key: value.clone() for key, value in margin_model.network.state_dict().items()})
        return images[:, 0]


@pytest.fixture(autouse=True)
def spy() -> Iterator[None]:
    SEEN.clear()
    with registered(spy=("explainers", Spy)):
        yield


class HeadFirst(nn.Module):
    """Defines its head before what runs first, and has a parameter that knows no start of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(4, 2)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(1, 4, 3)
        self.scale = nn.Parameter(torch.linspace(9, 11, 4))
        self.norm.running_mean.fill_(3.0)  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)) * self.scale)


def changed(network: nn.Module, **params: object) -> set[str]:
    registry.make("explainers", "randomised", {"explainer": "spy"} | params)(MarginModel(network), images(1))
    return {key for key, value in network.state_dict().items() if not torch.equal(value, SEEN[-1][key])}


def test_layers_are_drawn_from_the_output_backwards() -> None:
    network = HeadFirst().eval()
    head = {"head.weight", "head.bias"}
    assert changed(network, depth=0.25) == head
    assert changed(network, depth=0.5) == head | {"norm.running_mean"}
    assert changed(network, depth=0.75) == head | {"norm.running_mean", "conv.weight", "conv.bias"}
    assert changed(network) == head | {"norm.running_mean", "conv.weight", "conv.bias", "scale"}
    assert SEEN[-1]["norm.running_mean"].eq(0).all()
    assert (SEEN[-1]["scale"] - 10).abs().max() < 4  # drawn with its mean and standard deviation


def test_the_same_seed_draws_the_same_and_nothing_else_moves() -> None:
    network = SmallNet().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    stream = torch.get_rng_state()
    for seed in (0, 0, 1):
        changed(network, seed=seed)
    first, again, other = (weights["head.weight"] for weights in SEEN)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_sign_and_passes_are_the_other_explainers() -> None:
    for name in ("saliency", "gradcam", "integrated_gradients"):
        inner = registry.make("explainers", name, {})
        outer = registry.make("explainers", "randomised", {"explainer": name})
        assert (outer.sign, outer.passes) == (inner.sign, inner.passes)


def test_a_map_no_longer_depends_on_what_was_learned() -> None:
    x = images(2)
    explainer = registry.make("explainers", "randomised", {})
    one, other = SmallNet(seed=1).eval(), SmallNet(seed=2).eval()
    assert torch.allclose(explainer(MarginModel(one), x), explainer(MarginModel(other), x))
    plain = registry.make("explainers", "saliency", {})(MarginModel(one), x).detach()
    assert not torch.allclose(explainer(MarginModel(one), x), plain)


def test_what_was_drawn_is_noted() -> None:
    margin_model = MarginModel(SmallNet().eval())
    registry.make("explainers", "randomised", {"explainer": "gradcam", "depth": 0.5})(margin_model, images(1))
    assert margin_model.notes == {"layer": "features", "randomised": "2 of 4 layers"}


def test_a_network_without_weights_is_unsupported() -> None:
    class Bare(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) * torch.tensor([[-1.0, 1.0]])

    with pytest.raises(Unsupported, match="no weights to randomise"):
        changed(Bare())
