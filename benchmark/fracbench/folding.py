"""Batch normalisation folded into the convolutions before it: the same function in evaluation mode, in fewer steps."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fracbench.tensors import Images

# By how much the 2-norms of logits and of gradients may differ; a ReLU near 0 may switch, and moves the gradient alone.
SHARES = (1e-4, 1e-2)


def folded(network: nn.Module, images: Images) -> nn.Module | None:
    """A copy of ``network`` without the batch norms that follow a convolution; None where there is none to gain.

    A norm is folded where the very tensor a convolution returns is what it takes in, and nothing else reads that, as
    seen on ``images`` (batch, 1, H, W), which should be noise: of flat ones the gradient is decided by ties in pooling.
    None too where the answers or gradients of the copy differ from those of the network, or where it cannot be copied.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return None
    try:
        quick = copy.deepcopy(network)
        pairs = _pairs(quick, images)
        for norm, convolution in pairs:
            _fold(quick, norm, convolution)
        same = bool(pairs) and _agree(network, quick, images)
    except Exception:  # a stranger's network may do anything; it is used as it is
        return None
    return quick if same else None


def _pairs(network: nn.Module, images: Images) -> list[tuple[str, str]]:
    """Names of norms and of the convolutions that only they read, each called once."""
    made: dict[int, tuple[str, Tensor]] = {}  # by id, with the tensor itself, so that no other gets that id
    found: list[tuple[str, str, Any]] = []
    calls: Counter[str] = Counter()
    hooks = []

    def convolved(name: str, output: Tensor) -> None:
        calls[name] += 1
        made[id(output)] = name, output

    def normalised(name: str, given: tuple[Tensor, ...]) -> None:
        calls[name] += 1
        if id(given[0]) in made:
            found.append((name, made[id(given[0])][0], given[0].grad_fn))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(lambda _, __, output, name=name: convolved(name, output)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(lambda _, given, name=name: normalised(name, given)))
    readers = _readers(network(images.detach().clone().requires_grad_(True)))
    for hook in hooks:
        hook.remove()
    return [(norm, of) for norm, of, step in found if readers[step] == calls[norm] == calls[of] == 1]


def _readers(output: Tensor) -> Counter[Any]:
    """How many steps of the computation of ``output`` read the outcome of each."""
    readers: Counter[Any] = Counter()
    steps = [output.grad_fn]
    while steps:
        for step, _ in getattr(steps.pop(), "next_functions", ()):
            readers[step] += 1
            if readers[step] == 1:
                steps.append(step)
    return readers


def _fold(network: nn.Module, norm: str, convolution: str) -> None:
    into, of = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(into, nn.Conv2d) and isinstance(of, nn.BatchNorm2d)
    assert of.running_mean is not None and of.running_var is not None
    into.weight, into.bias = fuse_conv_bn_weights(
        into.weight, into.bias, of.running_mean, of.running_var, of.eps, of.weight, of.bias
    )
    parent, _, leaf = norm.rpartition(".")
    # timm's norms drop and activate too
    beyond = [getattr(of, name) for name in ("drop", "act") if isinstance(getattr(of, name, None), nn.Module)]
    setattr(network.get_submodule(parent), leaf, nn.Sequential(*beyond) if beyond else nn.Identity())


def _agree(network: nn.Module, quick: nn.Module, images: Images) -> bool:
    """In double precision, where rounding switches no ReLU; as they are, where a network knows no other."""
    try:
        answers = [_answers(copy.deepcopy(of).double(), images.double()) for of in (network, quick)]
    except Exception:
        answers = [_answers(of, images) for of in (network, quick)]
    pairs = zip(*answers, SHARES, strict=True)
    return all((plain - other).norm() <= share * plain.norm() for plain, other, share in pairs)  # nor is one NaN


def _answers(network: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    given = images.detach().clone().requires_grad_(True)
    logits = network(given)
    (gradient,) = torch.autograd.grad((logits[:, -1] - logits[:, 0]).sum(), given)
    return logits.detach(), gradient
