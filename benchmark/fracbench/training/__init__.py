"""Trains a starter from a recipe into a submission folder: seeded, resumable, repeatable on a CPU."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fracbench import registry
from fracbench.contracts import Attack, Dataset, label_margin
from fracbench.data import choose, load
from fracbench.environment import code_of, versions
from fracbench.errors import InputError
from fracbench.files import cache_dir, check_writable
from fracbench.recipes import Architecture, Recipe, architectures
from fracbench.schema import ThreatModel
from fracbench.submissions import check_name
from fracbench.training import augmentation
from fracbench.training.checkpoint import State, path_of
from fracbench.training.objectives import OBJECTIVES, Step
from fracbench.training.start import Start, start_of
from fracbench.training.writing import FILES, finished, write
from fracbench.undisturbed import undisturbed

CHUNK = 128  # images predicted at once on validation
SECONDS_BETWEEN_LINES = 5.0


class _Split:
    """A whole split in memory: images, labels, the union of masks, their hash, the index of each image's group."""

    def __init__(
        self, dataset: Dataset, split: str, size: int, device: str, report: Callable[[str], None] = print
    ) -> None:
        self.samples = samples = dataset.samples(split)
        batches, told = [], time.monotonic()
        for start in range(0, len(samples), 256):
            if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                report(f"reading {split}: {start} of {len(samples)} images")
            batches.append(load(dataset, samples[start : start + 256], size))
        images = torch.cat([batch.images for batch in batches])
        labels, masks = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("labels", "masks"))
        content = hashlib.sha256()
        for values in (images, labels, masks):
            content.update(values.numpy().tobytes())
        self.digest = content.hexdigest()
        self.images, self.labels, self.masks = (values.to(device) for values in (images, labels, masks))
        names = [sample.group for sample in samples]
        _, self.group = np.unique(names, return_inverse=True)

    def drawn(self, limit: int | None) -> Tensor:
        """Indices of at most ``limit`` images of each class, drawn as a benchmark draws its images."""
        there = [sum(sample.label == label for sample in self.samples) for label in (1, 0)]
        fractured, normal = (min(n, limit or n) for n in there)
        kept = {sample.id for sample in choose(self.samples, fractured, normal, seed=0)}
        return torch.tensor([place for place, sample in enumerate(self.samples) if sample.id in kept])

    def order(self, rng: torch.Generator) -> Tensor:
        """All images in random order, those of one group side by side: a batch compares a patient with itself."""
        rank = torch.randperm(int(self.group.max()) + 1, generator=rng)
        return torch.argsort(rank[torch.from_numpy(self.group)], stable=True)

    def balanced(self, rng: torch.Generator) -> Tensor:
        """As many images, drawn with replacement, so that both labels are as likely."""
        shares = 1 / torch.bincount(self.labels.cpu(), minlength=2)
        return torch.multinomial(shares[self.labels.cpu()], len(self.labels), replacement=True, generator=rng)


def train(
    recipe: Recipe,
    architecture: Architecture,
    out: Path,
    *,
    device: str = "cpu",
    seed: int | None = None,
    start: str | None = None,
    data: Path | None = None,
    force: bool = False,
    report: Callable[[str], None] = print,
) -> Path:
    """Train ``recipe`` and write ``weights.safetensors``, ``training.json`` and ``submission.yaml`` to ``out``.

    Keeps the epoch with the best validation balanced accuracy, robust where the recipe names a threat. A training that
    was broken off goes on from its last whole epoch; on a CPU with the same number of threads, to the same weights.
    ``start`` names the submission beside ``out`` to go on from, where several could be meant; ``data`` is the folder of
    a dataset that needs one. Refuses to replace weights that are there unless ``force``. Returns the submission file.
    """
    used_seed = recipe.seed if seed is None else seed
    if not recipe.entered(architecture, used_seed):
        able = [name for name, of in architectures().items() if recipe.entered(of, used_seed)]
        place = f"the benchmarks of {recipe.name}"
        raise InputError(
            f"{architecture.title} enters none of {place}; pass --architecture with one of {', '.join(able)}"
        )
    _check(recipe, out, used_seed, force)
    begins = start_of(recipe, architecture, out, used_seed, start)
    torch.manual_seed(used_seed)
    sized = recipe.sized(architecture.model)
    model: nn.Module = registry.make("models", sized.name, sized.params)
    if begins is not None:
        begins.load(model, begins.path)
    model = model.to(device).to(memory_format=torch.channels_last)
    suited = recipe.suited_to(architecture)
    if recipe.epochs:
        report(f"reading {recipe.dataset.name}")
        dataset = registry.make("datasets", recipe.dataset.name, recipe.dataset.params, root=data)
        reached = _fit(suited, architecture, dataset, model, used_seed, device, begins, report)
    else:
        reached = None
    weights = finished(model, reached.best_state if reached else model.state_dict(), recipe)
    written = write(recipe, architecture, out, weights, reached, seed=used_seed, device=device, begins=begins)
    if reached:
        reached.forget()
    return written


def _check(recipe: Recipe, out: Path, seed: int, force: bool) -> None:
    check_name(out.resolve().name)
    check_writable(cache_dir(), "FRACBENCH_CACHE")
    there = [name for name in FILES if (out / name).is_file()]
    if there and not force:
        raise InputError(f"{out / there[0]} is there already; pass another --out, or --force to replace it")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder with --out")
    for name in FILES:
        if (out / name).is_dir():
            raise InputError(f"{out / name} is a folder where a file would be written; give another folder with --out")
    check_writable(out, "--out")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed {seed} is not between 0 and 2^63")


