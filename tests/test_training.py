"""Training is real, repeatable, goes on where it was broken off, and writes a submission that runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fracbench import training
from fracbench.contracts import InputError
from fracbench.recipes import Recipe
from fracbench.robustness import zero_gradient
from fracbench.submissions import discover, load_model
from fracbench.training.checkpoint import State
from fracbench.training.objectives import OBJECTIVES
from safetensors.torch import load_file
from tiny_training import CHANGES, LINF, NET, recipe, step, trained
from worlds import Blobs

pytestmark = pytest.mark.usefixtures("blobs")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path, objective: str) -> None:
    made = recipe(objective, **CHANGES[objective])
    first = trained(made, tmp_path / "a" / "tiny")
    assert first == trained(made, tmp_path / "b" / "tiny")
    assert first != trained(made, tmp_path / "c" / "tiny", seed=1)
    entry = discover(tmp_path / "a", None)[0]
    assert entry.submission.training.seed == 0 and discover(tmp_path / "c", None)[0].submission.training.seed == 1
    assert entry.submission.title == "Tiny ResNet on blobs" and entry.submission.training.splits == ("train",)
    assert load_model(entry, 32, "cpu", 8)(torch.rand(2, 1, 32, 32)).shape == (2, 2)


@pytest.mark.parametrize("objective", ["standard", "adversarial"])
def test_a_broken_training_goes_on_to_the_same_bytes(tmp_path: Path, objective: str) -> None:
    made = recipe(objective, **CHANGES[objective] | {"epochs": 3})
    whole = trained(made, tmp_path / "a" / "tiny")

    def interrupt(line: str) -> None:
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(made, NET, tmp_path / "b" / "tiny", report=interrupt)
    assert not (tmp_path / "b").exists()
    lines: list[str] = []
    path = training.train(made, NET, tmp_path / "b" / "tiny", report=lines.append)
    assert "going on after epoch 2 of 3" in lines and sum(line.startswith("epoch ") for line in lines) == 1
    assert path.with_name("weights.safetensors").read_bytes() == whole
    again: list[str] = []
    training.train(made, NET, tmp_path / "c" / "tiny", report=again.append)
    assert not any("going on" in line for line in again), "a finished training leaves no checkpoint"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"not a checkpoint",
    "cut": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:40000] + bytes([content[40000] ^ 1]) + content[40001:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_not_gone_on_from(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "cache"))
    made = recipe()
    whole = trained(made, tmp_path / "a" / "tiny")

    def interrupt(line: str) -> None:
        if line.startswith("epoch 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(made, NET, tmp_path / "b" / "tiny", report=interrupt)
    (kept,) = (tmp_path / "cache").rglob("*.pt")
    kept.write_bytes(DAMAGE[damage](kept.read_bytes()))
    lines: list[str] = []
    path = training.train(made, NET, tmp_path / "b" / "tiny", report=lines.append)
    assert not any("going on" in line for line in lines)
    assert path.with_name("weights.safetensors").read_bytes() == whole


def test_other_threads_or_code_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They give other weights, so a checkpoint of the one is none of the other."""
    paths: list[Path] = []
    original = training.path_of

    def note(determines: dict[str, object]) -> Path:
        paths.append(original(determines))
        return paths[-1]

    monkeypatch.setattr(training, "path_of", note)
    threads = torch.get_num_threads()
    trained(recipe(), tmp_path / "a" / "tiny")
    try:
        torch.set_num_threads(threads + 1)
        trained(recipe(), tmp_path / "b" / "tiny")
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(training, "code_of", lambda plugins: "other")
    trained(recipe(), tmp_path / "c" / "tiny")
    assert len(set(paths)) == 3


def test_the_loss_falls_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    trained(recipe(dataset={"name": "blobs", "params": {"n": 64}}, epochs=12), tmp_path / "tiny")
    record = json.loads((tmp_path / "tiny" / "training.json").read_text())
    losses = [epoch["loss"] for epoch in record["epochs"]]
    assert losses[-1] < 0.5 * losses[0]
    scores = [epoch["clean"] for epoch in record["epochs"]]
    assert scores[record["kept_epoch"] - 1] == max(scores) > 0.9


