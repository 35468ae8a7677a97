"""The board in a browser on what it did not expect: nothing, broken files, text of strangers, other data."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from browser import cells, opened, served, settle
from conftest import Command
from fracbench.schema import SCHEMA_VERSION
from playwright.sync_api import expect
from test_browser import CASE, NAME, chromium, linked  # noqa: F401  # needs Chromium like that file

pytestmark = pytest.mark.browser


@pytest.mark.slow
def test_real_radiographs_say_that_these_models_never_saw_any(smoke: Path, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "results" / "a" / "fracatlas-v1-custom"
    shutil.copytree(smoke / "phantom-resnet-standard" / "smoke", copy)
    summary = json.loads((copy / "summary.json").read_text())
    changed = {
        "dataset": "fracatlas",
        "overlap": {"such_images": False, "by": "names", "images": None, "badge": ""},
        "note": "Abedeen et al. [x](http://evil.example)",
        "custom": True,
        "ranked": False,
    }
    (copy / "summary.json").write_text(json.dumps(summary | changed | {"unranked_because": ["custom run"]}))
    with served(command.start, "--submissions", ".", "--results", "results") as address, opened(address) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        text = page.inner_text("body")
        assert "badge 'not trained on such images'" in text and "Abedeen et al." in text
        assert page.locator("a[href*=evil]").count() == 0, "text of a result file is never a link"
        assert "custom run; self-reported, and not verified" in cells(page, 1)
        assert any("self-reported" in cell for cell in cells(page, 1)), "a changed file is no longer ours"


@pytest.mark.slow
def test_text_of_strangers_is_shown_as_it_is_and_asks_nobody(smoke: Path, tmp_path: Path, command: Command) -> None:
    copy = tmp_path / "results" / "a" / "smoke"
    shutil.copytree(smoke / "fake-defence" / "smoke", copy)
    summary = json.loads((copy / "summary.json").read_text())
    evil = "![x](http://evil.example/x.png) <img src=http://evil.example/y.png> [red]x[/red] www.evil.example :red[y]"
    flags = [flag | {"text": evil} for flag in summary["flags"]]
    assert flags
    changed = {"title": evil, "authors": [evil], "note": evil, "trained_on": evil, "flags": flags,
               "unranked_because": [evil], "training": summary["training"] | {"recipe": evil}}  # fmt: skip
    (copy / "summary.json").write_text(json.dumps(summary | changed))
    gallery = pd.read_parquet(copy / "gallery.parquet")
    gallery.assign(image=gallery.image.replace(gallery.image[0], evil)).to_parquet(copy / "gallery.parquet")
    asked: list[str] = []
    with served(command.start, "--submissions", ".", "--results", "results") as address:
        views = {
            "": "Robustness and alignment", "model": "The submission", "model?part=Robustness": "Attacks at",
            "model?part=Record": "Versions", "cases": "All cases of this entry", "alignment": "What explanations",
        }  # fmt: skip
        for view, last in views.items():
            with opened(f"{address}/{view}", asked, 2400) as page:
                page.wait_for_selector(f"text={last}")
                settle(page)
                if view == "cases":
                    page.get_by_role("combobox", name=CASE).click()
                    page.get_by_role("option").filter(has_text=evil).first.click()
                    settle(page)
                    expect(page.get_by_role("combobox", name=CASE)).to_have_value(re.compile(r"!\[x"))
                elif view != "alignment" and "Record" not in view:
                    assert evil in page.inner_text("body"), "as it was written, not as markup"
                if view == "":
                    page.set_viewport_size({"width": 6000, "height": 1800})  # columns out of sight are not drawn
                    shown = page.locator("[role=gridcell]").filter(has_text=f"{evil}; self-reported, and not verified")
                    shown.first.wait_for(state="attached")
                assert page.locator("a[href*=evil], img[src*=evil]").count() == 0
    assert asked and all(url.startswith((address, address.replace("http", "ws"), "data:", "blob:")) for url in asked)


def test_an_empty_board_says_what_to_type(command: Command) -> None:
    with served(command.start, "--submissions", ".") as address, opened(address) as page:
        settle(page)
        page.get_by_text("fracbench run --all").wait_for()
        assert "No results yet" in page.inner_text("body")


def test_a_broken_result_is_a_line_and_the_rest_is_shown(smoke: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(smoke, tmp_path / "results")
    empty = json.dumps({"schema_version": SCHEMA_VERSION})
    (tmp_path / "results" / "always-fracture" / "smoke" / "summary.json").write_text(empty)
    (tmp_path / "results" / "broken" / "smoke").mkdir(parents=True)
    (tmp_path / "results" / "broken" / "smoke" / "summary.json").write_text("{")
    with served(command.start, "--submissions", ".", "--results", "results") as address, opened(address) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        text = page.inner_text("body")
        assert (
            "Left out" in text
            and "broken/smoke/summary.json" in text
            and "always-fracture/smoke/summary.json: not a summary" in text
        )
        assert NAME in linked(cells(page, 1))
