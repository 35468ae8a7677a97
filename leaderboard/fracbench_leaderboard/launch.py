"""Serves the leaderboard; found through the entry point ``fracbench.leaderboard``."""

from __future__ import annotations

from pathlib import Path

APP = Path(__file__).with_name("app.py")


def arguments(submissions: Path, results: Path | None, host: str, port: int) -> list[str]:
    """What ``streamlit`` is told: the app, nothing sent home, and where the results are."""
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
    }
    flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    places = ["--submissions", str(submissions), *(["--results", str(results)] if results else [])]
    return ["run", str(APP), *flags, "--", *places]


def serve(submissions: Path, results: Path | None, host: str, port: int) -> None:
    """Run Streamlit in this process until it is stopped, so that no server outlives the command."""
    from streamlit.web import cli

    cli.main(arguments(submissions, results, host, port), standalone_mode=False)
