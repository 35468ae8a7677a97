"""The board's statistics where the truth is known: ``python tests/simulated.py [--worlds 1000] [--out FILE]``.

Entries are drawn with a known chance for each patient, and go through the very functions that the board uses: how often
do intervals of 95 % hold the truth, how often does any of many equal entries stand apart from another, how often is a
p at most .05 where nothing differs? Each share comes with its own interval (Wilson). Nothing is asserted here;
``tests/test_simulated.py`` does, on fewer worlds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fracbench import paired, stats, ties
from fracbench.robust_scores import HALF_LEVEL
from fracbench.study.effects import together
from fracbench.study.relations import relations
from numpy.typing import NDArray

TRUTHS, SIZES, EQUAL = (0.02, 0.2, 0.5, 0.95), (60, 200), (5, 30)
KNOWN = "p of pairs whose seeds are alike"  # too small, which is why architectures stand beside
ALONE = "factor by a bootstrap alone"  # shorter than the board's, which are the wider of it and Wilson's
COVERING = ("factor", "product", "interval of training pairs", ALONE)  # what is a share of intervals; all else is of p
PANEL = 4  # explainers, whose hits on one image go together
Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, float, int], tuple[Values, NDArray[np.int64]]]


def images(rng: np.random.Generator, truth: float, n: int) -> tuple[Values, NDArray[np.int64]]:
    """Right or wrong, each image of another patient."""
    return (rng.random(n) < truth).astype(float), np.arange(n)


def panels(rng: np.random.Generator, truth: float, n: int) -> tuple[Values, NDArray[np.int64]]:
    """Shares of a panel's explainers that hit: an image is looked at or not, and some of the panel err."""
    mostly = rng.beta(truth, 1 - truth, n)
    return rng.binomial(PANEL, mostly) / PANEL, np.arange(n)


def patients(rng: np.random.Generator, truth: float, n: int) -> tuple[Values, NDArray[np.int64]]:
    """One to three images of each of ``n`` patients; those of a patient mostly agree."""
    groups = np.repeat(np.arange(n), rng.integers(1, 4, n))
    own, each = rng.random(n)[groups], rng.random(len(groups))
    return (np.where(rng.random(len(groups)) < 0.7, own, each) < truth).astype(float), groups


def agreeing(rng: np.random.Generator, truth: float, n: int) -> tuple[Values, NDArray[np.int64]]:
    """Shares of a panel of which one always hits, so that they vary little, and mostly to one side."""
    return (1 + rng.binomial(PANEL - 1, (PANEL * truth - 1) / (PANEL - 1), n)) / PANEL, np.arange(n)


WORLDS: dict[str, tuple[Draw, tuple[float, ...]]] = {
    "images": (images, TRUTHS), "panels": (panels, TRUTHS), "patients": (patients, TRUTHS),
    "agreeing panels": (agreeing, (0.265, 0.4, 0.985)),
}  # fmt: skip


