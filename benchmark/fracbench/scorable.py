"""Checks what is handed in to be scored; each fault is one line that says what to pass instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from fracbench.errors import InputError, did_you_mean
from fracbench.schema import Backend
from fracbench.tensors import Maps, Masks


def check_backend(name: str) -> None:
    """Raise ``InputError`` for what is no backend of metrics."""
    known = get_args(Backend)
    if name not in known:
        raise InputError(f"unknown metrics backend '{name}'.{did_you_mean(name, known)} Write {' or '.join(known)}")


def check_maps(maps: Tensor, masks: Tensor) -> Maps:
    """Maps (batch, H, W), detached, where they can be scored against masks of that shape; ``InputError`` otherwise."""
    maps, masks = (_tensor(what, of).detach() for what, of in (("maps", maps), ("masks", masks)))
    if maps.shape != masks.shape or maps.ndim != 3:
        raise InputError(f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be (batch, H, W)")
    if maps.is_complex():
        raise InputError("maps must be real; pass maps.abs()")
    if (maps[maps.flatten(1).isfinite().all(1)] < 0).any():
        raise InputError("maps must not be negative; pass maps.clamp_min(0) or maps.abs()")
    return maps


def check_masks(what: str, masks: Tensor, maps: Tensor) -> Masks:
    """True where ``masks`` is not zero, on the device of ``maps`` and of their shape; ``InputError`` otherwise."""
    given = _tensor(what, masks)
    if given.shape != maps.shape:
        raise InputError(f"{what} is {tuple(given.shape)}; it must be {tuple(maps.shape)} like maps")
    return _bool(what, given).to(maps.device)


def check_near(near: Sequence[Tensor], maps: Tensor) -> list[Masks]:
    """One bool (n, H, W) for each map; ``InputError`` otherwise."""
    count, height, width = maps.shape
    wanted = f"(n, {height}, {width}), the image's instances with the tolerance around them"
    if not hasattr(near, "__len__") or len(near) != count:
        given = f"has {len(near)} entries" if hasattr(near, "__len__") else f"is a {type(near).__name__}"
        raise InputError(f"near {given} for {count} maps; pass a list in which near[i] is {wanted}")
    found = []
    for i in range(count):
        of = _tensor(f"near[{i}]", near[i])
        if of.ndim != 3 or of.shape[1:] != maps.shape[1:]:
            raise InputError(f"near[{i}] is {tuple(of.shape)}; it must be {wanted}")
        found.append(_bool(f"near[{i}]", of))
    return found


def _tensor(what: str, given: object) -> Tensor:
    if isinstance(given, Tensor):
        return given
    make = "from_numpy" if isinstance(given, np.ndarray) else "as_tensor"
    raise InputError(f"{what} is a {type(given).__name__}, not a tensor; pass torch.{make}({what})")


def _bool(what: str, given: Tensor) -> Tensor:
    if given.dtype != torch.bool and not given.isfinite().all():
        raise InputError(f"{what} has values that are not finite; it is read as true where it is not zero")
    return given.bool()
