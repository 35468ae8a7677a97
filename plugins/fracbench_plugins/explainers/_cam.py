"""What class-activation methods share: one layer's activations, with the gradients of the fracture margin there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from fracbench.contracts import MarginModel, Unsupported
from fracbench.tensors import Attributions, Images
from torch import Tensor, nn

from fracbench_plugins.explainers._layers import find_layer
from fracbench_plugins.explainers._layout import to_grid


@dataclass(frozen=True)
class ClassActivation(ABC):
    """A method that weighs the activations of one layer; ``layer`` and ``min_grid`` choose it."""

    layer: str | None = None
    min_grid: int = 7

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 1, 1  # the layer is looked for on one image of each call, outside the count

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        return self.weighed(*activations_and_gradients(margin_model, images, self.layer, self.min_grid))

    @abstractmethod
    def weighed(self, activations: Tensor, gradients: Tensor) -> Attributions:
        """The map (batch, h, w), from both (batch, channels, h, w)."""


def activations_and_gradients(
    margin_model: MarginModel, images: Images, layer: str | None, min_grid: int
) -> tuple[Tensor, Tensor]:
    """Both (batch, channels, height, width), in one pass for all methods that read a layer; the layer is noted."""
    network = margin_model.network
    name, module = margin_model.shared(("layer", layer, min_grid), lambda: find_layer(network, images, layer, min_grid))
    margin_model.note(layer=name)
    try:
        activations, gradients = margin_model.shared(("at", name), lambda: _read(margin_model, module, images))
        return to_grid(activations, network).detach(), to_grid(gradients, network)
    except Unsupported as reason:
        raise Unsupported(f"layer {name}: {reason}") from reason


def _read(margin_model: MarginModel, module: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    outputs: list[Any] = []

    def keep(_module: nn.Module, _given: object, out: object) -> Tensor | None:
        outputs.append(out)
        return out.clone() if isinstance(out, Tensor) else None  # what follows may write in place

    hook = module.register_forward_hook(keep)
    try:
        margins = margin_model(images.detach().requires_grad_(True))
    finally:
        hook.remove()
    if len(outputs) != 1:
        raise Unsupported(f"it runs {len(outputs)} times in one pass, not once")
    (out,) = outputs
    if not isinstance(out, Tensor):
        raise Unsupported(f"it returns a {type(out).__name__}, not a tensor")
    gradient = None
    if out.requires_grad and margins.requires_grad:
        (gradient,) = torch.autograd.grad(margins.sum(), out, allow_unused=True)
    if gradient is None:
        raise Unsupported("no gradient of the fracture margin reaches it")
    return out.detach(), gradient  # without the network's graph, which would stay as long as these are shared
