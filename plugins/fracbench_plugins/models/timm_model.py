"""Any timm architecture with two logits, its normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from fracbench import libraries
from fracbench.contracts import InputError
from fracbench.tensors import Images, Logits
from torch import Tensor

from fracbench_plugins.models._from_library import FromLibrary, cannot_build, checked_options


class TimmModel(FromLibrary):
    """Images (batch, 1, H, W) in [0, 1] to logits (batch, 2).

    ``architecture`` is a timm name, ``options`` go to ``timm.create_model``. With ``channels=3`` the image
    is repeated; ``mean`` and ``std`` normalise each channel; ``image_size`` resizes inside, differentiably.
    ``logits=1`` builds a one-logit head and returns (-z/2, z/2). No weights are downloaded.
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
        libraries.check("timm", architecture)
        given = checked_options(options)
        try:
            self.network = timm.create_model(
                architecture, pretrained=False, num_classes=logits, in_chans=channels, **given
            )
        except Exception as error:
            raise cannot_build("timm", architecture, given, error) from error

    def evidence(self, images: Images) -> tuple[Logits, Tensor]:
        """Logits, and the fracture margin (batch, h, w) at each place of the last feature map, before pooling."""
        features = self.network.forward_features(self.prepared(images))
        head = self.network.get_classifier()
        if features.ndim != 4 or features.shape[1] != getattr(head, "in_features", None):
            raise InputError("this architecture has no feature map that its last linear layer could read")
        local = self.two(head(features.movedim(1, -1)).flatten(0, 2))
        margins = (local[:, 1] - local[:, 0]).unflatten(0, (len(features), *features.shape[2:]))
        return self.two(self.network.forward_head(features)), margins
