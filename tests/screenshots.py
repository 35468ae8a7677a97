"""Pictures of the board's pages for docs/board.md: ``python tests/screenshots.py RESULTS [--out docs/board]``.

RESULTS is a results folder of ``fracbench run --all``. Each page is opened in Chromium at 1280 px, and two of them at
390 px and in dark colours too.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Literal

from browser import opened, served, settle
from PIL import Image

DESK, PHONE = 1280, 390
TALLEST = 1900  # pixels; the rest of a page is cut off
MODEL = "phantom-resnet-pgd-at"
PAGES = {
    "ranking": "",
    "model-card": f"model?model={MODEL}",
    "model-robustness": f"model?model={MODEL}&part=Robustness",
    "model-alignment": f"model?model={MODEL}&part=Alignment",
    "compare": f"compare?entries={MODEL}&entries=phantom-resnet-standard",
    "cases": f"cases?model={MODEL}&outcome=flipped&hit=hit",
    "robustness": "robustness",
    "alignment": "alignment",
    "question": "question",
    "submit": "submit",
    "about": "about",
}
Colours = Literal["light", "dark"]
MORE: dict[str, tuple[str, int, Colours]] = {
    "ranking-phone": ("", PHONE, "light"),
    "cases-dark": (PAGES["cases"], DESK, "dark"),
}


def picture(address: str, width: int, colours: Colours) -> Image.Image:
    with opened(address, width=width, colours=colours) as page:
        settle(page)
        page.wait_for_timeout(1500)  # until figures and tables are drawn
        page.set_viewport_size({"width": width, "height": 900})
        tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(tall, TALLEST)})
        page.wait_for_timeout(1500)
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "board")
    parser.add_argument("--only", nargs="+", help="names of pictures, such as question")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    def start(*words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "fracbench", *map(str, words)]
        pipes = partial(subprocess.Popen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        return pipes(command, env=os.environ)

    shots: dict[str, tuple[str, int, Colours]] = {name: (path, DESK, "light") for name, path in PAGES.items()} | MORE
    with served(start, "--submissions", ".", "--results", arguments.results) as address:
        for name, (path, width, colours) in shots.items():
            if arguments.only and name not in arguments.only:
                continue
            made = picture(f"{address}/{path}", width, colours)
            made.quantize(128).save(arguments.out / f"{name}.png", optimize=True)
            print(f"{name}: {made.width} x {made.height}", flush=True)


if __name__ == "__main__":
    main()
