"""The command that serves the leaderboard; found through the entry point ``fracbench.leaderboard``."""

from __future__ import annotations

import sys
from pathlib import Path

APP = Path(__file__).with_name("app.py")


def command(submissions: Path, results: Path | None, host: str, port: int) -> list[str]:
    """Arguments that start Streamlit on the app, with nothing sent home."""
    options = {
        "server.address": host, "server.port": port, "server.headless": "true",
        "browser.gatherUsageStats": "false", "server.fileWatcherType": "none", "client.toolbarMode": "minimal",
    }  # fmt: skip
    flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    places = ["--submissions", str(submissions), *(["--results", str(results)] if results else [])]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags, "--", *places]
