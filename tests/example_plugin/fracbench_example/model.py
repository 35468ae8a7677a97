"""A model: calls an image fractured where its middle is brighter than ``threshold``."""

import torch
from fracbench.tensors import Images, Logits
from torch import nn


class Brightness(nn.Module):
    """No weights, one parameter, which a submission sets under ``model: params:``."""

    def __init__(self, threshold: float = 0.4) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Images) -> Logits:
        side = images.shape[-1] // 4
        margin = 10 * (images[:, 0, side:-side, side:-side].mean((1, 2)) - self.threshold)
        return torch.stack([-margin / 2, margin / 2], dim=1)
