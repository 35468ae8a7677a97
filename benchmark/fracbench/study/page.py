"""The study as a Markdown page: every number with its n, and the file it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fracbench.study.words import (
    change,
    effect_of,
    interval_of,
    of_all_pairs,
    of_the_panel,
    p_words,
    pairs_words,
    sentences,
    signed,
)
from fracbench.text import for_markdown

Found = Mapping[str, Any]
FIGURES = {
    "pairs": "The change of each training pair with its interval",
    "across": "Robustness and alignment of every model",
    "dose": "Alignment and accuracies along epsilon of training",
}
DOUBTS = (
    "Models of one board share data and often architecture: they are no random sample of models.",
    "Pairs of one architecture that differ in seed alone may be more alike than pairs of two; p and interval of all "
    "pairs take them as equally unlike, so they speak of these architectures alone.",
    "Raw scores of a coarse map and of a fine one do not compare: changes are within one network, and no sum over "
    "networks is more than their mean.",
    "Twins may differ in more than attacks, such as in length: by our recipes an adversarial twin goes on from its "
    "standard twin, for FracAtlas in smaller batches. Where two pairs or more have a `standard-longer`, trained for as "
    "many epochs though the kept one may differ, it is told with that too.",
    "What looks at no model can score above chance where fractures lie in the middle.",
    "Where the clean accuracies of a pair differ, alignment may follow accuracy, not robustness: see the two lines "
    "on what training did.",
)


def page(study: Found, command: str, figures: Mapping[str, str] | None = None) -> str:
    """The whole page; ``command`` is what makes it again, ``figures`` the files of pairs, across and dose there are."""
    parts = [
        f"# Do robust models look at the fracture more? {study['benchmark']}",
        made_by(command),
        "\n".join(f"- {sentence}" for sentence in sentences(study)),
        body(study, figures or {}),
    ]
    return "\n\n".join(parts)


def made_by(command: str) -> str:
    return f"Made from results by `{command}`; its numbers are in `study.json`, the folder of each row is below."


def body(study: Found, figures: Mapping[str, str]) -> str:
    """The page below its answers: what was registered, and every table and figure."""
    drawn = {name: f"![{FIGURES[name]}]({path})" for name, path in figures.items()}
    parts = [
        "## Registered before",
        _registered(study),
        "## Training pairs",
        f"Adversarial less standard, raw {study['plan']['metric']} averaged over {', '.join(study['plan']['panel'])}, "
        "on clean annotated fractured images. Intervals of a pair are over groups of its images, those of all pairs "
        f"over pairs (Student's t, {100 * (1 - study['plan']['level']):g} %).",
        drawn.get("pairs", ""),
        _pairs(study["primary"]["each"]),
        _changes(of_all_pairs(study)),
        "Every pair is of a seed of which pairs had been seen when this was registered."
        if study["plan"]["seen_seeds"] and study["primary"]["pairs"] and not study["unseen"]["pairs"] else "",
        "With the architecture as unit, since pairs of one that differ in seed may be alike:",
        _changes({"all architectures": study["by_architecture"]}),
        _clear(study),
        "What training did to accuracy, adversarial less standard:",
        _changes({"clean balanced accuracy": study["manipulation"]["clean"],
                  "robust balanced accuracy": study["manipulation"]["robust"]}),
        "## Where it holds and where it fails",
        "None of what follows was registered as primary. Explainers are corrected by Holm over all of them.",
        _changes(study["by_explainer"]),
        "No p of the next table is corrected for how many there are. Under attack, maps of a twin that gives in "
        "explain its wrong answer.",
        _changes(of_the_panel(study)),
        "## Across models",
        drawn.get("across", ""),
        "From the founding protocol to ours, one change at a time on the same models, those that have every number of "
        "all steps; at last ours over every model." if len(study["across"]) > 2 else "",
        "Correlations over models, p by permutation; the partial one (Pearson's) holds clean accuracy fixed. Raw and "
        "calibrated scores of one panel lie on nearly one line where all models met the same images, so that ranks by "
        "them agree.",
        _across(study["across"]),
        *_dose(study["dose"], drawn.get("dose", "")),
        "## Controls and other trainings",
        *_beside(study),
        "## What this cannot say",
        "\n".join(f"- {doubt}" for doubt in DOUBTS),
        "## Rows",
        "Networks have the names of timm: small ones of several families are built from the blocks of one. Folders are "
        "those of the machine that made this page.",
        _rows(study["entries"]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _registered(study: Found) -> str:
    plan, late = study["plan"], study["registered_after"]
    lines = [
        plan["hypothesis"],
        f"Primary: {plan['metric']} of {', '.join(plan['panel'])}; unit: {plan['unit']}; test: {plan['test']} at "
        f"{plan['level']:g}; a change that matters: {plan['relevant']:g}.",
        "Runs whose record holds this plan (their cells may be older): "
        f"{len(study['entries']) - len(late)} of {len(study['entries'])}"
        + (f"; under none or another: {', '.join(late)}." if late else "."),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _clear(study: Found) -> str:
    return "\n".join(f"- Left out: {for_markdown(line)}." for line in (*study["left_out"], *study["unclear"]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; nothing where no row is."""
    lines = ["| " + " | ".join(cell.replace("|", "&#124;") for cell in row) + " |" for row in rows]
    rule = "|" + "---|" * len(head)
    return "\n".join([f"| {' | '.join(head)} |", rule, *lines]) if lines else ""


