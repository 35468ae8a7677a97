"""The pages of the leaderboard, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import cells, launched, opened, require_chromium, served, settle
from conftest import Command
from fracbench.store import ResultFolder
from fracbench_leaderboard.alignment_tables import CALIBRATED
from fracbench_leaderboard.pictures import CAPTION, LINE, SIDE
from fracbench_leaderboard.table import number
from PIL import Image
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


@pytest.fixture(autouse=True)
def chromium() -> None:
    require_chromium()


PAGES = {
    "": "fracbench", "ranking": "fracbench", "model": "Model", "compare": "Compare", "cases": "Cases",
    "robustness": "Robustness", "alignment": "Alignment", "question": "Does robustness bring alignment?",
    "submit": "Submit", "about": "About",
}  # fmt: skip


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True).first
    box.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # a list that is open closes when its page scrolls
    box.click()
    page.get_by_role("option", name=option, exact=True).first.click()
    settle(page)


NAME = "phantom-resnet-pgd-at"
CASE = "Case, the lowest clean margin first"


def summary_of(smoke: Path, name: str = NAME) -> dict[str, Any]:
    summary = ResultFolder(smoke / name / "smoke", name, "smoke").summary()
    assert summary is not None
    return summary


def linked(shown: list[str]) -> set[str]:
    """The entries whose names, which are links to their pages, are in these cells."""
    return {cell.split("model=")[1] for cell in shown if "model=" in cell}


def pictures(page: Page) -> Locator:
    return page.locator("[data-testid=stImage] img, [data-testid=stImageContainer] img")


def charts(page: Page) -> Locator:
    return page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")


@pytest.fixture(scope="module")
def board(smoke: Path, make_command: Callable[[Path], Command]) -> Iterator[str]:
    """The address of a leaderboard of the smoke results."""
    require_chromium()
    with served(make_command(smoke.parent).start, "--submissions", ".", "--results", smoke) as address:
        yield address


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_every_page_opens_at_a_desk_and_on_a_phone(board: str, width: int) -> None:
    """Without an exception, an error on the console, a request to another host, or a page wider than the screen."""
    asked: list[str] = []
    with launched() as browser:
        for path, title in PAGES.items():
            with opened(f"{board}/{path}", asked, width, browser=browser) as page:
                settle(page)
                expect(page.locator("h1")).to_have_text(title)
                main = page.locator("[data-testid=stMain]")
                assert main.evaluate("of => of.scrollWidth") <= main.evaluate("of => of.clientWidth") <= width
                for place in pictures(page).all():
                    assert place.get_attribute("alt")
    assert asked and all(url.startswith((board, board.replace("http", "ws"), "data:", "blob:")) for url in asked)


def test_from_the_ranking_to_a_model_to_its_cases_and_back_by_address(smoke: Path, board: str) -> None:
    summary = summary_of(smoke)
    with opened(board, width=3600) as page:  # columns out of sight are not drawn
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        shown = cells(page, 1)
        for score in (summary["headline"], *summary["factors"].values()):
            assert repr(score["value"]) in shown
        assert {NAME, "phantom-resnet-standard", "always-fracture"} <= linked(shown) and "8 + 8" in shown
        assert charts(page).count() == 1
        page.get_by_role("textbox", name="Search").fill("standard")
        page.get_by_role("textbox", name="Search").press("Enter")
        settle(page)
        expect(page.locator("body")).to_contain_text("1 of 4 entries are shown")
        expect(page, "the view is a link").to_have_url(re.compile("search=standard"))
        address = page.url
        with page.expect_download() as taken:
            page.get_by_role("button", name="CSV", exact=True).first.click()
        line = pd.read_csv(taken.value.path()).iloc[0]
        assert line.Name == "phantom-resnet-standard" and {"Headline low", "Headline high"} <= set(line.index)
        with page.expect_download() as taken:
            page.get_by_role("button", name="SVG", exact=True).first.click()
        assert Path(taken.value.path()).read_text().startswith("<svg")
        page.get_by_role("link", name="Model", exact=True).click()
        page.wait_for_selector("text=The submission")
        settle(page)
        expect(page, "what is first may change, so it is in the address").to_have_url(re.compile("model=.*"))
        choose(page, "Model", NAME)
        assert repr(summary["headline"]["value"]) in cells(page, 1)
        page.get_by_role("link", name="Cases", exact=True).click()
        page.wait_for_selector("text=All cases of this entry")
        expect(page, "the model is the one looked at before").to_have_url(re.compile(f"model={NAME}"))
        settle(page)
        page.goto(address)
        page.wait_for_selector("text=1 of 4 entries are shown")


def test_a_click_on_a_point_shows_the_way_to_its_model(board: str) -> None:
    with opened(board, width=1280) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        point = page.locator("[data-testid=stVegaLiteChart] path[aria-roledescription=point]").first
        point.scroll_into_view_if_needed()
        point.click(force=True)
        way = page.get_by_role("link", name=re.compile("^Open "))
        name = way.inner_text().removeprefix("Open ")
        way.click()
        expect(page.locator("h1")).to_have_text("Model")
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def test_own_weights_order_the_table_and_leave_the_rank(smoke: Path, board: str) -> None:
    with opened(f"{board}/?own=true&weight=0", width=2400) as page:
        page.wait_for_selector("text=This order is yours")
        settle(page)
        shown = cells(page, 1)
        alignment = [summary_of(smoke, name)["calibrated_alignment"]["value"] for name in linked(shown)]
        assert repr(max(alignment)) == shown[1] and {"1", "2"} <= set(shown), "ranks stay those of the headline"


def test_the_robustness_of_a_model_with_its_flags(smoke: Path, board: str) -> None:
    summary = summary_of(smoke)
    with opened(f"{board}/model?part=Robustness&model={NAME}", width=2400) as page:
        page.wait_for_selector("text=Attacks at the reference epsilon")
        settle(page)
        shown = cells(page, 1)
        assert {"autoattack/apgd-margin", "autoattack/square", "fgsm"} <= set(shown)
        assert f"{summary['attacks']['pgd']['forward_per_image']:.1f}" in shown
        rate = summary["attacks"]["autoattack"]["missed_fracture_rate"]
        assert f"{rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]" in shown
        assert charts(page).count() == 1
        choose(page, "Model", "fake-defence")
        expect(page.locator("body")).to_contain_text("zero_gradient: the gradient is zero")
        expect(page.locator("body")).to_contain_text("the adaptive attack has answered it")


def test_the_alignment_of_a_model_is_what_the_files_say(smoke: Path, board: str) -> None:
    summary = summary_of(smoke)
    outcomes = summary["alignment_by_outcome"]

    def line(*parts: dict[str, Any]) -> list[str]:
        return [cell for of in parts for cell in (*(number(of[key]) for key in CALIBRATED), str(of["n"]))]

    place = f"{board}/model?part=Alignment&model={NAME}&metric=auc&attack=pgd"
    with opened(place, width=2400) as page:
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
        assert charts(page).count() == 1, "the heat map"
        choose(page, "Attack", "explanation")
        mean = stable["explanation"]["rank_correlation"]
        page.wait_for_function(
            "text => [...document.querySelectorAll('[role=gridcell]')].some(cell => cell.textContent == text)",
            arg=f"{mean['value']:.3f} (n = {mean['n']})",
        )
        choose(page, "Metric", "instance_hit")
        expect(page, "the view is a link").to_have_url(re.compile("metric=instance_hit"))


def test_the_alignment_of_all_names_what_has_no_score(board: str) -> None:
    with opened(f"{board}/alignment?metric=instance_hit", width=1280) as page:
        settle(page)
        expect(page.locator("body")).to_contain_text("without a calibrated score: ")


def test_cases_are_filtered_turned_over_and_linked(board: str) -> None:
    with opened(f"{board}/cases?model=phantom-resnet-standard", width=1280) as page:
        page.wait_for_selector("text=All cases of this entry")
        settle(page)
        first = page.get_by_role("combobox", name=CASE).input_value()
        expect(page.get_by_text("1 of 16 cases")).to_be_visible()
        page.get_by_role("button", name="Next").first.click()
        settle(page)
        case = page.get_by_role("combobox", name=CASE)
        expect(page.get_by_text("2 of 16 cases")).to_be_visible()
        image = case.input_value()
        assert image != first
        expect(page, "the case is a link").to_have_url(re.compile(f"image={image}"))
        page.go_back()
        expect(case, "a step back is the case before").to_have_value(first)
        settle(page)
        page.get_by_role("button", name="Next").first.click()
        expect(case).to_have_value(image)
        page.get_by_role("button", name="Previous").first.click()
        settle(page)
        expect(case).to_have_value(first)
        page.get_by_role("combobox", name="Outcome").click()
        page.get_by_role("option", name="missed under attack", exact=True).click()
        page.keyboard.press("Escape")
        settle(page)
        expect(page.locator("body")).to_contain_text("Outcome: missed under attack.")
        address = page.url
    with opened(address, width=1280) as page:
        settle(page)
        expect(page.locator("body")).to_contain_text("Outcome: missed under attack.")
    with opened(f"{board}/cases?model=gone", width=1280) as page:
        expect(page.locator("body")).to_contain_text("The address asks for what is not among these")


def test_an_attacked_fracture_has_maps_before_and_after(smoke: Path, board: str) -> None:
    gallery = pd.read_parquet(smoke / NAME / "smoke" / "gallery.parquet")
    fracture = gallery[gallery.label == 1].image.iloc[0]
    place = f"{board}/cases?model={NAME}&image={fracture}&explainers=saliency&explainers=gradcam&times=8"
    with opened(place, width=1280) as page:
        page.wait_for_selector("text=Scores of its maps")
        settle(page)
        captions = page.locator("[data-testid=stImageCaption], figcaption").all_text_contents()
        assert sum("saliency" in text for text in captions) == sum("gradcam" in text for text in captions) == 2
        assert any("perturbation (grey: none; black and white: epsilon / 8" in text for text in captions)
        expect(pictures(page), "radiograph twice, outline, perturbation, two maps of each").to_have_count(8)
        with page.expect_download() as taken:
            page.get_by_role("button", name="PNG", exact=True).click()
        assert Image.open(taken.value.path()).size == (2 * SIDE, 4 * (SIDE + CAPTION * LINE)), "pairs below each other"


def test_entries_are_compared_where_they_disagree(board: str) -> None:
    place = f"{board}/compare?entries={NAME}&entries=phantom-resnet-standard"
    with opened(place, width=1280) as page:
        page.wait_for_selector("text=Where they disagree")
        settle(page)
        assert f"{NAME} less phantom-resnet-standard" in cells(page, 2)
        assert charts(page).count() == 2 and pictures(page).count() >= 2
        page.get_by_role("link", name="this case").first.click()
        expect(page.locator("h1")).to_have_text("Cases")
        expect(page).to_have_url(re.compile("image="))


def test_a_pasted_file_is_told_its_faults_line_by_line(board: str) -> None:
    with opened(f"{board}/submit?part=Check+a+file", width=1280) as page:
        settle(page)
        page.get_by_label("Paste a submission.yaml").fill("name: My Model\ntitel: x\n")
        page.get_by_label("Paste a submission.yaml").press("Control+Enter")
        settle(page)
        told = "submission.yaml:2: unknown key 'titel'. Did you mean 'title'?"
        expect(page.locator("body")).to_contain_text(told)
        page.get_by_role("link", name="About", exact=True).click()
        expect(page.locator("h1")).to_have_text("About")
        settle(page)
        page.wait_for_load_state("networkidle")  # its pictures are gone once it is left
        page.get_by_role("link", name="Submit", exact=True).click()
        expect(page.locator("body"), "what was typed is kept").to_contain_text(told)
