"""Weights of another model: what they are is told, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from fracbench import registry
from fracbench.errors import InputError
from fracbench.weights import load_weights
from safetensors.torch import save_file


def network(architecture: str, **options: object) -> dict[str, torch.Tensor]:
    return timm.create_model(architecture, **options).state_dict()


def below(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "state, says",
    [
        (below("network.", network("resnet18", in_chans=3, num_classes=2)), "write channels: 3 in the model's params"),
        (below("network.", network("resnet18", in_chans=1, num_classes=1)), "one logit: write logits: 1"),
        (below("network.", network("resnet18", in_chans=1, num_classes=14)), "14 classes: train a last layer with two"),
        (below("network.", network("resnet18", num_classes=1000)), "channels: 3 in the model's params, and they end in "
                                                                   "1000 classes"),
        (below("network.", network("resnet34", in_chans=1, num_classes=2)), "another size of this architecture"),
        (below("network.", network("convnext_atto", num_classes=2)), "another architecture; name theirs"),
        (below("module.model.", network("resnet18", in_chans=1, num_classes=2)), "begin with 'module.model.'; put "
                                                                                 "'network.' in its place"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_what_to_write(state: dict[str, torch.Tensor], says: str, tmp_path: Path) -> None:
    save_file(state, file := tmp_path / "weights.safetensors")
    model = registry.make("models", "timm", {"architecture": "resnet18"})
    with pytest.raises(InputError, match=says) as refusal:
        load_weights(model, file)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_prefix_is_found_where_the_model_has_buffers_of_its_own(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18(num_classes=2).state_dict(), file := tmp_path / "weights.safetensors")
    model = registry.make("models", "robustbench", {"backbone": "Salman2020Do_R18"})
    with pytest.raises(InputError, match=r"lack the prefix 'network\.model\.'; put it before each"):
        load_weights(model, file)
