"""The referee: runs an attack, projects what it returned, predicts again and decides.

No attack, however it fails, can make a model look robust: what raises or is not finite raises here too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import torch
from torch import nn

from fracbench.contracts import Attack, Ensemble, Model, label_margin
from fracbench.errors import InputError
from fracbench.models import Guarded, Passes, guard
from fracbench.schema import CORRUPTIONS, Norm, ThreatModel
from fracbench.tensors import Images, Labels, Margins, Masks, Scores
from fracbench.threat import blind, distance, project
from fracbench.undisturbed import undisturbed

RANDOM_PREDICTIONS = 20
NORMS = get_args(Norm)  # those an attack knows that does not say which


class AttackFault(RuntimeError):
    """An attack returned something that cannot be refereed: the cell fails."""


@dataclass(frozen=True)
class Crafted:
    """Refereed attempts, one per image.

    ``images`` (batch, 1, H, W) inside the ball; ``margin`` (batch,) z_y - z_other on them; ``robust``
    (batch,) bool: correct on the clean image and on the attempt; ``distance`` (batch,) in the threat's
    norm; ``adversarial_distance`` (batch,) that of the nearest adversarial image found, 0 where the clean image is
    misclassified and infinite where none was found; ``parts`` the same for each part of an ensemble, NaN and not robust
    where an image was not ``attempted``, (batch,) bool; ``part`` the name of the part whose attempt was kept, per
    image; ``spent`` and ``seconds`` what attack and referee took.
    """

    images: Images
    margin: Margins
    robust: torch.Tensor
    distance: Scores
    adversarial_distance: Scores
    attempted: torch.Tensor
    parts: Mapping[str, Crafted] = field(default_factory=dict)
    part: tuple[str, ...] = ()
    spent: Passes = field(default_factory=Passes)
    seconds: float = 0.0


@dataclass(frozen=True)
class Aimed:
    """An attack on explanations, with what it is to move them off: masks (batch, H, W)."""

    attack: Attack
    masks: Masks

    @property
    def passes(self) -> tuple[int, int]:
        return self.attack.passes

    def __call__(
        self, model: Model, images: Images, labels: Labels, threat: ThreatModel, *, generator: torch.Generator
    ) -> Images:
        return self.attack(model, images, labels, threat, generator=generator, masks=self.masks)  # type: ignore[call-arg]


def _leaves(attack: Attack) -> Sequence[Attack]:
    return list(attack.parts.values()) if isinstance(attack, Ensemble) else [attack]


def norms_of(attack: Attack) -> list[str]:
    """The norms an attack knows, with all its parts."""
    leaves = _leaves(attack)
    return [norm for norm in (*NORMS, CORRUPTIONS) if all(norm in getattr(leaf, "norms", NORMS) for leaf in leaves)]


def check_norm(attack: Attack, norm: str, name: str) -> None:
    """Raise ``InputError`` where an attack, or a part of it, does not know a norm."""
    if norm not in (known := norms_of(attack)):
        raise InputError(f"attack '{name}' does not know {norm} (it knows {', '.join(known) or 'none'})")


def referee_passes(attack: Attack, predictions: int = 1) -> int:
    """Forward passes an image takes in ``craft`` beyond those of the attack itself."""
    attempts = sum(2 if getattr(leaf, "minimal_norm", False) else 1 for leaf in _leaves(attack))
    return max(2, predictions) * (1 + attempts)


@torch.no_grad()
def margins(model: nn.Module, images: Images, labels: Labels, predictions: int = 1) -> Margins:
    """The lowest margin over ``predictions`` predictions, so that one wrong answer counts as wrong.

    A model that is not known to be random (``predictions`` 1) is asked twice; where its answers differ, or are
    not finite, ``AttackFault`` is raised.
    """
    answers = [label_margin(model(images), labels) for _ in range(max(2, predictions))]
    lowest = torch.stack(answers).amin(0)
    if not torch.isfinite(lowest).all():
        raise AttackFault(f"the model returned a non-finite logit on {int((~lowest.isfinite()).sum())} images")
    if predictions == 1 and not torch.allclose(answers[0], answers[1], rtol=1e-4, atol=1e-5):
        raise AttackFault(
            "the model's answers differ from call to call here, though not on the images it was probed with"
        )
    return lowest


@torch.no_grad()
def is_random(model: nn.Module, images: Images) -> bool:
    """Whether repeated predictions of the same batch differ by more than rounding."""
    first = model(images)
    return any(not torch.allclose(first, model(images), rtol=1e-4, atol=1e-5) for _ in range(4))


def zero_gradient(model: nn.Module, images: Images, labels: Labels, norm: Norm = "linf") -> torch.Tensor:
    """(batch,) bool: the margin's gradient is zero, not finite, or leads nowhere (``threat.blind``)."""
    given = images.detach().clone().requires_grad_(True)
    margin = label_margin(model(given), labels)
    gradient = torch.autograd.grad(margin.sum(), given, allow_unused=True)[0] if margin.requires_grad else None
    return blind(margin.detach(), torch.zeros_like(images) if gradient is None else gradient, norm)


