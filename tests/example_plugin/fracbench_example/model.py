"""A model with an architecture of its own: three convolutions that look for bright spots."""

import torch
from fracbench.tensors import Images, Logits
from torch import nn


class SpotNet(nn.Module):
    """``width`` channels a layer, which a submission sets under ``model: params:``; any image size."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(width, 2)

    def forward(self, images: Images) -> Logits:
        features: torch.Tensor = self.features((images - 0.3) / 0.2)  # normalised inside
        return self.head(features.mean((2, 3)))
