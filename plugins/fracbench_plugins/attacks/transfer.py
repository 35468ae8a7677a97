"""Transfer attack: adversarial images of other networks (Liu et al. 2017, arXiv 1611.02770; Dong et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from fracbench import sources
from fracbench.contracts import Model
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Logits
from torch import nn

from fracbench_plugins.attacks.mifgsm import MIFGSM


class _Fused(nn.Module):
    """The mean logits of several networks."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Images) -> Logits:
        return torch.stack([network(images) for network in self.networks]).mean(0)


@dataclass(frozen=True)
class Transfer:
    """MI-FGSM on the mean logits of ``sources``, shipped starters by name and the SHA-256 of their weights.

    The attacked model is not asked at all, so it counts as a black box, also where that model is itself a source.
    """

    sources: Mapping[str, str]
    steps: int = 20
    decay: float = 1.0

    black_box: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.sources, Mapping) or not self.sources:
            raise ValueError("sources must name starters and the sha256 of their weights")
        for name, sha256 in self.sources.items():
            sources.check(name, sha256)
        _ = self._attack

    @property
    def _attack(self) -> MIFGSM:
        return MIFGSM(steps=self.steps, decay=self.decay)

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        given = images.shape[-1], str(images.device)
        fused = _Fused([sources.network(name, sha256, *given) for name, sha256 in self.sources.items()])
        fused.eval().requires_grad_(False)
        return self._attack(fused, images, labels, threat, generator=generator)