def coverage(draw: Draw, truths: Sequence[float], n: int, worlds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """How often intervals hold the truth: of a factor alone at 95 %, and of two multiplied as the headline is."""
    rng = np.random.default_rng(seed)
    held = {truth: [_interval(draw(rng, truth, n)) for _ in range(worlds)] for truth in truths}
    for truth, of in held.items():
        alone = [low <= truth <= high for (low, high), _ in of]
        yield {"what": "factor", "truth": truth, "n": n} | share(alone)
    for (one, first), (other, second) in itertools.product(held.items(), repeat=2):
        half = worlds // 2  # so that no world is multiplied with itself
        both = zip([of for _, of in first[:half]], [of for _, of in second[-half:]], strict=True)
        holds = [a[0] * b[0] <= one * other <= a[1] * b[1] for a, b in both]
        yield {"what": "product", "truth": one * other, "of": [one, other], "n": n} | share(holds)


def _interval(drawn: tuple[Values, NDArray[np.int64]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """At 95 %, and at the level of a factor of two."""
    values, groups = drawn
    each = [stats.proportion(values, groups, level) for level in (0.95, HALF_LEVEL)]
    (a, b), (c, d) = ((float(of["low"]), float(of["high"])) for of in each)
    return (a, b), (c, d)


def bootstrap_alone(n: int, worlds: int, truth: float = 0.95, seed: int = 0) -> dict[str, Any]:
    """How often a percentile bootstrap alone holds a share near 1 of patients' images, where failures are not few."""
    rng = np.random.default_rng(seed)
    drawn = (patients(rng, truth, n) for _ in itertools.count())
    enough = (of for of in drawn if (1 - of[0]).sum() >= stats.FEW)
    found = [stats.ratio(values, np.ones_like(values), groups) for values, groups in itertools.islice(enough, worlds)]
    return {"what": ALONE, "truth": truth, "n": n} | share([low <= truth <= high for low, high in found])


def entry(rng: np.random.Generator, sensitivity: float, specificity: float, n: int) -> dict[str, Sequence[Any]]:
    """What one entry contributes on ``n`` fractured and ``n`` normal images, each of another patient."""
    values = np.concatenate([panels(rng, sensitivity, n)[0], images(rng, specificity, n)[0]])
    return {"groups": list(map(str, range(2 * n))), "fractured": [True] * n + [False] * n, "values": values.tolist()}


def family_wise_error(entries: int, n: int, worlds: int, truth: float = 0.5, seed: int = 0) -> dict[str, Any]:
    """How often equal entries fall into more than one tie group."""
    rng = np.random.default_rng(seed)
    apart = []
    for _ in range(worlds):
        board = [entry(rng, truth, 0.8, n) for _ in range(entries)]
        board.sort(key=lambda of: -float(ties.headline(ties.per_group(of)[1].sum(1))))
        apart.append(max(ties.tie_groups(board)) > 1)
    return {"what": "tie groups", "entries": entries, "truth": truth, "n": n} | share(apart)


def swap_level(n: int, worlds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """How often the test between two entries, of headline and of calibrated alignment, finds a p of at most .05."""
    rng = np.random.default_rng(seed)
    names = list(map(str, range(n)))
    for truth in TRUTHS:
        pairs = [[entry(rng, truth, 0.8, n) for _ in range(2)] for _ in range(worlds)]
        small = [ties.p_values(of)[0, 1] <= 0.05 for of in pairs]
        yield {"what": "p of headlines", "truth": truth, "n": n} | share(small)
    ceilings = rng.uniform(0.4, 0.8, (worlds, n))
    found = []
    for ceiling in ceilings:
        entries = {name: {"alignment": (names, np.stack([rng.normal(0.2, 0.2, n), ceiling]))} for name in "ab"}
        (line,) = paired.differences(entries)
        found.append(line["p"] <= 0.05)
    yield {"what": "p of alignments", "n": n} | share(found)


def pairs_level(pairs: int, worlds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Training pairs: how often the swap test claims a change where none is, and intervals hold one that is there."""
    rng = np.random.default_rng(seed)
    families = [str(place % 4) for place in range(pairs)]
    draws = {"normal": rng.standard_normal, "skewed": lambda n: rng.exponential(size=n) - 1,
             "heavy tails": lambda n: rng.standard_t(3, n)}  # fmt: skip
    for name, draw in draws.items():
        found = [together((0.05 * draw(pairs)).tolist(), families) for _ in range(worlds)]
        facts = {"changes": name, "pairs": pairs}
        if name != "skewed":  # a swap says nothing of a change that is not symmetric about its mean
            yield {"what": "p of training pairs", **facts} | share([of["p"] <= 0.05 for of in found])
        yield {"what": "interval of training pairs", **facts} | share([of["low"] <= 0 <= of["high"] for of in found])


def alike_level(architectures: int, seeds: int, worlds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Where the seeds of an architecture change alike: p over pairs claims too often, p over architectures does not."""
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(architectures), seeds)
    pairs, means = [], []
    for _ in range(worlds):
        changes = 0.05 * rng.standard_normal(architectures)[families] + 0.025 * rng.standard_normal(len(families))
        pairs.append(together(changes.tolist(), families.astype(str).tolist())["p"] <= 0.05)
        each = changes.reshape(architectures, seeds).mean(axis=1)
        means.append(together(each.tolist(), list(map(str, range(architectures))))["p"] <= 0.05)
    facts = {"architectures": architectures, "seeds": seeds}
    yield {"what": KNOWN, **facts} | share(pairs)
    yield {"what": "p of architectures", **facts} | share(means)


def relations_level(models: int, worlds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Across models: how often a correlation is claimed where there is none, and one that is accuracy's alone."""
    rng = np.random.default_rng(seed)
    for driven in (False, True):
        accuracy = rng.normal(size=(worlds, models))
        x, y = (rng.normal(size=(worlds, models)) + 2 * driven * accuracy for _ in range(2))
        found = [relations(*of) for of in zip(x, y, accuracy, strict=True)]
        for name in ("partial",) if driven else ("spearman", "kendall", "partial"):
            facts = {"of": name, "by accuracy": driven, "models": models}
            yield {"what": "p across models", **facts} | share([of[name]["p"] <= 0.05 for of in found])


def share(held: Sequence[bool]) -> dict[str, Any]:
    """The share that holds, with Wilson's interval."""
    of = float(np.mean(held))
    low, high = stats.wilson(of, len(held), 0.95)
    return {"share": of, "low": low, "high": high, "worlds": len(held)}


def everything(worlds: int) -> Iterator[dict[str, Any]]:
    for (name, (draw, truths)), n in itertools.product(WORLDS.items(), SIZES):
        for line in coverage(draw, truths, n, worlds):
            yield {"world": name} | line
    yield {"world": "patients"} | bootstrap_alone(max(SIZES), 3 * worlds)
    for n in SIZES:
        yield from swap_level(n, worlds)
    for pairs, models in ((6, 10), (9, 16), (20, 30)):
        yield from pairs_level(pairs, worlds)
        yield from relations_level(models, worlds)
    for architectures, seeds in ((3, 3), (8, 3)):
        yield from alike_level(architectures, seeds, worlds)
    for entries, n in itertools.product(EQUAL, SIZES):
        yield family_wise_error(entries, n, max(1, worlds // 2))


def table(found: Sequence[dict[str, Any]]) -> str:
    """Of each kind the world that does worst, as a Markdown table."""
    lines = ["| | asked | worst of all worlds | where |", "|---|---|---|---|"]
    for (what, world), group in itertools.groupby(found, key=lambda of: (of["what"], of.get("world", ""))):
        each = list(group)
        covers = what in COVERING
        worst = (min if covers else max)(each, key=lambda of: of["share"])
        where = ", ".join(f"{key} {_short(of)}" for key, of in worst.items()
                          if key not in ("what", "world", "share", "low", "high"))  # fmt: skip
        asked = "told" if what in (KNOWN, ALONE) else "at least .93" if covers else "at most .05"
        lines.append(f"| {f'{what}, {world}'.removesuffix(', ')} | {asked} "
                     f"| {worst['share']:.3f} [{worst['low']:.3f}, {worst['high']:.3f}] | {where} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _short(of: object) -> str:
    return f"{of:.4g}" if isinstance(of, float) else " x ".join(map(str, of)) if isinstance(of, list) else str(of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=1000, help="of each kind; half as many boards of equal entries")
    parser.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args()
    found, start = [], time.monotonic()
    for line in everything(arguments.worlds):
        found.append(line)
        facts = ", ".join(f"{key} {of}" for key, of in line.items() if key not in ("share", "low", "high"))
        print(f"{line['share']:.3f} [{line['low']:.3f}, {line['high']:.3f}]  {facts}", flush=True)
    found.sort(key=lambda of: (of["what"] not in COVERING, of["what"], of.get("world", "")))
    print(f"{time.monotonic() - start:.0f} s\n\n{table(found)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
