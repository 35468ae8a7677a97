"""The same weights under two names: one evaluation, two rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
from conftest import STARTERS
from fracbench import specs
from fracbench.alike import evaluated_already
from fracbench.resolving import resolve
from fracbench.submissions import survey
from fracbench.tasks import bind
from test_cli import call


def test_the_second_name_takes_the_cells_of_the_first(smoke: Path, tmp_path: Path) -> None:
    submissions, results = tmp_path / "submissions", tmp_path / "results"
    source = STARTERS / "phantom-resnet-standard"
    for name in (source.name, "other"):
        shutil.copytree(source, submissions / name, ignore=shutil.ignore_patterns("results"))
    file = submissions / "other/submission.yaml"
    file.write_text(file.read_text().replace(f"name: {source.name}", "name: other", 1))
    shutil.copytree(smoke / source.name, results / source.name)
    run = ("run", "--all", "--benchmark", "smoke", "--submissions", submissions, "--results", results)
    done = call(*run)
    assert done.exit_code == 0, done.output
    assert f"{source.name}: finished already" in done.stderr
    assert f"other: the same model and weights as {source.name}, whose cells it takes" in done.stderr
    folders = [results / name / "smoke" for name in (source.name, "other")]
    one, other = (json.loads((folder / "run.json").read_text()) for folder in folders)
    assert (one["taken_from"], other["taken_from"]) == (None, source.name)
    assert one["evaluation"] == other["evaluation"] and one["identity"] != other["identity"]
    for table in ("images", "predictions", "alignment", "gallery"):
        of_one, of_other = (pd.read_parquet(folder / f"{table}.parquet") for folder in folders)
        assert of_one.equals(of_other) and len(of_one)
    file.write_text(file.read_text().replace("title: ", "title: Another ", 1))
    mended = call(*run)
    assert mended.exit_code == 0, mended.output
    assert "other: the same model and weights as before, with its cells" in mended.stderr
    renamed = json.loads((folders[1] / "run.json").read_text())
    assert renamed["title"].startswith("Another ") and renamed["cells"] == one["cells"]
    shutil.rmtree(results / "other")
    entries, _ = survey(submissions, results, [source.name, "other"])
    by_name = {task.entry.name: task for task in bind(entries, resolve(specs.load("smoke")), "cpu")}
    found = evaluated_already(by_name["other"], by_name.values())
    assert found is not None and found[0] == source.name and len(found[1].cells) == len(one["cells"])
    (folders[0] / "predictions.parquet").write_bytes((folders[0] / "images.parquet").read_bytes())  # ours no more
    assert evaluated_already(by_name["other"], by_name.values()) is None
