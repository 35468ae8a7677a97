"""A backbone of the RobustBench zoo (Croce et al. 2021, arXiv 2010.09670), adapted to two logits."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType
from typing import Any, Literal

import torch
from fracbench import libraries
from fracbench.contracts import InputError
from fracbench.files import cache_dir
from torch import nn

from fracbench_plugins.models._from_library import FromLibrary

SIDES = {"imagenet": 224, "cifar10": 32}  # pixels
CLASSES = {"imagenet": 1000, "cifar10": 10}


class RobustBenchModel(FromLibrary):
    """Images (batch, 1, H, W) in [0, 1] to logits (batch, 2).

    ``backbone`` is a name of the zoo, among those of ``dataset`` (imagenet, cifar10) and ``threat_model`` (Linf, L2,
    corruptions). The image is repeated to three channels and resized to ``image_size``, by default the zoo's 224 or 32
    pixels; the backbone's own normalisation stays inside it; its final linear layer is replaced by a new one with
    ``logits`` outputs. From the zoo comes the architecture alone, and the weights from the submission: nothing is read
    or downloaded. With ``zoo_weights: true`` the backbone has the zoo's weights, to be trained further: RobustBench
    puts them at ``robustbench/<dataset>/<threat_model>/<backbone>.pt`` in fracbench's cache folder (those of XCiT, DeiT
    and AlexNet in torch's own), and they are opened as tensors alone.
    """

    def __init__(
        self,
        backbone: str,
        dataset: Literal["imagenet", "cifar10"] = "imagenet",
        threat_model: Literal["Linf", "L2", "corruptions"] = "Linf",
        logits: int = 2,
        image_size: int | None = None,
        zoo_weights: bool = False,
    ) -> None:
        side = SIDES[dataset] if image_size is None else image_size
        super().__init__(channels=3, mean=0.0, std=1.0, logits=logits, image_size=side)
        zoo = _Zoo()
        zoo.check(backbone, dataset, threat_model)
        build = zoo.trained if zoo_weights else zoo.untrained
        self.network = build(backbone, dataset, threat_model)
        _replace_head(self.network, backbone, CLASSES[dataset], logits)


class _Zoo:
    """The library, imported when a model is built."""

    def __init__(self) -> None:
        import pyautoattack

        sys.modules.setdefault("autoattack", pyautoattack)  # the name that robustbench imports it by
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names it uses are deprecated, and it registers some of timm's again
            from robustbench import utils
            from robustbench.model_zoo import model_dicts
            from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel
        self._utils: ModuleType = utils
        self._models = {
            (dataset.value, threat_model.value): model_dicts[dataset].get(threat_model, {})
            for dataset in BenchmarkDataset
            for threat_model in ThreatModel
        }

    def check(self, backbone: str, dataset: str, threat_model: str) -> None:
        """``InputError`` where the zoo has no such backbone, or one that cannot be adapted."""
        libraries.check("robustbench", backbone, dataset=dataset, threat_model=threat_model)
        if isinstance(self._models[dataset, threat_model][backbone]["gdrive_id"], list):
            raise InputError(f"{backbone} is an ensemble of several networks, which has no one head; use a single one")
        if dataset == "imagenet" and backbone.startswith("Standard"):
            raise InputError(f"{backbone} is torchvision's resnet50 as it is; use the model torchvision")

    def untrained(self, backbone: str, dataset: str, threat_model: str) -> nn.Module:
        """The architecture with the weights that it is initialised with."""
        import timm

        if (name := _timm_name(backbone, dataset, threat_model)) is not None:  # its entry in the zoo would download
            return timm.create_model(name, pretrained=False, num_classes=CLASSES[dataset])
        return self._models[dataset, threat_model][backbone]["model"]()

    def trained(self, backbone: str, dataset: str, threat_model: str) -> nn.Module:
        """With the zoo's weights, from the cache folder, else downloaded by the library."""
        folder = cache_dir() / "robustbench"
        file = folder / dataset / threat_model / f"{backbone}.pt"
        try:
            with _tensors_alone(), redirect_stdout(sys.stderr):
                return self._utils.load_model(backbone, model_dir=folder, dataset=dataset, threat_model=threat_model)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            advice = "write zoo_weights: false and give weights of your own under weights"
            if file.exists():
                raise InputError(
                    f"{file} does not hold the weights of {backbone} as tensors ({reason}); delete it, or {advice}"
                ) from error
            if _timm_name(backbone, dataset, threat_model) is None:
                advice = f"put them at {file}, or {advice}"
            raise InputError(f"the zoo's weights of {backbone} cannot be had ({reason}); {advice}") from error


def _timm_name(backbone: str, dataset: str, threat_model: str) -> str | None:
    """What the zoo registered a backbone as in timm, which then builds and downloads it; None for most."""
    import timm

    name = f"{backbone}_{dataset}_{threat_model}".lower().replace("-", "_")
    return name if timm.is_model(name) else None


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Inside, ``torch.load`` opens no file that wants to run code: the zoo's are pickles from elsewhere."""
    load = torch.load

    def strictly(*args: Any, **options: Any) -> Any:
        return load(*args, **{**options, "weights_only": True})

    torch.load = strictly
    try:
        yield
    finally:
        torch.load = load


def _replace_head(network: nn.Module, backbone: str, classes: int, logits: int) -> None:
    """Put a linear layer with ``logits`` outputs in the place of the last one, which has one for each class."""
    heads = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == classes
    ]
    if not heads:
        raise InputError(f"{backbone} does not end in a linear layer that could be replaced; use another backbone")
    name, head = heads[-1]
    network.set_submodule(name, nn.Linear(head.in_features, logits, bias=head.bias is not None))
