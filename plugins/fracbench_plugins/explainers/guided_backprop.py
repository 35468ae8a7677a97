"""Guided backpropagation (Springenberg et al. 2015, arXiv 1412.6806)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from fracbench.contracts import MarginModel, Unsupported
from fracbench.tensors import Attributions, Images, Margins
from torch import Tensor
from torch.autograd.graph import Node

RELU = "ReluBackward0"
# what other activations are called in a graph; ReLU6 is a Hardtanh
OTHERS = ("Gelu", "Silu", "Hardswish", "Mish", "Elu", "Celu", "LeakyRelu", "Prelu", "Softplus", "Hardtanh")


@dataclass(frozen=True)
class GuidedBackprop:
    """Gradient without what is negative at a ReLU, on its way back; native grid: the image.

    ReLUs are taken from the graph of the pass, so that functional and reused ones are guided, too; captum
    guides modules only. Valid only where ReLU is the activation: without it there is nothing to guide.
    """

    sign: ClassVar[Literal["absolute"]] = "absolute"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        given = images.detach().requires_grad_(True)
        margins = margin_model(given)
        nodes = list(_graph(margins))
        relus = [node for node in nodes if node.name() == RELU]
        others = {name for node in nodes for name in OTHERS if node.name().startswith(name)}
        if others:
            raise Unsupported(f"guided backprop is made for ReLU alone; the network has {' and '.join(sorted(others))}")
        if not relus:
            raise Unsupported("the network has no ReLU, so guided backprop would be its gradient under another name")
        for node in relus:
            node.register_hook(_guide)
        return torch.autograd.grad(margins.sum(), given)[0][:, 0]


def _guide(passed_on: tuple[Tensor, ...], _received: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(gradient.clamp_min(0) for gradient in passed_on)


def _graph(margins: Margins) -> Iterator[Node]:
    """Every step of the pass, from the margins back to the image and the weights."""
    seen: set[Node] = set()
    todo = [margins.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            todo += [before for before, _ in node.next_functions]
