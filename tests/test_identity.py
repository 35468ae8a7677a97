"""Names of cells: two specs share what both compute in the same way, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fracbench.cell_store import CellResult
from fracbench.identity import identity_of
from fracbench.keyed import digest
from fracbench.models import guard
from fracbench.plan import Job
from fracbench.progress import Silent
from fracbench.resolving import resolve
from fracbench.runner import Outcome, evaluate_model
from fracbench.store import ResultFolder
from pandas.testing import assert_frame_equal
from worlds import Blobs, Bright, registered, spec

pytestmark = pytest.mark.usefixtures("blobs")

BASE: dict[str, Any] = {
    "attacks": [{"name": "fgsm"}, {"name": "pgd", "params": {"steps": 3}}],
    "further_threats": [{"norm": "l2", "epsilon": "0.5", "attacks": [{"name": "fgsm"}]}],
    "corruptions": {"kinds": [{"name": "quantum-noise"}], "severities": [3]},
    "explanation_attack": {"name": "explanation", "params": {"steps": 2}},
    "explainers": [{"name": "saliency"}, {"name": "occlusion", "params": {"grid": 2}}],
    "panel": ["saliency"], "metrics": ["pointing_game", "iou"], "given": ["reader"], "faithfulness": 2,
}  # fmt: skip
RUNGS = {"epsilons": ["2/255", "4/255", "30/255"], "attack": {"name": "apgd-margin", "params": {"steps": 3}}}
CHANGES: dict[str, dict[str, Any]] = {
    "another attack": {"attacks": [*BASE["attacks"], {"name": "mifgsm", "params": {"steps": 2}}]},
    "an attack's steps": {"attacks": [{"name": "fgsm"}, {"name": "pgd", "params": {"steps": 4}}]},
    "epsilon": {"threat": {"norm": "linf", "epsilon": "2/255", "ladder": RUNGS}},
    "norm": {"threat": {"norm": "l2", "epsilon": "1/4"}},
    "rungs": {"threat": {"norm": "linf", "epsilon": "4/255", "ladder": {**RUNGS, "epsilons": ["4/255", "30/255"]}}},
    "no ladder": {"threat": {"norm": "linf", "epsilon": "4/255"}, "sanity_attack": RUNGS["attack"]},
    "another explainer": {"explainers": [*BASE["explainers"], {"name": "centre"}]},
    "an explainer's grid": {"explainers": [{"name": "saliency"}, {"name": "occlusion", "params": {"grid": 4}}]},
    "a metric more": {"metrics": ["pointing_game", "iou", "auc"]},
    "tolerance": {"tolerance": "30/224"},
    "faithfulness": {"faithfulness": 4},
    "no explanation attack": {"explanation_attack": None},
    "severities": {"corruptions": {"kinds": [{"name": "quantum-noise"}], "severities": [3, 4]}},
    "seed": {"seed": 1},
    "fewer images": {"images": {"fractured": 6, "normal": 6}},
    "batches": {"logical_batch": 4},
    "image size": {"image_size": 48},
}


def job_of(**changes: Any) -> Job:
    return resolve(spec(**BASE | changes))


class Told(Silent):
    """The cells that go by, and whether each was there already."""

    def __init__(self) -> None:
        self.cells: list[tuple[str, bool]] = []

    def cell(self, label: str, weight: int, *, cached: bool) -> None:
        self.cells.append((label, cached))


def computed(job: Job, folder: ResultFolder) -> Outcome:
    return evaluate_model(guard(Bright(), job.spec.image_size), job, "cpu", folder=folder, identity={"model": "bright"})


def by_identity(job: Job, folder: ResultFolder) -> dict[str, CellResult]:
    found = {}
    for batch in range(len(job.batches)):
        for cell in job.cells(batch):
            result = folder.cells.read({**identity_of(job, cell), "model": "bright"})
            assert result is not None, cell
            found[digest(identity_of(job, cell))] = result
    return found


def same(one: CellResult, other: CellResult) -> None:
    timeless = [{k: v for k, v in of.record.items() if k not in ("seconds", "parts")} for of in (one, other)]
    assert timeless[0] == timeless[1] and one.tables.keys() == other.tables.keys()
    for name, table in one.tables.items():
        assert_frame_equal(table, other.tables[name])
    np.testing.assert_equal(one.images, other.images)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CellResult]:
    folder = ResultFolder(tmp_path_factory.mktemp("base") / "bright" / "v1", "bright", "v1")
    with registered(blobs=("datasets", Blobs)):
        computed(job_of(), folder)
        return by_identity(job_of(), folder)


@pytest.mark.parametrize("change", CHANGES)
def test_cells_of_one_name_are_the_same_whatever_else_the_spec_says(
    change: str, base: dict[str, CellResult], tmp_path: Path
) -> None:
    job, folder = job_of(**CHANGES[change]), ResultFolder(tmp_path / "bright" / "v2", "bright", "v2")
    outcome = computed(job, folder)
    assert not outcome.failed
    other = by_identity(job, folder)
    shared = other.keys() & base.keys()
    for name in shared:
        same(base[name], other[name])
    everything = {"fewer images", "batches", "image size"}
    assert bool(shared) != (change in everything), "what is unchanged is shared, and nothing where all changes"
    assert shared != other.keys() or change in ("no explanation attack", "no ladder"), "what is changed is not"


def test_what_extends_a_spec_computes_only_what_is_new(tmp_path: Path) -> None:
    first, second = (ResultFolder(tmp_path / "bright" / name, "bright", name) for name in ("blobs-v1", "blobs-v2"))
    computed(job_of(), first)
    more = [*BASE["explainers"], {"name": "input_x_gradient"}]
    for seeds, shared in (("blobs-v1", True), (None, False)):
        job = job_of(name="blobs-v2", seeds_of=seeds, explainers=more)
        told = Told()
        evaluate_model(guard(Bright(), 32), job, "cpu", folder=second, identity={"model": "bright"}, progress=told)
        new = {label for label, cached in told.cells if not cached}
        assert ("fgsm 4/255" in new) != shared and "clean" not in new
        assert not shared or (new and all(label.startswith("input_x_gradient") for label in new))


def test_a_spec_that_none_extends_is_as_it_was_before_there_were_such() -> None:
    assert "seeds_of" not in spec().decisive() and spec(seeds_of="phantom-v1").decisive()["seeds_of"] == "phantom-v1"
