"""Finds the layer that class-activation methods read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from fracbench.contracts import InputError, Unsupported
from fracbench.errors import did_you_mean
from fracbench.tensors import Images
from torch import Tensor, nn

from fracbench_plugins.explainers._layout import to_grid


def find_layer(network: nn.Module, images: Images, name: str | None = None, min_grid: int = 7) -> tuple[str, nn.Module]:
    """The named module, or the last one that all of the network goes through on a grid the margin is read from.

    The grid has at least ``min_grid`` cells a side; where the network has none that fine, the last one with at least
    2 x 2 is taken. The layer runs once, and no branch goes around it. Where a LayerNorm of the same tokens comes
    next, its output is read instead: what it reads has no size of its own, so that activation times gradient before
    it sums to zero over the channels. Of ``images`` only the size counts, so that all have the same layer. Raises
    ``Unsupported`` where there is no such layer; ``InputError`` for a name the network does not have.
    """
    modules = dict(network.named_modules())
    if name is not None:
        if name not in modules:
            ends = sorted((key for key in modules if key.endswith(f".{name}")), key=len)
            hint = f" Did you mean '{ends[0]}'?" if ends else did_you_mean(name, modules)
            raise InputError(
                f"the network has no layer '{name}'.{hint} Layers are e.g. {', '.join(list(modules)[1:6])}"
            )
        return name, modules[name]
    probe = torch.rand(images[:1].shape, generator=torch.Generator().manual_seed(0)).to(images.device)
    steps = _trace(network, modules, probe)
    grids = [i for i, step in enumerate(steps) if step.side >= 2]
    if not grids:
        raise Unsupported("no layer of the network has a 2-D grid of features")
    if any(step.unread_tokens for step in steps[grids[-1] :]):
        raise Unsupported("the network turns its features into tokens; no 2-D grid is left to weight")
    calls = Counter(step.key for step in steps)
    projections = [key for key, module in modules.items() if isinstance(module, nn.Linear)]  # such as query, key, value
    grids = [i for i in grids if steps[i].key not in projections]
    read = [i for i in grids if steps[i].read] or grids  # a dead network reads nothing: its maps are blank
    read.sort(key=lambda i: (steps[i].side >= min_grid, i), reverse=True)
    for i in read:
        key = steps[i].key
        if calls[key] == 1 and _is_passed_by_all(network, modules[key], probe):
            after = steps[i + 1] if i + 1 < len(steps) else steps[i]
            norm = isinstance(modules[after.key], nn.LayerNorm) and calls[after.key] == 1 and after.read
            chosen = after.key if norm and after.shape == steps[i].shape else key
            return chosen, modules[chosen]
    raise Unsupported("every layer with a 2-D grid runs more than once or has a branch around it")


@dataclass(frozen=True)
class _Step:
    """A module that has finished: shape of its output, cells a side (0 without a grid), is its grid read further on."""

    key: str
    shape: tuple[int, ...]
    side: int
    read: bool

    @property
    def unread_tokens(self) -> bool:
        return len(self.shape) == 3 and not self.side


def _trace(network: nn.Module, modules: dict[str, nn.Module], probe: Images) -> list[_Step]:
    """All submodules in the order in which they finish."""
    seen: list[tuple[str, Tensor]] = []

    def keep(key: str, out: object) -> Tensor | None:
        if not isinstance(out, Tensor):
            return None
        seen.append((key, out))
        return out.clone()  # what follows may write in place

    hooks = [
        module.register_forward_hook(lambda _module, _given, out, key=key: keep(key, out))
        for key, module in modules.items()
        if key
    ]
    try:
        with torch.enable_grad():
            answer = network(probe.clone().requires_grad_(True))[:, -1].sum()
    finally:
        for hook in hooks:
            hook.remove()
    outputs = [out for _, out in seen if out.requires_grad]
    gradients = torch.autograd.grad(answer, outputs, allow_unused=True) if answer.requires_grad and outputs else ()
    known = {id(out): gradient for out, gradient in zip(outputs, gradients, strict=False)}
    return [_step(network, key, out, known.get(id(out))) for key, out in seen]


def _step(network: nn.Module, key: str, out: Tensor, gradient: Tensor | None) -> _Step:
    try:
        side = to_grid(out, network).shape[-1] if len(out) == 1 else 0  # more than the probe: windows
    except Unsupported:
        side = 0
    read = side > 0 and gradient is not None and bool(to_grid(gradient, network).any())
    return _Step(key, tuple(out.shape), side, read)


def _is_passed_by_all(network: nn.Module, module: nn.Module, probe: Images) -> bool:
    """Whether the answer loses its gradient when this module's output is cut off from the image."""
    hook = module.register_forward_hook(lambda _module, _given, out: out.detach())
    try:
        with torch.enable_grad():
            given = probe.clone().requires_grad_(True)
            answer = network(given)[:, -1].sum()
            if not answer.requires_grad:
                return True
            (gradient,) = torch.autograd.grad(answer, given, allow_unused=True)
    finally:
        hook.remove()
    return gradient is None or not bool(gradient.any())
