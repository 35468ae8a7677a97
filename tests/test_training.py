"""Training is real, repeatable, and writes a submission that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fracbench import recipes, training
from fracbench.errors import InputError
from fracbench.recipes import Recipe
from fracbench.submissions import discover, load_model
from safetensors.torch import load_file


def recipe(**changes: object) -> Recipe:
    content = {
        "name": "tiny",
        "submission": "tiny",
        "title": "Tiny",
        "dataset": {"name": "phantom", "params": {"size": 64, "train": 96, "val": 16}},
        "image_size": 64,
        "model": {"name": "timm", "params": {
            "architecture": "resnet18", "mean": 0.3, "std": 0.2,
            "options": {"channels": [8, 8, 16, 16], "layers": [1, 1, 1, 1]}}},
        "benchmarks": ["smoke"],
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.004,
    }  # fmt: skip
    return Recipe.model_validate(content | changes)


ADVERSARIAL = {"threat": {"norm": "linf", "epsilon": "2/255"}, "clean_epochs": 1}


@pytest.mark.parametrize("changes", [{}, ADVERSARIAL], ids=["standard", "adversarial"])
def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path, changes: dict[str, object]) -> None:
    paths = [training.train(recipe(**changes), tmp_path / name / "tiny", report=lambda _: None) for name in "ab"]
    first, second = (path.with_name("weights.safetensors").read_bytes() for path in paths)
    assert first == second
    other = training.train(recipe(**changes), tmp_path / "c" / "tiny", seed=1, report=lambda _: None)
    assert other.with_name("weights.safetensors").read_bytes() != first
    entry = discover(tmp_path / "a", None)[0]
    assert entry.submission.training.seed == 0 and discover(tmp_path / "c", None)[0].submission.training.seed == 1
    assert load_model(entry, 64, "cpu", 8)(torch.rand(2, 1, 64, 64)).shape == (2, 2)


@pytest.mark.usefixtures("blobs")
def test_the_loss_falls_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    made = recipe(dataset={"name": "blobs", "params": {"n": 64}}, image_size=32, epochs=12)
    path = training.train(made, tmp_path / "tiny", report=lines.append)
    record = json.loads(path.with_name("training.json").read_text())
    losses = [epoch["loss"] for epoch in record["epochs"]]
    assert losses[-1] < 0.5 * losses[0]
    scores = [epoch["clean"] for epoch in record["epochs"]]
    assert scores[record["kept_epoch"] - 1] == max(scores) > 0.9
    assert sum(line.startswith("epoch ") for line in lines) == 12


def test_epsilon_waits_and_then_grows_to_its_full_size() -> None:
    made = recipe(**{**ADVERSARIAL, "clean_epochs": 2, "warm_up_epochs": 3})
    threats = [training._threat_of(made, epoch) for epoch in range(7)]
    sizes = [None if threat is None else threat.epsilon * 255 for threat in threats]
    assert sizes == [None, None, *(pytest.approx(size) for size in (0.5, 1.0, 1.5, 2.0, 2.0))]


def test_training_attacks_inside_the_ball_and_in_evaluation_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crafted = []
    original = training._attacked

    def watched(model, attack, images, labels, threat, rng):  # type: ignore[no-untyped-def]
        before = {key: value.clone() for key, value in model.state_dict().items()}
        result = original(model, attack, images, labels, threat, rng)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "statistics moved"
        crafted.append(((result - images).abs().amax().item(), threat.epsilon))
        return result

    monkeypatch.setattr(training, "_attacked", watched)
    training.train(recipe(**ADVERSARIAL), tmp_path / "tiny", report=lambda _: None)
    assert crafted and all(0 < size <= epsilon + 1e-6 for size, epsilon in crafted)


def test_weights_that_are_there_are_kept_unless_forced(tmp_path: Path) -> None:
    path = training.train(recipe(), tmp_path / "tiny", report=lambda _: None)
    weights = path.with_name("weights.safetensors")
    before = weights.read_bytes()
    with pytest.raises(InputError, match="there already; pass --force"):
        training.train(recipe(), tmp_path / "tiny", seed=1, report=lambda _: None)
    assert weights.read_bytes() == before
    training.train(recipe(), tmp_path / "tiny", seed=1, force=True, report=lambda _: None)
    assert weights.read_bytes() != before


def test_a_control_has_its_bias(tmp_path: Path) -> None:
    plain = training.train(recipe(), tmp_path / "a" / "tiny", report=lambda _: None)
    biased = training.train(recipe(fracture_bias=100.0, control=True), tmp_path / "b" / "tiny", report=lambda _: None)
    ours, theirs = (load_file(path.with_name("weights.safetensors")) for path in (biased, plain))
    assert torch.allclose(ours["network.fc.bias"] - theirs["network.fc.bias"], torch.tensor([0.0, 100.0]))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != "network.fc.bias")


def test_every_recipe_can_be_read_and_names_its_submission() -> None:
    for name in recipes.names():
        assert recipes.load(name).name == name
