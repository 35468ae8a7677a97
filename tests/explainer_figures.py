"""Figures on explainers that docs quote: ``python tests/explainer_figures.py [--side 224] [--images 2]``.

Every registered explainer on untrained timm networks: seconds for an image, or a letter for why it is not supported;
then the layers that were read.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import torch
from fracbench import alignment, registry
from fracbench.contracts import Unsupported
from fracbench.models import guard
from torch import nn

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "resnet18": {"zero_init_last": False},  # timm starts the last norm of a block at zero, and maps blank
    "densenet121": {},
    "convnext_atto": {},
    "mobilenetv3_small_050": {},
    "vit_tiny_patch16_224": {},
    "swin_tiny_patch4_window7_224": {},
}


def network(architecture: str, side: int) -> nn.Module:
    torch.manual_seed(0)
    options = ARCHITECTURES[architecture] | ({"img_size": side} if "patch" in architecture else {})
    return registry.make("models", "timm", {"architecture": architecture, "options": options}).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    images = torch.rand(given.images, 1, given.side, given.side, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(given.images, given.side, given.side, dtype=torch.bool)
    models = {name: guard(network(name, given.side), given.side) for name in ARCHITECTURES}
    for model in models.values():  # warm
        alignment.explain(registry.make("explainers", "gradcam_plus_plus", {}), model, images, valid)
    print(f"seconds for an image of {given.side} px, {given.images} at a time, {torch.get_num_threads()} threads")
    print(f"{'':<22}" + "".join(f"{name.split('_')[0]:>13}" for name in ARCHITECTURES))
    reasons: dict[str, str] = {}
    notes: dict[str, set[str]] = {name: set() for name in ARCHITECTURES}
    for explainer in registry.names("explainers"):
        made = registry.make("explainers", explainer, {})
        cells = []
        for name, model in models.items():
            start = time.perf_counter()
            try:
                alignment.check_network(made, model, images)
                explained = alignment.explain(made, model, images, valid)
                blank = " blank" if explained.blank.any() else ""
                cells.append(f"{(time.perf_counter() - start) / given.images:.3f}{blank}")
                notes[name] |= {layer for key, layer in explained.notes.items() if key == "layer"}
            except Unsupported as reason:
                cells.append(reasons.setdefault(str(reason), chr(ord("a") + len(reasons))))
        print(f"{explainer:<22}" + "".join(f"{cell:>13}" for cell in cells), flush=True)
    print(*(f"{letter}: {reason}" for reason, letter in reasons.items()), sep="\n")
    print(*(f"{name}: {', '.join(sorted(layers))}" for name, layers in notes.items()), sep="\n")


if __name__ == "__main__":
    main()
