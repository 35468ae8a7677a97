"""Figures on alignment that notes quote: ``python tests/alignment_figures.py parity|calibrated|attacked|cascade``.

``parity``: largest differences from Quantus and captum called directly. ``calibrated``: an oracle map, a random map and
the centre prior at three sizes of lesion and on three grids. ``attacked STARTER...``: what the attack on explanations
does to the panel of phantom-v1, on its fractured test images. ``cascade STARTER...``: how alike maps stay while weights
are drawn anew from the output backwards (Adebayo et al. 2018).
"""

from __future__ import annotations

import argparse
from typing import Any

import captum.attr
import numpy as np
import parity as direct
import torch
from fracbench import alignment, references, registry, specs
from fracbench.alignment_scores import under_explanation_attack, with_references
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.contracts import MarginModel
from fracbench.data import load
from fracbench.models import guard
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.stability import stability
from fracbench.submissions import discover, load_model, starters_dir
from fracbench.testing import TinyNet
from torch.nn import functional

SIDE = 224
CAPTUM: dict[str, Any] = {
    "saliency": lambda m, x: captum.attr.Saliency(m).attribute(x, abs=False),
    "input_x_gradient": lambda m, x: captum.attr.InputXGradient(m).attribute(x),
    "integrated_gradients": lambda m, x: captum.attr.IntegratedGradients(m).attribute(x, baselines=0.0, n_steps=50),
    "deeplift": lambda m, x: captum.attr.DeepLift(m).attribute(x, baselines=torch.zeros_like(x)),
    "guided_backprop": lambda m, x: captum.attr.GuidedBackprop(m).attribute(x),
    "occlusion": lambda m, x: captum.attr.Occlusion(m).attribute(x, sliding_window_shapes=(1, 8, 8), strides=(1, 8, 8)),
    "gradcam": None,  # of a layer: below
}


def parity(images: int = 64) -> None:
    rng = np.random.default_rng(0)
    masks = torch.zeros(images, SIDE, SIDE, dtype=torch.bool)
    for mask in masks:
        row, column = rng.integers(0, SIDE - 40, 2)
        height, width = rng.integers(3, 40, 2)
        mask[row : row + height, column : column + width] = True
    maps = direct.tie_free(images, SIDE, rng)
    ours, theirs = alignment.score(maps, masks), direct.quantus_scores(maps, masks)
    print(f"Quantus, {images} tie-free maps of {SIDE} x {SIDE}: largest difference")
    for name, values in theirs.items():
        print(f"  {name:<26}{np.abs(ours[name].numpy() - values).max():.1e}")
    torch.manual_seed(0)
    network = TinyNet().eval()
    model, x = MarginModel(network, guard(network, 64)), torch.rand(8, 1, 64, 64)
    print("captum, 8 images of 64 x 64 on a small CNN: largest difference over the largest attribution")
    for name, call in CAPTUM.items():
        mine = registry.make("explainers", name, {"steps": 50} if name == "integrated_gradients" else {})(
            model, x.clone()
        )
        if call is None:
            layer = dict(network.named_modules())[model.notes["layer"]]
            their = captum.attr.LayerGradCam(model, layer).attribute(x)
        else:
            their = call(model, x.clone().requires_grad_(True))
        their = functional.adaptive_avg_pool2d(their, mine.shape[-2:])[:, 0].detach()
        print(f"  {name:<26}{float((mine - their).abs().max() / their.abs().max()):.1e}")


