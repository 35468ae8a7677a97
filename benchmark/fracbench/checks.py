"""Symptoms of a robustness that is not what it seems, looked for on a few images of every logical batch."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from fracbench.contracts import Attack, MarginModel, label_margin
from fracbench.flags import CHANGE
from fracbench.models import Guarded
from fracbench.robustness import craft, margins
from fracbench.schema import Norm, ThreatModel, grey_epsilon
from fracbench.tensors import Images, Labels
from fracbench.threat import project
from fracbench.undisturbed import undisturbed

IMAGES = 16  # the first of a batch
HALVINGS = 20  # of a way: its ends then differ by a millionth
JUMP = 0.5  # of the spread: a fine quantisation of the image moves it by less than a fifth
FLAT = (0.0, 0.25, 0.5, 0.75, 1.0)


def symptoms(model: Guarded, images: Images, labels: Labels, predictions: int = 1) -> dict[str, Any]:
    """What the flags of a row are made of, counted on ``images`` (batch, 1, H, W).

    ``probabilities``: logits lie in [0, 1] and sum to 1, so that a loss on them is blunt. ``batch`` and ``precision``:
    the largest change of a margin when an image is predicted alone, or in double precision, as a share of the margins'
    spread (None where the network cannot be run so, or is random). ``jumps``: of ``crossed`` images, on how many the
    margin jumps where the answer changes (``jumps_at_boundary``).
    """
    with undisturbed(model), torch.no_grad():
        logits = model(images)
        margin = label_margin(logits, labels)
        alone = torch.cat(
            [label_margin(model(image[None]), label[None]) for image, label in zip(images, labels, strict=True)]
        )
        probabilities = bool(((logits >= 0) & (logits <= 1)).all() and ((logits.sum(1) - 1).abs() < 1e-4).all())
        spread = float(margin.std(correction=0)) + float(margin.abs().mean()) + 1e-12
        double = _in_double(model.network, images, labels)
    random, change = predictions > 1, float((alone - margin).abs().max()) / spread
    steady = not random and change <= CHANGE  # else a margin jumps wherever it is asked for again
    found = jumps_at_boundary(model, images) if steady else torch.zeros(0, dtype=torch.bool)
    return {
        "images": len(images),
        "crossed": len(found),
        "jumps": int(found.sum()),
        "probabilities": probabilities,
        "batch": None if random else change,
        "precision": None if random or double is None else float((double - margin).abs().max()) / spread,
    }


@torch.no_grad()
def jumps_at_boundary(model: Guarded, images: Images) -> Tensor:
    """(n,) bool, for each image from which a straight way leads to another answer: does the margin jump there?

    The way to another image, or a flat one, is bisected until its ends are as good as one image. A network whose
    margins are continuous has margins near 0 there. Where they differ by over ``JUMP`` of their spread, the answers are
    steps, and whatever gradient there is says nothing about where they change.
    """
    margin = MarginModel(model.network, through=model)
    flat = torch.cat([torch.full_like(images[:1], level) for level in FLAT])
    with undisturbed(model):
        ends = torch.cat([images, flat])
        values = margin(ends)
        others = [(values.sign() != side).nonzero()[:, 0] for side in values[: len(images)].sign()]
        pairs = [(i, int(of[i % len(of)])) for i, of in enumerate(others) if len(of)]
        if not pairs:
            return torch.zeros(0, dtype=torch.bool)
        here, there = (ends[[pair[side] for pair in pairs]] for side in (0, 1))
        near, far = (values[[pair[side] for pair in pairs]] for side in (0, 1))
        for _ in range(HALVINGS):
            middle = (here + there) / 2
            value = margin(middle)
            same = value.sign() == near.sign()
            here, near = torch.where(same[:, None, None, None], middle, here), torch.where(same, value, near)
            there, far = torch.where(same[:, None, None, None], there, middle), torch.where(same, far, value)
    return ((far - near).abs() > JUMP * values[: len(images)].std(correction=0)).cpu()


def outlive_grey(
    model: Guarded,
    attack: Attack,
    images: Images,
    labels: Labels,
    norm: Norm,
    generator: torch.Generator,
    predictions: int = 1,
) -> Tensor:
    """(batch,) bool: correct though every image may be turned grey, by the attack or by flat images tried first."""
    ball = ThreatModel(norm, grey_epsilon(norm, images.shape[-1]))
    flat = [project(images, torch.full_like(images, level), ball) for level in FLAT]
    with undisturbed(model):
        answers = torch.stack([margins(model, image, labels, predictions) > 0 for image in flat]).all(0)
    attacked = craft(model, attack, images, labels, ball, generator, predictions=predictions)
    return answers & attacked.robust


def _in_double(network: nn.Module, images: Images, labels: Labels) -> Tensor | None:
    """Margins of a copy in double precision; None where it cannot be copied or run."""
    try:
        return label_margin(copy.deepcopy(network).double().eval()(images.double()), labels).float()
    except Exception:
        return None
