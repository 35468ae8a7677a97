"""Gradient-weighted attention rollout (Chefer et al. 2021, arXiv 2103.15679)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images

from fracbench_plugins.explainers._attention import read_attention


@dataclass(frozen=True)
class GradientAttention:
    """Attention rolled out with each weight times its gradient where that is positive; native grid: the patches.

    The rule for self-attention: a layer adds the mean over its heads, and tokens begin as themselves. That beginning is
    taken off again at the end, as it is the same for every patch.
    """

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        attention = read_attention(margin_model, images)
        relevance = attention.identity.expand(len(images), -1, -1)
        for weights, gradients in zip(attention.weights, attention.gradients, strict=True):
            relevance = relevance + torch.relu(weights * gradients).mean(1) @ relevance
        return attention.map_of(relevance - attention.identity)
