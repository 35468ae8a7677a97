"""Backbones of the RobustBench zoo: adapted to two logits, with weights from a submission, or from a small zoo file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fracbench import registry, testing
from fracbench.contracts import InputError, MarginModel
from fracbench.submissions import discover, load_model
from safetensors.torch import save_file
from torch import nn

AUGMIX = {"backbone": "Hendrycks2020AugMix_WRN", "dataset": "cifar10", "threat_model": "corruptions"}  # 2 M parameters
SUBMISSION = """\
name: {name}
title: A robust backbone
authors: [Tests]
licence: Apache-2.0
benchmarks: [smoke]
model:
  name: robustbench
  params: {{backbone: Hendrycks2020AugMix_WRN, dataset: cifar10, threat_model: corruptions}}
weights: {{file: weights.safetensors}}
training: {{data: none}}
"""


def make(**params: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry.make("models", "robustbench", {**AUGMIX, **params}).eval()


@pytest.fixture
def zoo_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the zoo's weights of the small backbone belong, in a cache folder that has none."""
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "cache/robustbench/cifar10/corruptions/Hendrycks2020AugMix_WRN.pt"
    file.parent.mkdir(parents=True)
    return file


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    make()  # imports the library, by the name that it asks for
    for name in ("download_gdrive", "download_gdrive_new"):
        monkeypatch.setattr(f"robustbench.utils.{name}", offline)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", offline)


def as_in_the_zoo(file: Path) -> dict[str, torch.Tensor]:
    """Write a checkpoint of the backbone in the zoo's form, ten classes and all; return its tensors."""
    from robustbench.model_zoo import model_dicts
    from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel

    network = model_dicts[BenchmarkDataset.cifar_10][ThreatModel.corruptions][AUGMIX["backbone"]]["model"]()
    generator = torch.Generator().manual_seed(7)
    state = {key: torch.rand(of.shape, generator=generator).to(of.dtype) for key, of in network.state_dict().items()}
    names = [key for key in state if key not in ("mu", "sigma")]  # the zoo's file is from before it normalised inside
    torch.save({"state_dict": {f"module.{key}": state[key] for key in names}, "epoch": 9}, file)
    return {key: state[key] for key in names}


@pytest.mark.parametrize("logits", [1, 2])
def test_it_conforms_and_normalises_inside(logits: int) -> None:
    model = make(logits=logits)
    testing.check_model(model, 64)
    assert model.network.fc.out_features == logits
    image = torch.rand(1, 1, 32, 32)
    assert torch.equal(model.prepared(image), image.expand(-1, 3, -1, -1)), "the backbone sees pixels in [0, 1]"
    assert model.network.mu.flatten().tolist() == [0.5] * 3


def test_without_the_zoos_weights_nothing_is_read_or_downloaded(zoo_file: Path) -> None:
    zoo_file.write_bytes(b"no checkpoint")
    make()