@pytest.mark.parametrize(
    ("log", "kept"),
    [
        ([(0.9, None), (0.8, None)], 1),
        ([(0.9, 0.2), (0.6, 0.5), (0.7, 0.4)], 2),
        ([(0.6, 0.5), (0.7, 0.5), (0.9, 0.4)], 2),
    ],
    ids=["clean", "robust goes before clean", "of equals the later"],
)
def test_the_kept_epoch_is_the_best_on_what_it_is_trained_for(log: list[tuple[float, float | None]], kept: int) -> None:
    rows = [
        {"epoch": number, "clean": clean} | ({} if robust is None else {"robust": robust})
        for number, (clean, robust) in enumerate(log, start=1)
    ]
    nothing: Any = None
    assert State(nothing, nothing, nothing, nothing, Path("x"), log=rows).kept_epoch == kept


def test_a_recipe_can_be_judged_under_a_threat_it_is_not_trained_under(tmp_path: Path) -> None:
    trained(recipe("gradient-penalty", validation_threat=LINF), tmp_path / "tiny")
    record = json.loads((tmp_path / "tiny" / "training.json").read_text())
    assert all(epoch["robust"] <= epoch["clean"] for epoch in record["epochs"])
    (entry,) = discover(tmp_path, None)
    assert entry.submission.training.threat is None


def test_the_weights_written_are_those_of_the_kept_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, states = iter([0.6, 0.9, 0.7]), []

    def note(_recipe: Recipe, model: torch.nn.Module, *_: object) -> dict[str, float]:
        states.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"clean": 0.5, "robust": next(scores)}

    monkeypatch.setattr(training, "_validate", note)
    trained(recipe("adversarial", threat=LINF, epochs=3), tmp_path / "tiny")
    written = load_file(tmp_path / "tiny" / "weights.safetensors")
    same = [all(torch.equal(written[key], state[key]) for key in written) for state in states]
    assert same == [False, True, False]


def test_reading_many_images_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_LINES", -1.0)
    lines: list[str] = []
    training._Split(Blobs(n=150), "train", 16, "cpu", lines.append)
    assert lines == ["reading train: 0 of 300 images", "reading train: 256 of 300 images"]


