"""Every page of the board through Streamlit's own tests: on results, on none, on broken ones."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import STARTERS
from fracbench.submission_schema import Submission
from fracbench_leaderboard.navigation import OF_RESULTS, OTHERS
from streamlit.testing.v1 import AppTest

PARTS = ("Card", "Robustness", "Alignment", "Subgroups", "Record")


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest puts its script in place of ``__main__``, which processes that later tests spawn would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def page(first: str, results: Path, **query: str | list[str]) -> AppTest:
    """The application, with this page at its own address."""
    script = (
        "from pathlib import Path\n"
        "from fracbench_leaderboard.navigation import navigate\n"
        f"navigate(Path({str(STARTERS)!r}), Path({str(results)!r}), {first!r})\n"
    )
    test = AppTest.from_string(script, default_timeout=60)
    for name, value in query.items():
        test.query_params[name] = value
    return test.run()


def words(test: AppTest) -> str:
    parts = (*test.text, *test.markdown, *test.caption, *test.subheader, *test.title, *test.info, *test.warning)
    return "\n".join(str(of.value) for of in parts)


@pytest.mark.parametrize("first", [*OF_RESULTS, *OTHERS])
def test_a_page_on_results(first: str, smoke: Path) -> None:
    test = page(first, smoke)
    assert not test.exception and test.title[0].value
    assert "No results yet" not in words(test)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("model", ["phantom-resnet-pgd-at", "always-fracture"])
def test_every_part_of_a_model(part: str, model: str, smoke: Path) -> None:
    test = page("model", smoke, model=model, part=part)
    assert not test.exception
    assert test.selectbox(key="model").value == model
    assert test.dataframe or part == "Subgroups"


@pytest.mark.parametrize("first", OF_RESULTS)
def test_an_empty_board_says_what_to_type(first: str, tmp_path: Path) -> None:
    test = page(first, tmp_path)
    assert not test.exception and "No results yet" in words(test)
    assert test.code[0].value == "fracbench run --all"


@pytest.mark.parametrize("first", OF_RESULTS)
def test_one_entry_alone(first: str, results: Path) -> None:
    test = page(first, results)
    assert not test.exception
    assert first != "compare" or "run another to compare it with" in words(test)


@pytest.mark.parametrize("first", OF_RESULTS)
@pytest.mark.parametrize("name", ["run.json", "summary.json", "predictions.parquet", "alignment.parquet",
                                  "images.parquet", "gallery.parquet"])  # fmt: skip
@pytest.mark.parametrize("content", [None, b"{"])
def test_a_missing_or_broken_file_is_no_exception(
    first: str, name: str, content: bytes | None, results: Path, smoke: Path
) -> None:
    shutil.copytree(smoke / "always-fracture", results / "always-fracture")
    file = results / "phantom-resnet-standard" / "smoke" / name
    file.unlink() if content is None else file.write_bytes(content)
    query = {} if first != "model" else {"part": "Record"}
    test = page(first, results, **({} if name == "summary.json" else {"model": "phantom-resnet-standard"}), **query)
    assert not test.exception, test.exception


def test_old_results_are_a_line(results: Path) -> None:
    file = results / "phantom-resnet-standard" / "smoke" / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 1}))
    test = page("ranking", results)
    assert not test.exception and "schema version 1" in words(test) and "run again" in words(test)


def test_a_run_in_progress_is_counted(results: Path) -> None:
    (results / "other" / "smoke" / "cells").mkdir(parents=True)
    test = page("ranking", results)
    assert any("In progress, not ranked yet: 1" in of.label for of in test.expander)
    assert "other on smoke" in words(test)


def test_boards_are_narrowed_by_their_threat_model(results: Path) -> None:
    folder = results / "phantom-resnet-standard"
    assert "of-epsilon" not in {of.key for of in page("ranking", results).multiselect}, "there is one board"
    shutil.copytree(folder / "smoke", folder / "other")
    file = folder / "other" / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"spec": "other", "epsilon": "1/255"}))
    test = page("ranking", results)
    assert len(test.selectbox(key="board").options) == 2
    test.multiselect(key="of-epsilon").set_value(["1/255"]).run()
    (only,) = test.selectbox(key="board").options
    assert only.startswith("other, ") and not test.exception
    other = next(of for of in test.multiselect(key="of-epsilon").options if of != "1/255")
    test.multiselect(key="of-epsilon").set_value([other]).run()
    (only,) = test.selectbox(key="board").options
    assert only.startswith("smoke, ") and not test.exception


def test_each_picture_of_a_case_stands_beside_its_attacked_twin(smoke: Path) -> None:
    test = page("cases", smoke, model="phantom-resnet-standard")
    captions = [of.caption for image in test.get("image") for of in image.proto.imgs]
    explainers = test.multiselect(key="explainers").value
    assert len(explainers) == 2 and captions[0] == "radiograph, clean"
    for name in ("radiograph", *explainers):
        place = captions.index(f"{name}, clean")
        assert captions[place + 1].startswith(f"{name}, under ")


def shown(test: AppTest) -> list[str]:
    return [str(name).split("model=")[1] for name in test.dataframe[0].value.Name]


def test_filters_leave_what_was_asked_for(smoke: Path) -> None:
    test = page("ranking", smoke)
    everyone = shown(test)
    test.text_input(key="search").set_value("pgd adversarial").run()
    assert shown(test) == ["phantom-resnet-pgd-at"] and "1 of 4 entries" in words(test)
    test.text_input(key="search").set_value("").run()
    test.multiselect(key="training").set_value(["adversarial"]).run()
    assert shown(test) == ["phantom-resnet-pgd-at"]
    test.multiselect(key="training").set_value([]).run()
    test.number_input(key="parameters").set_value(0.0).run()
    assert "No entry is left" in words(test)
    test.number_input(key="parameters").set_value(None).run()
    test.toggle(key="own").set_value(True).run()
    test.slider(key="weight").set_value(0).run()
    assert not test.exception and sorted(shown(test)) == sorted(everyone)
    by_alignment = test.dataframe[0].value["By your weights"].tolist()
    assert by_alignment == sorted(by_alignment, reverse=True)
    assert test.dataframe[0].value["Rank"].tolist() == [1, 2, 2, 2], "ranks stay those of the headline"


def test_the_entries_compared_are_in_the_address_also_where_nobody_chose_them(smoke: Path) -> None:
    test = page("compare", smoke)
    first = test.multiselect(key="entries").value
    assert len(first) == 2 and test.query_params["entries"] == first
    one = test.multiselect(key="entries").options[-1]
    assert one not in first
    test.multiselect(key="entries").set_value([*first, one]).run()
    assert test.query_params["entries"] == [*first, one]
    test.multiselect(key="entries").set_value([]).run()
    assert not test.exception and "Choose another entry" in words(test)
    asked = page("compare", smoke, entries=[one, "gone", first[0]])
    assert asked.multiselect(key="entries").value == [one, first[0]] and "not among these" in words(asked)


def test_cases_are_kept_by_what_they_are(smoke: Path) -> None:
    test = page("cases", smoke, model="phantom-resnet-standard", truth="normal")
    assert not test.exception and "Truth: normal" in words(test)
    test.multiselect(key="truth").set_value(["fracture"]).run()
    assert "Truth: fracture" in words(test)


def test_the_form_makes_a_file_that_is_valid(smoke: Path) -> None:
    import yaml

    test = page("submit", smoke)
    made: dict[str, Any] = yaml.safe_load(test.code[0].value)
    assert Submission.model_validate(made).name == "my-model" and test.success
    test.number_input(key="seed").set_value(0).run()
    assert yaml.safe_load(test.code[0].value)["training"]["seed"] == 0 and test.success
    test.text_input(key="name").set_value("My Model").run()
    assert "is not allowed" in words(test) and not test.exception


def test_a_pasted_file_is_told_its_faults(smoke: Path) -> None:
    test = page("submit", smoke)
    text = (STARTERS / "phantom-resnet-standard" / "submission.yaml").read_text()
    test.text_area(key="pasted").set_value(text).run()
    assert len(test.success) == 2
    test.text_area(key="pasted").set_value(text.replace("architecture: resnet18", "architecture: resnet19")).run()
    assert "submission.yaml:" in words(test) and "resnet18" in words(test)
    for bad in ("[", "a: 1\x00", "x" * 70_000, "name: !!python/object:os.system x"):
        test.text_area(key="pasted").set_value(bad).run()
        assert not test.exception and "submission.yaml" in words(test)


def test_cases_go_on_and_back_and_an_unknown_image_in_the_address_is_the_first(smoke: Path) -> None:
    test = page("cases", smoke, model="phantom-resnet-standard", image="nothing")
    first = test.selectbox(key="image").value
    test.button[1].click().run()
    second = test.selectbox(key="image").value
    assert second != first
    test.button[0].click().run()
    assert test.selectbox(key="image").value == first and not test.exception
