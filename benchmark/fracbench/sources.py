"""What plugins may take for their own purposes: shipped starters by hash, other explainers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fracbench import registry
from fracbench.errors import InputError, did_you_mean
from fracbench.submissions import Entry, file_hash, load_model, read_entry, starters_dir, weights_file

if TYPE_CHECKING:
    from torch import nn

    from fracbench.contracts import Explainer


def check(name: str, sha256: str) -> Entry:
    """The entry of a shipped starter, if its weights are the ones named.

    Raises ``InputError`` for an unknown starter, one without weights, or another hash.
    """
    file = starters_dir() / name / "submission.yaml"
    if not file.is_file():
        known = [found.parent.name for found in sorted(starters_dir().glob("*/submission.yaml"))]
        raise InputError(f"unknown starter '{name}'.{did_you_mean(name, known)} Starters: {', '.join(known)}")
    entry = read_entry(file, starters_dir(), None)
    weights = weights_file(entry)
    if weights is None:
        raise InputError(f"starter '{name}' has no weights; name another")
    if (found := file_hash(weights)) != sha256:
        raise InputError(f"the weights of starter '{name}' have sha256 {found}, not '{sha256}'")
    return entry


def network(name: str, sha256: str, image_size: int, device: str) -> nn.Module:
    """The network of a shipped starter, images (batch, 1, H, W) to logits (batch, 2); raises as ``check`` does."""
    return load_model(check(name, sha256), image_size, device, micro_batch=64).network


def explainer(name: str) -> Explainer:
    """A registered explainer with its default parameters; raises ``InputError`` for an unknown name."""
    return registry.make("explainers", name, {})
