"""How the numbers of one model came about: on what, with what, at what cost; and what was claimed beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from fracbench_leaderboard.offering import offer_table
from fracbench_leaderboard.reading import read_run
from fracbench_leaderboard.table import interval, number

FACTS = ("spec", "spec_hash", "dataset", "split", "fingerprint", "threat", "epsilon", "device", "finished",
         "weights_sha256", "identity", "metrics_backend", "taken_from")  # fmt: skip
CLEAN, ROBUST, HEADLINE = ("clean", "balanced_accuracy"), ("robust", "balanced_accuracy"), ("headline",)
MEASURED = {  # of what a submission may call a number: what it stands beside, and where a row has that
    "clean_accuracy": ("clean balanced accuracy", CLEAN),
    "clean_balanced_accuracy": ("clean balanced accuracy", CLEAN),
    "auroc": ("AUROC", ("clean", "auroc")),
    "robust_accuracy": ("robust balanced accuracy", ROBUST),
    "robust_balanced_accuracy": ("robust balanced accuracy", ROBUST),
    "headline": ("headline", HEADLINE),
    "aligned_robust_accuracy": ("headline", HEADLINE),
    "calibrated_alignment": ("calibrated alignment", ("calibrated_alignment",)),
}


def show(row: dict[str, Any]) -> None:
    """Draw it; ``row`` is whole."""
    name = row["submission"]
    st.subheader("Claimed and measured")
    if row["reported"]:
        offer_table(claimed(row), f"{name}-claimed")
    else:
        st.write("The submission reports no numbers of its own.")
    run = read_run(row)
    if run is None:
        st.write("The run record cannot be read.")
        return
    st.subheader("The run")
    passes = row["passes"]
    cost = f"{row['seconds']:,.0f} s; {passes['forward']:,} forward and {passes['backward']:,} backward passes"
    st.text("\n".join([f"cost: {cost}", *(f"{key}: {run.get(key)}" for key in FACTS if run.get(key))]))
    cells = cells_of(run)
    if not cells.empty:
        st.subheader("Cells")
        offer_table(of_kind(cells), f"{name}-cells")
        failed = cells[cells.status != "done"]
        if not failed.empty:
            told = Counter(zip(failed.status, failed.error.map(str), strict=True))
            st.text("\n".join(f"{status} ({n} cells): {error}" for (status, error), n in told.most_common(20)))
    environment = run.get("environment")
    versions = environment.get("versions") if isinstance(environment, dict) else None
    if isinstance(versions, dict):
        st.subheader("Versions")
        offer_table(pd.DataFrame({"Package": list(versions), "Version": list(map(str, versions.values()))}),
                    f"{name}-versions")  # fmt: skip


def cells_of(run: Mapping[str, Any]) -> pd.DataFrame:
    """Kind, status, seconds and error of the cells in a run record; what is none, in a stranger's, is left out."""
    given = run.get("cells")
    kinds: dict[str, Any] = {"kind": str, "status": str, "seconds": (int, float), "error": (str, type(None))}
    sound = [
        {key: cell.get(key) for key in kinds}
        for cell in (given if isinstance(given, list) else [])
        if isinstance(cell, dict) and all(isinstance(cell.get(key), of) for key, of in kinds.items())
    ]
    return pd.DataFrame(sound)


def claimed(row: Mapping[str, Any]) -> pd.DataFrame:
    """Reported numbers, and beside each what was measured here where its name says of what it is."""
    lines = []
    for name, value in row["reported"].items():
        words, keys = MEASURED.get(name.strip().lower().replace(" ", "_"), ("", ()))
        found: Any = row
        for key in keys:
            found = found[key]
        measured = interval(found) if keys else "–"
        lines.append({"Number": name, "Claimed": number(value), "Measured here": measured, "Which is its": words})
    return pd.DataFrame(lines)


def of_kind(cells: pd.DataFrame) -> pd.DataFrame:
    """How many cells of each kind there are, how they ended and what they took."""
    statuses = pd.crosstab(cells.kind, cells.status)
    return statuses.assign(seconds=cells.groupby("kind").seconds.sum().round(1)).reset_index()
