"""A run against a careful script of the same work: ``python tests/perf/script.py DIR``, the folder of FracAtlas.

64 test images (32 fractured) of 224 x 224 and an untrained ResNet-18: PGD of 20 steps; saliency, Grad-CAM and
integrated gradients of 50 steps on the clean images and, under attack, on the fractured ones; six metrics where there
is a mask. The script is a loop of PGD, captum, and Quantus metric by metric, in a process of its own that has none of
the settings of a run. They take turns; the seconds of each part are kept. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import quantus
import record
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Saliency
from fracbench import registry
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.data import Batch, load
from fracbench.environment import pick_device, prepare
from fracbench.models import guard
from fracbench.plan import Job
from fracbench.resolving import resolve
from torch import Tensor, nn
from torch.nn import functional
from whole_run import whole_run

EACH, SIDE, EPSILON, STEPS, PATH = 32, 224, 1 / 255, 20, 50
SIX = ("pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy", "attribution_localisation",
       "top_k_intersection", "auc")  # fmt: skip
NETWORK = {"architecture": "resnet18", "image_size": SIDE, "options": {"zero_init_last": False}}  # else maps are blank
Seconds = dict[str, float]


def spec() -> BenchmarkSpec:
    return BenchmarkSpec.model_validate({
        "name": "script", "title": "what the script does", "dataset": {"name": "fracatlas"}, "image_size": SIDE,
        "images": {"fractured": EACH, "normal": EACH}, "threat": {"norm": "linf", "epsilon": "1/255"},
        "attacks": [{"name": "pgd", "params": {"steps": STEPS}}], "logical_batch": 2 * EACH, "metrics": SIX,
        "explainers": [{"name": "saliency"}, {"name": "gradcam"},
                       {"name": "integrated_gradients", "params": {"steps": PATH}}],
        "panel": ["saliency", "gradcam", "integrated_gradients"],
    })  # fmt: skip


@contextmanager
def timed(spent: Seconds, part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    spent[part] = spent.get(part, 0.0) + time.perf_counter() - start


def resnet(device: str, layout: torch.memory_format) -> nn.Module:
    """The same weights each time."""
    torch.manual_seed(0)
    made: nn.Module = registry.make("models", "timm", NETWORK)
    return made.to(device, memory_format=layout).eval().requires_grad_(False)


def images_of(job: Job, device: str) -> Batch:
    batch = load(job.dataset, job.batches[0], SIDE)
    return replace(batch, **{name: getattr(batch, name).to(device) for name in ("images", "labels", "masks")})


def script(data: str, device: str) -> Seconds:
    """What a careful person writes: whole batches, no gradient of weights, Quantus without its printing."""
    plain, batch = resnet(device, torch.contiguous_format), images_of(resolve(spec(), data=data), device)
    spent: Seconds = {}
    with timed(spent, "all"):
        attack_explain_score(plain, batch, spent)
    return spent


def attack_explain_score(network: nn.Module, batch: Batch, spent: Seconds) -> None:
    images, labels = batch.images, batch.labels
    sign = (2 * labels - 1).float()
    with timed(spent, "attack"):
        attacked = (images + EPSILON * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
        for _ in range(STEPS):
            attacked.requires_grad_(True)
            logits = network(attacked)
            (slope,) = torch.autograd.grad((sign * (logits[:, 1] - logits[:, 0])).sum(), attacked)
            step = attacked.detach() - 2.5 * EPSILON / STEPS * slope.sign()
            attacked = step.clamp(images - EPSILON, images + EPSILON).clamp(0, 1)
        with torch.no_grad():
            network(images), network(attacked)
    fractured = labels == 1

    def margin(x: Tensor) -> Tensor:
        logits = network(x)
        return logits[:, 1] - logits[:, 0]

    layer = network.network.layer4
    for given, marked in ((images, fractured), (attacked[fractured], torch.ones(EACH, dtype=torch.bool))):
        maps: dict[str, Tensor] = {}
        with timed(spent, "saliency"):
            maps["saliency"] = Saliency(margin).attribute(given)[:, 0]
        with timed(spent, "gradcam"):
            found = LayerGradCam(margin, layer).attribute(given, relu_attributions=True)
            maps["gradcam"] = functional.interpolate(found, (SIDE, SIDE), mode="bilinear")[:, 0].detach()
        with timed(spent, "integrated gradients"):
            path = IntegratedGradients(margin).attribute(given, n_steps=PATH, internal_batch_size=2 * EACH)
            maps["integrated gradients"] = path[:, 0].clamp_min(0).detach()
        with timed(spent, "metrics"):
            for of in maps.values():
                scores(of[marked].cpu().numpy(), batch.masks[fractured].cpu().numpy())


def scores(maps: np.ndarray, masks: np.ndarray) -> None:
    given = {"normalise": False, "abs": False, "disable_warnings": True}
    metrics = [
        quantus.PointingGame(**given), quantus.RelevanceMassAccuracy(**given), quantus.RelevanceRankAccuracy(**given),
        quantus.AttributionLocalisation(**given), quantus.TopKIntersection(k=SIDE * SIDE // 20, **given),
        quantus.AUC(**given),
    ]  # fmt: skip
    kept = maps.reshape(len(maps), -1).max(1) > 0  # a blank map raises
    a, s = maps[kept][:, None], masks[kept][:, None].astype(int)
    for metric in metrics if len(a) else ():
        metric(model=None, x_batch=np.zeros_like(a), y_batch=np.ones(len(a), int), a_batch=a, s_batch=s, batch_size=64)


def run(data: str, device: str) -> Seconds:
    """The same through the runner, with all it does beside: referee, symptoms, cells on disk, tables, summary."""
    job = resolve(spec(), data=data)
    guarded = guard(resnet(device, torch.channels_last), SIDE, device, fold=True)
    spent: Seconds = {}
    with timed(spent, "all"):
        outcome, _ = whole_run(guarded, job, device)
    for cell in outcome.cells:
        part = cell["explainer"] or cell["kind"]
        spent[part] = spent.get(part, 0.0) + cell["seconds"]
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5, help="pairs; one takes a quarter of an hour on two cores")
    parser.add_argument("--out", type=Path, help="JSON file for every time, written after each pair")
    parser.add_argument("--more", action="store_true", help="go on from the pairs that --out holds")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    prepare(device)
    what = (arguments.data, device)
    os.environ.pop("GOMP_SPINCOUNT", None)  # this process has read it
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as unprepared:
        works: dict[str, Callable[[], Seconds]] = {
            "run": lambda: run(*what),
            "script": lambda: unprepared.submit(script, *what).result(),
        }
        found = json.loads(arguments.out.read_text())["parts"] if arguments.more else {}
        times: dict[str, list[Seconds]] = {name: found.get(name, []) for name in works}
        while len(times["script"]) < arguments.rounds:
            for name, work in works.items():
                times[name].append(work())
                print(name, {part: round(seconds, 1) for part, seconds in times[name][-1].items()}, flush=True)
            ours, reference = ([of["all"] for of in times[name]] for name in works)
            pairs = {"a run, 64 radiographs / a careful script": {"ours": ours, "reference": reference}}
            record.write(arguments.out, device, pairs, {}, parts=times)


if __name__ == "__main__":
    main()