def _referee(
    model: Guarded,
    attack: Attack,
    images: Images,
    labels: Labels,
    threat: ThreatModel,
    generator: torch.Generator,
    clean_correct: torch.Tensor,
    predictions: int,
) -> Crafted:
    before, start = model.passes.copy(), time.perf_counter()
    with undisturbed(model), model.refereed():  # what it changes is put back before the model is asked again
        attempt = attack(model, images.clone(), labels.clone(), threat, generator=generator)
    if not isinstance(attempt, torch.Tensor) or attempt.shape != images.shape:
        got = tuple(attempt.shape) if isinstance(attempt, torch.Tensor) else type(attempt).__name__
        raise AttackFault(f"the attack returned {got} for images of shape {tuple(images.shape)}")
    attempt = attempt.detach().to(images)
    if not torch.isfinite(attempt).all():
        bad = int((~attempt.isfinite()).flatten(1).any(1).sum())
        raise AttackFault(f"the attack returned non-finite pixels for {bad} of {len(images)} images")
    free = attempt.clamp(0, 1)
    attempt = project(images, attempt, threat)
    margin = margins(model, attempt, labels, predictions)
    away = distance(images, attempt, threat.norm)
    nearest = torch.where(margin > 0, torch.inf, away)
    if getattr(attack, "minimal_norm", False):
        further = distance(images, free, threat.norm)
        nearest = nearest.minimum(torch.where(margins(model, free, labels, predictions) > 0, torch.inf, further))
    nearest = nearest.masked_fill(~clean_correct, 0)
    spent, seconds = model.passes.minus(before), time.perf_counter() - start
    robust = clean_correct & (margin > 0)
    return Crafted(attempt, margin, robust, away, nearest, torch.ones_like(robust), spent=spent, seconds=seconds)


def _strongest(parts: Mapping[str, Crafted]) -> Crafted:
    """Per image the attempt with the lowest margin; the earlier part wins a tie."""
    names = list(parts)
    best = torch.stack([part.margin.masked_fill(~part.attempted, torch.inf) for part in parts.values()]).argmin(0)
    rows = torch.arange(len(best), device=best.device)

    def pick(of: str) -> torch.Tensor:
        return torch.stack([getattr(parts[name], of) for name in names])[best, rows]

    robust = torch.stack([part.robust for part in parts.values()]).all(0)
    known = [part.adversarial_distance.masked_fill(~part.attempted, torch.inf) for part in parts.values()]
    kept = tuple(names[i] for i in best.tolist())
    attempted = torch.ones_like(robust)
    return Crafted(
        pick("images"), pick("margin"), robust, pick("distance"), torch.stack(known).amin(0), attempted, parts, kept
    )


def _spread(found: Crafted | None, attempted: torch.Tensor, images: Images) -> Crafted:
    """What was found for the ``attempted`` images of a batch, among the others."""

    def full(values: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
        whole = torch.full_like(like, torch.nan)
        if values is not None:
            whole[attempted] = values
        return whole

    blank = images[:, 0, 0, 0]
    if found is None:
        robust = torch.zeros_like(attempted)
        return Crafted(full(None, images), full(None, blank), robust, full(None, blank), full(None, blank), attempted)
    return replace(
        found,
        images=full(found.images, images),
        margin=full(found.margin, blank),
        robust=torch.zeros_like(attempted).masked_scatter(attempted, found.robust),
        distance=full(found.distance, blank),
        adversarial_distance=full(found.adversarial_distance, blank),
        attempted=attempted,
    )


def craft(
    model: object,
    attack: Attack,
    images: Images,
    labels: Labels,
    threat: ThreatModel,
    generator: torch.Generator,
    *,
    predictions: int = 1,
) -> Crafted:
    """Run an attack under the referee.

    ``images`` (batch, 1, H, W) in [0, 1], ``labels`` (batch,) in {0, 1}. The first part of an ensemble attempts
    every image, a later one those that are correct and that no part before it broke, as in AutoAttack; a part that
    looks for the nearest adversarial image attempts all correct ones. Each is refereed and gets a generator of its
    own, seeded from ``generator`` in part order. With ``predictions`` above 1 (models found to be random) one wrong
    answer of many counts as broken. Raises ``InputError`` for a norm the attack does not know, ``AttackFault`` for
    what an attack must not return; an exception of the attack passes through.
    """
    check_norm(attack, threat.norm, type(attack).__name__)
    guarded = guard(model, images.shape[-1], images.device)
    with undisturbed(guarded):
        clean_correct = margins(guarded, images, labels, predictions) > 0
        given = (images, labels, threat)
        if not isinstance(attack, Ensemble):
            return _referee(guarded, attack, *given, generator, clean_correct, predictions)
        parts: dict[str, Crafted] = {}
        unbroken = torch.ones_like(clean_correct)
        for name, part in attack.parts.items():
            seed = int(torch.randint(2**31, (1,), generator=generator))
            own = torch.Generator().manual_seed(seed)
            which = clean_correct if parts and getattr(part, "minimal_norm", False) else unbroken
            found = None
            if which.any():
                some = images[which], labels[which], threat
                found = _referee(guarded, part, *some, own, clean_correct[which], predictions)
            parts[name] = _spread(found, which, images)
            unbroken = clean_correct & torch.stack([of.robust | ~of.attempted for of in parts.values()]).all(0)
        return _strongest(parts)
