"""Finds the layer that class-activation methods read."""

from __future__ import annotations

import torch
from fracbench.contracts import InputError, Unsupported
from fracbench.tensors import Images
from torch import nn


def find_layer(network: nn.Module, images: Images, name: str | None = None, min_grid: int = 7) -> tuple[str, nn.Module]:
    """The named module, or the last one whose output is a (batch, channels, height, width) grid.

    Grids under ``min_grid`` cells a side are passed over unless the network has none that fine. Raises
    ``Unsupported`` where the features are tokens rather than a grid, or no grid is left above 2 x 2;
    ``InputError`` for a name the network does not have.
    """
    modules = dict(network.named_modules())
    if name is not None:
        if name not in modules:
            raise InputError(f"the network has no layer '{name}'; layers are e.g. {', '.join(list(modules)[1:6])}")
        return name, modules[name]
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
    grids = [i for i, (_, shape) in enumerate(seen) if len(shape) == 4 and min(shape[2:]) >= 2]
    if not grids:
        raise Unsupported("no layer of the network has a 2-D grid of features")
    if any(len(shape) == 3 for _, shape in seen[grids[-1] :]):
        raise Unsupported("the network turns its features into tokens; no 2-D grid is left to weight")
    fine = [i for i in grids if min(seen[i][1][2:]) >= min_grid]
    key, shape = seen[(fine or grids)[-1]]
    if shape[1] < 2 or shape[2] != shape[3]:
        raise Unsupported(f"layer {key} returns {shape}, not a square (channels, height, width) grid")
    return key, modules[key]
