"""DeepLIFT with the rescale rule (Shrikumar et al. 2017, arXiv 1704.02685)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from captum.attr import DeepLift as CaptumDeepLift
from fracbench.contracts import MarginModel, Unsupported
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class DeepLift:
    """Contributions relative to a black image; native grid: the image.

    DeepLIFT's contributions must add up to the change of the output. Where their mean error exceeds
    ``max_delta`` of the mean change, the network breaks the method's assumptions (reused activations,
    functions captum has no rule for) and the explainer is not supported for it.
    """

    max_delta: float = 0.05

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 6, 2  # the batch and its baseline go through together, once more each for the delta

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        given = images.detach().requires_grad_(True)
        black = torch.zeros_like(images)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks
            try:
                attributions, delta = CaptumDeepLift(margin_model).attribute(
                    given, baselines=black, return_convergence_delta=True
                )
            except (AssertionError, RuntimeError) as error:
                if type(error) not in (AssertionError, RuntimeError) or "allocate" in str(error):
                    raise  # out of memory, or past what it declares: nothing of the network's
                raise Unsupported(f"captum's DeepLIFT does not run on this network: {error}") from error
        with torch.no_grad():
            change = (margin_model(images) - margin_model(black[:1])).abs().mean()
        error_share = float(delta.abs().mean() / change.clamp_min(1e-6))
        if not error_share <= self.max_delta:
            raise Unsupported(
                f"DeepLIFT's convergence delta is {error_share:.3f} of the change of output, above {self.max_delta}"
            )
        return attributions[:, 0].detach()
