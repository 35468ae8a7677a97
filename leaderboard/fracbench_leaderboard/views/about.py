"""What is measured and how, with a picture of each score; data and licences; how to cite; the specs."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from fracbench import __version__, specs

from fracbench_leaderboard.definitions import DEFINITIONS, drawing
from fracbench_leaderboard.offering import offer_table

PROTOCOL = """
A fracture classifier is worth trusting when an adversary cannot flip it **and** it looks at the fracture. Every model
is attacked on annotated radiographs within a small ball of pixel changes; the framework, never the attack, projects
what comes back into the ball and asks the model again. An image is *robust* when it is right without an attack and
under each of them. Explanations of clean and of attacked images are scored against what a radiologist outlined.

The **headline** is a product of two shares: of annotated fractured images that are robust while the explanation's peak
lies on the fracture before and after the strongest attack, and of normal images that are robust. It needs no weights,
and a model that always says "fracture" scores 0.
"""
DATA = (
    ("phantom", "made by this package, no download", "Apache-2.0, as the package",
     "Drawn bones with drawn fractures: a world where the answer is known. No claim about patients follows from it."),
    ("fracatlas", "Abedeen et al., Scientific Data 10:521, 2023, doi:10.1038/s41597-023-02432-4", "CC BY 4.0",
     "Radiographs of hands, legs, hips and shoulders with outlined fractures; no patient ids, so near-duplicates are "
     "grouped by their pictures."),
    ("grazpedwri", "Nagy et al., Scientific Data 9:222, 2022, doi:10.1038/s41597-022-01328-z", "see its page",
     "Wrists of children with boxes around fractures and patient ids."),
    ("folder", "your own", "yours", "Radiographs of your own with a manifest; nothing leaves your machine."),
)  # fmt: skip
BIBTEX = """@software{{fracbench,
  title   = {{fracbench: adversarial robustness and alignment of bone-fracture classifiers}},
  author  = {{{{The fracbench contributors}}}},
  version = {{{version}}},
  year    = {{2026}}
}}"""
STUDY = "The study that this benchmark grew from: Najafi et al. 2025, https://arxiv.org/abs/2504.05483"


def show() -> None:
    """Draw the page; it needs no results."""
    st.title("About")
    st.markdown(PROTOCOL)
    st.subheader("The scores")
    st.caption(
        "One map, drawn in orange, and one fracture, outlined: what each score counts is green where it speaks for the "
        "map and violet where it speaks against it."
    )
    for start in range(0, len(DEFINITIONS), 3):
        for column, name in zip(st.columns(3), list(DEFINITIONS)[start : start + 3], strict=False):
            picture, value = drawing(name)
            caption = f"{name}: {value:.2f} here"
            column.image(picture, width="stretch", caption=caption, alt=caption)
            column.write(DEFINITIONS[name])
    st.subheader("Data and licences")
    offer_table(pd.DataFrame(DATA, columns=["Dataset", "Source", "Licence", "What it is"]), "datasets", words=True)
    st.subheader("Benchmark specs")
    st.write(
        "A spec is never changed: what would change a number is a new version with a name of its own. All are in their "
        "first version."
    )
    offer_table(_specs(), "specs", words=True)
    st.subheader("How to cite")
    st.code(BIBTEX.format(version=__version__), language="bibtex")
    st.text(STUDY)


def _specs() -> pd.DataFrame:
    lines = []
    for name in specs.names():
        of = specs.load(name)
        lines.append({"Spec": name, "What it is": of.title, "Dataset": of.dataset.name, "Side": f"{of.image_size} px",
                      "Threat": f"{of.threat.norm} {of.threat.epsilon}",
                      "Attacks": ", ".join(ref.name for ref in of.attacks), "Headline panel": ", ".join(of.panel),
                      "Note": of.note})  # fmt: skip
    return pd.DataFrame(lines)