def calibrated(images: int = 200) -> None:
    metrics = ("relevance_rank_accuracy", "auc", "iou")
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    valid = torch.ones(images, SIDE, SIDE, dtype=torch.bool)
    axis = torch.linspace(-1, 1, SIDE)
    blob = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 0.5**2)).expand(images, -1, -1)
    print(f"raw / calibrated, {images} square lesions at uniform places in {SIDE} x {SIDE}")
    print(f"{'lesion':<8}{'grid':<8}{'map':<9}" + "".join(f"{name:>26}" for name in metrics))
    for side in (8, 32, 64):
        masks = torch.zeros_like(valid)
        for mask in masks:
            row, column = rng.integers(0, SIDE - side, 2)
            mask[row : row + side, column : column + side] = True
        near = [mask[None] for mask in masks]
        for grid in ("7x7", "14x14", "full"):
            top = alignment.score(references.ceiling_maps(masks, valid, grid), masks, metrics)
            low = references.chance(masks, valid, metrics)
            low |= references.tried_chance(masks[:20], valid[:20], near[:20], grid, metrics, 0)
            shape = (SIDE, SIDE) if grid == "full" else (int(grid.split("x")[0]),) * 2
            centre = blob if grid == "full" else functional.adaptive_avg_pool2d(blob[:, None], shape)[:, 0]
            given = {
                "oracle": references.ceiling_maps(masks, valid, grid),
                "random": alignment.to_maps(torch.rand(images, *shape, generator=generator), "positive", valid)[0],
                "centre": alignment.to_maps(centre, "positive", valid)[0],
            }
            for name, maps in given.items():
                scores, cells = alignment.score(maps, masks, metrics), []
                for metric in metrics:
                    raw, chance, ceiling = (float(of[metric].mean()) for of in (scores, low, top))
                    room = ceiling - chance
                    text = f"{(raw - chance) / room:.3f}" if room >= 0.05 else "-"
                    cells.append(f"{raw:.3f} / {text}")
                print(f"{side:<8}{grid:<8}{name:<9}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def attacked(names: list[str]) -> None:
    spec = specs.load("phantom-v1")
    changes = {
        "attacks": [{"name": "fgsm"}], "corruptions": None, "threat": spec.threat.model_dump() | {"ladder": None},
        "explanation_attack": {"name": "explanation"}, "sanity_attack": {"name": "fgsm"}, "adaptive": None,
        "explainers": [ref.model_dump() for ref in spec.explainers if ref.name in spec.panel], "given": [],
    }  # fmt: skip
    made = BenchmarkSpec.model_validate(spec.model_dump() | changes)
    job = resolve(made)
    for entry in discover(starters_dir(), None, names):
        outcome = evaluate_model(load_model(entry, made.image_size, "cpu", made.logical_batch), job, "cpu")
        rows = outcome.tables["alignment"]
        images = outcome.tables["images"].set_index("image")
        rows = with_references(rows[rows.image.isin(images.index[images.label == 1])], images, [*made.metrics, "hit"])
        predictions = outcome.tables["predictions"]
        for explainers in [made.panel, *((name,) for name in made.panel)]:
            found = under_explanation_attack(rows, images, predictions, "explanation", explainers)
            assert found is not None
            halves = [found[name] for name in ("clean", "attacked")]
            parts = [f"{of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}]" for of in halves]
            hits = " -> ".join(f"{value:.3f}" for value in found["hit"].values())
            what = explainers[0] if len(explainers) == 1 else "panel"
            counted = f"n {found['n']} of {found['attempted']}"
            print(f"{entry.name:<26}{what:<22}{' -> '.join(parts)}  hit {hits}  {counted}", flush=True)


def cascade(names: list[str], images: int = 32) -> None:
    job = resolve(specs.load("phantom-v1"))
    samples = [s for batch in job.batches for s in batch if s.label == 1][:images]
    batch = load(job.dataset, samples, job.spec.image_size)
    depths = (0.2, 0.4, 0.6, 0.8, 1.0)
    print(
        f"rank correlation with the trained network's map, {len(samples)} fractured images; share of layers drawn anew"
    )
    print(f"{'starter':<28}{'explainer':<22}" + "".join(f"{depth:>8}" for depth in depths))
    for entry in discover(starters_dir(), None, names):
        model = load_model(entry, job.spec.image_size, "cpu", job.spec.logical_batch)
        for name in ("saliency", "integrated_gradients", "gradcam"):
            whole = alignment.explain(registry.make("explainers", name, {}), model, batch.images, batch.valid).maps
            values = []
            for depth in depths:
                drawn = registry.make("explainers", "randomised", {"explainer": name, "depth": depth})
                maps = alignment.explain(drawn, model, batch.images, batch.valid).maps
                values.append(float(stability(whole, maps, batch.valid)["rank_correlation"].nanmean()))
            print(f"{entry.name:<28}{name:<22}" + "".join(f"{value:>8.3f}" for value in values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["parity", "calibrated", "attacked", "cascade"])
    parser.add_argument("starters", nargs="*")
    given = parser.parse_args()
    if given.figure in ("attacked", "cascade"):
        {"attacked": attacked, "cascade": cascade}[given.figure](given.starters)
    else:
        {"parity": parity, "calibrated": calibrated}[given.figure]()


if __name__ == "__main__":
    main()
