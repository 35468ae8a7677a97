"""Names for the tensors that travel between the parts, with their shapes and ranges."""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images: TypeAlias = Float[Tensor, "batch 1 height width"]  # pixels in [0, 1]
Labels: TypeAlias = Int[Tensor, " batch"]  # 0 = no fracture, 1 = fracture
Logits: TypeAlias = Float[Tensor, "batch 2"]  # no fracture, fracture
Margins: TypeAlias = Float[Tensor, " batch"]
Masks: TypeAlias = Bool[Tensor, "batch height width"]
Attributions: TypeAlias = Float[Tensor, "batch map_height map_width"]  # on the explainer's native grid
Maps: TypeAlias = Float[Tensor, "batch height width"]  # non-negative, own maximum 1, or all zero
Scores: TypeAlias = Float[Tensor, " batch"]
