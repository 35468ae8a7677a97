"""What a benchmark has measured: every time as raw JSON, and a table of medians."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Times = Mapping[str, Sequence[float]]


def write(out: Path | None, device: str, pairs: Mapping[str, Times], alone: Times, **more: Any) -> None:
    """Print the table, and write every time to ``out``.

    ``pairs`` are seconds of ``ours`` and of a ``reference`` that took turns; ``alone`` is measured for itself.
    """
    machine = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    about = {"machine": machine, "threads": torch.get_num_threads(), "torch": torch.__version__}
    record = {**about, "pairs": pairs, "alone": alone, **more}
    print(f"on {machine}, {about['threads']} threads", *lines(record), sep="\n")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record, indent=1) + "\n")


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """A line of a Markdown table for each measure: medians, the range of what is measured alone, and the ratio."""
    for name, times in record["pairs"].items():
        ours, reference = (statistics.median(times[of]) for of in ("ours", "reference"))
        yield f"| {name} | {_short(ours)} | {_short(reference)} | {reference / ours:.2f} | {len(times['ours'])} pairs |"
    for name, times in record["alone"].items():
        value = _short(statistics.median(times))
        of = f"{_short(min(times))} to {_short(max(times))}, {len(times)} times" if len(times) > 1 else "once"
        yield f"| {name} | {value} | | | {of} |"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
