"""The pages of the leaderboard, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from browser import cells, opened, require_chromium, served, settle
from conftest import Command
from fracbench.schema import SCHEMA_VERSION
from fracbench.store import ResultFolder
from fracbench_leaderboard.alignment_tables import CALIBRATED
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


@pytest.fixture(autouse=True)
def chromium() -> None:
    require_chromium()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).first.click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def test_the_page_shows_what_the_files_say(smoke: Path, command: Command) -> None:
    folder = ResultFolder(smoke / "phantom-resnet-pgd-at" / "smoke", "phantom-resnet-pgd-at", "smoke")
    summary = folder.summary()
    assert summary is not None
    with served(command.start, "--submissions", ".", "--results", smoke) as address, opened(address) as page:
        page.wait_for_selector("text=One case")
        settle(page)
        shown = cells(page)
        headline = summary["headline"]
        assert f"{headline['value']:.3f} [{headline['low']:.3f}, {headline['high']:.3f}]" in shown
        for factor in summary["factors"].values():
            assert f"{factor['value']:.3f} [{factor['low']:.3f}, {factor['high']:.3f}]" in shown
        assert {"phantom-resnet-pgd-at", "phantom-resnet-standard", "always-fracture", "control", "8 + 8"} <= set(shown)
        assert page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").count() >= 1
        pictures = page.locator("[data-testid=stImage] img, [data-testid=stImageContainer] img")
        expect(pictures, "radiograph, mask, map and overlay").to_have_count(4)
        choose(page, "Input", "strongest attempt")
        expect(pictures, "and the perturbation").to_have_count(5)
        expect(page, "the view is a link").to_have_url(re.compile("input=strongest"))
        choose(page, "Explainer", "occlusion")
        expect(page.locator("body")).to_contain_text("occlusion map")


def test_the_robustness_page_shows_the_curve_what_attacks_achieved_and_flags(smoke: Path, command: Command) -> None:
    folder = ResultFolder(smoke / "phantom-resnet-pgd-at" / "smoke", "phantom-resnet-pgd-at", "smoke")
    summary = folder.summary()
    assert summary is not None
    with (
        served(command.start, "--submissions", ".", "--results", smoke) as address,
        opened(f"{address}/robustness") as page,
    ):
        page.wait_for_selector("text=One model")
        settle(page)
        choose(page, "Model", "phantom-resnet-pgd-at")
        shown = cells(page)
        assert {"autoattack/apgd-margin", "autoattack/square", "fgsm"} <= set(shown)
        assert f"{summary['attacks']['pgd']['forward_per_image']:.1f}" in shown
        rate = summary["robust"]["missed_fracture_rate"]
        assert f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]" in shown
        assert page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").count() == 1
        choose(page, "Model", "fake-defence")
        expect(page.locator("body")).to_contain_text("zero_gradient: the gradient is zero")
        expect(page.locator("body")).to_contain_text("the adaptive attack has answered it")


def test_the_alignment_page_shows_what_the_files_say(smoke: Path, command: Command) -> None:
    name = "phantom-resnet-pgd-at"
    summary = ResultFolder(smoke / name / "smoke", name, "smoke").summary()
    assert summary is not None
    outcomes = summary["alignment_by_outcome"]

    def line(*parts: dict[str, Any]) -> list[str]:
        return [cell for of in parts for cell in (*(f"{of[key]:.3f}" for key in CALIBRATED), str(of["n"]))]

    with (
        served(command.start, "--submissions", ".", "--results", smoke) as address,
        opened(f"{address}/alignment?model={name}&metric=auc&attack=pgd") as page,
    ):
        page.wait_for_selector("text=With and without a fracture")
        settle(page)
        shown = cells(page, 5)
        clean, attacked, *_ = (place for place, cell in enumerate(shown) if cell == "saliency")
        first = summary["alignment"]["saliency"]["auc"]["clean"], outcomes["true_positives"]["saliency"]["auc"]["clean"]
        second = (outcomes[part]["saliency"]["auc"]["pgd"] for part in ("survived", "flipped"))
        assert shown[clean + 1 : clean + 11] == line(*first)
        assert shown[attacked + 1 : attacked + 11] == line(*second)
        stable, faithful = summary["stability"]["gradcam"], summary["faithfulness"]["saliency"]
        for mean in (stable["pgd"]["top_overlap"], faithful["sparseness"],
                     summary["spread"]["normal"]["occlusion"]["outside_anatomy"]):  # fmt: skip
            assert f"{mean['value']:.3f} (n = {mean['n']})" in shown
        assert "– (n = 0)" in shown, "a reader marks nothing on a normal image"
        for half in (summary["robust_alignment"][when] for when in ("clean", "attacked")):
            told = f"{half['value']:.3f} [{half['low']:.3f}, {half['high']:.3f}] (n = {half['n']})"
            expect(page.locator("body")).to_contain_text(told)
        assert page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").count() == 1
        choose(page, "Attack", "explanation")
        mean = stable["explanation"]["rank_correlation"]
        page.wait_for_function(
            "text => [...document.querySelectorAll('[role=gridcell]')].some(cell => cell.textContent == text)",
            arg=f"{mean['value']:.3f} (n = {mean['n']})",
        )
        choose(page, "Metric", "instance_hit")
        expect(page, "the view is a link").to_have_url(re.compile("metric=instance_hit"))
        expect(page.locator("body")).to_contain_text("without a calibrated score: ")


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
        page.wait_for_selector("text=One case")
        settle(page)
        text = page.inner_text("body")
        assert "badge 'not trained on such images'" in text and "Abedeen et al." in text
        assert page.locator("a[href*=evil]").count() == 0, "text of a result file is never a link"
        assert "custom run; self-reported, and not verified" in cells(page)
        assert any("self-reported" in cell for cell in cells(page)), "a changed file is no longer ours"


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
    case = f"{evil} ({'fracture' if gallery.label[0] else 'normal'})"
    asked: list[str] = []
    with served(command.start, "--submissions", ".", "--results", "results") as address:
        for view, last in (("", "One case"), ("robustness", "One model"), ("alignment", "With and without")):
            with opened(f"{address}/{view}?image={quote(case)}", asked) as page:
                page.wait_for_selector(f"text={last}")
                settle(page)
                text = page.inner_text("body")
                assert evil in text or view == "alignment", "as it was written, not as markup"
                if view == "":
                    expect(page.get_by_role("combobox", name="Image")).to_have_value(case)
                    page.set_viewport_size({"width": 6000, "height": 1800})  # columns out of sight are not drawn
                    for shown in (evil, f"{evil}; self-reported, and not verified"):
                        page.locator("[role=gridcell]").filter(has_text=shown).first.wait_for(state="attached")
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
        page.wait_for_selector("text=One case")
        settle(page)
        text = page.inner_text("body")
        assert (
            "Left out" in text
            and "broken/smoke/summary.json" in text
            and "always-fracture/smoke/summary.json: not a summary" in text
        )
        assert "phantom-resnet-pgd-at" in cells(page)