def _pairs(each: Sequence[Found]) -> str:
    return table(
        ("standard", "adversarial", "seed", "raw, standard", "raw, adversarial", "change", "images"),
        ((of["standard"], of["adversarial"], str(of["seed"]), *(signed(of["raw"][name]) for name in of["raw"]),
          interval_of(of), str(of["n"])) for of in each),
    )  # fmt: skip


def _changes(found: Mapping[str, Found]) -> str:
    holm = any("holm" in of for of in found.values())
    head = ("", "change", *(["Holm"] if holm else []), "d_z", "detectable", "least p", "n")
    return table(head, (
        (name, change(of), *([p_words(of["holm"])] if holm else []), effect_of(of), signed(of["detectable"]),
         p_words(of["least_p"]), pairs_words(of)) for name, of in found.items() if of["pairs"]
    ))  # fmt: skip


def _across(steps: Sequence[Found]) -> str:
    def of(found: Found) -> str:
        return f"{found['value']:+.2f}, p {p_words(found['p'])}" if found["value"] == found["value"] else "–"

    return table(
        ("change", "robustness", "alignment", "Spearman", "Kendall", "partial", "n"),
        ((step["change"], step["robustness"], step["alignment"], of(step["spearman"]), of(step["kendall"]),
          of(step["partial"]), str(step["n"])) for step in steps),
    )  # fmt: skip


def _dose(series: Sequence[Sequence[Found]], figure: str) -> Iterator[str]:
    if not series:
        return
    yield "## Dose"
    yield "One network trained at growing epsilon."
    yield figure
    for steps in series:
        yield table(
            ("model", "trained at", "raw alignment", "calibrated", "clean", "robust", "images"),
            ((of["name"], for_markdown(of["threat"] or "no attack"), f"{of['raw']:.3f}", f"{of['calibrated']:.3f}",
              f"{of['clean']:.3f}", f"{of['robust']:.3f}", str(of["n"])) for of in steps),
        )  # fmt: skip


def _beside(study: Found) -> Iterator[str]:
    yield (
        "Every other training of a network, less the standard model of the same network, data and seed; and what the "
        "adversarial twin of that standard model has more than it:"
    )
    yield table(
        ("model", "recipe", "raw", "change", "twin less it", "calibrated", "clean", "robust", "images"),
        ((of["name"], for_markdown(of["recipe"] or "–"), f"{of['raw']['adversarial']:.3f}",
          interval_of(of), interval_of(of["twin"]) if of["twin"] else "–",
          *(f"{of[key]:.3f}" for key in ("calibrated", "clean", "robust")), str(of["n"])) for of in study["beside"]),
    ) or "None has been evaluated."  # fmt: skip
    yield "Maps that look at no model, or at one whose weights were drawn anew (`randomised`), on the same images:"
    yield table(
        ("map", "raw", "models"),
        ((name, f"{of['raw']:.3f}", str(of["models"])) for name, of in study["blind"].items()),
    )


def _rows(entries: Sequence[Found]) -> str:
    return table(
        ("model", "network", "recipe", "trained at", "seed", "clean", "robust", "area", "calibrated", "results"),
        ((of["name"], for_markdown(of["network"]), for_markdown(of["recipe"] or "–"),
          for_markdown(of["threat"] or "no attack"), str(of["seed"]),
          *(f"{of[key]:.3f}" for key in ("clean", "robust", "area", "calibrated")),
          f"`{of['path'].replace('`', '?')}`")
         for of in entries),
    )  # fmt: skip
