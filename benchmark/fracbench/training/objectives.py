"""What training minimises on one batch: one function for each objective a recipe can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fracbench.contracts import Attack
from fracbench.errors import InputError
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Masks
from fracbench.threat import project
from fracbench.undisturbed import undisturbed


@dataclass(frozen=True)
class Step:
    """One batch, the threat of this epoch (None: no attack yet) and the weight of the second term."""

    images: Images
    labels: Labels
    masks: Masks
    threat: ThreatModel | None
    attack: Attack
    weight: float
    rng: torch.Generator


Objective = Callable[[nn.Module, Step], Tensor]


def standard(model: nn.Module, step: Step) -> Tensor:
    """Cross-entropy on clean images."""
    return functional.cross_entropy(model(step.images), step.labels)


def adversarial(model: nn.Module, step: Step) -> Tensor:
    """Cross-entropy on attacked images (Madry et al. 2018, arXiv 1706.06083)."""
    if step.threat is None:
        return standard(model, step)
    return functional.cross_entropy(model(attacked(model, step)), step.labels)


def attacked(model: nn.Module, step: Step) -> Images:
    """Adversarial images, crafted with the network in evaluation mode."""
    assert step.threat is not None
    with undisturbed(model):
        given = (step.images, step.labels, step.threat)
        return step.attack(model, *given, generator=step.rng).detach()


def trades(model: nn.Module, step: Step) -> Tensor:
    """Clean cross-entropy + weight x KL(clean || attacked) (Zhang et al. 2019, arXiv 1901.08573)."""
    if step.threat is None:
        return standard(model, step)
    perturbed = _diverging(model, step.images, step.threat, step.rng)
    clean = model(step.images)
    apart = _divergence(clean, model(perturbed)).mean()
    return functional.cross_entropy(clean, step.labels) + step.weight * apart


def _divergence(clean: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(clean) || softmax(other)), shape (batch,)."""
    of, to = functional.log_softmax(other.float(), 1), functional.log_softmax(clean.float(), 1)
    return functional.kl_div(of, to, reduction="none", log_target=True).sum(1)


def _diverging(model: nn.Module, images: Images, threat: ThreatModel, rng: torch.Generator, steps: int = 3) -> Images:
    """Images in the ball whose predictions are far from the clean ones."""
    if threat.norm != "linf":
        raise InputError("trades is implemented for linf; write norm: linf in the recipe's threat")
    with undisturbed(model):
        with torch.no_grad():
            clean = model(images)
        noise = torch.randn(images.shape, generator=rng).to(images)
        current = project(images, images + 0.5 * threat.epsilon * noise.clamp(-1, 1), threat)
        for _ in range(steps):
            current.requires_grad_()
            (gradient,) = torch.autograd.grad(_divergence(clean, model(current)).sum(), current)
            current = project(images, current.detach() + threat.epsilon * 2.5 / steps * gradient.sign(), threat)
    return current.detach()


def gradient_penalty(model: nn.Module, step: Step) -> Tensor:
    """Cross-entropy + weight x squared norm of its input gradient (Ross and Doshi-Velez 2018, arXiv 1711.09404)."""
    images = step.images.detach().requires_grad_()
    each = functional.cross_entropy(model(images), step.labels, reduction="none")
    (gradient,) = torch.autograd.grad(each.sum(), images, create_graph=True)
    return each.mean() + step.weight * gradient.square().sum((1, 2, 3)).mean()


def mask_supervision(model: nn.Module, step: Step) -> Tensor:
    """Cross-entropy + weight x that of the class-evidence map against the fracture mask.

    The map is the fracture margin at each place before pooling, as in class activation mapping (Zhou et al. 2016,
    arXiv 1512.04150); a cell is positive where its part of the mask is not empty, and weighs five times a negative.
    """
    logits, margins = _evidence(model, step.images)
    target = functional.adaptive_max_pool2d(step.masks[:, None].float(), margins.shape[1:])[:, 0]
    local = functional.binary_cross_entropy_with_logits(margins, target, pos_weight=margins.new_tensor(5.0))
    return functional.cross_entropy(logits, step.labels) + step.weight * local


def mask_location(model: nn.Module, step: Step) -> Tensor:
    """Cross-entropy + weight x that of the place: a softmax of the class-evidence map against each place's mask share.

    A softmax says where the evidence is highest and leaves its level free. ``mask_supervision`` sets the level too,
    which a fracture in one place of 49 cannot meet: the mean of the map, which is the answer, must be positive.
    """
    logits, margins = _evidence(model, step.images)
    loss = functional.cross_entropy(logits, step.labels)
    marked = step.masks.flatten(1).any(1)
    if not marked.any():
        return loss
    share = functional.adaptive_avg_pool2d(
        step.masks[marked, None].float(), (margins.shape[1], margins.shape[2])
    ).flatten(1)
    return loss + step.weight * functional.cross_entropy(margins[marked].flatten(1), share / share.sum(1, keepdim=True))


def _evidence(model: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
    evidence = getattr(model, "evidence", None)
    if evidence is None:
        raise InputError("supervision by masks needs a model with a method evidence(images) -> (logits, map)")
    found: tuple[Tensor, Tensor] = evidence(images)
    return found


OBJECTIVES: dict[str, Objective] = {
    "standard": standard,
    "adversarial": adversarial,
    "trades": trades,
    "gradient-penalty": gradient_penalty,
    "mask-supervision": mask_supervision,
    "mask-location": mask_location,
}
