"""Any classification architecture of torchvision with two logits, its normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from fracbench import libraries
from fracbench.contracts import InputError
from torch import nn
from torchvision import models

from fracbench_plugins.models._from_library import FromLibrary, cannot_build, checked_options

# heads that these two train beside their own, and do without when they answer
_ALWAYS = {"googlenet": {"aux_logits": False}, "inception_v3": {"aux_logits": False}}


class TorchvisionModel(FromLibrary):
    """Images (batch, 1, H, W) in [0, 1] to logits (batch, 2).

    ``architecture`` is a torchvision name, ``options`` go to ``torchvision.models.get_model``. With ``channels=3`` the
    image is repeated; with 1 the first convolution takes one channel, its weights those of the three added up. ``mean``
    and ``std`` normalise each channel; ``image_size`` resizes inside, differentiably: a vision transformer and MaxViT
    take 224 pixels unless their options say otherwise. ``logits=1`` builds a one-logit head and returns (-z/2, z/2).
    No weights are downloaded.
    """

    def __init__(
        self,
        architecture: str,
        channels: int = 1,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.25,
        logits: int = 2,
        image_size: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(channels, mean, std, logits, image_size)
        libraries.check("torchvision", architecture)  # classification alone
        if logits == 1 and architecture.startswith("squeezenet"):
            raise InputError(f"{architecture} ends in a ReLU: its one logit would never be negative; use logits: 2")
        given = checked_options(options)
        always = _ALWAYS.get(architecture, {})
        try:
            self.network = models.get_model(architecture, weights=None, num_classes=logits, **always, **given)
        except Exception as error:
            raise cannot_build("torchvision", architecture, given, error) from error
        if channels == 1:
            _take_one_channel(self.network)


def _take_one_channel(network: nn.Module) -> None:
    """Put a convolution of one channel in the place of the first: it answers as the first does to three equal ones."""
    name, first = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    other = nn.Conv2d(
        1,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    with torch.no_grad():
        other.weight.copy_(first.weight.sum(1, keepdim=True))
        if first.bias is not None and other.bias is not None:
            other.bias.copy_(first.bias)
    network.set_submodule(name, other)
