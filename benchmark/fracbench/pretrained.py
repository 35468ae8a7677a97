"""What the pretrained weights of a library's architecture expect: the parameters that a submission begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fracbench import libraries
from fracbench.errors import InputError, did_you_mean


def _timm(architecture: str) -> Mapping[str, Any]:
    """What the pretrained weights of a timm architecture, or one tag of it, expect of their input."""
    name = architecture.partition(".")[0]
    libraries.check("timm", name)
    from timm.models import get_pretrained_cfg

    try:
        expected = get_pretrained_cfg(architecture) or get_pretrained_cfg(name)
    except RuntimeError as error:
        raise InputError(f"timm has no weights '{architecture:.80}' ({error}); write timm:{name}") from None
    if expected is None:
        return {"architecture": name, "channels": 3}
    of = {"mean": expected.mean, "std": expected.std, "image_size": expected.input_size[-1]}
    return {"architecture": name, "channels": 3, **of}


def _torchvision(architecture: str) -> Mapping[str, Any]:
    """What the default weights of a torchvision classifier expect of their input."""
    libraries.check("torchvision", architecture)
    from torchvision import models

    expected = models.get_model_weights(architecture).DEFAULT.transforms()
    of = {"mean": expected.mean, "std": expected.std, "image_size": expected.crop_size[0]}
    return {"architecture": architecture, "channels": 3, **of}


def _robustbench(backbone: str) -> Mapping[str, Any]:
    """Where the zoo has a backbone; the first place of several."""
    places = libraries.zoo_places(backbone)
    if not places:
        known = libraries.zoo_names()
        raise InputError(f"RobustBench has no backbone '{backbone:.80}'.{did_you_mean(backbone, known)}")
    dataset, threat_model = ("imagenet", "Linf") if ("imagenet", "Linf") in places else places[0]
    return {"backbone": backbone, "dataset": dataset, "threat_model": threat_model}


PRETRAINED = {"timm": _timm, "torchvision": _torchvision, "robustbench": _robustbench}
