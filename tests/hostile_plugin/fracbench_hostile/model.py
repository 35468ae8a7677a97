"""A small network that has one fault, when it is built or after it was looked at."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LOOKS = 8  # calls a model gets before a run: then it shows its other face


def sleep_deaf() -> None:
    """Sleep through the alarm of Python."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    time.sleep(3600)


def grow() -> None:
    held = []
    while True:
        held.append(torch.ones(2**26))


def fail(words: str) -> None:
    raise RuntimeError(words)


BUILDING: dict[str, Callable[[], Any]] = {
    "exits-when-built": lambda: exit(0),
    "aborts-when-built": os.abort,
    "sleeps-when-built": sleep_deaf,
    "grows-when-built": grow,
}
LATER: dict[str, Callable[[], Any]] = {
    "later-crashes": lambda: ctypes.string_at(0),
    "later-exits": lambda: os._exit(3),
    "later-hangs": sleep_deaf,
    "later-grows": grow,
    "later-raises": lambda: fail("only twice"),
}


class Hostile(nn.Module):
    """Images (batch, 1, H, W) to logits (batch, 2), if it were not for its ``fault``."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.calls = fault, 0
        BUILDING.get(fault, lambda: None)()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 8, 5, stride=2), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Any:
        self.calls += 1
        if self.calls > LOOKS:
            LATER.get(self.fault, lambda: None)()
        if self.fault == "raises":
            fail("no such kernel")
        if self.fault == "refuses-size":
            images = images.view(-1, 1, 100, 100)
        if self.fault == "returns-text":
            return "fracture"
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        if self.fault == "three-logits":
            return torch.cat([logits, logits[:, :1]], 1)
        if self.fault == "flat-logit":
            return logits[:, 0]
        if self.fault == "mixes-batch":
            return logits - 2 * logits.mean(0, keepdim=True)
        if self.fault == "infinite" or (self.fault == "later-nan" and self.calls > LOOKS):
            return logits * torch.nan
        if self.fault == "draws-at-random":
            return logits + torch.randn_like(logits)
        return logits
