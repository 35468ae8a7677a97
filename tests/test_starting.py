"""``fracbench init``: what it writes is valid, runs, says what is left to do, and is checked by editors too."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import STARTERS, Command
from fracbench import registry
from fracbench.errors import InputError
from fracbench.pretrained import PRETRAINED
from fracbench.starting import SCHEMA, skeleton
from fracbench.submission_schema import Submission
from fracbench.submissions import discover
from fracbench.yamlio import read
from safetensors.torch import save_file
from test_cli import call, files, refused
from worlds import registered

CHECKER = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))


class Needy:
    def __init__(self, width: int, depth: int, names: tuple[str, ...] = ("a",), kind: type = int) -> None: ...


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", [None, "timm:resnet50", "timm:vit_base_patch16_224", "timm", "rounded:resnet18"])
def test_all_that_is_missing_are_the_weights(source: str | None, empty: Path) -> None:
    done = call("init", "mine", *(["--from", source] if source else []))
    assert done.exit_code == 0, done.output
    file = empty / "submissions" / "mine" / "submission.yaml"
    assert file.read_text().startswith("# yaml-language-server: $schema=../submission.schema.json\n")
    assert (file.parent / "../submission.schema.json").read_bytes() == SCHEMA.read_bytes()
    assert not list(CHECKER.iter_errors(yaml.safe_load(file.read_text())))
    refused(checked := call("validate", "submissions/mine"), "weights.safetensors is not there", "save_file")
    assert len(checked.output.splitlines()) == 1
    (file.parent / "weights.safetensors").write_bytes(b"")
    assert call("validate", "mine").exit_code == 0


def test_what_timm_expects_of_the_input_is_filled_in(empty: Path) -> None:
    call("init", "a", "--from", "timm:resnet50.a1_in1k")
    params = read(empty / "submissions/a/submission.yaml", Submission).model.params
    assert params == {"architecture": "resnet50", "channels": 3, "mean": [0.485, 0.456, 0.406],
                      "std": [0.229, 0.224, 0.225], "image_size": 224}  # fmt: skip
    call("init", "b", "--from", "timm:test_vit")
    other = read(empty / "submissions/b/submission.yaml", Submission).model.params
    assert other["mean"] == [0.5, 0.5, 0.5] and other["image_size"] == 160


def test_what_torchvision_expects_of_the_input_is_known() -> None:
    assert PRETRAINED["torchvision"]("resnet50") == {
        "architecture": "resnet50", "channels": 3, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "image_size": 224,
    }  # fmt: skip
    with pytest.raises(InputError, match=r"no architecture 'resnet5'\. Did you mean 'resnet50'\?"):
        PRETRAINED["torchvision"]("resnet5")


def test_where_robustbench_has_a_backbone_is_filled_in() -> None:
    assert PRETRAINED["robustbench"]("Hendrycks2020AugMix_WRN") == {
        "backbone": "Hendrycks2020AugMix_WRN", "dataset": "cifar10", "threat_model": "corruptions",
    }  # fmt: skip
    text = skeleton("mine", "robustbench:Salman2020Do_R18", "w", ["smoke"])
    params = {"backbone": "Salman2020Do_R18", "dataset": "imagenet", "threat_model": "Linf"}
    assert yaml.safe_load(text)["model"] == {"name": "robustbench", "params": params}
    assert f"#   model = registry.make('robustbench', {params})".replace("make(", 'make("models", ') in text
    assert "model.state_dict()" in text and "224 (imagenet)" in text


def test_another_model_shows_its_parameters_with_their_defaults() -> None:
    with registered(needy=("models", Needy)):
        text = skeleton("mine", "needy:3", "w", ["smoke"])
    assert "    width: 3\n    depth: null  # needed: write its value\n    # names: [a]\n\n" in text.replace("'3'", "3")
    assert yaml.safe_load(text)["model"] == {"name": "needy", "params": {"width": "3", "depth": None}}


class Whole:
    def __init__(self, width: int = 4) -> None: ...


def test_a_model_that_needs_nothing_takes_nothing_after_the_colon(empty: Path) -> None:
    with registered(whole=("models", Whole)):
        assert "  # params:  # these are the defaults\n    # width: 4\n" in skeleton("mine", "whole", "w", ["smoke"])
        refused(
            call("init", "mine", "--from", "whole:3"), "no parameter to be given after the colon; write --from whole"
        )


@pytest.mark.slow
def test_in_an_empty_folder_run_takes_what_init_has_begun(empty: Path, command: Command) -> None:
    done = command("init", "mine", "--from", "timm:test_vit", "--benchmark", "smoke")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "next: fracbench run mine --benchmark smoke"
    (entry,) = discover(empty / "submissions", None)
    model = registry.make("models", entry.submission.model.name, entry.submission.model.params)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()},
              entry.folder / "weights.safetensors")  # fmt: skip
    planned = command("run", "mine", "--benchmark", "smoke", "--dry-run")
    assert planned.returncode == 0 and "mine" in planned.stdout, planned.stderr


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["My Model"], "'My Model' cannot name a submission; use at most 64 of lower case letters, digits and -, such"
                       " as 'my-model'"),
        (["new", "--from", "tim:resnet50"], "unknown model 'tim'. Did you mean 'timm'? Registered are: "),
        (["new", "--from", "resnet50"], "an architecture comes after a colon: timm:resnet50"),
        (["new", "--from", "timm:resnet5"], "timm has no architecture 'resnet5'. Did you mean 'resnet50'?"),
        (["new", "--from", "robustbench:Salman2020Do_R19"], "no backbone 'Salman2020Do_R19'. Did you mean 'Sal"),
        (["new", "--from", "timm:"], "--from timm:: nothing comes after the colon; write such as timm:resnet18"),
        (["new", "--from", "timm:resnet18.nope"], "timm has no weights 'resnet18.nope'"),
        (["new", "--benchmark", "smok"], "unknown benchmark 'smok'. Did you mean 'smoke'?"),
        (["there"], "submissions/there/submission.yaml is there already; edit it, or give another name"),
        (["file"], "submissions/file is a file"),
        (["new", "--submissions", "/proc/x"], "--submissions /proc/x/new: cannot be written to"),
    ],
)  # fmt: skip
def test_what_cannot_be_begun_is_one_line_and_nothing_written(arguments: list[str], says: str, empty: Path) -> None:
    (empty / "submissions" / "there").mkdir(parents=True)
    (empty / "submissions" / "there" / "submission.yaml").write_text("mine")
    (empty / "submissions" / "file").write_text("")
    before = files(empty)
    refused(done := call("init", *arguments), says)
    assert len(done.output.splitlines()) == 1 and files(empty) == before
    assert (empty / "submissions" / "there" / "submission.yaml").read_text() == "mine"


def good() -> dict[str, Any]:
    return yaml.safe_load((STARTERS / "phantom-resnet-pgd-at" / "submission.yaml").read_text())


def test_editors_accept_every_starter() -> None:
    jsonschema.Draft7Validator.check_schema(CHECKER.schema)
    starters = sorted(STARTERS.glob("*/submission.yaml"))
    assert len(starters) >= 24
    for file in starters:
        assert not list(CHECKER.iter_errors(yaml.safe_load(file.read_text()))), file


@pytest.mark.parametrize(
    "place, value",
    [
        (("lisence",), "MIT"),
        (("model", "import"), "os"),
        (("training", "sed"), 3),
        (("title",), 3),
        (("title",), ""),
        (("title",), "=HYPERLINK(0)"),
        (("title",), "-1"),
        (("title",), "a" * 201),
        (("authors",), "Ada"),
        (("authors",), []),
        (("authors",), ["@SUM(A1)"]),
        (("control",), "true"),
        (("name",), "My Model"),
        (("model", "name"), "os.system"),
        (("weights", "sha256"), "abc"),
        (("weights", "file"), 3),
        (("links",), ["javascript:alert(1)"]),
        (("reported",), {"clean": "high"}),
        (("training", "seed"), "0"),
        (("training", "seconds"), -1),
    ],
)
def test_editors_and_validate_refuse_alike(place: tuple[str, ...], value: object) -> None:
    wrong = copy.deepcopy(good())
    inner = wrong
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    assert list(CHECKER.iter_errors(wrong))
    with pytest.raises(ValueError, match=place[0]):
        Submission.model_validate(wrong)


def test_every_field_says_what_it_is() -> None:
    schema = CHECKER.schema
    assert isinstance(schema, dict)
    for part in (schema, *(schema["$defs"][name] for name in ("PluginRef", "Training", "Weights"))):
        for name, field in part["properties"].items():
            assert len(field.get("description", "")) > 10, name
