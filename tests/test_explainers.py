"""Explainers that read gradients and predictions: known answers on a linear model, equality with captum."""

from __future__ import annotations

import captum.attr
import pytest
import torch
from analytic import SIDE, Linear, SmallNet, images
from fracbench import registry
from fracbench.contracts import InputError, MarginModel, Unsupported
from torch import nn

WEIGHT = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
GRADIENT_ALONE = {"smoothgrad": {"noise": 0.0, "samples": 1}, "gradient_shap": {"noise": 0.0, "brightest": 0.0}}


def maps_of(name: str, model: nn.Module, x: torch.Tensor, **params: object) -> torch.Tensor:
    return registry.make("explainers", name, params)(MarginModel(model.eval()), x)


def close(found: torch.Tensor, wanted: torch.Tensor, share: float) -> bool:
    return bool((found - wanted).norm() < share * wanted.norm())


@pytest.mark.parametrize("name", ["input_x_gradient", "gradient_shap"])
def test_a_linear_model_adds_up_weight_times_pixel(name: str) -> None:
    x = images(3)
    maps = maps_of(name, Linear(WEIGHT), x, **GRADIENT_ALONE.get(name, {}))
    assert torch.allclose(maps, (WEIGHT * x)[:, 0], atol=1e-5)


def test_gradient_shap_is_relative_to_the_mean_flat_image() -> None:
    x = images(2)
    maps = maps_of("gradient_shap", Linear(WEIGHT), x, samples=2000, brightest=0.4)
    assert close(maps, (WEIGHT * (x - 0.2))[:, 0], 0.05)


def test_noise_does_not_move_the_gradient_of_a_linear_model() -> None:
    maps = maps_of("smoothgrad", Linear(WEIGHT), images(3), samples=4, noise=0.5)
    assert torch.allclose(maps, WEIGHT.expand(3, -1, -1), atol=1e-5)


def test_smoothgrad_without_noise_is_the_gradient() -> None:
    x = images(3)
    one, gradient = maps_of("smoothgrad", SmallNet(), x, samples=1, noise=0.0), maps_of("saliency", SmallNet(), x)
    assert torch.allclose(one, gradient.detach(), atol=1e-7)


def test_many_draws_come_near_captums() -> None:
    model, x = MarginModel(SmallNet().eval()), images(2)
    torch.manual_seed(0)
    noisy = captum.attr.NoiseTunnel(captum.attr.Saliency(model)).attribute(
        x, nt_samples=200, stdevs=0.1, nt_type="smoothgrad", abs=False
    )
    assert close(maps_of("smoothgrad", model.network, x, samples=200, noise=0.1), noisy[:, 0].detach(), 0.2)
    shap = captum.attr.GradientShap(model).attribute(x, baselines=torch.zeros(1, 1, SIDE, SIDE), n_samples=200)
    ours = maps_of("gradient_shap", model.network, x, samples=200, brightest=0.0, noise=0.0)
    assert close(ours, shap[:, 0].detach(), 0.2)


@pytest.mark.parametrize("name", ["smoothgrad", "gradient_shap"])
def test_draws_belong_to_the_image_and_leave_the_global_stream(name: str) -> None:
    x = images(3)
    before = torch.get_rng_state()
    together, alone = maps_of(name, SmallNet(), x), maps_of(name, SmallNet(), x[1:2])
    SmallNet()  # seeds the global stream, as above
    torch.set_rng_state(before)
    assert torch.allclose(together[1:2], alone, atol=1e-6)
    maps_of(name, Linear(WEIGHT), x)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.allclose(maps_of(name, SmallNet(), x, seed=1), together)


@pytest.mark.parametrize(
    "name, theirs",
    [
        ("input_x_gradient", lambda model, x: captum.attr.InputXGradient(model).attribute(x)),
        ("guided_backprop", lambda model, x: captum.attr.GuidedBackprop(model).attribute(x)),
        (
            "guided_gradcam",
            lambda model, x: captum.attr.GuidedGradCam(model, model.network.features).attribute(
                x, interpolate_mode="bilinear"
            ),
        ),
    ],
)
def test_it_equals_captum(name: str, theirs: object) -> None:
    model, x = SmallNet().eval(), images(3).requires_grad_(True)
    wanted = theirs(MarginModel(model), x)[:, 0].detach()  # type: ignore[operator]
    params = {"layer": "features"} if name == "guided_gradcam" else {}
    assert wanted.abs().max() > 0
    assert torch.allclose(maps_of(name, model, x, **params), wanted, atol=1e-7)


