"""A training that was broken off goes on from its last whole epoch."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fracbench.files import cache_dir, write_atomic


@dataclass
class State:
    """Everything the next epoch depends on, and what has been found so far."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: torch.Generator
    path: Path
    epoch: int = 0
    seconds: float = 0.0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)
    images: dict[str, Any] = field(default_factory=dict)  # how many of which split, and its fingerprint

    _PARTS = ("model", "optimiser", "schedule")
    _VALUES = ("epoch", "seconds", "best_state", "log")

    @property
    def kept_epoch(self) -> int | None:
        """The epoch with the best validation score, robust where there is one; of equals the later, longer trained."""
        best = max(self.log, key=lambda row: (row.get("robust", row["clean"]), row["epoch"]), default=None)
        return None if best is None else int(best["epoch"])

    def save(self) -> None:
        """Write it; a disk that cannot be written makes a broken training start anew, no more."""
        content: dict[str, Any] = {name: getattr(self, name).state_dict() for name in self._PARTS}
        content |= {name: getattr(self, name) for name in self._VALUES}
        content |= {"rng": self.rng.get_state(), "torch_rng": torch.get_rng_state()}
        buffer = io.BytesIO()
        torch.save(content, buffer)
        payload = buffer.getvalue()
        with contextlib.suppress(OSError):
            write_atomic(self.path, hashlib.sha256(payload).digest() + payload)

    def load(self, device: str) -> bool:
        """Take it up where the file holds it whole; says whether it did."""
        try:
            stored = self.path.read_bytes()
        except OSError:
            return False
        digest, payload = stored[:32], stored[32:]
        if hashlib.sha256(payload).digest() != digest:
            return False
        content = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        for name in self._PARTS:
            getattr(self, name).load_state_dict(content[name])
        for name in self._VALUES:
            setattr(self, name, content[name])
        self.rng.set_state(content["rng"].cpu())
        torch.set_rng_state(content["torch_rng"].cpu())
        return True

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()


def path_of(determines: dict[str, Any]) -> Path:
    """Where the checkpoint of a training is kept, by everything that determines it."""
    text = json.dumps(determines, sort_keys=True)
    return cache_dir() / "training" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pt"
