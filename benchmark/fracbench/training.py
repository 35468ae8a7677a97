"""Trains a starter from a recipe into a submission folder: real, seeded, repeatable on one CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from fracbench import registry
from fracbench.contracts import Attack, label_margin
from fracbench.data import load
from fracbench.errors import InputError
from fracbench.files import write_atomic
from fracbench.models import undisturbed
from fracbench.recipes import Recipe
from fracbench.schema import ThreatModel
from fracbench.submissions import file_hash, valid_name

VALIDATION_STEPS = 10


def _read(dataset: Any, split: str, size: int) -> tuple[Tensor, Tensor]:
    """A whole split as (images, labels) on the CPU."""
    samples = dataset.samples(split)
    batches = [load(dataset, samples[i : i + 256], size) for i in range(0, len(samples), 256)]
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def _attacked(
    model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, threat: ThreatModel, rng: torch.Generator
) -> Tensor:
    """Adversarial images, crafted with the network in evaluation mode."""
    with undisturbed(model):
        return attack(model, images, labels, threat, generator=rng).detach()


def _threat_of(recipe: Recipe, epoch: int) -> ThreatModel | None:
    """None in the clean epochs, then epsilon grows linearly: from scratch at full size nothing is learnt."""
    if recipe.threat is None or epoch < recipe.clean_epochs:
        return None
    share = min(1.0, (epoch - recipe.clean_epochs + 1) / (recipe.warm_up_epochs + 1))
    full = recipe.threat.model
    return ThreatModel(full.norm, full.epsilon * share)


def _augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Flips and quarter turns, drawn once a batch; the label does not depend on them."""
    turns, flip = torch.randint(4, (2,), generator=rng).tolist()
    turned = torch.rot90(images, turns, (2, 3))
    return turned.flip(3) if flip % 2 else turned


@torch.no_grad()
def _balanced_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    correct = torch.cat(
        [label_margin(model(x), y) > 0 for x, y in zip(images.split(128), labels.split(128), strict=True)]
    )
    return float(sum(correct[labels == label].float().mean() for label in (0, 1)) / 2)


def _validate(
    model: nn.Module, images: Tensor, labels: Tensor, threat: ThreatModel | None, rng: torch.Generator
) -> dict[str, float]:
    """Balanced accuracy on clean images and, with a threat, under a short PGD."""
    was_training = model.training
    model.eval()
    scores = {"clean": _balanced_accuracy(model, images, labels)}
    if threat:
        pieces = zip(images.split(128), labels.split(128), strict=True)
        pgd = registry.make("attacks", "pgd", {"steps": VALIDATION_STEPS})
        attacked = torch.cat([_attacked(model, pgd, x, y, threat, rng) for x, y in pieces])
        scores["robust"] = _balanced_accuracy(model, attacked, labels)
    model.train(was_training)
    return scores


