"""Figures on robustness that notes and docs quote: ``python tests/robustness_figures.py linear|defences|attacks``.

``linear``: every white-box attack on a linear model, where the answer is known. ``defences [STARTER]``: robust accuracy
and flags of a starter behind defences that hide it. ``attacks STARTER... --results DIR``: what each attack achieved and
cost in finished runs.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fracbench
import numpy as np
import torch
from analytic import Defended, linear_world
from fracbench import registry
from fracbench.robustness import craft, norms_of
from fracbench.schema import ThreatModel
from fracbench.store import find_results
from fracbench.submissions import discover, load_model, starters_dir
from PIL import Image
from torch import Tensor

EPSILONS = {"linf": (0.001, 0.002, 0.004, 0.006, 0.01, 0.02), "l2": (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)}
WHITE_BOX = ("fgsm", "mifgsm", "pgd", "apgd-ce", "apgd-margin", "fab", "fmn", "cw-l2", "adaptive", "autoattack")


def linear(images: int = 400) -> None:
    """Robust accuracy on a linear model, images in [0.3, 0.7]: the closed form, then each attack's."""
    model, x, labels, margin = linear_world(images, images // 20)
    for norm, epsilons in EPSILONS.items():
        dual = model.weight.abs().sum() if norm == "linf" else model.weight.norm()
        truth = [float((margin > epsilon * dual).float().mean()) for epsilon in epsilons]
        print(f"\n{norm}, {images} images" + " " * 10 + "".join(f"{epsilon:>9}" for epsilon in epsilons))
        print(f"{'closed form':<24}" + "".join(f"{value:>9.4f}" for value in truth))
        for name in WHITE_BOX:
            attack = registry.make("attacks", name, {"square_queries": 200} if name == "autoattack" else {})
            if norm not in norms_of(attack):
                continue
            found = []
            for epsilon in epsilons:
                given = model, attack, x, labels, ThreatModel(norm, epsilon), torch.Generator().manual_seed(0)  # type: ignore[arg-type]
                found.append(float(craft(*given).robust.float().mean()))
            worst = max(abs(a - b) for a, b in zip(found, truth, strict=True))
            print(f"{name:<24}" + "".join(f"{value:>9.4f}" for value in found) + f"   worst {worst:.4f}", flush=True)


def jpeg(images: Tensor) -> Tensor:
    """Every image through Pillow's JPEG at quality 75: nothing a gradient could pass."""
    pictures = []
    for image in (images[:, 0].detach().clamp(0, 1) * 255).round().byte().cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, format="JPEG", quality=75)
        pictures.append(np.asarray(Image.open(buffer)))
    return torch.from_numpy(np.stack(pictures)).to(images)[:, None] / 255


DEFENCES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    "none": {},
    "logits x 1e3": {"after": lambda logits: 1e3 * logits},
    "logits x 1e5": {"after": lambda logits: 1e5 * logits},
    "noise 0.01": {"before": lambda images: images + 0.01 * torch.randn_like(images)},
    "32 grey levels": {"before": lambda images: (images * 31).round() / 31},
    "JPEG 75": {"before": jpeg},
}


def defences(starter: str, benchmark: str = "phantom-v1") -> None:
    (entry,) = discover(starters_dir(), None, [starter])
    print(f"{starter} on {benchmark}, saliency alone")
    print(f"{'defence':<16}{'clean':>7}{'spec':>7}{'robust':>8}  flags (a: answered), parts; seconds")
    for name, hiding in DEFENCES.items():
        network = load_model(entry, 128, "cpu", 64).network
        start = time.perf_counter()
        row = fracbench.evaluate(Defended(network, **hiding).eval(), benchmark, explainers=["saliency"]).summary
        flags = [flag["name"] + (" (a)" if flag["answered"] else "") for flag in row["flags"]]
        attacks = {key: round(of["robust_balanced_accuracy"], 3) for key, of in row["attacks"].items()}
        spec = min(value for key, value in attacks.items() if key != "adaptive")
        numbers = row["clean"]["balanced_accuracy"]["value"], spec, row["robust"]["balanced_accuracy"]["value"]
        print(f"{name:<16}" + "{:>7.3f}{:>7.3f}{:>8.3f}".format(*numbers), ", ".join(flags) or "none", attacks,
              f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip


def attacks(starters: list[str], benchmark: str, results: Path) -> None:
    """From finished runs: what each attack achieved and cost, and what the ladder cost all submissions together."""
    ladders, alone = 0.0, 0.0
    for folder in find_results(results / "none", results):
        row = folder.summary()
        if folder.spec != benchmark or row is None:
            continue
        ladders += _both(row["ladder"])
        alone += _both(row["attacks"]["autoattack/apgd-margin"])
        if folder.submission in starters:
            _attacks_of(row)
    print(f"\nladder, all submissions: {ladders / alone:.2f} times the passes of APGD-margin at the reference epsilon")


def _both(cost: Mapping[str, float]) -> float:
    return cost["forward_per_image"] + cost["backward_per_image"]


def _attacks_of(row: Mapping[str, Any]) -> None:
    print(f"\n{row['submission']} on {row['spec']}, {row['device']}: {row['n']['images']} images")
    columns = ("robust", "success", "missed", "alarms", "forward", "backward", "s")
    print(f"{'attack':<28}" + "".join(f"{column:>10}" for column in columns))
    for name, of in row["attacks"].items():
        rates = [of[key]["value"] for key in ("attack_success_rate", "missed_fracture_rate", "false_alarm_rate")]
        shares = [of["robust_balanced_accuracy"], *rates]
        cost = [of[key] for key in ("forward_per_image", "backward_per_image", "seconds")]
        print(f"{name:<28}" + "".join(f"{share:>10.3f}" for share in shares) + "".join(f"{of:>10.1f}" for of in cost))
    ladder = row["ladder"]
    passes = f"{ladder['forward_per_image']:.1f} forward and {ladder['backward_per_image']:.1f} backward passes"
    print(f"ladder: {passes} an image, {ladder['seconds']:.1f} s")
    print("curve:", {point["epsilon"]: round(point["balanced_accuracy"], 3) for point in row["curve"]})
    medians = {name: of["median"] for name, of in row["adversarial_epsilon"].items()}
    print("median adversarial epsilon x 255:", {name: of and round(of * 255, 3) for name, of in medians.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["linear", "defences", "attacks"])
    parser.add_argument("starters", nargs="*", default=["phantom-resnet-pgd-at"])
    parser.add_argument("--benchmark", default="phantom-v1")
    parser.add_argument("--results", type=Path, default=Path("results"), help="of finished runs, for attacks")
    given = parser.parse_args()
    if given.what == "linear":
        linear()
    elif given.what == "defences":
        defences(given.starters[0], given.benchmark)
    else:
        attacks(given.starters, given.benchmark, given.results)


if __name__ == "__main__":
    main()
