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

    DeepLIFT's contributions must add up to the change of the output. Where their mean error over the first images of a
    run exceeds ``max_delta`` of the mean change, the network breaks the method's assumptions (reused activations,
    functions captum has no rule for) and the explainer is not supported for it.
    """

    max_delta: float = 0.05

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 2, 2  # an image goes through together with its baseline

    def check_network(self, margin_model: MarginModel, images: Images) -> None:
        """Raise ``Unsupported`` where the contributions to (batch, 1, H, W) images do not add up."""
        attributions = self(margin_model, images)
        with torch.no_grad():
            change = margin_model(images) - margin_model(torch.zeros_like(images[:1]))
        delta = attributions.sum((1, 2)) - change
        share = float(delta.abs().mean() / change.abs().mean().clamp_min(1e-6))
        if not share <= self.max_delta:
            raise Unsupported(
                f"DeepLIFT's convergence delta is {share:.3f} of the change of output, above {self.max_delta}"
            )

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        given = images.detach().requires_grad_(True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks
            try:
                attributions = CaptumDeepLift(margin_model).attribute(given, baselines=torch.zeros_like(images))
            except (AssertionError, RuntimeError) as error:
                if type(error) not in (AssertionError, RuntimeError) or "allocate" in str(error):
                    raise  # out of memory, or past what it declares: nothing of the network's
                raise Unsupported(f"captum's DeepLIFT does not run on this network: {error}") from error
        return attributions[:, 0].detach()