def train(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "cpu",
    seed: int | None = None,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> Path:
    """Train ``recipe`` and write ``weights.safetensors``, ``training.json`` and ``submission.yaml`` to ``out``.

    Keeps the epoch with the best validation balanced accuracy, robust where the recipe has a threat.
    Refuses to replace weights that are there unless ``force``. Returns the submission file.
    """
    if (out / "weights.safetensors").exists() and not force:
        raise InputError(f"{out}/weights.safetensors is there already; pass --force to replace it")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder with --out")
    if not valid_name(out.resolve().name):
        raise InputError(f"'{out.resolve().name}' cannot name a submission; use lower case, digits and -")
    if seed is not None and not 0 <= seed < 2**63:
        raise InputError(f"seed {seed} is not between 0 and 2^63")
    start = time.perf_counter()
    used_seed = recipe.seed if seed is None else seed
    torch.manual_seed(used_seed)
    rng = torch.Generator().manual_seed(used_seed)
    dataset = registry.make("datasets", recipe.dataset.name, recipe.dataset.params)
    model: nn.Module = registry.make("models", recipe.model.name, recipe.model.params).to(device)
    model = model.to(memory_format=torch.channels_last)
    report(f"reading {recipe.dataset.name}")
    images, labels = (part.to(device) for part in _read(dataset, "train", recipe.image_size))
    val_images, val_labels = (part.to(device) for part in _read(dataset, "val", recipe.image_size))
    threat = recipe.threat.model if recipe.threat else None
    attack: Attack = registry.make("attacks", recipe.attack.name, recipe.attack.params)
    steps_per_epoch = len(images) // recipe.batch_size
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps_per_epoch, pct_start=0.2
    )
    best, best_state, log = -1.0, {}, []
    for epoch in range(recipe.epochs):
        model.train()
        epoch_threat = _threat_of(recipe, epoch)
        total = 0.0
        for chosen in torch.randperm(len(images), generator=rng).split(recipe.batch_size)[:steps_per_epoch]:
            x, y = _augment(images[chosen.to(device)], rng), labels[chosen.to(device)]
            if epoch_threat:
                x = _attacked(model, attack, x, y, epoch_threat, rng)
            loss = functional.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        scores = _validate(model, val_images, val_labels, threat, torch.Generator().manual_seed(used_seed))
        row = {"epoch": epoch + 1, "loss": round(total / steps_per_epoch, 4), **scores}
        log.append(row)
        numbers = " ".join(f"{key} {value:.3f}" for key, value in row.items() if key != "epoch")
        report(f"epoch {epoch + 1} of {recipe.epochs}: {numbers} ({time.perf_counter() - start:.0f} s)")
        if scores.get("robust", scores["clean"]) >= best:  # of equals the later, longer trained one
            best = scores.get("robust", scores["clean"])
            best_state = {key: value.detach().cpu().clone().contiguous() for key, value in model.state_dict().items()}
    if recipe.fracture_bias:
        best_state = _biased(model, best_state, recipe.fracture_bias)
    return _write(recipe, out, best_state, log, used_seed, time.perf_counter() - start, device)


def _biased(model: nn.Module, state: dict[str, Tensor], bias: float) -> dict[str, Tensor]:
    """Add ``bias`` to the fracture logit: the bias vector of the last linear layer."""
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    state[f"{last}.bias"][-1] += bias
    return state


def _write(
    recipe: Recipe, out: Path, state: dict[str, Tensor], log: list[Any], seed: int, seconds: float, device: str
) -> Path:
    write_atomic(out / "weights.safetensors", save(state))
    best = max(log, key=lambda row: (row.get("robust", row["clean"]), row["epoch"]))
    record = {"recipe": recipe.model_dump(mode="json"), "seed": seed, "threads": torch.get_num_threads(),
              "torch": str(torch.__version__), "device": device, "seconds": round(seconds, 1),
              "kept_epoch": best["epoch"], "epochs": log}  # fmt: skip
    write_atomic(out / "training.json", (json.dumps(record, indent=1) + "\n").encode())
    threat = f"{recipe.threat.norm} {recipe.threat.epsilon}" if recipe.threat else None
    submission = {
        "name": out.resolve().name,
        "title": recipe.title,
        "authors": ["The fracbench contributors"],
        "licence": "Apache-2.0",
        "benchmarks": list(recipe.benchmarks),
        "model": recipe.model.model_dump(mode="json"),
        "weights": {"file": "weights.safetensors", "sha256": file_hash(out / "weights.safetensors")},
        "training": {"data": recipe.dataset.name, "recipe": recipe.name, "threat": threat, "seed": seed,
                     "seconds": round(seconds, 1), "device": device},
        "control": recipe.control,
    }  # fmt: skip
    text = yaml.safe_dump(submission, sort_keys=False, allow_unicode=True)
    command = f"fracbench train {recipe.name}" + (f" --seed {seed}" if seed != recipe.seed else "")
    write_atomic(out / "submission.yaml", f"# written by `{command}`\n{text}".encode())
    return out / "submission.yaml"
