"""What stays of a map, where its mass lies, and whether the output follows it: on maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fracbench.faithfulness import faithfulness, flips
from fracbench.models import guard
from fracbench.otsu import otsu
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.spread import anatomy, spread
from fracbench.stability import stability
from scipy.stats import spearmanr
from skimage.filters import threshold_otsu
from torch import nn
from worlds import Bright, spec

RNG = np.random.default_rng(0)
WHOLE = torch.ones(3, 20, 20, dtype=torch.bool)


def noise(n: int = 3) -> torch.Tensor:
    return torch.from_numpy(RNG.random((n, 20, 20))).float()


def test_rank_correlation_is_spearmans_on_the_picture_alone() -> None:
    before, after, valid = noise(), (noise() * 5).round(), WHOLE.clone()
    valid[:, :, :4] = False
    after[:, :, :4] = before[:, :, :4]
    found = stability(before, after, valid)["rank_correlation"]
    for i in range(3):
        cut = [of[i, :, 4:].numpy().ravel() for of in (before, after)]
        assert float(found[i]) == pytest.approx(spearmanr(*cut).statistic, abs=1e-6)


def test_a_map_agrees_with_itself_and_not_with_its_opposite() -> None:
    maps = noise()
    same, opposite = stability(maps, 3 * maps + 1, WHOLE), stability(maps, 1 - maps, WHOLE)
    assert same["rank_correlation"].allclose(torch.ones(3)) and same["top_overlap"].allclose(torch.ones(3))
    assert opposite["rank_correlation"].allclose(-torch.ones(3)) and not opposite["top_overlap"].any()
    zero = torch.zeros_like(maps)
    assert not any(values.any() for values in stability(maps, zero, WHOLE).values()), "nothing is left of a map"
    assert all(values.isnan().all() for values in stability(zero, zero, WHOLE).values())


def test_maps_of_few_pixels_have_only_those_in_common() -> None:
    """Zeros are among no map's highest, however few pixels are above them."""
    before, after = torch.zeros(2, 20, 20), torch.zeros(2, 20, 20)
    before[0, 2, 2] = after[0, 9, 9] = 1
    before[1, :2, :2], after[1, :2, 1:3] = 1, 1
    assert stability(before, after, WHOLE[:2])["top_overlap"].tolist() == [0, 0.5]
    assert stability(before, before, WHOLE[:2])["top_overlap"].tolist() == [1, 1]


def test_overlap_of_maps_that_know_nothing_of_each_other_is_its_chance() -> None:
    many = torch.ones(400, 20, 20, dtype=torch.bool)
    overlap = stability(noise(400), noise(400), many)["top_overlap"]
    assert float(overlap.mean()) == pytest.approx(0.05, abs=4 * float(overlap.std()) / 20)
    halves = torch.zeros(1, 20, 20)
    halves[0, :10] = 1  # 200 pixels tie for 20 places
    assert float(stability(halves, halves, WHOLE[:1])["top_overlap"]) == pytest.approx(1)


def test_concentration_is_a_share_of_mass() -> None:
    flat, point = torch.ones(1, 20, 20), torch.zeros(1, 20, 20)
    point[0, 3, 3] = 0.5
    maps = torch.cat([flat, point, torch.zeros(1, 20, 20)])
    beside = torch.zeros_like(WHOLE)
    beside[:, :, :5] = True
    found = spread(maps, beside, WHOLE)
    assert found["concentration"][:2].tolist() == pytest.approx([0.05, 1]) and found["concentration"][2].isnan()
    assert found["outside_anatomy"][:2].tolist() == pytest.approx([0.25, 1]) and found["outside_anatomy"][2].isnan()


