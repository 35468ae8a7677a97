"""What models from libraries share: grey images in [0, 1] to the input of a network, its output to two logits.

State dicts hold ``network.*`` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from fracbench.contracts import InputError
from fracbench.tensors import Images, Logits
from torch import Tensor, nn
from torch.nn import functional

SIDES = (8, 1024)  # pixels that image_size may be
# libraries open or download what such options name, pickles included
_READS_FILES = {"pretrained", "checkpoint", "path", "file", "url", "cache", "dir", "script", "features", "weights"}
_READS_NONE = {"drop_path_rate", "init_weights"}


class FromLibrary(nn.Module):
    """Images (batch, 1, H, W) in [0, 1] to logits (batch, 2), through ``network``, which the subclass sets.

    The network sees ``channels`` copies of the image, resized to ``image_size`` (differentiably), less ``mean`` over
    ``std``. Its one or two logits (``logits``) are returned as two: one logit z as (-z/2, z/2). Values that make no
    sense raise ``InputError``.
    """

    network: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int, mean: float | list[float], std: float | list[float], logits: int, image_size: int | None
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise InputError(f"channels must be 1 or 3, got {channels}")
        if logits not in (1, 2):
            raise InputError(f"logits must be 1 or 2, got {logits}")
        if image_size is not None and not SIDES[0] <= image_size <= SIDES[1]:
            raise InputError(f"image_size must be {SIDES[0]} to {SIDES[1]} pixels, got {image_size}")
        self.channels = channels
        self.logits = logits
        self.image_size = image_size
        for name, value in (("mean", mean), ("std", std)):
            values = value if isinstance(value, list) else [value]
            if len(values) not in (1, channels):
                wanted = "1 value, or write channels: 3" if channels == 1 else "1 or 3 values"
                raise InputError(f"{name} must have {wanted}; got {len(values)}")
            if not all(math.isfinite(of) and (name == "mean" or of > 0) for of in values):
                raise InputError(f"{name} must be finite{' and above 0' if name == 'std' else ''}; got {value}")
            if name == "mean" and max(map(abs, values)) > 1:
                raise InputError(f"mean is {value}, and pixels are in [0, 1]; divide mean and std for [0, 255] by 255")
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def prepared(self, images: Images) -> Tensor:
        """What the network sees, (batch, channels, side, side)."""
        if self.image_size is not None and images.shape[-1] != self.image_size:
            images = functional.interpolate(
                images, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False, antialias=True
            )
        return (images.expand(-1, self.channels, -1, -1) - self.mean) / self.std

    def two(self, logits: Tensor) -> Tensor:
        """The network's logits (batch, 1 or 2) as (batch, 2)."""
        return logits if self.logits == 2 else torch.cat([-logits / 2, logits / 2], dim=1)

    def forward(self, images: Images) -> Logits:
        return self.two(self.network(self.prepared(images)))


def checked_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of YAML for a library's builder, lists as its tuples; ``InputError`` for one that reads files."""
    given = options or {}
    for key in given:
        if key not in _READS_NONE and _READS_FILES & set(key.split("_")):
            raise InputError(f"option '{key}' is not allowed; give weights under weights alone")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def cannot_build(library: str, architecture: str, options: Mapping[str, Any], error: Exception) -> InputError:
    """One line for what a library's builder raised."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(f"{library} cannot build {architecture} with options {dict(options)}: {reason}")
