"""Randomised baseline: an explainer on the network without what it learned (Adebayo et al. 2018, arXiv 1810.03292)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from fracbench import sources
from fracbench.contracts import Explainer, MarginModel, Unsupported
from fracbench.tensors import Attributions, Images
from torch import nn


@dataclass(frozen=True)
class Randomised:
    """Maps of another ``explainer``, with its default parameters, on a copy of the network with random weights.

    What still scores here was never learned. ``depth`` is the share of the layers with parameters that are drawn anew,
    from the output backwards; 1 is all. Layers start as when they were built, from ``seed``; parameters without such a
    start are drawn from a normal distribution with their own mean and standard deviation. Sign, native grid and passes
    are the other explainer's, though its passes go through the copy.
    """

    explainer: str = "saliency"
    depth: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.depth <= 1:
            raise ValueError("depth must be above 0 and at most 1")
        if self.explainer == "randomised":
            raise ValueError("explainer must be another one than randomised")
        _ = self._inner

    @cached_property
    def _inner(self) -> Explainer:
        return sources.explainer(self.explainer)

    @property
    def sign(self) -> Literal["positive", "absolute"]:
        return self._inner.sign

    @property
    def passes(self) -> tuple[int, int]:
        return self._inner.passes

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        network = copy.deepcopy(margin_model.network)
        order = _layers_in_order(network, images[:1])
        if not order:
            raise Unsupported("the network has no weights to randomise")
        drawn = order[-math.ceil(self.depth * len(order)) :]
        _draw(network, drawn, self.seed)
        randomised = MarginModel(network, together=margin_model.together)
        attributions = self._inner(randomised, images)
        margin_model.note(**randomised.notes, randomised=f"{len(drawn)} of {len(order)} layers")
        return attributions


def _layers_in_order(network: nn.Module, image: Images) -> list[nn.Module]:
    """The modules that have parameters of their own, in the order in which they start."""
    order: dict[nn.Module, None] = {}
    owners = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    hooks = [module.register_forward_pre_hook(lambda started, _given: order.setdefault(started)) for module in owners]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


def _draw(network: nn.Module, layers: list[nn.Module], seed: int) -> None:
    """On the CPU, so that every device has the same weights; the global stream of random numbers stays as it was."""
    device = next(network.parameters()).device
    network.cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        for layer in layers:
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
            else:
                for parameter in layer.parameters(recurse=False):
                    parameter.normal_(float(parameter.mean()), float(parameter.std(correction=0)))
    network.to(device)