def _fit(
    recipe: Recipe,
    architecture: Architecture,
    dataset: Dataset,
    model: nn.Module,
    seed: int,
    device: str,
    begins: Start | None,
    report: Callable[[str], None],
) -> State:
    """All epochs, from the checkpoint where there is one; ``begins`` names the weights it starts from."""
    for split in ("train", "val"):
        labels = [sample.label for sample in dataset.samples(split)]
        if min(labels.count(0), labels.count(1)) == 0:
            raise InputError(
                f"the split {split} of {recipe.dataset.name} has {labels.count(1)} fractured and {labels.count(0)} "
                "normal images; both are needed to train and to choose an epoch"
            )
    training = _Split(dataset, "train", recipe.image_size, device, report)
    validation = _Split(dataset, "val", recipe.image_size, device, report)
    rate = architecture.learning_rate * recipe.learning_rate
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=recipe.weight_decay)
    batches = len(training.images) // recipe.batch_size
    if not batches:
        raise InputError(f"{len(training.images)} training images are less than a batch of {recipe.batch_size}")
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=recipe.epochs * batches, pct_start=0.2)
    code = code_of((model, dataset, registry.load("attacks", recipe.attack.name)))
    path = path_of({
        "recipe": recipe.decisive(), "architecture": architecture.decisive(), "seed": seed,
        "device": device, "threads": torch.get_num_threads(), "versions": versions(),
        "start": begins.record if begins else None, "images": [training.digest, validation.digest], "code": code,
    })  # fmt: skip
    state = State(model, optimiser, schedule, torch.Generator().manual_seed(seed), path)
    state.images = {
        split: {"images": len(of.samples), "fingerprint": dataset.fingerprint(split)}
        for split, of in (("train", training), ("val", validation))
    }
    if state.load(device):
        report(f"going on after epoch {state.epoch} of {recipe.epochs}")
    began, before = time.perf_counter(), state.seconds
    for epoch in range(state.epoch, recipe.epochs):
        loss = _epoch(recipe, state, training, _threat_of(recipe, epoch), batches, device)
        scores = _validate(recipe, model, validation, torch.Generator().manual_seed(seed))
        row = {"epoch": epoch + 1, "loss": round(loss, 4), **scores}
        state.log.append(row)
        state.epoch, state.seconds = epoch + 1, before + time.perf_counter() - began
        if state.kept_epoch == state.epoch:
            state.best_state = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
        state.save()
        report(_line(row, recipe.epochs, state.seconds))
    return state


def _line(row: dict[str, float], epochs: int, seconds: float) -> str:
    numbers = " ".join(f"{key} {value:.3f}" for key, value in row.items() if key != "epoch")
    left = round(seconds / row["epoch"] * (epochs - row["epoch"]))
    return f"epoch {row['epoch']} of {epochs}: {numbers} ({seconds:.0f} s so far, {left // 60}:{left % 60:02} left)"


def _epoch(
    recipe: Recipe, state: State, training: _Split, threat: ThreatModel | None, batches: int, device: str
) -> float:
    """One pass over the training images; returns the mean loss."""
    state.model.train()
    attack: Attack = registry.make("attacks", recipe.attack.name, recipe.attack.params)
    objective, total = OBJECTIVES[recipe.objective], 0.0
    order = training.balanced(state.rng) if recipe.balanced else training.order(state.rng)
    augmented = augmentation.AUGMENTATIONS[recipe.augmentation]
    for chosen in order.split(recipe.batch_size)[:batches]:
        at = chosen.to(device)
        images, masks = augmented(training.images[at], training.masks[at], state.rng)
        if recipe.corruptions:
            images = augmentation.corrupted(images)
        step = Step(images, training.labels[at], masks, threat, attack, recipe.weight, state.rng)
        loss = objective(state.model, step)  # in float32: bfloat16 would round a perturbation of 0.5/255 away
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        state.schedule.step()
        total += float(loss.detach())
    return total / batches


def _threat_of(recipe: Recipe, epoch: int) -> ThreatModel | None:
    """None in the clean epochs, then epsilon grows linearly: from scratch at full size nothing is learnt."""
    if recipe.threat is None or epoch < recipe.clean_epochs:
        return None
    share = min(1.0, (epoch - recipe.clean_epochs + 1) / (recipe.warm_up_epochs + 1))
    full = recipe.threat.model
    return ThreatModel(full.norm, full.epsilon * share)


def _validate(recipe: Recipe, model: nn.Module, split: _Split, rng: torch.Generator) -> dict[str, float]:
    """Balanced accuracy on clean images and, with a threat to judge by, under a short PGD."""
    threat = recipe.judged_under.model if recipe.judged_under else None
    pgd: Attack = registry.make("attacks", "pgd", {"steps": recipe.validation_steps})
    with undisturbed(model):
        right = _correct(model, _chunks(split.images, split.labels))
        scores = {"clean": balanced_accuracy(right, split.labels)}
        if threat:
            at = split.drawn(recipe.validation_images).to(right.device)
            survives, left = right[at], at[right[at]]  # what is wrong already needs no attack
            tried = (
                (pgd(model, x, y, threat, generator=rng), y) for x, y in _chunks(split.images[left], split.labels[left])
            )
            if len(left):
                survives[right[at]] = _correct(model, tried)
            scores["robust"] = balanced_accuracy(survives, split.labels[at])
    return scores


def _chunks(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(images.split(CHUNK), labels.split(CHUNK), strict=True)


def balanced_accuracy(correct: Tensor, labels: Tensor) -> float:
    """Mean of the shares of the two classes that are ``correct``, bool (batch,)."""
    return float(sum(correct[labels == label].float().mean() for label in (0, 1)) / 2)


def _correct(model: nn.Module, chunks: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    correct = []
    for images, truth in chunks:
        with torch.no_grad():
            correct.append(label_margin(model(images), truth) > 0)
    return torch.cat(correct)
