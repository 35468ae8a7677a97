"""Explanations where memory is short, and on one device from network to score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fracbench import order
from fracbench.bench import Bench
from fracbench.explained_cells import to_explain
from fracbench.identity import named
from fracbench.models import guard
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model, probe_random
from fracbench.store import ResultFolder
from torch import Tensor
from torch.overrides import TorchFunctionMode
from worlds import Bright, spec

pytestmark = pytest.mark.usefixtures("blobs")


class Greedy(Bright):
    """Has memory for two images at a time."""

    limit = 2

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


def test_the_micro_batch_shrinks_until_memory_suffices_and_the_record_says_so() -> None:
    model, enough = guard(Greedy().eval(), 32, micro_batch=8), guard(Bright().eval(), 32, micro_batch=8)
    job = resolve(spec())
    found, wanted = evaluate_model(model, job, "cpu"), evaluate_model(enough, job, "cpu")
    assert not found.failed and {cell["micro_batch"] for cell in found.cells} == {2}
    assert {cell["micro_batch"] for cell in wanted.cells} == {8}
    for one, other in zip(found.cells, wanted.cells, strict=True):
        assert one["forward"] == other["forward"], "what a try without enough memory took is no part of the plan"
    for name in ("auc", "hit"):
        np.testing.assert_allclose(found.tables["alignment"][name], wanted.tables["alignment"][name], atol=1e-4)


class Moody(Greedy):
    """Greedy, and it answers otherwise each time."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.rand(len(images), 2)


def test_a_run_that_goes_on_remembers_that_its_model_was_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that differ now and then may not differ in the few calls that begin the second process."""
    job, folder = resolve(spec()), ResultFolder(tmp_path / "bright" / "blobs-v1", "bright", "blobs-v1")
    seen = iter([True, False])
    monkeypatch.setattr("fracbench.runner.is_random", lambda *_: next(seen))
    outcomes = [
        evaluate_model(guard(Bright().eval(), 32), job, "cpu", folder=folder, identity={"model": "moody"})
        for _ in range(2)
    ]
    assert [of.random for of in outcomes] == [True, True]


def test_randomness_is_found_where_memory_is_short() -> None:
    assert probe_random(guard(Moody().eval(), 32, micro_batch=8), resolve(spec()), "cpu")


def test_what_goes_on_begins_with_the_micro_batch_that_was_found(tmp_path: Path) -> None:
    job, folder = resolve(spec()), ResultFolder(tmp_path / "greedy" / "blobs-v1", "greedy", "blobs-v1")
    wanted = evaluate_model(guard(Greedy().eval(), 32, micro_batch=8), job, "cpu", folder=folder)
    last = job.cells(1)[-1]
    folder.cells._path(named(job, last, {})).unlink()
    again = guard(Bright().eval(), 32, micro_batch=8)  # another machine's memory would do for more
    found = evaluate_model(again, job, "cpu", folder=folder)
    assert found.cells[-1]["micro_batch"] == 2 == again.micro_batch
    pd.testing.assert_frame_equal(found.tables["alignment"], wanted.tables["alignment"], check_exact=True)


def test_a_network_without_memory_for_one_image_fails_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = guard(Greedy().eval(), 32, micro_batch=8)
    monkeypatch.setattr(Greedy, "limit", 0)
    found = evaluate_model(model, resolve(spec()), "cpu")
    assert found.failed and all(
        c["error"].startswith("out of memory") or "builds on" in c["error"] for c in found.failed
    )


class Leaving(TorchFunctionMode):
    """What takes a tensor as large as a map from its device, by name."""

    WAYS = ("cpu", "numpy", "tolist", "__array__", "item", "cuda")

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels, self.seen = pixels, list[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = getattr(func, "__name__", ""), args[0] if args else None
        if name in self.WAYS and isinstance(given, Tensor) and given.numel() >= self.pixels:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_no_map_leaves_its_device_before_it_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a card each of these ways would wait for it and copy; on this machine they are only seen."""
    monkeypatch.setattr(order, "BY_NUMPY", ())
    job = resolve(spec(given=["reader"]))
    model = guard(Bright().eval(), 32)
    bench = Bench(job, model, 0, "cpu", random=False)
    found = bench.explanations
    # a random map hashes its image for its seed, which takes the image along, but no map
    cells = [c for c in job.cells(0) if c.kind == "explain" and c.attack == "clean" and c.explainer != "random"]
    for cell in cells:  # what is made once for a batch is made
        images, which = to_explain(bench, cell)
        found.spread(found.maps(cell, images, which).maps, which)
    attacked = found.data.images[found.annotated]
    with Leaving(32 * 32) as leaving:
        for cell in cells:
            images, which = to_explain(bench, cell)
            maps = found.maps(cell, images, which).maps
            found.scores(maps, which), found.spread(maps, which)
            if cell.explainer not in job.spec.given:
                again = replace(cell, attack="fgsm")
                maps = found.maps(again, attacked, found.annotated).maps
                found.stability(again, maps, found.annotated)
    assert leaving.seen == []
    with Leaving(32 * 32) as leaving:
        maps.cpu(), maps.numpy(), maps[0, 0].tolist()
    assert leaving.seen == ["cpu", "numpy"]
