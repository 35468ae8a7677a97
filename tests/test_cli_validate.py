"""`fracbench validate`, and what a run does with submissions that are not valid."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import STARTERS
from test_cli import TINY, call, files, refused, submissions


def test_validate_names_file_line_and_nearest_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TINY.replace("licence:", "license:").replace("name: timm", "name: tim").replace("[smoke]", "[smoke, smokey]")
    file = submissions(tmp_path, text) / "tiny" / "submission.yaml"
    refused(call("validate", file), f"{file}:4: unknown key 'license'. Did you mean 'licence'?", "'licence' is missing")
    file.write_text(TINY.replace("name: timm", "name: tim"))
    refused(call("validate", file), f"{file}:", "unknown model 'tim'. Did you mean 'timm'?")
    file.write_text(TINY.replace("[smoke]", "[smoke, smokey]"))
    refused(call("validate", file), f"{file}:", "unknown benchmark 'smokey'. Did you mean 'smoke'?")
    file.write_text(TINY.replace("name: timm", "name: tim").replace("[smoke]", "[smokey]") + "weights: {file: no.pt}\n")
    refused(
        call("validate", file.parent),
        "unknown model 'tim'",
        f"{file}:5: unknown benchmark 'smokey'",
        f"{file}:12: weights: ",
    )
    file.write_text(TINY)
    good = call("validate", file)
    assert good.exit_code == 0
    assert good.output.endswith(f"next: fracbench doctor tiny --benchmark smoke --submissions {file.parent.parent}\n")
    monkeypatch.chdir(tmp_path)
    assert call("validate", "tiny").output.endswith("next: fracbench doctor tiny --benchmark smoke\n"), (
        "a name is enough"
    )
    assert call("validate", "submissions").output == call("validate", "tiny").output, "a folder of them means all"
    refused(call("validate", "tinny"), "tinny: no such file, nor a submission in submissions. Did you mean 'tiny'?")
    (file.parent / "other.yaml").write_text(TINY)
    refused(call("validate", file.parent / "other.yaml"), "must be called submission.yaml")


def test_validate_knows_the_names_of_parameters_and_tells_the_line_of_each_fault(tmp_path: Path) -> None:
    text = TINY.replace("    options:", "    optoins:").replace("name: tiny", "name: tinny")
    file = submissions(tmp_path, text) / "tiny" / "submission.yaml"
    refused(call("validate", file), f"{file}:1: name 'tinny' must equal its folder's name 'tiny'; rename one of them")
    file.write_text(text.replace("tinny", "tiny"))
    refused(call("validate", file), f"{file}:10: model 'timm' has no parameter 'optoins'. Did you mean 'options'?")
    file.write_text(TINY.replace("    architecture: resnet18\n", ""))
    refused(call("validate", file), f"{file}:8: model 'timm' needs the parameter 'architecture'")


def test_validate_proposes_runs_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, benchmarks in {"a": "[smoke]", "b": "[smoke, phantom-v1]", "c": "[smoke]"}.items():
        (tmp_path / "submissions" / name).mkdir(parents=True)
        text = TINY.replace("name: tiny", f"name: {name}").replace("[smoke]", benchmarks)
        (tmp_path / "submissions" / name / "submission.yaml").write_text(text)
    (tmp_path / "submissions" / "submission.schema.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    done = call("validate", *sorted(Path("submissions").iterdir()))
    assert done.exit_code == 0, done.output
    nexts = [line for line in done.output.splitlines() if line.startswith("next:")]
    assert nexts == ["next: fracbench run a c --benchmark smoke", "next: fracbench doctor b"]


def test_bad_submissions_stop_those_named_and_are_left_out_of_all(tmp_path: Path) -> None:
    folder = submissions(tmp_path)
    weights = STARTERS / "phantom-resnet-standard" / "weights.safetensors"
    for name, lines in {
        "changed": "weights: {file: w.safetensors, sha256: " + "a" * 64 + "}",
        "misfit": "weights: {file: w.safetensors}",
        "escaping": "weights: {file: ../misfit/w.safetensors}",
        "absent": "weights: {file: absent.safetensors}",
    }.items():
        submissions(tmp_path / name, TINY.replace("name: tiny", f"name: {name}") + lines, name)
        shutil.move(tmp_path / name / "submissions" / name, folder / name)
        shutil.copy(weights, folder / name / "w.safetensors")
    before = files(tmp_path)
    common = ("--benchmark", "smoke", "--submissions", folder)
    result = call("run", "tiny", "changed", "escaping", "absent", "misfit", *common)
    refused(result, "not the one declared", "leaves the submission's folder", "absent.safetensors is not there")
    assert len([line for line in result.output.splitlines() if line.startswith("error: ")]) == 3
    refused(call("run", "tiny", "misfit", *common), "error: misfit:", "the weights do not fit the model: ")
    assert files(tmp_path) == before
    result = call("run", "--all", *common, "--limit", "4", "--budget", "0.1")
    assert result.exit_code == 1, result.output
    left_out = [line for line in result.output.splitlines() if line.startswith("left out: ")]
    assert len(left_out) == 4 and (folder / "tiny" / "results" / "smoke-custom" / "run.json").is_file()
    assert {path for path in files(tmp_path) - before if "tiny" not in path.parts} == set()
    shutil.rmtree(folder / "tiny")
    refused(call("run", "--all", *common), "no submission is left to run")
