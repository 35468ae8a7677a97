"""Figures on FracAtlas that docs quote: ``python tests/fracatlas_figures.py accuracy|blind|ranking|alignment|twins``.

``accuracy --data DIR``: clean balanced accuracy and AUROC of the starters that enter fracatlas-v1, on its whole test
split, in all and by kind of radiograph. ``blind --data DIR``: the same of who knows the body part and other facts, and
sees no image. Of finished runs below ``--results DIR`` (of ``--spec``): ``ranking``, the
ranked table; ``alignment``, raw, chance, ceiling and calibrated for each explainer; ``twins``, on which images a robust
starter and its standard twin look at different places. All are printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fracbench import specs, stats, subgroups
from fracbench.data import load
from fracbench.resolving import resolve
from fracbench.robust_scores import balanced
from fracbench.store import ResultFolder
from fracbench.submissions import Entry, discover, load_model, starters_dir
from fracbench.summary import rank
from fracbench_leaderboard.table import interval, number
from phantom_figures import fracture_margins
from scipy.stats import binomtest

PAIRS = (("pgd-at", "standard"), ("mask-supervision", "standard"))
FACTS = ("body_part", "hardware", "view", "multiscan")
METRICS = ("hit", "relevance_rank_accuracy", "relevance_mass_accuracy", "auc")


def line(cells: Sequence[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(names: Sequence[str]) -> None:
    line(names)
    line(["---"] * len(names))


def starters() -> list[Entry]:
    entries = discover(starters_dir(), None)
    return [entry for entry in entries if "fracatlas-v1" in entry.submission.benchmarks]


def accuracy(data: str) -> None:
    """All images: a row for each starter. Then kinds of radiograph down, starters across."""
    spec = specs.load("fracatlas-v1")
    job, entries = resolve(spec, data=data), starters()
    samples = [sample for batch in job.batches for sample in batch]
    images = pd.concat(_facts(batch, load(job.dataset, batch, spec.image_size)) for batch in job.batches)
    kinds: dict[str, pd.DataFrame] = {f"{name}, {_counts(of)}": of for name, of in _kinds(images, spec.subgroups)}
    margins: dict[str, pd.Series] = {}
    header(["starter", "fractured + normal", "balanced accuracy", "sensitivity", "specificity", "AUROC"])
    for entry in entries:
        model = load_model(entry, spec.image_size, "cpu", 64)
        found, _ = fracture_margins(model, job.dataset, samples, spec.image_size)
        margins[short(entry.name)] = margin = pd.Series(found, images.index)
        of_all = _balanced(margin, images)
        halves = (told(of_all[key]) for key in ("balanced_accuracy", "sensitivity", "specificity"))
        line([short(entry.name), _counts(images), *halves, told(_area(margin, images))])
    scores: dict[str, Callable[[pd.Series, pd.DataFrame], Mapping[str, Any]]] = {
        "balanced accuracy": lambda margin, of: _balanced(margin, of)["balanced_accuracy"], "AUROC": _area,
    }  # fmt: skip
    for name, score in scores.items():
        print(f"\n{name}\n")
        header(["of", *margins])
        for kind, of in kinds.items():
            line([kind, *(told(score(margin, of)) for margin in margins.values())])


def _balanced(margin: pd.Series, of: pd.DataFrame) -> Mapping[str, Any]:
    return balanced(((margin[of.index] > 0) == (of.label == 1)).astype(float), of)


def _area(margin: pd.Series, of: pd.DataFrame) -> Mapping[str, Any]:
    return stats.auroc_interval(margin[of.index], of.label, of.group)


def short(name: str) -> str:
    return name.removeprefix("fracatlas-")


def _counts(images: pd.DataFrame) -> str:
    return f"{(images.label == 1).sum()} + {(images.label == 0).sum()}"


def blind(data: str) -> None:
    """Fractured shares of the training split by facts, as the score of test images: what is known without a look."""
    dataset = resolve(specs.load("fracatlas-v1"), data=data).dataset
    header(["known", "fractured + normal", "balanced accuracy", "AUROC"])
    train, test = dataset.samples("train"), dataset.samples("test")
    base = np.mean([sample.label for sample in train])
    for known in (("body_part",), ("hardware",), ("view",), ("body_part", "hardware"), FACTS):
        seen: dict[tuple[object, ...], list[int]] = {}
        for sample in train:
            seen.setdefault(tuple(sample.metadata.get(name) for name in known), []).append(sample.label)
        of = [seen.get(tuple(sample.metadata.get(name) for name in known), []) for sample in test]
        score = pd.Series([(sum(labels) + base) / (len(labels) + 1) for labels in of])
        images = pd.DataFrame({"label": [s.label for s in test], "group": [s.group for s in test]})
        found = balanced(((score > base) == (images.label == 1)).astype(float), images)
        area = stats.auroc_interval(score, images.label, images.group)
        line([" and ".join(known).replace("_", " "), _counts(images), told(found["balanced_accuracy"]), told(area)])


def _facts(samples: Sequence[Any], batch: Any) -> pd.DataFrame:
    rows = {
        "label": [sample.label for sample in samples], "group": [sample.group for sample in samples],
        "annotated": [sample.annotated for sample in samples],
        "metadata": [json.dumps(dict(sample.metadata)) for sample in samples],
        "mask_area": batch.masks.sum((1, 2)).numpy(), "content": batch.valid.sum((1, 2)).numpy(),
    }  # fmt: skip
    return pd.DataFrame(rows, index=[sample.id for sample in samples])


def _kinds(images: pd.DataFrame, facts: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    for fact, value, of in subgroups.split(images, facts):
        yield f"{fact.replace('_', ' ')}: {value}", of


def told(score: Mapping[str, Any]) -> str:
    """As on the board: NaN is what it reads as null."""
    return interval({key: None if isinstance(v, float) and np.isnan(v) else v for key, v in score.items()})


def finished(results: Path, spec: str) -> dict[str, ResultFolder]:
    folders = {
        path.parent.name: ResultFolder(path, path.parent.name, spec) for path in sorted(results.glob(f"*/{spec}"))
    }
    return {name: folder for name, folder in folders.items() if folder.summary()}


def ranking(results: Path, spec: str) -> None:
    rows = rank([folder.summary() for folder in finished(results, spec).values()])  # type: ignore[misc]
    header([
        "rank", "group", "starter", "aligned robust accuracy", "aligned sensitivity", "robust specificity",
        "clean bal. acc.", "robust bal. acc.", "curve area", "calibrated alignment", "n",
    ])  # fmt: skip
    for row in rows:
        line([
            row["rank"] or "-", row["tie_group"] or "-", short(row["submission"]), told(row["headline"]),
            *(told(row["factors"][name]) for name in ("aligned_sensitivity", "robust_specificity")),
            told(row["clean"]["balanced_accuracy"]), told(row["robust"]["balanced_accuracy"]),
            number(row["curve_area"]), told(row["calibrated_alignment"]),
            f"{row['n']['fractured']} + {row['n']['normal']}",
        ])  # fmt: skip


def alignment(results: Path, spec: str) -> None:
    """For each metric and kind of image a table: explainers down, starters across."""
    tables = {name: (folder.summary() or {})["alignment"] for name, folder in finished(results, spec).items()}
    explainers = list(dict.fromkeys(explainer for table in tables.values() for explainer in table))
    for metric in METRICS:
        for images in ("clean", "autoattack"):
            found = {
                (explainer, name): of
                for explainer in explainers
                for name, table in tables.items()
                if (of := table.get(explainer, {}).get(metric, {}).get(images))
            }
            print(f"\n{metric} of {images} images, n = {told_range(found.values(), 'n', str)}: raw (calibrated)\n")
            header(["explainer", "chance", "ceiling", *(short(name) for name in tables)])
            for explainer in explainers:
                row = [found.get((explainer, name)) for name in tables]
                if any(row):
                    known = [of for of in row if of]
                    cells = [f"{number(of['raw'])} ({number(of['calibrated'])})" if of else "-" for of in row]
                    line([explainer, *(told_range(known, key, number) for key in ("chance", "ceiling")), *cells])


def told_range(rows: Iterable[Mapping[str, Any]], key: str, written: Callable[[Any], str]) -> str:
    """One value, or the smallest and the largest: grids differ between networks, and with them what is possible."""
    values = sorted({row[key] for row in rows})
    return " to ".join(dict.fromkeys(written(value) for value in (values[0], values[-1])))


def twins(results: Path, spec: str) -> None:
    """Peaks on the fracture of one twin and not of the other, on clean images; McNemar's exact test, two-sided.

    Maps that look at no network are the same for both, and left out.
    """
    found = finished(results, spec)
    header(["twins", "explainer", "n", "both hit", "only the first", "only the second", "neither", "p", "first alone"])
    for kind, other in PAIRS:
        for name in (name for name in found if name.endswith(f"-{kind}")):
            twin = name.removesuffix(kind) + other
            if twin not in found:
                continue
            first, second = (peaks(found[of]) for of in (name, twin))
            for explainer in first.columns[[not first[of].equals(second.get(of)) for of in first]]:
                one, two = first[explainer] > 0.5, second[explainer].reindex(first.index) > 0.5
                alone = int((one & ~two).sum()), int((two & ~one).sum())
                p = binomtest(alone[0], sum(alone)).pvalue if sum(alone) else 1.0
                images = ", ".join(image.removesuffix(".jpg") for image in one.index[one & ~two][:4])
                counts = (int((one & two).sum()), *alone, int((~one & ~two).sum()))
                line(
                    [
                        f"{short(name)} / {other}",
                        explainer,
                        len(one),
                        *counts,
                        f"{p:.3f}" if p >= 0.0005 else "< 0.001",
                        images,
                    ]
                )


def peaks(folder: ResultFolder) -> pd.DataFrame:
    """Share of each clean map's peaks on the fracture: a row for each annotated fractured image, explainers across."""
    rows, images = folder.table("alignment"), folder.table("images").set_index("image")
    wanted = images.index[(images.label == 1) & images.annotated]
    rows = rows[(rows.attack == "clean") & rows.image.isin(wanted)]
    return rows.pivot(index="image", columns="explainer", values="hit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["accuracy", "blind", "ranking", "alignment", "twins"])
    parser.add_argument("--data", help="folder of FracAtlas")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--spec", default="fracatlas-lite-v1")
    given = parser.parse_args()
    if given.figure in ("accuracy", "blind"):
        {"accuracy": accuracy, "blind": blind}[given.figure](given.data)
    else:
        {"ranking": ranking, "alignment": alignment, "twins": twins}[given.figure](given.results, given.spec)


if __name__ == "__main__":
    main()
