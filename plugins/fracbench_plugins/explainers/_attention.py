"""Reads the attention weights of a transformer, with the gradients of the fracture margin there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from fracbench.contracts import MarginModel, Unsupported
from fracbench.tensors import Attributions, Images
from torch import Tensor, nn

from fracbench_plugins.explainers._layout import declared, patches_a_side


@dataclass(frozen=True)
class Attention:
    """``weights`` and ``gradients`` of each layer, (batch, heads, tokens, tokens), from the image to the answer.

    ``readout`` (batch, 1, tokens) is how the answer is read from the tokens: the class token, or the mean of all.
    """

    weights: Sequence[Tensor]
    gradients: Sequence[Tensor]
    readout: Tensor
    prefix: int

    @property
    def identity(self) -> Tensor:
        """(tokens, tokens): every token keeps what it has."""
        return torch.eye(self.readout.shape[-1], device=self.readout.device)

    def map_of(self, relevance: Tensor) -> Attributions:
        """What the answer owes each patch, for relevance (batch, tokens, tokens) of tokens for tokens."""
        patches = (self.readout @ relevance)[:, 0, self.prefix :]
        side = patches_a_side(relevance.shape[-1], self.prefix)
        return patches.unflatten(1, (side, side))


def read_attention(margin_model: MarginModel, images: Images) -> Attention:
    """In one pass, from modules made as timm makes them: their weights go through ``attn_drop``.

    ``Unsupported`` for a network without, and where its layers do not all relate the same tokens of the whole image.
    """
    layers: list[Any] = [
        module for module in margin_model.network.modules() if isinstance(getattr(module, "attn_drop", None), nn.Module)
    ]
    if not layers:
        raise Unsupported("the network has no attention whose weights can be read")
    weights: list[Tensor] = []
    outputs: list[Tensor] = []
    with ExitStack() as hooks, _written_out(layers):
        for layer in layers:
            for module, kept in ((layer.attn_drop, weights), (layer, outputs)):
                hook = module.register_forward_hook(lambda _module, _given, out, kept=kept: kept.append(out))
                hooks.callback(hook.remove)
        margins = margin_model(images.detach().requires_grad_(True))
    tokens = weights[-1].shape[-1] if weights else 0
    if {(len(of), of.shape[-2:]) for of in weights} != {(len(images), (tokens, tokens))}:
        raise Unsupported(
            "its attention works in windows or stages, not on the same tokens of the whole image all along"
        )
    prefix = declared(margin_model.network, "num_prefix_tokens")
    if prefix is None:
        raise Unsupported("the network declares no num_prefix_tokens to tell which tokens are patches")
    patches_a_side(tokens, prefix)
    *gradients, last = torch.autograd.grad(margins.sum(), [*weights, outputs[-1]])
    margin_model.note(layer=f"attention of {len(layers)} layers")
    # only tokens that the answer is read from have a gradient after the last attention
    readers = last.abs().sum(2, keepdim=True).movedim(2, 1).gt(0).float()
    readout = readers / readers.sum(2, keepdim=True).clamp_min(1)
    return Attention([of.detach() for of in weights], gradients, readout, prefix)


@contextmanager
def _written_out(layers: Sequence[Any]) -> Iterator[None]:
    """Inside, attention is computed step by step: fused, its weights are never there."""
    fused = [layer for layer in layers if getattr(layer, "fused_attn", False)]
    for layer in fused:
        layer.fused_attn = False
    try:
        yield
    finally:
        for layer in fused:
            layer.fused_attn = True
