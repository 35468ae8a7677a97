"""Train the model on the dataset and write its weights: ``python -m fracbench_example.train FILE``."""

import sys

import torch
from fracbench.data import load
from safetensors.torch import save_file

from fracbench_example.dataset import Squares
from fracbench_example.model import SpotNet


def main(file: str) -> None:
    torch.manual_seed(0)
    model, dataset = SpotNet(), Squares()
    batch = load(dataset, dataset.samples("train"), 64)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch.images), batch.labels).backward()
        optimiser.step()
    save_file(model.state_dict(), file)


if __name__ == "__main__":
    main(sys.argv[1])
