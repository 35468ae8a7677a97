"""The referee: runs an attack, projects what it returned, predicts again and decides.

No attack, however it fails, can make a model look robust: what raises or is not finite raises here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from fracbench.contracts import Attack, Ensemble, label_margin
from fracbench.models import Guarded, guard, undisturbed
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Margins, Scores
from fracbench.threat import distance, project

RANDOM_PREDICTIONS = 20


class AttackFault(RuntimeError):
    """An attack returned something that cannot be refereed: the cell fails."""


@dataclass(frozen=True)
class Crafted:
    """Refereed attempts, one per image.

    ``images`` (batch, 1, H, W) inside the ball; ``margin`` (batch,) z_y - z_other on them; ``robust``
    (batch,) bool: correct on the clean image and on the attempt; ``distance`` (batch,) in the threat's
    norm; ``parts`` the same for each part of an ensemble; ``part`` the name of the part whose attempt
    was kept, per image.
    """

    images: Images
    margin: Margins
    robust: torch.Tensor
    distance: Scores
    parts: Mapping[str, Crafted] = field(default_factory=dict)
    part: tuple[str, ...] = ()


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


def zero_gradient(model: nn.Module, images: Images, labels: Labels) -> torch.Tensor:
    """(batch,) bool: the gradient of the margin with respect to the image is exactly zero or not finite."""
    given = images.detach().clone().requires_grad_(True)
    margin = label_margin(model(given), labels).sum()
    if not margin.requires_grad:
        return torch.ones(len(images), dtype=torch.bool, device=images.device)
    (gradient,) = torch.autograd.grad(margin, given, allow_unused=True)
    if gradient is None:
        return torch.ones(len(images), dtype=torch.bool, device=images.device)
    size = gradient.flatten(1).abs().sum(1)
    return ~(size > 0) | ~size.isfinite()


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
    with model.refereed():
        attempt = attack(model, images.clone(), labels.clone(), threat, generator=generator)
    if not isinstance(attempt, torch.Tensor) or attempt.shape != images.shape:
        got = tuple(attempt.shape) if isinstance(attempt, torch.Tensor) else type(attempt).__name__
        raise AttackFault(f"the attack returned {got} for images of shape {tuple(images.shape)}")
    attempt = attempt.detach().to(images)
    if not torch.isfinite(attempt).all():
        bad = int((~attempt.isfinite()).flatten(1).any(1).sum())
        raise AttackFault(f"the attack returned non-finite pixels for {bad} of {len(images)} images")
    attempt = project(images, attempt, threat)
    margin = margins(model, attempt, labels, predictions)
    return Crafted(attempt, margin, clean_correct & (margin > 0), distance(images, attempt, threat.norm))


def _strongest(parts: Mapping[str, Crafted]) -> Crafted:
    """Per image the attempt with the lowest margin; the earlier part wins a tie."""
    names = list(parts)
    best = torch.stack([parts[name].margin for name in names]).argmin(0)
    rows = torch.arange(len(best), device=best.device)

    def pick(of: str) -> torch.Tensor:
        return torch.stack([getattr(parts[name], of) for name in names])[best, rows]

    robust = torch.stack([part.robust for part in parts.values()]).all(0)
    return Crafted(
        pick("images"), pick("margin"), robust, pick("distance"), parts, tuple(names[i] for i in best.tolist())
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

    ``images`` (batch, 1, H, W) in [0, 1], ``labels`` (batch,) in {0, 1}. Each part of an ensemble is
    refereed by itself and gets a generator of its own, seeded from ``generator`` in part order. With
    ``predictions`` above 1 (models found to be random) one wrong answer of many counts as broken.
    Raises ``AttackFault`` for what an attack must not return; an exception of the attack passes through.
    """
    guarded = guard(model, images.shape[-1], images.device)
    with undisturbed(guarded):
        clean_correct = margins(guarded, images, labels, predictions) > 0
        given = (images, labels, threat)
        if not isinstance(attack, Ensemble):
            return _referee(guarded, attack, *given, generator, clean_correct, predictions)
        parts = {}
        for name, part in attack.parts.items():
            seed = int(torch.randint(2**31, (1,), generator=generator))
            own = torch.Generator().manual_seed(seed)
            parts[name] = _referee(guarded, part, *given, own, clean_correct, predictions)
        return _strongest(parts)
