"""A look at a submission's model before any long run: what would make its row wrong, unranked or slow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from fracbench import alignment, registry, stats
from fracbench.checks import symptoms
from fracbench.contracts import Dataset
from fracbench.data import choose, load
from fracbench.errors import InputError, Unsupported
from fracbench.flags import BLIND_SHARE, FLAG_TEXT, shown_by
from fracbench.inside import prepared, timed
from fracbench.models import Guarded, OneLogit
from fracbench.robustness import is_random, zero_gradient
from fracbench.tasks import Task
from fracbench.tensors import Images, Labels
from fracbench.undisturbed import undisturbed

TRAINING_IMAGES = 64  # half of each class
FEW = 8
BETTER = 0.2  # of AUROC: what another range of pixels has to gain to be worth a word
NEAR_CHANCE = 0.6
SLOW = 60  # minutes
GIVEN = "as they are"
WRONG_WAY = 0.35  # AUROC below which 32 + 32 images say that the classes are swapped: chance goes there once in fifty


@dataclass(frozen=True)
class Finding:
    """``pass``, ``warn`` or ``fail``, what was looked at, and what is so and what to do."""

    status: Literal["pass", "warn", "fail"]
    what: str
    says: str


class Doctor:
    """Looks at one submission's model under one benchmark, in the submission's own process."""

    def __init__(self, task: Task) -> None:
        self.task, self.job = task, task.job

    @cached_property
    def model(self) -> Guarded:
        return prepared(self.task)

    def findings(self) -> Iterator[Finding]:
        """All findings, as they are made. A model that cannot be built has one, and no more can be said."""
        yield from self._card()
        yield self._hash()
        try:
            yield self._logits()
        except InputError as error:
            yield Finding("fail", "model", "; ".join(error.faults))
            return
        checks = self._memory, self._steady, self._gradients, self._classes, self._explainers, self._time
        for check in checks:
            try:
                yield from check()
            except InputError as error:
                yield Finding("fail", check.__name__[1:], "; ".join(error.faults))

    def _card(self) -> Iterator[Finding]:
        submission = self.task.entry.submission
        if "Your Name" in submission.authors:
            yield Finding(
                "warn", "authors", "still 'Your Name', as `init` wrote it; the board shows who made the model"
            )
        if submission.training.data == "not stated":
            yield Finding("warn", "training", "data is 'not stated'; name what it was trained on, such as fracatlas")

    def _hash(self) -> Finding:
        weights, found = self.task.entry.submission.weights, self.task.weights
        if weights is None:
            return Finding("warn", "weights", "none: what the network starts with is drawn at random, always the same")
        if weights.sha256 is None:
            return Finding("warn", "weights", f"no sha256 is declared; add  sha256: '{found}'")
        return Finding("pass", "weights", f"sha256 {found[:12] if found else ''}... is as declared")

    def _logits(self) -> Finding:
        size = self.job.spec.image_size
        one = isinstance(self.model.network, OneLogit)
        way = "one logit z, read as (-z/2, z/2)" if one else "two logits"
        parameters = sum(p.numel() for p in self.model.network.parameters())
        return Finding(
            "pass", "model", f"{way} for images (batch, 1, {size}, {size}), {parameters / 1e6:.2f} M parameters"
        )  # fmt: skip

    @cached_property
    def _few(self) -> Images:
        return load(self.job.dataset, self.job.batches[0][:FEW], self.job.spec.image_size).images.to(self.task.device)

    def _steady(self) -> Iterator[Finding]:
        labels = torch.ones(len(self._few), dtype=torch.long, device=self._few.device)
        with undisturbed(self.model):
            if is_random(self.model, self._few):
                yield Finding(
                    "warn", "deterministic", "answers change from call to call: images are predicted 20 times and the "
                    "row is flagged; take out what draws at random",
                )  # fmt: skip
                return
        signs = shown_by([symptoms(self.model, self._few, labels)])
        for name in signs:
            yield Finding("warn", name.replace("_", " "), f"{FLAG_TEXT[name]}: the row is flagged")
        if not signs:
            yield Finding("pass", "deterministic", "the same answer to the same image, alone or in a batch, in double "
                          "precision too")  # fmt: skip

    def _gradients(self) -> Iterator[Finding]:
        norm = self.job.spec.threat.norm
        labels = torch.ones(len(self._few), dtype=torch.long, device=self._few.device)
        with undisturbed(self.model):
            blind = int(zero_gradient(self.model, self._few, labels, norm).sum())
        if blind > BLIND_SHARE * len(self._few):
            yield Finding("warn", "gradients", f"none that leads anywhere on {blind} of {len(self._few)} images: the "
                          "row is flagged; look for detach(), rounding or a saturated output")  # fmt: skip
        else:
            yield Finding("pass", "gradients", "reach the image")

    def _classes(self) -> Iterator[Finding]:
        found = self._training_images()
        if found is None:
            yield Finding("warn", "classes", "the dataset has no training images to look at")
            return
        images, labels = found
        margins = {name: self._margins(of) for name, of in _ranges(images).items()}
        scores = {name: stats.auroc(of, labels) for name, of in margins.items()}
        said_fracture, here = float((margins[GIVEN] > 0).mean()), scores.pop(GIVEN)
        best = max(scores, key=lambda name: scores[name])
        told = f"AUROC {here:.2f} on {len(labels)} training images"
        if not np.isfinite(margins[GIVEN]).all():
            yield Finding("fail", "classes", "not a number on training images; check the weights")
        elif here < WRONG_WAY:
            advice = "fractures are ranked below normal images; swap the two logits (no fracture first)"
            yield Finding("fail", "classes", f"{told}: {advice}")
        elif scores[best] > here + BETTER:
            advice = "images come in [0, 1]; normalise inside the model (mean, std)"
            yield Finding("warn", "classes", f"{told}, {scores[best]:.2f} on the same {best}: {advice}")
        elif here < NEAR_CHANCE:
            advice = "near chance; look at weights and normalisation, or go on if it was trained on other images"
            yield Finding("warn", "classes", f"{told}: {advice}")
        elif said_fracture in (0.0, 1.0):
            answer = "fracture" if said_fracture else "no fracture"
            advice = "move the bias of its last layer, or its accuracy is that of a constant"
            yield Finding("warn", "classes", f"{told}, but every answer is '{answer}': {advice}")
        else:
            yield Finding("pass", "classes", f"{told}, {said_fracture:.0%} of them called fractured")

    def _training_images(self) -> tuple[Images, Labels] | None:
        spec = self.job.spec
        root = getattr(self.job.dataset, "root", None)
        # a dataset that draws its images is asked for no more than these
        name = getattr(self.job.dataset, "like", spec.dataset.name)  # nobody was trained on what is secret
        few: Dataset = registry.make("datasets", name, spec.dataset.params, root=root, train=TRAINING_IMAGES)
        if "train" not in few.splits:
            return None
        samples = few.samples("train")
        half = min(TRAINING_IMAGES // 2, *(sum(s.label == label for s in samples) for label in (0, 1)))
        if not half:
            return None
        batch = load(few, choose(samples, half, half, spec.seed), spec.image_size)
        return batch.images.to(self.task.device), batch.labels

    def _margins(self, images: Images) -> NDArray[np.float32]:
        with undisturbed(self.model), torch.no_grad():
            logits = self.model(images)
        return (logits[:, 1] - logits[:, 0]).cpu().numpy()

    def _explainers(self) -> Iterator[Finding]:
        images = self._few[:2]
        valid = torch.ones_like(images[:, 0], dtype=torch.bool)
        for name, explainer in self.job.explainers.items():
            panel = name in self.job.spec.panel
            try:
                alignment.check_network(explainer, self.model, self._few)
                explained = alignment.explain(explainer, self.model, images, valid)
            except Unsupported as reason:
                what = "the row cannot be ranked" if panel else "no score of it, which does not matter for the rank"
                yield Finding("warn", name, f"{reason}: {what}")
                continue
            except (RuntimeError, ValueError, TypeError) as error:
                yield Finding("fail", name, f"{type(error).__name__}: {error}")
                continue
            if explained.blank.all():
                yield Finding(
                    "warn",
                    name,
                    "blank on two images, which scores 0: nothing speaks for a fracture, or no gradient gets there",
                )
            elif "layer" in explained.notes:
                yield Finding("pass", name, f"reads the layer {explained.notes['layer']}, {explained.grid}")

    def _memory(self) -> Iterator[Finding]:
        cuda = self.task.device.startswith("cuda")
        n = min(self.model.micro_batch, 4 * FEW)
        images = self._few[:1].repeat(n, 1, 1, 1).requires_grad_(True)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        elif not _reset_peak():
            return
        before = torch.cuda.memory_allocated() if cuda else psutil.Process().memory_info().rss
        with undisturbed(self.model):
            margin = self.model(images).sum()
            if margin.requires_grad:
                torch.autograd.grad(margin, images, allow_unused=True)
        peak = torch.cuda.max_memory_allocated() if cuda else _peak()
        image = max(0, peak - before) / n
        there = torch.cuda.mem_get_info()[1] if cuda else psutil.virtual_memory().total
        whole = self.model.micro_batch * image
        batch = f"{whole / 2**30:.1f} GiB" if whole >= 2**30 else f"{whole / 2**20:.0f} MiB"
        said = f"about {image / 2**20:.1f} MiB an image, {batch} a micro-batch of {self.model.micro_batch}"
        if whole > 0.8 * there:
            yield Finding("warn", "memory", f"{said}, of {there / 2**30:.0f} here: micro-batches will be halved")
        else:
            yield Finding("pass", "memory", said)

    def _time(self) -> Iterator[Finding]:
        found = timed(self.model, self.task)
        passes = {cell: sum(self.job.passes(cell)) for cell in self.job.cells(0)}
        longest = max(passes, key=lambda cell: passes[cell])
        least = found.minutes * passes[longest] / (found.forward + found.backward)
        slow = found.minutes > SLOW and not self.task.device.startswith("cuda")
        yield Finding(
            "warn" if slow else "pass", "time", f"at most {found.minutes:.0f} min on this machine for {found.cells} "
            f"cells, {least:.1f} for the longest ({longest.label}){'; a GPU would help' if slow else ''}",
        )  # fmt: skip


def _ranges(images: Images) -> dict[str, Images]:
    """The same images in [0, 1] and in the other ranges that networks are trained on."""
    return {GIVEN: images, "times 255": images * 255, "moved to [-1, 1]": images * 2 - 1}


def _reset_peak() -> bool:
    """Let the system forget the most memory this process has held; not every system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
