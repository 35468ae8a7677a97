"""Any timm architecture with two logits, its normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from fracbench.contracts import InputError
from fracbench.errors import did_you_mean
from fracbench.tensors import Images, Logits
from torch import Tensor, nn
from torch.nn import functional

# timm opens or downloads what such options name, pickles included
_READS_FILES = ("pretrained", "checkpoint", "path", "file", "url", "cache", "dir", "script", "features_only")


class TimmModel(nn.Module):
    """Images (batch, 1, H, W) in [0, 1] to logits (batch, 2).

    ``architecture`` is a timm name, ``options`` go to ``timm.create_model``. With ``channels=3`` the image
    is repeated; ``mean`` and ``std`` normalise each channel; ``image_size`` resizes inside, differentiably.
    ``logits=1`` builds a one-logit head and returns (-z/2, z/2). No weights are downloaded.
    """

    mean: Tensor
    std: Tensor

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
        super().__init__()
        if architecture not in timm.list_models():
            raise InputError(
                f"timm has no architecture '{architecture}'.{did_you_mean(architecture, timm.list_models())}"
            )
        if channels not in (1, 3):
            raise InputError(f"channels must be 1 or 3, got {channels}")
        if logits not in (1, 2):
            raise InputError(f"logits must be 1 or 2, got {logits}")
        forbidden = [key for key in options or {} if any(word in key for word in _READS_FILES)]
        if forbidden:
            raise InputError(f"option '{forbidden[0]}' is not allowed; give weights under weights alone")
        # YAML has lists where timm wants tuples
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in (options or {}).items()}
        try:
            self.network = timm.create_model(
                architecture, pretrained=False, num_classes=logits, in_chans=channels, **given
            )
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"timm cannot build {architecture} with options {given}: {reason}") from error
        self.channels = channels
        self.logits = logits
        self.image_size = image_size
        for name, value in (("mean", mean), ("std", std)):
            values = torch.tensor(value if isinstance(value, list) else [value], dtype=torch.float32)
            if len(values) not in (1, channels):
                wanted = "1 value, or write channels: 3" if channels == 1 else "1 or 3 values"
                raise InputError(f"{name} must have {wanted}; got {len(values)}")
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)

    def _prepared(self, images: Images) -> Tensor:
        if self.image_size is not None and images.shape[-1] != self.image_size:
            images = functional.interpolate(
                images, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False, antialias=True
            )
        return (images.expand(-1, self.channels, -1, -1) - self.mean) / self.std

    def _two(self, logits: Tensor) -> Tensor:
        return logits if self.logits == 2 else torch.cat([-logits / 2, logits / 2], dim=1)

    def forward(self, images: Images) -> Logits:
        return self._two(self.network(self._prepared(images)))

    def evidence(self, images: Images) -> tuple[Logits, Tensor]:
        """Logits, and the fracture margin (batch, h, w) at each place of the last feature map, before pooling."""
        features = self.network.forward_features(self._prepared(images))
        head = self.network.get_classifier()
        if features.ndim != 4 or features.shape[1] != getattr(head, "in_features", None):
            raise InputError("this architecture has no feature map that its last linear layer could read")
        local = self._two(head(features.movedim(1, -1)).flatten(0, 2))
        margins = (local[:, 1] - local[:, 0]).unflatten(0, (len(features), *features.shape[2:]))
        return self._two(self.network.forward_head(features)), margins
