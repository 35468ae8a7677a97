"""Class-activation methods: equal to captum and pytorch_grad_cam, valid on the layouts of timm, their layer noted."""

from __future__ import annotations

from typing import Any

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from analytic import Linear, SmallNet, Tokens, images, one_bright_patch
from fracbench import alignment, registry
from fracbench.contracts import InputError, MarginModel, Unsupported
from fracbench.models import guard
from fracbench_plugins.explainers._layers import find_layer
from fracbench_plugins.explainers._layout import to_grid
from pytorch_grad_cam.utils.image import scale_cam_image
from torch import nn

PACKAGE = {"gradcam_plus_plus": "GradCAMPlusPlus", "layercam": "LayerCAM", "hirescam": "HiResCAM"}
CAMS = ["gradcam", *PACKAGE]
SMALL: dict[str, dict[str, Any]] = {
    "resnet18": {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16], "zero_init_last": False},
    "densenet121": {"growth_rate": 8, "block_config": [2, 2, 2, 2]},
    "convnext_atto": {},
    "mobilenetv3_small_050": {},
    "vit_tiny_patch16_224": {"img_size": 64, "patch_size": 8, "depth": 3, "embed_dim": 48},
    "deit_tiny_distilled_patch16_224": {"img_size": 64, "patch_size": 8, "depth": 2, "embed_dim": 48},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 4, "depths": [1, 1, 1, 1], "embed_dim": 24},
}
LAYERS = {
    "resnet18": "layer2",
    "densenet121": "features.transition2.conv",
    "convnext_atto": "stages.2.downsample.0",
    "mobilenetv3_small_050": "blocks.2.0.bn1",
    "vit_tiny_patch16_224": "blocks.2.norm1",
    "deit_tiny_distilled_patch16_224": "blocks.1.norm1",
    "swin_tiny_patch4_window7_224": "layers.1",
}


