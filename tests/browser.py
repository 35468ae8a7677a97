"""A leaderboard server and a headless Chromium, for tests of the pages people see."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from subprocess import Popen
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip


def require_chromium() -> None:
    """Skip where there is no browser; on CI that would hide a hole, so there it fails."""
    if not CHROMIUM.exists():
        assert not os.environ.get("CI"), f"{CHROMIUM} is missing; install it, CI must test the pages"
        pytest.skip(f"{CHROMIUM} is missing (Debian: apt-get install chromium)")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return int(taken.getsockname()[1])


@contextmanager
def served(start: Any, *places: str | Path) -> Iterator[str]:
    """Run ``fracbench leaderboard`` through ``start`` and give its address; nothing is left running."""
    port = free_port()
    process: Popen[str] = start("leaderboard", *places, "--port", port)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "the leaderboard did not come up in a minute"
                time.sleep(0.2)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.communicate()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://localhost:{port}", timeout=5)


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def opened(
    address: str,
    asked: list[str] | None = None,
    width: int = 2400,
    colours: Literal["light", "dark"] = "light",
    browser: Browser | None = None,
) -> Iterator[Page]:
    """The page at an address; what the browser asks for meanwhile, addresses, is added to ``asked``.

    What goes wrong in it, as its console tells, fails the test in the end. A ``browser`` of its own unless given.
    """
    wrong: list[str] = []

    def told(message: ConsoleMessage) -> None:
        # Streamlit looks for its own address below each page's first
        if message.type == "error" and "/_stcore/" not in message.location.get("url", ""):
            wrong.append(f"{message.text} {message.location}")

    with nullcontext(browser) if browser else launched() as running:
        page = running.new_page(viewport={"width": width, "height": 1800}, color_scheme=colours)
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url) if asked is not None else None)
        page.on("console", told)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector("h1")
        yield page
        page.close()
    assert not wrong, wrong


def settle(page: Page) -> None:
    """Wait until the script behind the page has run to its end and all it showed is drawn."""
    page.wait_for_timeout(500)  # a widget's change takes a moment to start the script
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp][data-test-script-state=notRunning]')"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )
    assert page.locator("[data-testid=stException]").count() == 0, page.inner_text("body")


def cells(page: Page, tables: int = 2) -> list[str]:
    """Texts of the cells of all tables on the page, when as many as there are have been drawn."""
    page.wait_for_function(
        f"(tables => tables.length == {tables} && tables.every(table => table.querySelector('[role=gridcell]')))"
        "([...document.querySelectorAll('[data-testid=stDataFrame]')])"
    )
    return page.locator("[role=gridcell]").all_text_contents()
