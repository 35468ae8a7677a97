"""The command line: exit codes, one line per fault, nothing written on wrong input, the next command."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from conftest import REPOSITORY, STARTERS, Command
from fracbench import registry, specs
from fracbench.cli import main
from worlds import Broken, registered, spec

TINY = """\
name: tiny
title: Tiny untrained network
authors: [Tests]
licence: Apache-2.0
benchmarks: [smoke]
model:
  name: timm
  params:
    architecture: resnet18
    options: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}
training: {data: none}
"""


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def submissions(folder: Path, text: str = TINY, name: str = "tiny") -> Path:
    (folder / "submissions" / name).mkdir(parents=True)
    (folder / "submissions" / name / "submission.yaml").write_text(text)
    return folder / "submissions"


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def refused(result: Result, *says: str) -> None:
    """Exit 2, lines that start with ``error:`` and no traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    for text in says:
        assert text in result.output
    assert "Traceback" not in result.output


def test_list_shows_every_plugin_benchmark_and_recipe() -> None:
    shown = call("list").output
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert f"  {name} " in shown
    for name in specs.names():
        assert re.search(f"^  {name} +{re.escape(specs.load(name).title)}$", shown, re.MULTILINE)
    assert re.search("^  standard +An architecture, standard training", shown, re.MULTILINE)
    assert call("list", "attacks").output.startswith("attacks:\n  adaptive")


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    refused(call("list", "attack"), "unknown kind 'attack'. Did you mean 'attacks'?", "metrics, datasets, benchmarks")
    refused(call("list", "recipe"), "unknown kind 'recipe'. Did you mean 'recipes'?")


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["run"], "name submissions to run, or pass --all"),
        (["run", "--all", "tiny"], "not both"),
        (["run", "tinny"], "unknown submission 'tinny'. Did you mean 'tiny'?"),
        (["run", "--all", "--benchmark", "smok"], "unknown benchmark 'smok'. Did you mean 'smoke'?"),
        (
            ["run", "tiny", "--benchmark", "phantom-v1"],
            "tiny does not enter phantom-v1; pass --benchmark with one of smoke, or",
        ),
        (["run", "--all", "--benchmark", "phantom-v1"], "no submission enters phantom-v1"),
        (["run", "tiny", "--benchmark", "smoke", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "tiny", "--benchmark", "smoke", "--data", "nowhere"], "--data nowhere: no such folder"),
        (["run", "tiny", "--benchmark", "smoke", "--data", "."], "leave --data out"),
        (["run", "tiny", "--benchmark", "smoke", "--split", "tets"], "Did you mean 'test'?"),
        (["run", "tiny", "--benchmark", "smoke", "--limit", "1"], "--limit 1 is too small"),
        (["run", "tiny", "--benchmark", "smoke", "--budget", "2"], "--budget 2.0 must lie"),
        (["run", "tiny", "--benchmark", "smoke", "--submissions", "elsewhere"], "elsewhere: no such folder"),
        (["run", "tiny", "--benchmark", "fracatlas-v1", "--limit", "4"], "fracatlas needs --data DIR"),
        (["summarise", "tiny"], "no results of 'tiny'"),
        (["train", "standart"], "Did you mean 'standard'?"),
        (["train", "standard", "--architecture", "resnat"], "Did you mean 'resnet'?"),
        (["train", "standard", "--out", "a" * 300], "cannot name a submission"),
        (["validate", "submissions/none.yaml"], "no such file"),
    ],
)
def test_wrong_input_is_one_line_exit_2_and_writes_nothing(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submissions(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    result = call(*arguments)
    refused(result, says)
    assert len(result.output.strip().splitlines()) == 1
    assert files(tmp_path) == before


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    folder = submissions(tmp_path)
    before = files(tmp_path)
    result = call("run", "--all", "--benchmark", "smoke", "--submissions", folder, "--dry-run")
    assert result.exit_code == 0, result.output
    header, row, total, *_ = [line.split() for line in result.stdout.splitlines()]
    assert header == ["submission", "cells", "forward", "backward", "minutes"]
    # 2 batches of: clean, 3 attacks, a ladder, symptoms, 8 explainers on clean and 3 attacks, the reader, and the
    # attack on explanations with the 4 explainers of the panel
    assert row[:2] == ["tiny", str(2 * (1 + 3 + 1 + 1 + 8 * 4 + 1 + 1 + 4))] and total[1] == row[1]
    assert float(row[4]) >= 0 and int(row[2]) > int(row[3]) > 0
    assert files(tmp_path) == before


def test_a_failed_cell_is_named_exit_1_and_the_rest_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = submissions(tmp_path)
    small = specs.load("smoke").model_dump()
    names = [{"name": "saliency", "params": {}}, {"name": "faulty", "params": {}}]
    changed = {"explainers": names, "panel": ["saliency"], "attacks": [{"name": "fgsm"}], "logical_batch": 24}
    made = spec(**small | changed)
    monkeypatch.setattr(specs, "load", lambda name: made)
    with registered(faulty=("explainers", Broken)):
        result = call("run", "tiny", "--benchmark", "smoke", "--submissions", folder)
    assert result.exit_code == 1, result.output
    assert "failed: tiny: RuntimeError: this plugin is broken on purpose (batch 0: faulty on clean, " in result.output
    run = json.loads((folder / "tiny" / "results" / "smoke" / "run.json").read_text())
    failed = [cell for cell in run["cells"] if cell["status"] == "failed"]
    assert {cell["explainer"] for cell in failed} == {"faulty"} and "Traceback" in failed[0]["traceback"]
    summary = json.loads((folder / "tiny" / "results" / "smoke" / "summary.json").read_text())
    assert not summary["ranked"] and summary["headline"]["value"] is not None


def test_a_second_run_has_nothing_to_do(smoke: Path) -> None:
    arguments = ("run", "--all", "--benchmark", "smoke", "--submissions", STARTERS, "--results", smoke)
    before = {path: path.stat().st_mtime_ns for path in files(smoke)}
    done = call(*arguments)
    assert done.exit_code == 0 and done.stderr.count("finished already") == len(list(smoke.iterdir()))
    assert {path: path.stat().st_mtime_ns for path in files(smoke)} == before


def test_progress_goes_to_stderr_in_plain_lines(smoke: Path) -> None:
    out, err = ((smoke.parent / name).read_text() for name in ("stdout", "stderr"))
    assert "cells, estimating: always-fracture: clean" in err and "done" in err
    assert "\x1b" not in err
    assert "next: fracbench leaderboard --submissions" in out


def test_summarise_gives_the_same_numbers_without_a_model(smoke: Path, tmp_path: Path) -> None:
    shutil.copytree(smoke, tmp_path / "copy")
    written = sorted((tmp_path / "copy").rglob("summary.json"))
    before = [json.loads(path.read_text()) for path in written]
    for path in written:
        path.write_text(path.read_text().replace('"value": 1.0', '"value": 0.5'))
    done = call("summarise", "--submissions", tmp_path, "--results", tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert [json.loads(path.read_text()) for path in written] == before
    assert "phantom-resnet-pgd-at" in done.stdout


def test_leaderboard_starts_streamlit_on_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    refused(call("leaderboard", "--results", tmp_path / "r"), f"{tmp_path / 'r'}: no such folder")
    (tmp_path / "r").mkdir()
    monkeypatch.setattr("streamlit.web.cli.main", lambda words, standalone_mode: started.append(words))
    assert call("leaderboard", "--submissions", tmp_path, "--results", tmp_path / "r", "--port", "9000").exit_code == 0
    (words,) = started
    assert words[0] == "run" and words[-4:] == ["--submissions", str(tmp_path), "--results", str(tmp_path / "r")]
    assert "9000" in words and Path(words[1]).is_file()


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("fracbench.evaluating"), "run_submission", stop)
    result = call("run", "tiny", "--benchmark", "smoke", "--submissions", submissions(tmp_path))
    assert result.exit_code == 130 and "Repeat the same command to go on" in result.output


def test_version_and_module_entry(command: Command) -> None:
    from fracbench import __version__

    assert command("--version").stdout.strip() == f"fracbench, version {__version__}"
    assert f'version = "{__version__}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_a_submission_can_make_timm_open_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    torch.save({"fc.weight": Evil()}, tmp_path / "evil.pth")
    for key in ("checkpoint_path", "pretrained", "pretrained_cfg", "cache_dir"):
        options = f"options: {{{key}: {tmp_path / 'evil.pth'}}}"
        text = TINY.replace("options: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}", options)
        folder = submissions(tmp_path / key, text)
        refused(
            call("run", "tiny", "--benchmark", "smoke", "--submissions", folder, "--dry-run"), f"'{key}' is not allowed"
        )
    assert not (tmp_path / "executed").exists()


def test_results_that_cannot_be_written_are_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = submissions(tmp_path)
    result = call("run", "tiny", "--benchmark", "smoke", "--submissions", folder, "--results", tmp_path / "file")
    refused(result, "cannot be written to")


def test_a_cache_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRACBENCH_CACHE", str(tmp_path / "file" / "cache"))
    result = call("run", "tiny", "--benchmark", "smoke", "--submissions", submissions(tmp_path))
    refused(result, f"FRACBENCH_CACHE {tmp_path}/file/cache: cannot be written to")


@pytest.mark.parametrize("own", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}], ids=str)
def test_threads_give_their_core_away_unless_the_user_says_otherwise(
    own: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    call("list", "recipes")
    found = {name: os.environ[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ}
    assert found == (own or {"GOMP_SPINCOUNT": "1000"})


@pytest.mark.parametrize("line", ["links: [2024-13-01]", "control: " + "9" * 5000])
def test_yaml_values_that_are_none_are_one_line(tmp_path: Path, line: str) -> None:
    file = submissions(tmp_path, TINY + line) / "tiny" / "submission.yaml"
    refused(call("validate", file), f"{file}:12: ", "reads as a date or a number, and is none; put it in quotes")


@pytest.mark.parametrize(
    "options, says",
    [
        (["--out", "file"], "is a file"),
        (["--out", "file/tiny"], "--out file/tiny: cannot be written to"),
        (["--out", "/proc/tiny"], "--out /proc/tiny: cannot be written to"),
        (["--out", "My Model"], "cannot name"),
        (["--seed", "9" * 20], "seed"),
    ],
)
def test_train_checks_its_options_first(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    before = files(tmp_path)
    refused(call("train", "always-fracture", *options), says)
    assert files(tmp_path) == before


def test_train_says_how_to_run_what_it_has_made(tmp_path: Path) -> None:
    shutil.copytree(STARTERS / "phantom-resnet-standard", tmp_path / "zoo" / "phantom-resnet-standard")
    done = call("train", "always-fracture", "--out", tmp_path / "zoo" / "other-name")
    assert done.exit_code == 0, done.output
    assert f"next: fracbench run other-name --submissions {tmp_path / 'zoo'}\n" in done.output
