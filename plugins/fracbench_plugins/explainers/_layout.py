"""Brings what a layer returns to (batch, channels, height, width), for every class-activation method."""

from __future__ import annotations

import math
from typing import Any

from fracbench.contracts import Unsupported
from torch import Tensor, nn

CLASS_TOKENS = ("cls_token", "class_token")  # timm's name of the parameter, and torchvision's


def declared(network: nn.Module, name: str) -> Any:
    """An attribute of the network, or of the outermost module inside that has it; None without one."""
    return next((getattr(module, name) for module in network.modules() if hasattr(module, name)), None)


def to_grid(features: object, network: nn.Module) -> Tensor:
    """Features of ``network`` as (batch, channels, height, width).

    Taken are channels first, as in CNNs; channels last, as in timm's Swin; and tokens of a network that declares
    its ``num_prefix_tokens``, as timm's ViT does, or has one class token, as torchvision's ViT and XCiT have.
    ``Unsupported`` for anything else: axes summed by guess give a map of the right shape that means nothing.
    """
    if not isinstance(features, Tensor):
        raise Unsupported(f"it returns a {type(features).__name__}, not a tensor")
    shape = tuple(features.shape)
    if len(shape) == 3:
        return _patches(features, network)
    if len(shape) == 4 and shape[2] == shape[3] and not _channels_last(shape, network):
        return features
    if len(shape) == 4 and shape[1] == shape[2]:
        return features.movedim(-1, 1)
    raise Unsupported(f"it returns {shape}, which is no square grid of features")


def _channels_last(shape: tuple[int, ...], network: nn.Module) -> bool:
    """Where there are as many channels as cells a side, the shape does not tell; timm's ``output_fmt`` does."""
    return shape[1] == shape[2] and declared(network, "output_fmt") == "NHWC"


def _patches(tokens: Tensor, network: nn.Module) -> Tensor:
    prefix = declared(network, "num_prefix_tokens")
    if prefix is None and any(declared(network, name) is not None for name in CLASS_TOKENS):
        # it may join the patches late; two squares are never one apart, so the count tells whether it has
        prefix = 1 - int(math.isqrt(tokens.shape[1]) ** 2 == tokens.shape[1])
    if prefix is None:
        raise Unsupported("it returns tokens, and the network declares no num_prefix_tokens to tell which are patches")
    side = patches_a_side(tokens.shape[1], prefix)
    return tokens[:, prefix:].movedim(1, 2).unflatten(2, (side, side))


def patches_a_side(tokens: int, prefix: int) -> int:
    """Side of the square that the tokens after the prefix form."""
    side = math.isqrt(max(0, tokens - prefix))
    if side == 0 or side**2 != tokens - prefix:
        raise Unsupported(f"{tokens} tokens with {prefix} before the patches form no square grid")
    return side
