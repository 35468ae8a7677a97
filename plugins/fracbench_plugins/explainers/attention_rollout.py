"""Attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._attention import read_attention


@dataclass(frozen=True)
class AttentionRollout:
    """Attention from the answer's tokens down to the patches, through all layers; native grid: the patches.

    Heads are averaged, and half of every layer is the token itself, for the residual connection. It asks where the
    network looks, not what speaks for a fracture: a normal image has a map like any other.
    """

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        attention = read_attention(margin_model, images)
        rolled = attention.identity
        for weights in attention.weights:
            rolled = (weights.mean(1) + attention.identity) / 2 @ rolled
        return attention.map_of(rolled)