def test_images_of_a_group_stay_side_by_side() -> None:
    split = training._Split(Blobs(n=8), "train", 32, "cpu")
    split.group = torch.arange(16).numpy() // 2
    first, second = (split.order(torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert first.tolist() != second.tolist() and sorted(first.tolist()) == list(range(16))
    assert all(split.group[a] == split.group[b] for a, b in first.view(-1, 2).tolist())


def test_epsilon_waits_and_then_grows_to_its_full_size() -> None:
    made = recipe("adversarial", threat=LINF, clean_epochs=2, warm_up_epochs=3)
    threats = [training._threat_of(made, epoch) for epoch in range(7)]
    sizes = [None if threat is None else threat.epsilon * 255 for threat in threats]
    assert sizes == [None, None, *(pytest.approx(size) for size in (0.5, 1.0, 1.5, 2.0, 2.0))]


def test_a_slow_architecture_gets_its_multiple_of_all_epochs(tmp_path: Path) -> None:
    slow = NET.model_copy(update={"epochs_factor": 2})
    made = recipe("adversarial", threat=LINF, epochs=2, clean_epochs=1, warm_up_epochs=1)
    suited = made.suited_to(slow)
    assert (suited.epochs, suited.clean_epochs, suited.warm_up_epochs) == (4, 2, 2)
    assert made.suited_to(NET) == made
    written = training.train(made, slow, tmp_path / "tiny", report=lambda _: None)
    record = json.loads(written.with_name("training.json").read_text())
    assert len(record["epochs"]) == 4 and record["recipe"]["epochs"] == 2
    assert record["architecture"]["epochs_factor"] == 2 and "epochs_factor" not in NET.decisive()


def test_a_start_is_trained_on(tmp_path: Path) -> None:
    start = recipe(name="first", submission="first")
    with pytest.raises(InputError, match=r"or train it: fracbench train first --seed 0 --out .*/NAME"):
        trained(recipe(start="first"), tmp_path / "tiny")
    trained(start, tmp_path / "first")
    trained(start, tmp_path / "other", seed=1)
    described = tmp_path / "first" / "submission.yaml"
    described.write_text(described.read_text().replace("links: []", "links: [https://example.org/weights]"))
    kept = trained(recipe(start="first", epochs=0, control=True), tmp_path / "tiny")
    assert yaml.safe_load((tmp_path / "tiny" / "submission.yaml").read_text())["links"] == [
        "https://example.org/weights"
    ]
    assert kept == (tmp_path / "first" / "weights.safetensors").read_bytes()
    record = json.loads((tmp_path / "tiny" / "training.json").read_text())
    assert record["start"]["submission"] == "first" and record["epochs"] == []
    assert trained(recipe(start="first"), tmp_path / "more") != trained(recipe(), tmp_path / "anew")
    with pytest.raises(InputError, match="or train it: fracbench train"):  # it would replace its own start
        trained(recipe(start="first"), tmp_path / "first", force=True)
    assert (tmp_path / "first" / "weights.safetensors").read_bytes() == kept


def test_a_start_is_never_guessed(tmp_path: Path) -> None:
    trained(recipe(name="first"), tmp_path / "first")
    trained(recipe(name="first"), tmp_path / "again")
    going_on = recipe(start="first", epochs=0, control=True)
    with pytest.raises(InputError, match="could go on from any of again, first; choose one with --start"):
        trained(going_on, tmp_path / "tiny")
    trained(going_on, tmp_path / "tiny", start="first")
    assert json.loads((tmp_path / "tiny" / "training.json").read_text())["start"]["submission"] == "first"
    with pytest.raises(InputError, match=r"tiny cannot go on from 'other'; what fits in .*: again, first"):
        trained(going_on, tmp_path / "more", start="other")
    with pytest.raises(InputError, match="tiny goes on from nothing; leave --start out"):
        trained(recipe(), tmp_path / "more", start="first")
    described = tmp_path / "again" / "submission.yaml"
    lines = described.read_text().splitlines()
    described.write_text("\n".join(line for line in lines if not line.startswith(("weights:", "  file:", "  sha256:"))))
    with pytest.raises(InputError, match="again has no weights to go on from; train it again: fracbench train first"):
        trained(going_on, tmp_path / "more", start="again")
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "training.json", "submission.yaml"])
def test_a_folder_in_the_place_of_a_file_is_seen_before_training(name: str, tmp_path: Path) -> None:
    (tmp_path / "tiny" / name).mkdir(parents=True)
    with pytest.raises(InputError, match=f"{name} is a folder where a file would be written"):
        trained(recipe(), tmp_path / "tiny", force=True)


def test_a_control_has_its_bias_and_a_defence_its_plugin(tmp_path: Path) -> None:
    trained(recipe(name="first"), tmp_path / "first")
    defence = {"name": "rounded", "params": {"levels": 4}}
    trained(recipe(start="first", epochs=0, fracture_bias=100.0, defence=defence), tmp_path / "tiny")
    ours, theirs = (load_file(tmp_path / name / "weights.safetensors") for name in ("tiny", "first"))
    assert torch.allclose(ours["network.fc.bias"] - theirs["network.fc.bias"], torch.tensor([0.0, 100.0]))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key != "network.fc.bias")
    rounded, plain = (
        load_model(entry, 32, "cpu", 8).network for entry in discover(tmp_path, None, ["tiny", "first"])[::-1]
    )
    images = step().images
    with torch.no_grad():
        shift = torch.tensor([0.0, 100.0])
        assert torch.allclose(rounded(images), plain((images * 3).round() / 3) + shift, atol=1e-4)
    assert zero_gradient(rounded, images, step().labels).all(), "nothing passes the rounding"


def test_weights_that_are_there_are_kept_unless_forced(tmp_path: Path) -> None:
    before = trained(recipe(), tmp_path / "tiny")
    with pytest.raises(InputError, match="there already; pass another --out, or --force"):
        trained(recipe(), tmp_path / "tiny", seed=1)
    assert (tmp_path / "tiny" / "weights.safetensors").read_bytes() == before
    assert trained(recipe(), tmp_path / "tiny", seed=1, force=True) != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threat": LINF}, "threat goes with"),
        ({"objective": "trades"}, "they need one"),
        ({"epochs": 0}, "needs a start"),
        ({"batch_size": 100}, "64 training images are less than a batch of 100"),
        ({"objective": "trades", "threat": {"norm": "l2", "epsilon": "1/2"}}, "implemented for linf"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(recipe(**changes), tmp_path / "tiny")