def small(architecture: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    params = {"architecture": architecture, "options": SMALL[architecture] | options}
    return registry.make("models", "timm", params).eval()


def maps_of(name: str, model: nn.Module, x: torch.Tensor, **params: Any) -> torch.Tensor:
    return registry.make("explainers", name, params)(MarginModel(model), x)


def by_package(name: str, model: nn.Module, layer: nn.Module, x: torch.Tensor, reshape: Any = None) -> np.ndarray:
    with getattr(pytorch_grad_cam, PACKAGE[name])(MarginModel(model), [layer], reshape_transform=reshape) as cam:
        return cam(x, targets=[lambda margin: margin] * len(x))


def as_package(maps: torch.Tensor, side: int) -> np.ndarray:
    """Cut, resized and rescaled as pytorch_grad_cam does with its maps."""
    return scale_cam_image(scale_cam_image(maps.clamp_min(0).numpy(), (side, side)))


def test_gradcam_equals_captum() -> None:
    model, x = SmallNet().eval(), images(3)
    wanted = captum.attr.LayerGradCam(MarginModel(model), model.features).attribute(x.clone().requires_grad_(True))
    assert torch.allclose(maps_of("gradcam", model, x, layer="features"), wanted[:, 0].detach(), atol=1e-7)


@pytest.mark.parametrize("name", PACKAGE)
def test_it_equals_the_package_on_a_cnn(name: str) -> None:
    model, x = SmallNet().eval(), images(3)
    wanted = by_package(name, model, model.features, x)
    assert wanted.max() > 0.9
    found = as_package(maps_of(name, model, x, layer="features"), x.shape[-1])
    assert np.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("name", PACKAGE)
def test_it_equals_the_package_on_a_transformer_with_the_reshaping_its_manual_gives(name: str) -> None:
    model, x = small("vit_tiny_patch16_224"), torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    layer = model.network.blocks[-1].norm1  # type: ignore[union-attr, index]
    wanted = by_package(
        name, model, layer, x, lambda tokens: tokens[:, 1:].reshape(-1, 8, 8, 48).transpose(2, 3).transpose(1, 2)
    )
    assert np.allclose(as_package(maps_of(name, model, x), 64), wanted, atol=1e-5)


def test_captum_sums_the_wrong_axis_of_tokens_on_which_ours_has_a_grid() -> None:
    model, x = small("vit_tiny_patch16_224"), torch.rand(2, 1, 64, 64)
    layer = model.network.blocks[-1].norm1  # type: ignore[union-attr, index]
    theirs = captum.attr.LayerGradCam(MarginModel(model), layer).attribute(x.clone().requires_grad_(True))
    assert theirs.shape == (2, 1, 48), "one value for each channel, not for each place"
    assert maps_of("gradcam", model, x).shape == (2, 8, 8)


def test_hirescam_of_a_pooled_network_adds_up_to_its_margin() -> None:
    model, x = SmallNet().eval(), images(3)
    bias = model.head.bias[1] - model.head.bias[0]
    maps = maps_of("hirescam", model, x, layer="features")
    assert torch.allclose(maps.sum((1, 2)), MarginModel(model)(x) - bias, atol=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_maps_of_timm_networks_change_where_the_object_is(architecture: str) -> None:
    """Objects off the diagonal, so that a map on its side would show."""
    x = torch.full((3, 1, 64, 64), 0.3)
    x[1, 0, 8:24, 40:56] = x[2, 0, 40:56, 8:24] = torch.rand(16, 16, generator=torch.Generator().manual_seed(5))
    margin_model = MarginModel(small(architecture))
    for name in CAMS:
        maps = registry.make("explainers", name, {})(margin_model, x)
        assert maps.shape == (3, 8, 8) and not maps.requires_grad
        assert margin_model.notes == {"layer": f"network.{LAYERS[architecture]}"}
        quadrants = nn.functional.avg_pool2d((maps[1:] - maps[:1]).abs()[:, None], 4).flatten(1)
        assert quadrants.argmax(1).tolist() == [1, 2], name  # upper right, lower left


@pytest.mark.parametrize("name", CAMS)
def test_tokens_are_read_at_the_bright_patch(name: str) -> None:
    for row, column in ((0, 2), (3, 1)):
        found = maps_of(name, Tokens(), one_bright_patch(row, column))
        assert found.shape == (1, 4, 4) and divmod(int(found.argmax()), 4) == (row, column)


@pytest.mark.parametrize(
    "shape, declares, wanted",
    [
        ((2, 3, 4, 4), {}, (2, 3, 4, 4)),
        ((2, 4, 4, 3), {}, (2, 3, 4, 4)),
        ((2, 4, 4, 4), {}, (2, 4, 4, 4)),
        ((2, 4, 4, 4), {"output_fmt": "NHWC"}, (2, 4, 4, 4)),
        ((2, 17, 3), {"num_prefix_tokens": 1}, (2, 3, 4, 4)),
        ((2, 16, 3), {"num_prefix_tokens": 0}, (2, 3, 4, 4)),
        ((2, 17, 3), {"cls_token": torch.zeros(1, 1, 3)}, (2, 3, 4, 4)),
        ((2, 16, 3), {"cls_token": torch.zeros(1, 1, 3)}, (2, 3, 4, 4)),
        ((2, 17, 3), {"class_token": torch.zeros(1, 1, 3)}, (2, 3, 4, 4)),
        ((2, 18, 3), {"class_token": torch.zeros(1, 1, 3)}, "18 tokens with 1 before the patches form no square"),
        ((2, 16, 3), {}, "declares no num_prefix_tokens"),
        ((2, 16, 3), {"num_prefix_tokens": 1}, "16 tokens with 1 before the patches form no square"),
        ((2, 3, 4, 5), {}, "no square grid"),
        ((2, 16), {}, "no square grid"),
    ],
)
def test_one_adapter_for_every_layout(shape: tuple[int, ...], declares: dict[str, Any], wanted: Any) -> None:
    network = nn.Sequential(nn.Identity())
    for name, value in declares.items():
        setattr(network[0], name, value)
    features = torch.arange(torch.Size(shape).numel()).float().view(shape)
    if isinstance(wanted, str):
        with pytest.raises(Unsupported, match=wanted):
            to_grid(features, network)
        return
    grid = to_grid(features, network)
    assert tuple(grid.shape) == wanted
    if len(shape) == 3:  # row by row
        assert torch.equal(grid[0, :, 1, 2], features[0, shape[1] - 16 + 6])
    elif shape[1] == shape[2] and (shape[3] == 3 or declares):
        assert torch.equal(grid[0, :, 1, 2], features[0, 1, 2])
    else:
        assert torch.equal(grid, features)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pair, self.idle = nn.Conv2d(1, 1, 3, padding=1), nn.Identity(), nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.pair((x, x))
        return self.conv(self.conv(x)).mean((2, 3)) * torch.tensor([[-1.0, 1.0]])


@pytest.mark.parametrize(
    "layer, says",
    [
        ("conv", "layer conv: it runs 2 times"),
        ("idle", "layer idle: it runs 0 times"),
        ("pair", "layer pair: it returns a tuple"),
    ],
)
def test_a_named_layer_that_cannot_be_read_is_unsupported(layer: str, says: str) -> None:
    with pytest.raises(Unsupported, match=says):
        maps_of("gradcam", Twice(), images(1), layer=layer)


@pytest.mark.parametrize(
    "layer, meant",
    [("layer4", "network.layer4"), ("1.conv1", "network.layer1.1.conv1"), ("model.layer4", "network.layer4")],
)
def test_a_layer_that_is_not_there_is_answered_with_the_nearest(layer: str, meant: str) -> None:
    parts = {f"layer{i}": nn.Sequential(nn.Identity(), nn.ModuleDict({"conv1": nn.Identity()})) for i in range(1, 5)}
    network = nn.ModuleDict({"network": nn.ModuleDict(parts)})
    with pytest.raises(InputError, match=f"no layer '{layer}'. Did you mean '{meant}'"):
        find_layer(network, images(1), layer)


@pytest.mark.parametrize("name", [*CAMS, "guided_gradcam"])
def test_without_a_grid_it_is_unsupported(name: str) -> None:
    with pytest.raises(Unsupported, match=r"no layer of the network has a 2-D grid|no ReLU"):
        maps_of(name, Linear(torch.ones(1, 16, 16)), images(1))


def test_networks_of_tokens_that_declare_nothing_are_unsupported() -> None:
    model = registry.make("models", "timm", {"architecture": "levit_128s"}).eval()
    with pytest.raises(Unsupported, match="tokens"):
        find_layer(model, torch.rand(1, 1, 224, 224))


@pytest.mark.parametrize("pool, layer", [("avg", "norm"), ("token", "blocks.2.norm1"), ("map", "norm")])
def test_the_layer_is_one_whose_patches_the_answer_is_read_from(pool: str, layer: str) -> None:
    model = small("vit_tiny_patch16_224", global_pool=pool, class_token=pool == "token")
    assert find_layer(model, torch.rand(1, 1, 64, 64))[0] == f"network.{layer}"


@pytest.mark.parametrize("name", ["gradcam", "guided_gradcam", "randomised"])
def test_the_layer_is_noted(name: str) -> None:
    params = {"explainer": "gradcam"} if name == "randomised" else {}
    valid = torch.ones(2, 16, 16, dtype=torch.bool)
    explained = alignment.explain(registry.make("explainers", name, params), guard(SmallNet(), 16), images(2), valid)
    assert explained.notes["layer"] == "features"
    saliency = registry.make("explainers", "saliency", {})
    assert alignment.explain(saliency, guard(SmallNet(), 16), images(2), valid).notes == {}
