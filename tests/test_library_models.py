"""Models from libraries: what is built, that it keeps the contract and can be explained, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fracbench import registry, testing
from fracbench.contracts import InputError, MarginModel
from torch import nn
from torchvision import models

SMALL_RESNET = {"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1]}
FAMILIES = {  # one of each family of torchvision, and the layer that class-activation methods read at 224 pixels
    "alexnet": "features.11",
    "convnext_tiny": "features",
    "densenet121": "features",
    "efficientnet_b0": "features",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_6e",
    "maxvit_t": "blocks.3",
    "mnasnet0_5": "layers",
    "mobilenet_v2": "features",
    "mobilenet_v3_small": "features",
    "regnet_x_400mf": "trunk_output",
    "resnet18": "layer4",
    "shufflenet_v2_x0_5": "conv5",
    "squeezenet1_1": "classifier.2",
    "swin_t": "permute",
    "swin_v2_t": "permute",
    "vgg11": "avgpool",
    "vit_b_32": "encoder.layers.encoder_layer_11.ln_1",
}
LARGE = ("inception_v3", "maxvit_t", "swin_v2_t", "vgg11")  # seconds each


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def torchvision(architecture: str, **params: Any) -> nn.Module:
    return registry.make("models", "torchvision", {"architecture": architecture, **params}).eval()


@pytest.mark.parametrize("logits", [1, 2])
@pytest.mark.parametrize("name, options", [("timm", SMALL_RESNET), ("torchvision", {"width_per_group": 64})])
def test_models_conform(name: str, options: dict[str, Any], logits: int) -> None:
    params = {"architecture": "resnet18", "logits": logits, "channels": 3, "options": options}
    model = registry.make("models", name, params).eval()
    testing.check_model(model, 64)
    assert all(key.startswith("network.") for key in model.state_dict())


@pytest.mark.parametrize("architecture", [of for of in models.list_models(module=models) if "regnet" not in of])
def test_every_architecture_of_torchvision_has_two_logits_and_takes_one_channel(architecture: str) -> None:
    """Shapes alone, which cost no memory; regnets cannot be built that way, but one is below."""
    with torch.device("meta"):
        network = torchvision(architecture)
        assert network(torch.rand(2, 1, 224, 224)).shape == (2, 2)


@pytest.mark.parametrize(
    "architecture", [pytest.param(of, marks=pytest.mark.slow if of in LARGE else []) for of in FAMILIES]
)
def test_gradcam_finds_its_layer_in_every_family_of_torchvision(architecture: str) -> None:
    model = torchvision(architecture)
    if architecture.startswith("vit"):
        nn.init.normal_(model.network.heads.head.weight)  # torchvision starts it at zero
    margin_model = MarginModel(model)
    found = registry.make("explainers", "gradcam", {})(margin_model, torch.rand(1, 1, 224, 224))
    assert margin_model.notes == {"layer": f"network.{FAMILIES[architecture]}"}
    assert found.shape[1] >= 7 and found.isfinite().all() and found.abs().max() > 0


@pytest.mark.parametrize("architecture", ["resnet18", "squeezenet1_1"])  # without and with a bias
def test_one_channel_answers_as_three_equal_ones(architecture: str) -> None:
    torch.manual_seed(1)
    three = torchvision(architecture, channels=3)
    torch.manual_seed(1)
    one = torchvision(architecture)
    images = torch.rand(2, 1, 64, 64)
    assert len(dict(one.named_parameters())) == len(dict(three.named_parameters()))
    assert torch.allclose(one(images), three(images), atol=1e-5)


def test_torchvisions_own_weights_fit_under_network() -> None:
    theirs = models.resnet18(num_classes=2)
    ours = torchvision("resnet18", channels=3, mean=0.0, std=1.0)
    ours.load_state_dict({f"network.{key}": value for key, value in theirs.state_dict().items()}, strict=True)
    images = torch.rand(2, 1, 64, 64)
    assert torch.allclose(ours(images), theirs.eval()(images.expand(-1, 3, -1, -1)), atol=1e-6)


def test_each_channel_is_normalised_and_the_image_resized_inside() -> None:
    model = torchvision("resnet18", channels=3, mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 4.0], image_size=32)
    seen = model.prepared(torch.full((1, 1, 64, 64), 0.5))
    wanted = torch.tensor([0.4, 0.15, 0.05]).view(1, 3, 1, 1).expand(-1, -1, 32, 32)
    assert torch.allclose(seen, wanted, atol=1e-6)


BOTH = [
    ({"architecture": "resnet18", "channels": 2}, "channels must be 1 or 3"),
    ({"architecture": "resnet18", "logits": 5}, "logits must be 1 or 2"),
    ({"architecture": "resnet18", "options": {"nonsense": 1}}, "cannot build resnet18"),
    ({"architekture": "resnet18"}, "Did you mean 'architecture'"),
    ({"architecture": "resnet18", "options": ["a"]}, "options is "),
    ({"architecture": "resnet18", "options": {"num_classes": 7}}, "cannot build resnet18"),
    ({"architecture": "resnet18", "mean": 123.7, "std": 58.4}, "mean is 123.7, and pixels are in"),
    ({"architecture": "resnet18", "mean": [0.1, 0.2, 0.3]}, "mean must have 1 value, or write channels: 3; got 3"),
    ({"architecture": "resnet18", "mean": []}, "mean must have 1 value"),
    ({"architecture": "resnet18", "std": 0.0}, "std must be finite and above 0; got 0"),
    ({"architecture": "resnet18", "channels": 3, "std": [1.0, -1.0, 1.0]}, "std must be finite and above 0"),
    ({"architecture": "resnet18", "image_size": 0}, "image_size must be 8 to 1024 pixels, got 0"),
    ({"architecture": "resnet18", "image_size": -224}, "image_size must be 8 to 1024 pixels, got -224"),
    ({"architecture": "resnet18", "image_size": 10**9}, "image_size must be 8 to 1024 pixels, got 1000000000"),
    ({"architecture": "resnet18", "image_size": 22.5}, "image_size is 22.5; it should be a valid integer"),
    *(
        ({"architecture": "resnet18", "options": {key: "x"}}, f"option '{key}' is not allowed")
        for key in ("pretrained", "pretrained_cfg", "checkpoint_path", "cache_dir", "weights", "weights_backbone")
    ),
]


@pytest.mark.parametrize(
    "name, params, says",
    [
        ("timm", {"architecture": "resnet19"}, "Did you mean 'resnet1"),
        ("timm", {"architecture": "vit_tiny_patch16_224", "options": {"img_size": "big"}}, "cannot build"),
        ("torchvision", {"architecture": "resnet19"}, "Did you mean 'resnet1"),
        ("torchvision", {"architecture": "fcn_resnet50"}, "torchvision has no architecture 'fcn_resnet50'"),
        ("torchvision", {"architecture": "squeezenet1_0", "logits": 1}, "use logits: 2"),
        *((name, *fault) for name in ("timm", "torchvision") for fault in BOTH),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(name: str, params: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as refusal:
        registry.make("models", name, params)
    assert len(str(refusal.value).splitlines()) == 1


def test_options_that_only_sound_as_if_they_read_a_file_are_taken() -> None:
    registry.make("models", "timm", {"architecture": "resnet18", "options": SMALL_RESNET | {"drop_path_rate": 0.1}})
    torchvision("googlenet", options={"init_weights": False})
