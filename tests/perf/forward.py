"""Milliseconds per image and forward pass of each small architecture, in turns: ``python tests/perf/forward.py``.

Batches of 32 images of 128 x 128 in evaluation mode on all cores; the median of the rounds, and their range.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import record
import torch
from fracbench import recipes, registry
from fracbench.environment import prepare

ROUNDS, BATCH, SIZE = 21, 32, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for every time")
    arguments = parser.parse_args()
    prepare("cpu")
    images = torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    known = recipes.architectures()
    networks = {
        name: registry.make("models", of.model.name, of.model.params).to(memory_format=torch.channels_last).eval()
        for name, of in known.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in networks}
    with torch.no_grad():
        for turn in range(ROUNDS + 1):
            for name, network in networks.items():
                start = time.perf_counter()
                network(images)
                if turn:
                    spent[name].append((time.perf_counter() - start) * 1000 / BATCH)
    sizes = {name: sum(value.numel() for value in network.parameters()) for name, network in networks.items()}
    alone = {f"{name}, {sizes[name]:,} parameters, ms an image": times for name, times in spent.items()}
    record.write(arguments.out, "cpu", {}, alone)


if __name__ == "__main__":
    main()
