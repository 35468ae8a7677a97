"""The ensemble's parts against pyautoattack, and the metrics against Quantus, each called directly.

``python tests/parity.py [STARTER...]`` does it, for all starters or some, on the first logical batch of phantom-v1 with
the spec's budgets, and on tie-free maps against that batch's masks, and prints the differences; the tests use the same
functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from fracbench import alignment, registry, specs
from fracbench.robustness import craft
from fracbench.schema import ThreatModel

PARTS = ("apgd-ce", "apgd-margin", "fab", "square")


def direct(part: str, model: torch.nn.Module, threat: ThreatModel, budget: int, seed: int):  # type: ignore[no-untyped-def]
    """pyautoattack's own attack, as its users build it; the margin part is a direct subclass of its APGD."""
    from pyautoattack.autopgd_base import APGDAttack
    from pyautoattack.fab_pt import FABAttack_PT
    from pyautoattack.square import SquareAttack

    class Margin(APGDAttack):  # type: ignore[misc]
        def dlr_loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x[torch.arange(len(x)), 1 - y] - x[torch.arange(len(x)), y]

    common = {"norm": {"linf": "Linf", "l2": "L2"}[threat.norm], "eps": threat.epsilon, "seed": seed, "device": "cpu"}
    makers: dict[str, Callable[[], object]] = {
        "apgd-ce": lambda: APGDAttack(model, n_iter=budget, loss="ce", **common),
        "apgd-margin": lambda: Margin(model, n_iter=budget, loss="dlr", **common),
        "fab": lambda: FABAttack_PT(model, n_iter=budget, targeted=True, n_target_classes=1, **common),
        "square": lambda: SquareAttack(model, n_queries=budget, **common),
    }
    return makers[part]()


def direct_flags(attack, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """(batch,) bool: correct on what ``perturb`` returns, which is the clean image where the attack fails."""
    with torch.random.fork_rng():
        perturbed = attack.perturb(images.clone(), labels.clone())
    with torch.no_grad():
        return model(perturbed).argmax(1) == labels


def tie_free(n: int, side: int, rng: np.random.Generator) -> torch.Tensor:
    """Distinct values in (0, 1], exactly representable, so that float32 and float64 agree on the order."""
    flat = np.stack([rng.permutation(side * side) + 1 for _ in range(n)]) / (side * side)
    return torch.from_numpy(flat.reshape(n, side, side)).float()


def quantus_scores(maps: torch.Tensor, masks: torch.Tensor) -> dict[str, np.ndarray]:
    """Each metric's scores by Quantus, name to (batch,)."""
    import quantus

    k = registry.make("metrics", "top_k_intersection", {}).k(maps[0].numel())
    common = {"normalise": False, "abs": False, "disable_warnings": True, "display_progressbar": False}
    metrics = {
        "pointing_game": quantus.PointingGame(**common),
        "relevance_mass_accuracy": quantus.RelevanceMassAccuracy(**common),
        "relevance_rank_accuracy": quantus.RelevanceRankAccuracy(**common),
        "attribution_localisation": quantus.AttributionLocalisation(**common),
        "top_k_intersection": quantus.TopKIntersection(k=k, **common),
        "auc": quantus.AUC(**common),
    }
    a, s = maps[:, None].numpy(), masks[:, None].numpy().astype(int)
    x, y = np.zeros_like(a), np.ones(len(a), dtype=int)
    return {
        name: np.asarray(metric(model=None, x_batch=x, y_batch=y, a_batch=a, s_batch=s, batch_size=4), dtype=float)
        for name, metric in metrics.items()
    }


def ensemble_seeds(generator: torch.Generator) -> dict[str, int]:
    """The seed each part ends up with: the referee draws one per part, the part draws its own from that."""
    seeds = {}
    for part in PARTS:
        own = torch.Generator().manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        seeds[part] = int(torch.randint(2**31, (1,), generator=own))
    return seeds


def main() -> None:
    from fracbench.data import load
    from fracbench.plan import Cell, seed_of
    from fracbench.resolving import resolve
    from fracbench.submissions import discover, load_model, starters_dir

    job = resolve(specs.load("phantom-v1"))
    cell = Cell("attack", 0, "autoattack", job.spec.threat.epsilon)
    batch, threat = load(job.dataset, job.batches[0], job.spec.image_size), job.spec.threat.model
    budgets = {ref.name: ref.params for ref in job.spec.attacks}["autoattack"]
    print(f"{'model':<26}{'part':<14}{'images':>8}{'robust, ours':>14}{'direct':>8}{'flags that differ':>19}")
    for entry in discover(starters_dir(), None, sys.argv[1:]):
        model = load_model(entry, job.spec.image_size, "cpu", len(batch.ids))
        generator = torch.Generator().manual_seed(seed_of(job, cell))
        ours = craft(model, job.attacks["autoattack"], batch.images, batch.labels, threat, generator)
        seeds = ensemble_seeds(torch.Generator().manual_seed(seed_of(job, cell)))
        for part in PARTS:
            key = f"{part.replace('-', '_')}_{'queries' if part == 'square' else 'steps'}"
            attack = direct(part, model, threat, budgets[key], seeds[part])
            flags, mine = direct_flags(attack, model, batch.images, batch.labels), ours.parts[part].robust
            print(f"{entry.name:<26}{part:<14}{len(flags):>8}{int(mine.sum()):>14}{int(flags.sum()):>8}"
                  f"{int((flags != mine).sum()):>19}")  # fmt: skip
    masks = batch.masks[batch.masks.flatten(1).any(1)]
    maps = tie_free(len(masks), masks.shape[-1], np.random.default_rng(0))
    scores, theirs = alignment.score(maps, masks), quantus_scores(maps, masks)
    print(f"\n{'metric':<28}{'maps':>6}{'largest difference to Quantus':>32}")
    for name, values in scores.items():
        print(f"{name:<28}{len(maps):>6}{np.abs(values.numpy() - theirs[name]).max():>32.1e}")


if __name__ == "__main__":
    main()