class Activated(nn.Module):
    """One activation, called as a function, twice."""

    def __init__(self, activation: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(SIDE**2, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.activation(self.second(self.activation(self.first(x.flatten(1))))))  # type: ignore[operator]


def test_functional_and_reused_relus_are_guided() -> None:
    x = images(3)
    functional, module = Activated(torch.relu), Activated(nn.ReLU())
    wanted = captum.attr.GuidedBackprop(MarginModel(module)).attribute(x.clone().requires_grad_(True))
    for model in (functional, module):
        assert torch.allclose(maps_of("guided_backprop", model, x), wanted[:, 0], atol=1e-7)
    theirs = captum.attr.GuidedBackprop(MarginModel(functional)).attribute(x.clone().requires_grad_(True))
    assert torch.allclose(theirs[:, 0], maps_of("saliency", functional, x).detach()), "captum guides modules alone"
    assert not torch.allclose(theirs, wanted, atol=1e-4)


@pytest.mark.parametrize(
    "activation, says",
    [
        (nn.functional.gelu, "the network has Gelu"),
        (nn.functional.relu6, "the network has Hardtanh"),
        (lambda z: torch.relu(nn.functional.hardswish(z)), "the network has Hardswish"),
        (torch.sigmoid, "no ReLU"),
    ],
)
@pytest.mark.parametrize("name", ["guided_backprop", "guided_gradcam"])
def test_guided_backprop_is_for_relu_alone(activation: object, says: str, name: str) -> None:
    with pytest.raises(Unsupported, match=says):
        maps_of(name, Activated(activation), images(1))


@pytest.mark.parametrize(
    "name, params",
    [
        ("rise", {"masks": 33}),
        ("occlusion", {"grid": 5}),
        ("integrated_gradients", {"steps": 11}),
        ("smoothgrad", {"samples": 7}),
        ("gradient_shap", {"samples": 7}),
    ],
)
def test_several_copies_in_one_call_are_the_same_map_by_fewer_calls(name: str, params: dict[str, int]) -> None:
    x, explainer, calls = images(3), registry.make("explainers", name, params), []
    network = SmallNet().eval()
    network.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))

    def by(together: int) -> tuple[torch.Tensor, list[int]]:
        calls.clear()
        return explainer(MarginModel(network, together=together), x).detach(), calls.copy()

    (one_by_one, single), (four_at_once, fewer) = by(3), by(14)
    assert max(single) == 3 and max(fewer) == 12 and len(fewer) < len(single) / 2
    assert sum(single) == sum(fewer) <= len(x) * explainer.passes[0]
    assert torch.allclose(one_by_one, four_at_once, atol=1e-5)


def test_rise_finds_the_only_pixels_that_count() -> None:
    weight = torch.zeros(1, SIDE, SIDE)
    weight[:, 2:5, 9:12] = 1
    x = images(2)
    maps = maps_of("rise", Linear(weight), x, masks=400)
    for found in maps:
        row, column = divmod(int(found.argmax()), SIDE)
        assert 1 <= row <= 5 and 8 <= column <= 12
    shifted = maps_of("rise", Linear(weight, bias=100.0), x, masks=400)
    assert torch.allclose(shifted, maps, atol=1e-3)
    assert maps_of("rise", Linear(-weight), x, masks=400)[:, 3, 10].max() < 0


def test_rise_has_the_same_masks_for_every_image_and_others_for_another_seed() -> None:
    x = images(3)
    together = maps_of("rise", SmallNet(), x, masks=20)
    assert torch.allclose(maps_of("rise", SmallNet(), x[2:], masks=20), together[2:], atol=1e-6)
    assert not torch.allclose(maps_of("rise", SmallNet(), x, masks=20, seed=1), together, atol=1e-4)


@pytest.mark.parametrize(
    "name, params, says",
    [
        ("smoothgrad", {"samples": 0}, "samples must be at least 1"),
        ("smoothgrad", {"noise": -0.1}, "noise must lie between 0 and 1"),
        ("gradient_shap", {"samples": 0}, "samples must be at least 1"),
        ("gradient_shap", {"brightest": 1.5}, "brightest must lie between 0 and 1"),
        ("gradient_shap", {"noise": 2.0}, "noise must lie between 0 and 1"),
        ("rise", {"masks": 1}, "masks must be at least 2"),
        ("rise", {"grid": 1}, "grid must be at least 2"),
        ("rise", {"keep": 1.0}, "keep must lie between 0 and 1"),
        ("randomised", {"depth": 0.0}, "depth must be above 0 and at most 1"),
        ("randomised", {"explainer": "randomised"}, "another one than randomised"),
        ("randomised", {"explainer": "salience"}, "Did you mean 'saliency'"),
    ],
)
def test_wrong_parameters_are_told_in_one_line(name: str, params: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        registry.make("explainers", name, params)
