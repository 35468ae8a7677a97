"""A store of 500 submissions, and what it costs to read: ``python tests/perf/board.py [--folder DIR]``.

Each has 12 attacks, 16 explainers and 200 images; the rows are drawn at random, in the form that ``run`` writes. Told
are the seconds of ``summarise`` for one submission, of reading the board for the first time and again, from an address
to the browser's first contentful paint and to a table with rows, of filters and choices, and the memory of the server.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import record
from fracbench.board import read_board
from fracbench.files import cache_dir
from fracbench.store import TABLES, ResultFolder
from fracbench.summary import board_of, summarise
from large_store import write_store
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the browser that the tests drive
from browser import opened, served, settle

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


READ = "import sys; from pathlib import Path; from fracbench.board import read_board; import time\n" \
       "for _ in range(2):\n" \
       "    start = time.perf_counter(); board = read_board(Path('none'), Path(sys.argv[1]))\n" \
       "    print(time.perf_counter() - start)\n" \
       "assert len(board.rows) == int(sys.argv[2])"  # fmt: skip


def read_twice(folder: Path, submissions: int) -> list[float]:
    """Seconds of the first and the second reading in a process of its own."""
    done = subprocess.run([sys.executable, "-c", READ, str(folder), str(submissions)], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return [float(line) for line in done.stdout.split()]


def painted(page: Page, address: str) -> tuple[float, float]:
    """Seconds from an address to what the browser calls its first contentful paint, and to a table with rows in it."""

    def load() -> None:
        page.goto(address)
        page.wait_for_selector("[data-testid=stDataFrame] [role=gridcell]", state="attached")

    whole = seconds(load)
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000")), whole


WATCH = """() => {
    const marks = () => {  // the head of the first table and its first rows, as they are painted
        const table = document.querySelector("[data-testid=data-grid-canvas]");
        if (!table) return "";
        const pixels = new Uint32Array(table.getContext("2d").getImageData(0, 0, table.width, 100).data.buffer);
        return pixels.reduce((sum, pixel) => (Math.imul(sum, 31) + pixel) | 0, 0);
    };
    window.last = window.begun = performance.now();
    window.painted = null;  // until it is
    let before = marks();
    clearInterval(window.looking);
    window.looking = setInterval(() => {
        const now = marks();
        if (now !== before) window.painted = performance.now();
        before = now;
    }, 40);
    new MutationObserver(() => { window.last = performance.now(); }).observe(
        document.querySelector("[data-testid=stMain]"), {subtree: true, childList: true, characterData: true});
}"""


def changed(page: Page, act: Callable[[], object]) -> tuple[float | None, float]:
    """Seconds from what a reader does until the first table is painted anew, and to the last change of the page."""
    page.evaluate(WATCH)
    act()
    page.wait_for_timeout(3000)
    settle(page)
    return tuple(page.evaluate("[window.painted, window.last].map(at => at && (at - window.begun) / 1000)"))


def chosen(page: Page, box: str, wanted: str) -> tuple[float | None, float]:
    """Seconds of a choice in a box."""
    offering = page.get_by_role("combobox", name=box, exact=True)
    offering.click()
    offering.fill(wanted)
    page.get_by_role("option", name=wanted, exact=True).wait_for()
    return changed(page, lambda: page.keyboard.press("Enter"))


def searched(page: Page, words: str) -> tuple[float | None, float]:
    """Seconds of a search among the entries."""
    box = page.get_by_role("textbox", name="Search")
    box.fill(words)
    return changed(page, lambda: box.press("Enter"))


def peak(process: int) -> float:
    """The most memory that a process has held, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


VIEWS = {
    "ranking": "",
    "robustness": "robustness",
    "a model's card": "model",
    "a model's robustness": "model?part=Robustness",
    "a model's alignment": "model?part=Alignment",
}


BARE = """import numpy, pandas, streamlit
streamlit.title("A table")
streamlit.dataframe(pandas.DataFrame(numpy.random.rand(500, 12)))
"""


def on_a_bare_page() -> list[tuple[float, float]]:
    """Seconds that Streamlit and the browser take whatever a page does."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE)

        def start(*words: object) -> subprocess.Popen[str]:
            options = ("--server.port", str(words[-1]), "--server.headless", "true",
                       "--browser.gatherUsageStats", "false")  # fmt: skip
            command = [sys.executable, "-m", "streamlit", "run", str(script), *options]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

        with served(start) as address, opened(address) as page:
            settle(page)
            return [painted(page, address) for _ in range(ROUNDS)]


def in_browser(folder: Path) -> dict[str, Any]:
    """Times of each page and of filters, and the memory of the server."""
    rows = read_board(folder, folder).rows
    shown = [row for row in rows if board_of(row) == board_of(rows[0])]
    others = list(itertools.islice(itertools.cycle([row["submission"] for row in shown[1:]]), ROUNDS))
    servers: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fracbench", *map(str, words)]
        servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True))
        return servers[0]

    times: dict[str, Any] = {}

    def note(what: str, until: tuple[str, str], of: Sequence[tuple[float | None, float]]) -> None:
        for end, values in zip(until, zip(*of, strict=True), strict=True):
            if None not in values:  # a table that looks the same is not painted anew
                times[f"{what}, {end}"] = list(values)

    loaded, answered = ("first contentful paint", "table with rows"), ("table painted anew", "all of the page")
    note("a page with a table alone", loaded, on_a_bare_page())
    with served(start, "--submissions", folder, "--results", folder) as address, opened(address) as page:
        settle(page)
        for view, path in VIEWS.items():
            note(view, loaded, [painted(page, f"{address}/{path}") for _ in range(ROUNDS)])
            settle(page)
            if path.startswith("model"):
                note(f"{view}, another model", answered, [chosen(page, "Model", name) for name in others])
        metrics = ("auc", "iou", "pointing_game", "top_k_intersection", "hit")
        note("a model's alignment, another metric", answered, [chosen(page, "Metric", name) for name in metrics])
        page.goto(address)
        settle(page)
        under = list(shown[0]["attacks"])[:ROUNDS]
        note("ranking, under another attack", answered, [chosen(page, "Robustness under", name) for name in under])
        words = ("entry 0", "entry 1", "perf", "17", "")
        note("ranking, a search", answered, [searched(page, of) for of in words])
        times["server, MiB"] = [peak(servers[0].pid)]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the store is kept, and found again")
    parser.add_argument("--results", type=Path, help="no store: only the pages, of the first board of these results")
    parser.add_argument("--submissions", type=int, default=500)
    parser.add_argument("--out", type=Path, help="JSON file for every time")
    arguments = parser.parse_args()
    if arguments.results:
        record.write(arguments.out, "cpu", {}, in_browser(arguments.results))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        if not (folder / "entry-000").exists():
            write_store(folder, arguments.submissions)
        one = ResultFolder(folder / "entry-007" / "large", "entry-007", "large")

        def summarised() -> None:
            summarise(one.run() or {}, {name: one.table(name) for name in TABLES})

        times = {"summarise one submission": [seconds(summarised) for _ in range(ROUNDS)]}
        shutil.rmtree(cache_dir() / "board", ignore_errors=True)
        for name in ("read the board for the first time", "again in a new process"):
            first, second = read_twice(folder, arguments.submissions)
            times |= {name: [first], f"{name}, then again": [second]}
        times |= in_browser(folder)
    record.write(arguments.out, "cpu", {}, times, submissions=arguments.submissions)


if __name__ == "__main__":
    main()
