"""Attack on the explanation, not on the answer (Ghorbani et al. 2019, arXiv 1710.10547; Dombrowski et al. 2019,
arXiv 1906.07983)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from fracbench.contracts import Model, Unsupported
from fracbench.schema import ThreatModel
from fracbench.tensors import Images, Labels, Masks, Scores
from fracbench.threat import project
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from fracbench_plugins.attacks._fields import at_least_one, positive
from fracbench_plugins.attacks._gradients import steepest

TOP = 0.05  # share of the pixels that stand for the explanation where no mask is given


@dataclass(frozen=True)
class ExplanationAttack:
    """Moves the mass of the gradient off the fracture, in the ball, while the answer stays.

    ``masks`` (batch, H, W) say what to move it off; without them it is the clean map's highest 5 % of pixels. Steps go
    down the share of the gradient's mass that lies there. A ReLU, or another activation made of straight pieces, has no
    second derivative to go by, so the gradient is that of the network with softplus of sharpness ``beta`` at their
    corners; what counts is the network itself: of the start and all iterates with the clean image's answer the one is
    returned whose own gradient has the least mass there. A network of which even so no direction comes is unsupported.
    """

    keeps_prediction: ClassVar[bool] = True

    steps: int = 50
    rel_step_size: float = 0.1
    beta: float = 30.0

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps)
        positive(rel_step_size=self.rel_step_size, beta=self.beta)

    @property
    def passes(self) -> tuple[int, int]:
        return 2 * self.steps + 2, 3 * self.steps + 2

    def __call__(
        self,
        model: Model,
        images: Images,
        labels: Labels,
        threat: ThreatModel,
        *,
        generator: torch.Generator,
        masks: Masks | None = None,
    ) -> Images:
        clean, gradient = _margin_gradient(model, images)
        on = (_highest(gradient) if masks is None else masks).to(images)[:, None]
        noise = torch.rand(images.shape, generator=generator).to(images) * 2 - 1
        current = project(images, images + 0.1 * threat.epsilon * noise, threat)
        margin, gradient = _margin_gradient(model, current)
        best, least = current, torch.where((margin > 0) == (clean > 0), _share(gradient, on), torch.inf)
        for _ in range(self.steps):
            with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
                given = current.detach().requires_grad_(True)
                with Smooth(self.beta):
                    _, smooth = _margin_gradient(model, given, follow=True)
                if not smooth.requires_grad:  # a gradient that is the same everywhere cannot be moved
                    break
                share = _share(smooth, on).sum()
                (direction,) = torch.autograd.grad(share, given, allow_unused=True, materialize_grads=True)
            if not direction.any():
                raise Unsupported("the gradient of this network has no derivative that the attack could follow")
            step = self.rel_step_size * threat.epsilon * steepest(direction, threat.norm)
            current = project(images, current.detach() - step, threat)
            margin, gradient = _margin_gradient(model, current)
            share = _share(gradient, on)
            better = (share < least) & ((margin > 0) == (clean > 0))
            best, least = torch.where(better[:, None, None, None], current, best), torch.where(better, share, least)
        return best


def _margin_gradient(model: Model, images: Images, follow: bool = False) -> tuple[Scores, Tensor]:
    """The fracture margin (batch,) and its gradient, (batch, 1, H, W); with ``follow`` that can be differentiated."""
    given = images if follow else images.detach().requires_grad_(True)
    logits = model(given)
    margin = logits[:, 1] - logits[:, 0]
    (gradient,) = torch.autograd.grad(margin.sum(), given, create_graph=follow)
    return margin.detach(), gradient


def _share(gradient: Tensor, on: Tensor) -> Scores:
    """The share of the gradient's mass that lies on the mask."""
    size = gradient.abs()
    return (size * on).sum((1, 2, 3)) / size.sum((1, 2, 3)).clamp_min(torch.finfo(size.dtype).tiny)


def _highest(gradient: Tensor) -> Masks:
    size = gradient.abs()[:, 0].flatten(1)
    line = size.topk(max(1, int(TOP * size.shape[1])), dim=1).values[:, -1:]
    return (size >= line).view(len(gradient), *gradient.shape[2:])


class Smooth(TorchFunctionMode):
    """Inside, activations made of straight pieces have softplus at their corners, and so a second derivative."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        smooth = SMOOTH.get(func)
        if smooth is None:
            return func(*args, **(kwargs or {}))
        given = {name: value for name, value in (kwargs or {}).items() if name != "inplace"}
        return smooth(self._corner, *args, **given)

    def _corner(self, x: Tensor) -> Tensor:
        return functional.softplus(x, beta=self.beta)


Corner = Callable[[Tensor], Tensor]


def _relu(corner: Corner, input: Tensor, *_: bool) -> Tensor:
    return corner(input)


def _leaky(corner: Corner, input: Tensor, negative_slope: float = 0.01, *_: bool) -> Tensor:
    return negative_slope * input + (1 - negative_slope) * corner(input)


def _prelu(corner: Corner, input: Tensor, weight: Tensor) -> Tensor:
    slope = weight.view(1, -1, *[1] * (input.ndim - 2)) if weight.numel() > 1 else weight
    return slope * input + (1 - slope) * corner(input)


def _between(corner: Corner, input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    lower = input if min is None else min + corner(input - min)
    return lower if max is None else max - corner(max - lower)


def _hardtanh(corner: Corner, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, *_: bool) -> Tensor:
    return _between(corner, input, min_val, max_val)


def _relu6(corner: Corner, input: Tensor, *_: bool) -> Tensor:
    return _between(corner, input, 0.0, 6.0)


def _at_most(corner: Corner, input: Tensor, max: Any) -> Tensor:
    return _between(corner, input, None, max)


def _abs(corner: Corner, input: Tensor) -> Tensor:
    return 2 * corner(input) - input


SMOOTH: dict[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((functional.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_), _relu),
    **dict.fromkeys((functional.relu6,), _relu6),
    **dict.fromkeys((functional.leaky_relu, functional.leaky_relu_), _leaky),
    **dict.fromkeys((functional.prelu, torch.prelu, Tensor.prelu), _prelu),
    **dict.fromkeys((functional.hardtanh, functional.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, Tensor.clamp, torch.clip, Tensor.clip, torch.clamp_min, Tensor.clamp_min), _between),
    **dict.fromkeys((torch.clamp_max, Tensor.clamp_max), _at_most),
    **dict.fromkeys((torch.abs, Tensor.abs), _abs),
}
