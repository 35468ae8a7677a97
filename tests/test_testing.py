"""The conformance kit says in one sentence what a plugin breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from fracbench import testing
from fracbench.contracts import Sample, Unsupported
from worlds import Blobs


class Silent:
    """Has none of the fields a plugin declares."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return given


@dataclass(frozen=True)
class MadeAttack:
    change: Callable[[torch.Tensor], torch.Tensor]
    passes: tuple[int, int] = (1, 1)

    def __call__(self, model: Any, images: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        model(images)
        return self.change(images)


@dataclass(frozen=True)
class Mixing:
    """Maps that depend on the other images of the batch."""

    sign: str = "positive"
    passes: tuple[int, int] = (0, 0)

    def __call__(self, margin_model: Any, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0] * torch.linspace(0, 1, 32) ** len(images)


@dataclass(frozen=True)
class MadeExplainer:
    change: Callable[[torch.Tensor], torch.Tensor]
    sign: str = "positive"
    passes: tuple[int, int] = (0, 0)

    def __call__(self, margin_model: Any, images: torch.Tensor) -> torch.Tensor:
        return self.change(images[:, 0])


@dataclass(frozen=True)
class NoNorm:
    passes: tuple[int, int] = (0, 0)
    norms: tuple[str, ...] = ("l1",)

    def __call__(self, *given: Any, **named: Any) -> torch.Tensor:
        raise Unsupported("never asked")


@dataclass(frozen=True)
class Reversed:
    name: str = "reversed"
    higher_is_better: bool = True

    def __call__(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return -(maps * masks).sum((1, 2))


class Twice(Blobs):
    def samples(self, split: str) -> list[Sample]:
        return super().samples(split) * 2


@pytest.mark.parametrize(
    "check, plugin, says",
    [
        (testing.check_attack, Silent(), "Silent lacks passes"),
        (testing.check_attack, MadeAttack(lambda images: images), "clean image"),
        (testing.check_attack, MadeAttack(lambda images: (images + 0.5).clamp(0, 1)), "leaves the linf ball"),
        (testing.check_attack, MadeAttack(torch.rand_like), "the same generator gave other images"),
        (testing.check_explainer, Silent(), "Silent lacks sign and passes"),
        (testing.check_explainer, Mixing(), "another map than in a batch"),
        (testing.check_explainer, MadeExplainer(lambda maps: maps * torch.nan), "not finite"),
        (testing.check_explainer, MadeExplainer(lambda maps: maps * torch.ones(1, requires_grad=True)), "detach them"),
        (testing.check_attack, NoNorm(), "knows neither linf nor l2, and is no corruption"),
        (testing.check_metric, Silent(), "Silent lacks name and higher_is_better"),
        (testing.check_metric, Reversed(), "does not prefer the mask"),
        (testing.check_model, lambda images: torch.zeros(len(images), 2, requires_grad=True), "gradient"),
        (lambda dataset: testing.check_dataset(dataset, "test"), Twice(), "ids are not unique"),
    ],
)
def test_what_is_broken_is_said(check: Callable[[Any], None], plugin: Any, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check(plugin)
