"""How the numbers of one model came about: on what, with what, at what cost; and what was claimed beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from fracbench_leaderboard.offering import offer_table
from fracbench_leaderboard.reading import read_run
from fracbench_leaderboard.table import number

FACTS = ("spec", "spec_hash", "dataset", "split", "fingerprint", "threat", "epsilon", "device", "finished",
         "weights_sha256", "identity", "metrics_backend", "taken_from")  # fmt: skip
MEASURED = {
    "clean_accuracy": ("clean", "balanced_accuracy"),
    "clean_balanced_accuracy": ("clean", "balanced_accuracy"),
    "auroc": ("clean", "auroc"),
    "robust_accuracy": ("robust", "balanced_accuracy"),
    "robust_balanced_accuracy": ("robust", "balanced_accuracy"),
    "headline": ("headline",),
    "aligned_robust_accuracy": ("headline",),
    "calibrated_alignment": ("calibrated_alignment",),
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
    cells = pd.DataFrame([cell for cell in run.get("cells", []) if isinstance(cell, dict)])
    if {"kind", "status", "seconds"} <= set(cells):
        st.subheader("Cells")
        offer_table(of_kind(cells), f"{name}-cells")
        failed = cells[cells.status != "done"]
        if not failed.empty:
            told = Counter(zip(failed.status.map(str), failed.get("error", failed.status).map(str), strict=True))
            st.text("\n".join(f"{status} ({n} cells): {error}" for (status, error), n in told.most_common(20)))
    environment = run.get("environment")
    versions = environment.get("versions") if isinstance(environment, dict) else None
    if isinstance(versions, dict):
        st.subheader("Versions")
        offer_table(pd.DataFrame({"Package": list(versions), "Version": list(map(str, versions.values()))}),
                    f"{name}-versions")  # fmt: skip


def claimed(row: Mapping[str, Any]) -> pd.DataFrame:
    """Reported numbers, and beside each what was measured here where its name says of what it is."""
    lines = []
    for name, value in row["reported"].items():
        found: Any = row
        for key in MEASURED.get(name.strip().lower().replace(" ", "_"), ()):
            found = found[key]
        measured = found["value"] if found is not row else None
        lines.append({"Number": name, "Claimed": number(value), "Measured here": number(measured)})
    return pd.DataFrame(lines)


def of_kind(cells: pd.DataFrame) -> pd.DataFrame:
    """How many cells of each kind there are, how they ended and what they took."""
    statuses = pd.crosstab(cells.kind, cells.status)
    return statuses.assign(seconds=cells.groupby("kind").seconds.sum().round(1)).reset_index()
