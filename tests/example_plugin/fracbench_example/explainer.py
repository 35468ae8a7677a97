"""An explainer: bone is bright, so brightness is a baseline that explains no model."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from fracbench.contracts import MarginModel
from fracbench.tensors import Attributions, Images


@dataclass(frozen=True)
class Bright:
    """The image itself; ``gamma`` above 1 keeps the brightest pixels."""

    gamma: float = 2.0

    sign: ClassVar[Literal["positive"]] = "positive"

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, margin_model: MarginModel, images: Images) -> Attributions:
        return images[:, 0] ** self.gamma