def test_anatomy_is_what_is_bright_and_what_is_near_it() -> None:
    given, valid = torch.zeros(1, 1, 20, 20), torch.ones(1, 20, 20, dtype=torch.bool)
    given[0, 0, 8:12, 8:12] = 0.7
    valid[0, :2] = False
    found = anatomy(given, valid, 2.0)[0]
    assert found[8:12, 8:12].all() and found[6, 9] and not found[5, 9] and not found[:2].any()
    assert otsu(noise(1) ** 2)[0].item() >= 0
    values = noise(1) ** 3
    assert float(otsu(values)[0]) == pytest.approx(threshold_otsu(values[0].numpy()), abs=1e-5)


def test_a_map_that_drives_the_output_flips_it_sooner_than_one_that_does_not() -> None:
    """The bright world calls an image fractured by its brightest place: black that out, and it is normal."""
    model = guard(Bright().eval(), 32)
    given = torch.full((4, 1, 32, 32), 0.2)
    given[:, 0, 10:14, 20:24] = 1.0
    right, wrong = given[:, 0].clone(), given[:, 0].flip(2).flip(1)
    before = model.passes.copy()
    whole = torch.ones(4, 32, 32, dtype=torch.bool)
    good, bad = (faithfulness(model, given, maps, whole) for maps in (right, wrong))
    spent = model.passes.minus(before)
    assert spent.forward <= 2 * (flips(32) + 2) * 4 and spent.backward == 0
    assert (good["pixel_flipping"] < bad["pixel_flipping"]).all()
    blank = faithfulness(model, given, torch.zeros(4, 32, 32), whole)
    assert all(values.isnan().all() for values in blank.values())
    flat = faithfulness(model, given, torch.ones(4, 32, 32) + 1e-3 * right, whole)
    assert (good["sparseness"] > flat["sparseness"]).all() and flat["sparseness"].abs().max() < 0.01
    half = whole.clone()
    half[:, :, :16] = False
    padded = faithfulness(model, given, (torch.ones(4, 32, 32) + 1e-3 * right) * half, half)
    assert padded["sparseness"].abs().max() < 0.01, "padding makes no map sparse"


@pytest.mark.usefixtures("blobs")
def test_the_sample_for_faithfulness_is_drawn_from_all_batches_and_costs_what_is_planned() -> None:
    changed = spec(logical_batch=6, faithfulness=5, attacks=[{"name": "fgsm"}], explainers=[{"name": "oracle"}])
    job = resolve(changed)
    outcome = evaluate_model(guard(Bright().eval(), 32), job, "cpu")
    rows = outcome.tables["alignment"]
    measured = rows[rows.pixel_flipping.notna()]
    assert set(measured.image) == job.faithfulness_sample and len(measured) == 5 and set(measured.attack) == {"clean"}
    batch_of = {sample.id: i for i, batch in enumerate(job.batches) for sample in batch}
    assert len({batch_of[image] for image in measured.image}) > 1
    planned = {cell.batch: job.passes(cell) for i in range(len(job.batches)) for cell in job.cells(i)
               if cell.kind == "explain" and cell.attack == "clean"}  # fmt: skip
    spent = {c["batch"]: c["forward"] for c in outcome.cells if c["kind"] == "explain" and c["attack"] == "clean"}
    assert all(spent[batch] <= planned[batch][0] for batch in spent) and not outcome.failed


@pytest.mark.parametrize("side, steps", [(128, 32), (224, 32), (256, 32), (101, 101), (23, 23)])
def test_pixels_are_flipped_in_equal_steps(side: int, steps: int) -> None:
    assert flips(side) == steps


def test_flipped_pixels_are_black_also_where_no_pixel_was() -> None:
    class Mean(nn.Module):
        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return given.mean((1, 2, 3))[:, None] * torch.tensor([[-1.0, 1.0]])

    given = 0.4 + 0.4 * torch.rand(2, 1, 23, 23)
    found = faithfulness(guard(Mean(), 23), given, torch.rand(2, 23, 23), torch.ones(2, 23, 23, dtype=torch.bool))
    start = torch.sigmoid(2 * given.mean((1, 2, 3)))
    assert ((found["pixel_flipping"] > 0.5) & (found["pixel_flipping"] < (start + 0.5) / 2 + 0.01)).all()
