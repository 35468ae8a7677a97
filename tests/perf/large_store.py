"""A store of many submissions, whose rows are drawn at random, in the form that ``run`` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fracbench import registry
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.cells import record_of as cell_record
from fracbench.environment import environment
from fracbench.joining import ALIGNMENT_COLUMNS
from fracbench.pictures import png
from fracbench.plan import CLEAN, Job
from fracbench.resolving import resolve
from fracbench.run_record import record_of
from fracbench.runner import Outcome
from fracbench.schema import parse_epsilon
from fracbench.store import ResultFolder
from fracbench.summary import summarise

EACH, DRAWN = 100, 10
ATTACKS = ("fgsm", "pgd", "mifgsm", "apgd-ce", "apgd-margin", "fab", "square", "fmn", "adaptive", "autoattack",
           "eleventh", "twelfth")  # fmt: skip
EXPLAINERS = ("saliency", "integrated_gradients", "occlusion", "gradcam", "deeplift", "smoothgrad", "gradient_shap",
              "gradcam_plus_plus", "guided_backprop", "hirescam", "input_x_gradient", "layercam", "rise", "random",
              "centre", "edges")  # fmt: skip
EPSILONS = ("0.25/255", "0.5/255", "1/255", "2/255", "4/255", "8/255")


def job() -> Job:
    for name in ATTACKS[-2:]:
        registry.register("attacks", name)(registry.load("attacks", "pgd"))
    return resolve(BenchmarkSpec.model_validate({
        "name": "large", "title": "A large board", "image_size": 128, "logical_batch": 64,
        "dataset": {"name": "phantom", "params": {"test": 2 * EACH}}, "images": {"fractured": EACH, "normal": EACH},
        "threat": {"norm": "linf", "epsilon": "1/255",
                   "ladder": {"epsilons": EPSILONS, "attack": {"name": "apgd-margin"}}},
        "attacks": [{"name": name} for name in ATTACKS], "explainers": [{"name": name} for name in EXPLAINERS],
        "panel": EXPLAINERS[:4], "metrics": ["pointing_game", "relevance_mass_accuracy", "relevance_rank_accuracy",
                                             "attribution_localisation", "top_k_intersection", "auc", "iou"],
    }))  # fmt: skip


def drawn(of: Job, seed: int) -> dict[str, pd.DataFrame]:
    """Tables of a run whose model is as good as chance and ``seed`` make it."""
    rng = np.random.default_rng(seed)
    samples = [sample for batch in of.batches for sample in batch]
    images = pd.DataFrame({"image": [s.id for s in samples], "label": [s.label for s in samples],
                           "group": [s.group for s in samples], "annotated": [s.annotated for s in samples],
                           "mask_area": 500, "instances": 1, "content": 128 * 128, "metadata": "{}"})  # fmt: skip
    scores = [*of.spec.metrics, "instance_hit", "instance_recall", "hit"]
    for name in scores:
        for grid in ("full", "8x8"):
            images[f"chance_{name}"] = images[f"chance_{name}_{grid}"] = np.float32(0.1)
            images[f"ceiling_{name}_{grid}"] = np.float32(0.9)
    skill = rng.uniform(0.2, 2)

    def rows(attack: str, epsilon: float, ladder: bool = False) -> pd.DataFrame:
        margin = rng.normal(skill - 300 * epsilon, 1, len(samples)).astype(np.float32)
        return pd.DataFrame({
            "image": images.image, "threat": CLEAN if attack == CLEAN else "linf", "epsilon": epsilon, "attack": attack,
            "part": "", "margin": margin, "correct": margin > 0, "distance": np.float32(epsilon),
            "adversarial_distance": np.where(margin > 0, np.inf, epsilon).astype(np.float32), "carried": False,
            "ladder": ladder, "zero_gradient": False, "fracture_margin": np.where(images.label == 1, margin, -margin),
        })  # fmt: skip

    reference = of.spec.threat.model.epsilon
    predictions = [rows(CLEAN, 0.0), *(rows(name, reference) for name in ATTACKS)]
    predictions += [rows("apgd-margin", parse_epsilon(epsilon), ladder=True) for epsilon in EPSILONS]
    explained = []
    for attack in (CLEAN, *ATTACKS):
        of_attack = images if attack == CLEAN else images[images.label == 1]
        for name in EXPLAINERS:
            table = pd.DataFrame({"image": of_attack.image, "threat": CLEAN if attack == CLEAN else "linf",
                                  "epsilon": 0.0 if attack == CLEAN else reference, "attack": attack,
                                  "explainer": name, "grid": "8x8" if name == "gradcam" else "full",
                                  "blank": False})  # fmt: skip
            for column in (*ALIGNMENT_COLUMNS, *of.spec.metrics):
                if column not in table:
                    table[column] = rng.random(len(table), dtype=np.float32)
            explained.append(table)
    gallery = []
    for condition, attack in (("clean", CLEAN), ("strongest", "pgd")):
        for image, label in zip(images.image[:24], images.label[:24], strict=True):
            kinds = [("radiograph", ""), ("mask", ""), *(("attributions", name) for name in EXPLAINERS)]
            for kind, explainer in kinds:
                gallery.append({"image": image, "label": label, "condition": condition, "attack": attack, "kind": kind,
                                "explainer": explainer,
                                "png": png(torch.from_numpy(rng.random((16, 16), dtype=np.float32)))})  # fmt: skip
    return {"images": images, "predictions": pd.concat(predictions, ignore_index=True),
            "alignment": pd.concat(explained, ignore_index=True), "gallery": pd.DataFrame(gallery)}  # fmt: skip


def write_store(folder: Path, submissions: int) -> None:
    """``DRAWN`` different runs, each under many names."""
    of = job()
    cells = [cell_record(cell, EACH) for batch in range(len(of.batches)) for cell in of.cells(batch)]
    fields = {"control": False, "authors": ["Perf"], "model": {"name": "perf"}, "weights_sha256": None, "reported": {},
              "training": {"data": "phantom", "splits": [], "recipe": "", "threat": "", "hashes": None},
              "overlap": {"such_images": True, "by": "names", "images": None, "badge": ""}}  # fmt: skip
    here = environment(of, "cpu")
    for seed in range(DRAWN):
        tables = drawn(of, seed)
        outcome = Outcome(tables, cells, False, 1.0, {"forward": 1, "backward": 1})
        made = record_of({**fields, "submission": "x", "title": "x"}, of, outcome, here, "x") | {"third_party": []}
        row = summarise(made, tables)
        for place in range(seed, submissions, DRAWN):
            named = {"submission": f"entry-{place:03d}", "title": f"Entry {place}"}
            ResultFolder(folder / named["submission"] / "large", named["submission"], "large").write(
                tables, made | named, row | named
            )
        print(f"wrote {len(range(seed, submissions, DRAWN))} submissions of draw {seed}", flush=True)
