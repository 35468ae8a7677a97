"""What makes a pass quick: ``python tests/perf/passes.py [--device cuda]``, a ResNet-18 forward and back, 64 images.

What attacks and explainers are answered by in a run (batch norms folded, channels-last) takes turns with the same
without one of these and, after that, compiled; how long it takes to compile is told too. On a card, so do images taken
there from pinned memory and from other memory. Times are told, nothing is asserted.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import record
import torch
from compare import Pair, paired
from fracbench import registry
from fracbench.environment import pick_device, prepare
from fracbench.models import guard
from torch import Tensor, nn

IMAGES, SIDE = 64, 224
OURS = "64 images forward and back"


def quick(device: str, channels_last: bool = True, fold: bool = True) -> nn.Module:
    torch.manual_seed(0)
    network = registry.make("models", "timm", {"architecture": "resnet18", "image_size": SIDE})
    layout = torch.channels_last if channels_last else torch.contiguous_format
    guarded = guard(network.to(device, memory_format=layout).eval(), SIDE, device, fold=fold)
    return (guarded.quick or guarded.network).requires_grad_(False)


def there_and_back(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    given = images.detach().requires_grad_(True)
    logits = network(given)
    return torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), given)[0]


def compiled(network: nn.Module, images: Tensor) -> tuple[Callable[[Tensor], Tensor], float]:
    """The network as ``torch.compile`` makes it, with CUDA graphs on a card; seconds until its first answer."""
    graphs = {"mode": "reduce-overhead"} if images.is_cuda else {}
    start = time.perf_counter()
    made: Callable[[Tensor], Tensor] = torch.compile(copy.deepcopy(network), **graphs)
    there_and_back(made, images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return made, time.perf_counter() - start


def transfer(device: str) -> Pair:
    """A batch to the card, as it is and by way of pinned memory; the work there begins when it has arrived."""
    images = torch.rand(IMAGES, 1, SIDE, SIDE)

    def pinned() -> Tensor:
        return images.pin_memory().to(device, non_blocking=True)

    return paired("64 images to the card / by pinned memory", lambda: images.to(device), pinned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file for every time")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    prepare(device)
    images = torch.rand(IMAGES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    ours = quick(device)
    others: dict[str, Callable[[Tensor], Tensor]] = {
        "plain": quick(device, channels_last=False, fold=False),
        "without folded batch norms": quick(device, fold=False),
        "without channels-last": quick(device, channels_last=False),
    }
    others["compiled"], seconds = compiled(ours, images)
    measured = [
        paired(f"{OURS} / {name}", lambda: there_and_back(ours, images), lambda of=of: there_and_back(of, images))  # type: ignore[misc]
        for name, of in others.items()
    ]
    measured += [transfer(device)] if device.startswith("cuda") else []
    pairs = {name: {"ours": ours, "reference": theirs} for name, ours, theirs in measured}
    record.write(arguments.out, device, pairs, {"to compile it": [seconds]})


if __name__ == "__main__":
    main()
