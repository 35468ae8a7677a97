"""Whatever is registered goes through the conformance kit, is documented, and has bounded parameters."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import torch
from analytic import Tokens
from conftest import STARTERS
from fracbench import registry, testing
from fracbench.contracts import MarginModel, Unsupported
from fracbench.submissions import discover
from fracbench_plugins.explainers._layers import find_layer

(SOURCE,) = discover(STARTERS, None, ["phantom-resnet-standard"])
NEEDED: dict[str, dict[str, Any]] = {  # parameters without a default
    "transfer": {"sources": {SOURCE.name: SOURCE.submission.weights.sha256 if SOURCE.submission.weights else ""}}
}
BUDGETS: dict[str, dict[str, Any]] = {
    "autoattack": {"apgd_ce_steps": 4, "apgd_margin_steps": 4, "fab_steps": 4, "square_queries": 12},
    "square": {"queries": 12},
    "fgsm": {},
    "cw-l2": {"steps": 4, "searches": 2},
    "transfer": NEEDED["transfer"] | {"steps": 4},
}


@pytest.mark.parametrize("name", registry.names("attacks"))
def test_attacks_conform(name: str) -> None:
    few = {"steps": 4} if "steps" in inspect.signature(registry.load("attacks", name)).parameters else {}
    testing.check_attack(registry.make("attacks", name, BUDGETS.get(name, few)))


@pytest.mark.parametrize("name", registry.names("explainers"))
def test_explainers_conform(name: str) -> None:
    explainer = registry.make("explainers", name, {"masks": 20} if name == "rise" else {})
    testing.check_explainer(explainer, Tokens() if "attention" in name else None)


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_metrics_conform(name: str) -> None:
    metric = registry.make("metrics", name, {})
    testing.check_metric(metric)
    assert metric.name == name


def test_the_phantom_conforms() -> None:
    testing.check_dataset(registry.make("datasets", "phantom", {"test": 12}), "test")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_plugin_is_documented(kind: str) -> None:
    for listing in registry.listings(kind):
        factory = registry.load(kind, listing.name)
        assert (factory.__doc__ or "").strip() and not factory.__doc__.startswith(f"{factory.__name__}("), listing


@pytest.mark.parametrize("name", ["saliency", "integrated_gradients"])
def test_gradient_explainers_know_a_linear_model(name: str) -> None:
    """The gradient of a linear model is its weight; integrated gradients are weight times image."""
    from analytic import Linear, images

    weight = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    x = images(3)
    maps = registry.make("explainers", name, {})(MarginModel(Linear(weight)), x)
    truth = weight.expand(3, -1, -1) if name == "saliency" else weight * x[:, 0]
    assert torch.allclose(maps.detach(), truth.squeeze(), atol=1e-4)


def test_occlusion_of_a_linear_model_is_the_window_sum() -> None:
    from analytic import Linear, images

    weight = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    x = images(2)
    maps = registry.make("explainers", "occlusion", {"grid": 4})(MarginModel(Linear(weight)), x)
    windows = torch.nn.functional.avg_pool2d(weight[None] * x, 4) * 16
    assert torch.allclose(maps, windows[:, 0], atol=1e-4)


@pytest.mark.parametrize(
    "architecture, side, layer, grid",
    [
        ("resnet18", 224, "layer4", 7),
        ("resnet18", 128, "layer3", 8),
        ("resnet18", 64, "layer2", 8),
        ("resnet50", 128, "layer3", 8),  # layer4 has an 8 x 8 grid inside a block, which the shortcut goes around
        ("regnety_002", 128, "s3", 8),
        ("densenet121", 128, "features.transition3.conv", 8),
    ],
)
def test_gradcam_reads_the_last_layer_as_fine_as_at_224_px(architecture: str, side: int, layer: str, grid: int) -> None:
    torch.manual_seed(0)
    options = {"zero_init_last": False} if architecture.startswith("res") or "regnet" in architecture else {}
    model = registry.make("models", "timm", {"architecture": architecture, "options": options}).eval()
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    assert find_layer(model, image)[0] == f"network.{layer}"
    maps = registry.make("explainers", "gradcam", {})(MarginModel(model), image)
    assert maps.shape == (1, grid, grid)


def test_gradcam_passes_over_a_module_that_runs_twice() -> None:
    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(1, 4, 3, 2, 1), torch.nn.Conv2d(4, 4, 3, 2, 1)
            self.act, self.head = torch.nn.ReLU(), torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.act(self.second(self.act(self.first(x)))).mean((2, 3)))

    assert find_layer(Shared(), torch.rand(1, 1, 64, 64))[0] == "second"


def test_gradcam_takes_what_there_is_where_no_grid_is_fine() -> None:
    model = registry.make("models", "timm", {"architecture": "resnet18"}).eval()
    maps = registry.make("explainers", "gradcam", {"min_grid": 100})(MarginModel(model), torch.rand(1, 1, 64, 64))
    assert maps.shape == (1, 2, 2)


def test_deeplift_says_when_its_sum_does_not_hold() -> None:
    class Reused(torch.nn.Module):
        """One activation used twice: what DeepLIFT's hooks cannot follow."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = (
                torch.nn.Linear(256, 32),
                torch.nn.Linear(32, 32),
                torch.nn.Linear(32, 2),
            )
            self.act = torch.nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.act(self.second(self.act(self.first(x.flatten(1))))))

    torch.manual_seed(0)
    with pytest.raises(Unsupported, match=r"delta|DeepLIFT"):
        registry.make("explainers", "deeplift", {}).check_network(MarginModel(Reused()), torch.rand(4, 1, 16, 16))


@pytest.mark.parametrize("kind", ["attacks", "explainers"])
def test_plugins_are_frozen_and_their_parameters_have_defaults(kind: str) -> None:
    for name in registry.names(kind):
        factory = registry.load(kind, name)
        assert dataclasses.is_dataclass(factory) and factory.__dataclass_params__.frozen  # type: ignore[attr-defined]
        factory(**NEEDED.get(name, {}))


def test_deeplift_without_memory_is_no_matter_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("captum.attr.DeepLift.attribute", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        registry.make("explainers", "deeplift", {})(MarginModel(testing.TinyNet()), torch.rand(2, 1, 32, 32))