def test_a_submission_brings_its_own_weights(tmp_path: Path, zoo_file: Path) -> None:
    folder = tmp_path / "submissions" / "augmix"
    folder.mkdir(parents=True)
    (folder / "submission.yaml").write_text(SUBMISSION.format(name="augmix"))
    state = {key: of * 1.01 if of.is_floating_point() else of for key, of in make().state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    (entry,) = discover(tmp_path / "submissions", None)
    loaded = load_model(entry, 64, "cpu", 8).network.state_dict()
    assert all(torch.equal(loaded[key], of) for key, of in state.items())


def test_the_zoos_weights_are_taken_but_for_the_head(zoo_file: Path) -> None:
    state = as_in_the_zoo(zoo_file)
    loaded = make(zoo_weights=True).network.state_dict()
    heads = {"fc.weight", "fc.bias"}
    assert loaded["fc.weight"].shape == (2, 128)
    assert len(state) > 100 and all(torch.equal(loaded[key], state[key]) for key in state.keys() - heads)


def test_the_zoos_own_download_is_used(zoo_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def download(_id: str, file: Path) -> None:
        print("Downloading")
        as_in_the_zoo(file)

    monkeypatch.setattr("robustbench.utils.download_gdrive_new", download)
    make(zoo_weights=True)
    assert zoo_file.is_file() and capsys.readouterr() == ("", "Downloading\n"), "what it says is no result"


def test_a_zoo_file_that_wants_code_is_refused(zoo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what torch would otherwise open it by
    torch.save({"state_dict": Evil()}, zoo_file)
    load = torch.load
    with pytest.raises(InputError, match=r"does not hold the weights of .* as tensors .*; delete it, or"):
        make(zoo_weights=True)
    assert not (tmp_path / "executed").exists() and torch.load is load


@pytest.mark.parametrize(
    "params, says",
    [
        ({"zoo_weights": True}, r"cannot be had \(ConnectionError: no network\); put them at .*AugMix_WRN.pt, or"),
        (
            {"backbone": "Tian2022Deeper_DeiT-S", "dataset": "imagenet", "zoo_weights": True},
            r"cannot be had \(ConnectionError: no network\); write zoo_weights: false",
        ),
        ({"backbone": "Hendrycks2020AugMix_WRM"}, "Did you mean 'Hendrycks2020AugMix_WRN'"),
        ({"backbone": "../../evil"}, r"RobustBench has no backbone '../../evil' for cifar10 and corruptions"),
        ({"threat_model": "Linf"}, "It is there for dataset: cifar10, threat_model: corruptions"),
        ({"dataset": "imagenet", "threat_model": "L2"}, "use threat_model: Linf or corruptions"),
        ({"dataset": "mnist"}, "dataset is 'mnist'; it should be 'imagenet' or 'cifar10'"),
        ({"threat_model": "l2"}, "threat_model is 'l2'; it should be 'Linf', 'L2' or 'corruptions'"),
        ({"backbone": "Chen2020Adversarial", "threat_model": "Linf"}, "is an ensemble of several networks"),
        ({"backbone": "Diffenderfer2021Winning_Binary"}, "does not end in a linear layer"),
        ({"backbone": "Standard_R50", "dataset": "imagenet"}, "use the model torchvision"),
        ({"image_size": 0}, "image_size must be 8 to 1024 pixels, got 0"),
        ({"logits": 3}, "logits must be 1 or 2"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(zoo_file: Path, params: dict[str, Any], says: str) -> None:
    zoo_file.unlink(missing_ok=True)
    with pytest.raises(InputError, match=says) as refusal:
        make(**params)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    "params, layer",
    [
        (AUGMIX, "relu"),
        ({"backbone": "Salman2020Do_R18", "threat_model": "Linf", "dataset": "imagenet"}, "model.layer4"),
        ({"backbone": "Rade2021Helper_R18_ddpm", "threat_model": "L2"}, "layer_2"),
        ({"backbone": "Debenedetti2022Light_XCiT-S12", "threat_model": "Linf"}, "model.cls_attn_blocks.1.norm1"),
        ({"backbone": "Tian2022Deeper_DeiT-S", "dataset": "imagenet"}, "model.blocks.11.norm1"),
    ],
    ids=lambda of: of["backbone"] if isinstance(of, dict) else of,
)
def test_gradcam_finds_its_layer(params: dict[str, Any], layer: str) -> None:
    margin_model = MarginModel(make(**params))
    found = registry.make("explainers", "gradcam", {})(margin_model, torch.rand(1, 1, 64, 64))
    assert margin_model.notes == {"layer": f"network.{layer}"}
    assert found.shape[1] >= 7 and found.isfinite().all() and found.abs().max() > 0


def test_the_library_is_imported_with_the_model_alone() -> None:
    code = "import sys; from fracbench import registry; registry.load('models', 'robustbench')"
    code += "; assert not {'robustbench', 'autoattack'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
