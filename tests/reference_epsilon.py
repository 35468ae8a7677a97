"""The rule that fixes a spec's reference epsilon: ``python tests/reference_epsilon.py [SPEC] [--data DIR]``.

For every starter that enters the spec and is no control, robust balanced accuracy on N fractured and N normal
*validation* images, under the spec's ladder, where an image broken at a rung stays broken; so the curve never rises,
and a starter is measured up to its first rung below 0.60. Images that chose the epoch of a starter are left out where
the split has others of both classes. The reference epsilon is the largest rung at which some starter keeps 0.60; the
smallest rung if there is none; single starters (``--starter``) give no verdict. The test split is not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from fracbench import recipes, registry, specs
from fracbench.benchmark_schema import BenchmarkSpec, SampleCount
from fracbench.data import choose, load, logical_batches
from fracbench.plan import Cell, Job, seed_of
from fracbench.resolving import resolve
from fracbench.robustness import craft, margins
from fracbench.submissions import Entry, discover, load_model, starters_dir
from fracbench.training import balanced_accuracy

ENOUGH = 0.60


def on_validation(spec: BenchmarkSpec, images: int, data: str | None, trained_by: Iterable[str]) -> tuple[Job, bool]:
    """The spec on validation images, and whether these chose no epoch of the recipes ``trained_by``."""
    job = replace(resolve(spec.model_copy(update={"images": SampleCount()}), split="val", data=data), spec=spec)
    there = job.dataset.samples("val")
    by = [of for of in (recipes.load(name).dataset for name in trained_by) if of.name == spec.dataset.name]
    root = Path(data) if data else None
    chose = {s.id for of in by for s in registry.make("datasets", of.name, of.params, root=root).samples("val")}
    others = [sample for sample in there if sample.id not in chose]
    unused = {sample.label for sample in others} == {0, 1}
    chosen = others if unused else there
    counts = [min(images, sum(sample.label == label for sample in chosen)) for label in (1, 0)]
    batches = logical_batches(choose(chosen, *counts, spec.seed), spec.logical_batch)
    return replace(job, batches=tuple(batches)), unused


def curve(entry: Entry, job: Job) -> dict[str, float]:
    """Robust balanced accuracy at each rung, ``clean`` first, until it falls below what is enough."""
    spec, ladder = job.spec, job.spec.threat.ladder
    assert ladder is not None
    attack = job.attack_of(Cell("ladder", 0, ladder.attack.name))
    model = load_model(entry, spec.image_size, "cpu", spec.logical_batch)
    batches = [load(job.dataset, samples, spec.image_size) for samples in job.batches]
    alive = [margins(model, batch.images, batch.labels, 1) > 0 for batch in batches]
    truth = torch.cat([batch.labels for batch in batches])
    values = {"clean": balanced_accuracy(torch.cat(alive), truth)}
    for epsilon in ladder.epsilons:
        for number, batch in enumerate(batches):
            generator = torch.Generator().manual_seed(seed_of(job, Cell("ladder", number, ladder.attack.name, epsilon)))
            left = alive[number]
            if left.any():
                given = batch.images[left], batch.labels[left], job.threat_at(epsilon), generator
                alive[number] = left.masked_scatter(left, craft(model, attack, *given).robust)
        values[epsilon] = balanced_accuracy(torch.cat(alive), truth)
        if values[epsilon] < ENOUGH:
            break
    return values


def chosen(curves: dict[str, dict[str, float]], epsilons: tuple[str, ...]) -> str:
    """The largest rung at which some starter keeps enough."""
    kept = [epsilon for epsilon in epsilons if any(values.get(epsilon, 0) >= ENOUGH for values in curves.values())]
    return kept[-1] if kept else epsilons[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", default="phantom-v1")
    parser.add_argument("--images", type=int, default=200, help="of each class")
    parser.add_argument("--data", help="folder of the dataset, where it needs one")
    parser.add_argument("--starter", action="append", help="only these, given once for each")
    arguments = parser.parse_args()
    spec = specs.load(arguments.spec)
    assert spec.threat.ladder is not None, f"{spec.name} has no ladder"
    entered = [entry for entry in discover(starters_dir(), None) if entry.submission.enters(spec)]
    rivals = {entry.name: entry for entry in entered if not entry.submission.control}
    unknown = set(arguments.starter or ()) - set(rivals)
    if unknown:
        parser.error(f"no starter of {spec.name}: {', '.join(sorted(unknown))}; these are: {', '.join(rivals)}")
    asked = [rivals[name] for name in arguments.starter or rivals]
    rungs = ("clean", *spec.threat.ladder.epsilons)
    by = {entry.submission.training.recipe or "" for entry in rivals.values()} & set(recipes.names())
    job, unused = on_validation(spec, arguments.images, arguments.data, sorted(by))
    labels = [sample.label for samples in job.batches for sample in samples]
    told = "that chose no epoch" if unused else "which chose the epochs, too"
    print(f"{sum(labels)} + {len(labels) - sum(labels)} validation images {told}, {spec.threat.norm}")
    print(f"{'starter':<36}" + "".join(f"{rung:>10}" for rung in rungs))
    curves = {}
    for entry in asked:
        curves[entry.name] = curve(entry, job)
        print(f"{entry.name:<36}" + "".join(f"{value:>10.3f}" for value in curves[entry.name].values()), flush=True)
    if arguments.starter is None:
        print(f"reference epsilon: {chosen(curves, spec.threat.ladder.epsilons)}")


if __name__ == "__main__":
    main()
