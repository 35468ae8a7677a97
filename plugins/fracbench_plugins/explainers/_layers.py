"""Finds the layer that class-activation methods read."""

from __future__ import annotations

from collections import Counter

import torch
from fracbench.contracts import InputError, Unsupported
from fracbench.tensors import Images
from torch import nn


def find_layer(network: nn.Module, images: Images, name: str | None = None, min_grid: int = 7) -> tuple[str, nn.Module]:
    """The named module, or the last one that all of the network goes through on a grid of features.

    Its output is (batch, channels, height, width) with at least ``min_grid`` cells a side; where the network
    has none that fine, the last one with at least 2 x 2 is taken. It runs once, and no branch goes around
    it. Raises ``Unsupported`` where the features are tokens or there is no such layer; ``InputError`` for a
    name the network does not have.
    """
    modules = dict(network.named_modules())
    if name is not None:
        if name not in modules:
            raise InputError(f"the network has no layer '{name}'; layers are e.g. {', '.join(list(modules)[1:6])}")
        return name, modules[name]
    seen = _outputs(network, modules, images)
    grids = [i for i, (_, shape) in enumerate(seen) if len(shape) == 4 and shape[1] >= 2 and min(shape[2:]) >= 2]
    if not grids:
        raise Unsupported("no layer of the network has a 2-D grid of features")
    if any(len(shape) == 3 for _, shape in seen[grids[-1] :]):
        raise Unsupported("the network turns its features into tokens; no 2-D grid is left to weight")
    key, shape = seen[grids[-1]]
    if shape[2] != shape[3]:  # (batch, height, width, channels), or a stripe
        raise Unsupported(f"layer {key} returns {shape}, not a square (channels, height, width) grid")
    calls = Counter(key for key, _ in seen)
    fine = [i for i in grids if min(seen[i][1][2:]) >= min_grid]
    for i in reversed(fine or grids):
        key, shape = seen[i]
        if calls[key] == 1 and _is_passed_by_all(network, modules[key], images):
            return key, modules[key]
    raise Unsupported("every layer with a 2-D grid runs more than once or has a branch around it")


def _outputs(network: nn.Module, modules: dict[str, nn.Module], images: Images) -> list[tuple[str, tuple[int, ...]]]:
    """Names and output shapes of all submodules, in the order in which they finish."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _given, out, key=key: (
                seen.append((key, tuple(out.shape))) if isinstance(out, torch.Tensor) else None
            )
        )
        for key, module in modules.items()
        if key
    ]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _is_passed_by_all(network: nn.Module, module: nn.Module, images: Images) -> bool:
    """Whether the answer loses its gradient when this module's output is cut off from the image."""
    hook = module.register_forward_hook(lambda _module, _given, out: out.detach())
    try:
        with torch.enable_grad():
            given = images.detach().clone().requires_grad_(True)
            answer = network(given)[:, -1].sum()
            if not answer.requires_grad:
                return True
            (gradient,) = torch.autograd.grad(answer, given, allow_unused=True)
    finally:
        hook.remove()
    return gradient is None or not bool(gradient.any())
