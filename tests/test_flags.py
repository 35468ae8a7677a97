"""Defences that hide, each in a way of its own: what flags they wear, and what the adaptive attack makes of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from analytic import Defended
from fracbench.flags import unanswered
from fracbench.models import guard
from fracbench.resolving import resolve
from fracbench.run_record import record_of
from fracbench.runner import evaluate_model
from fracbench.summary import summarise
from torch import Tensor, nn
from worlds import ENV, FIELDS, Bright, spec

pytestmark = pytest.mark.usefixtures("blobs")


def noisy(images: Tensor) -> Tensor:
    return images + 0.02 * torch.randn_like(images)


def quantised(images: Tensor) -> Tensor:
    return (images * 31).round() / 31


def stepped(images: Tensor) -> Tensor:
    """Quantised by comparisons, which no straight-through gradient passes."""
    return torch.stack([(images > level / 16).to(images.dtype) for level in range(16)]).mean(0)


def rounding(images: Tensor) -> Tensor:
    """What single precision leaves of an image beside a large number, and double precision does not."""
    return (images + 2e5) - 2e5


def mixing(logits: Tensor) -> Tensor:
    """Of several images each leans on the others, in a way that the contract's probe does not see."""
    return logits - 0.1 * logits.mean(0) * (logits.std() > 0.5) if len(logits) > 2 else logits


def saturated(logits: Tensor) -> Tensor:
    """Nothing is left of a margin but its sign."""
    return torch.tanh(1e4 * logits)


def hard(logits: Tensor) -> Tensor:
    """Nothing but the sign of the margin, and no gradient."""
    return torch.where(logits > logits.mean(1, keepdim=True), 1.0, -1.0)


class Leaking(Defended):
    """Hard labels, and beside them a gradient that leads along noise."""

    size = 1e-5

    def forward(self, images: Tensor) -> Tensor:
        noise = torch.randn(images[0].shape, generator=torch.Generator().manual_seed(1))
        leak = self.size * (images * noise).sum((1, 2, 3))
        return super().forward(images) + torch.stack([-leak, leak], 1)


class Pouring(Leaking):
    """The same, so loud that the gradient looks like any other's."""

    size = 5e-3


class Decoy(Defended):
    """Hard labels, and beside them a rounded term: something for the adaptive attack to follow, to no effect."""

    def forward(self, images: Tensor) -> Tensor:
        bait = 1e-2 * (images.mean((1, 2, 3)) * 1000).round() / 1000
        return super().forward(images) + torch.stack([-bait, bait], 1)


CONSTANT = {"zero_gradient", "survives_half"}
ANSWERED, UNANSWERED = ("noisy", "quantised", "stepped"), ("saturated", "constant", "leaking", "pouring", "decoy")

DEFENCES: dict[str, tuple[Defended, set[str]]] = {
    "none": (Defended(Bright()), set()),
    "loud": (Defended(Bright(), after=lambda logits: 1e3 * logits), {"saturated_cross_entropy"}),
    "louder": (Defended(Bright(), after=lambda logits: 1e5 * logits), {"saturated_cross_entropy"}),
    "noisy": (Defended(Bright(), before=noisy), {"random"}),
    "quantised": (Defended(Bright(), before=quantised), {"zero_gradient"}),
    "stepped": (Defended(Bright(), before=stepped), {"zero_gradient"}),
    "saturated": (Defended(Bright(), after=saturated), {"zero_gradient"}),
    "constant": (Defended(Bright(), after=lambda logits: 0 * logits + torch.tensor([0.0, 1.0])), CONSTANT),
    "leaking": (Leaking(Bright(), after=hard), {"zero_gradient"}),
    "pouring": (Pouring(Bright(), after=hard), {"jumps"}),
    "decoy": (Decoy(Bright(), after=hard), {"zero_gradient"}),
    "rounding": (Defended(Bright(), before=rounding), {"precision_dependent"}),
    "mixing": (Defended(Bright(), after=mixing), {"batch_dependent"}),
    "probabilities": (Defended(Bright(), after=lambda logits: logits.softmax(1)), {"probabilities"}),
}


ADAPTIVE = {"name": "adaptive", "params": {"steps": 10, "restarts": 1, "samples": 5}}


def row(model: nn.Module, **changes: Any) -> dict[str, Any]:
    job = resolve(spec(**{"adaptive": ADAPTIVE} | changes))
    outcome = evaluate_model(guard(model.eval(), 32), job, "cpu")
    assert not outcome.failed, outcome.failed[0]["traceback"]
    return summarise(record_of(FIELDS, job, outcome, ENV, "id"), outcome.tables)


LADDER = {"epsilons": ["16/255"], "attack": {"name": "apgd-margin", "params": {"steps": 10}}}
SMALL = {
    "explainers": [{"name": "oracle"}], "panel": ["oracle"],
    "threat": {"norm": "linf", "epsilon": "16/255", "ladder": LADDER},
}  # fmt: skip


@cache
def undefended() -> float:
    """Robust balanced accuracy without a defence."""
    return float(row(Defended(Bright()), **SMALL)["robust"]["balanced_accuracy"]["value"])


@pytest.mark.parametrize("name", DEFENCES)
def test_each_way_of_hiding_wears_its_flag(name: str) -> None:
    model, wanted = DEFENCES[name]
    torch.manual_seed(0)
    found = row(model, **SMALL)
    names = {flag["name"] for flag in found["flags"]}
    assert wanted <= names and (wanted or not names), names
    assert ("adaptive" in found["attacks"]) == (name in ANSWERED + UNANSWERED)
    if name in ANSWERED:  # the adaptive attack ran by itself and settled the flags
        assert found["ranked"] and not unanswered(found["flags"])
    robust = found["robust"]["balanced_accuracy"]["value"]
    if name not in UNANSWERED:
        assert robust <= undefended() + 0.07, "no defence looks better than none"
    if name in UNANSWERED:
        assert not found["ranked"] and unanswered(found["flags"])[0] in wanted


def test_an_attack_that_answers_climbs_the_ladder_too() -> None:
    """APGD is blind at every rung where it is blind at the reference, and the curve must not be its own."""
    epsilons = [f"{n}/255" for n in (4, 8, 16, 24, 32)]
    threat = SMALL["threat"] | {"ladder": LADDER | {"epsilons": epsilons}}
    torch.manual_seed(0)
    bare, hidden = (row(DEFENCES[name][0], **SMALL | {"threat": threat}) for name in ("none", "quantised"))
    heights = [[point["balanced_accuracy"] for point in found["curve"]] for found in (bare, hidden)]
    assert [point["epsilon"] for point in hidden["curve"]] == epsilons and heights[0][0] > heights[0][-1]
    assert all(lower <= higher + 0.07 for higher, lower in zip(*heights, strict=True)), heights
    assert hidden["curve_area"] <= bare["curve_area"] + 0.05
    alone = row(DEFENCES["quantised"][0], adaptive=None, **SMALL | {"threat": threat})
    assert alone["curve_area"] > hidden["curve_area"] + 0.1, "the same without an answer"
