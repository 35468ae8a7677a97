"""A trained network as a submission like anyone's: weights, YAML, and the record of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn

from fracbench import registry
from fracbench.files import write_atomic
from fracbench.recipes import Architecture, Recipe, load, names
from fracbench.submissions import file_hash
from fracbench.training.checkpoint import State
from fracbench.training.start import Start

FILES = ("weights.safetensors", "training.json", "submission.yaml")


def _page(recipe: Recipe) -> list[str]:
    """Where the training images are published, where they are."""
    archive = getattr(registry.load("datasets", recipe.dataset.name), "archive", None)
    return [archive.page] if archive is not None else []


def _command(recipe: Recipe, seed: int) -> str:
    """What was typed, but for places and the architecture."""
    shipped = load(recipe.name) if recipe.name in names() else recipe
    words = ["fracbench train", recipe.name, *([f"--seed {seed}"] if seed != recipe.seed else [])]
    if recipe.threat is not None and recipe.threat != shipped.threat:
        words.append(f"--epsilon {recipe.threat.epsilon}")
    return " ".join(words)


def finished(model: nn.Module, state: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """The weights on the CPU, the recipe's ``fracture_bias`` on the fracture logit of the last linear layer.

    Matrices and kernels are in the recipe's precision; of scales, shifts and statistics half precision loses too much.
    """
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    done = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    done[f"{last}.bias"][-1] += recipe.fracture_bias
    kept = getattr(torch, recipe.stored)
    return {key: value.to(kept) if value.ndim > 1 else value for key, value in done.items()}


def write(
    recipe: Recipe,
    architecture: Architecture,
    out: Path,
    state: dict[str, Tensor],
    reached: State | None,
    *,
    seed: int,
    device: str,
    begins: Start | None,
) -> Path:
    """Write the three files, the YAML last; seconds are those of this recipe, without its start's."""
    seconds = round(reached.seconds, 1) if reached else 0.0
    weights, history, described = (out / name for name in FILES)
    write_atomic(weights, save(state))
    record: dict[str, Any] = {
        "recipe": recipe.decisive(), "architecture": architecture.decisive(), "seed": seed,
        "threads": torch.get_num_threads(), "torch": str(torch.__version__), "device": device,
        "seconds": seconds, "kept_epoch": reached.kept_epoch if reached else None,
        "epochs": reached.log if reached else [], "start": begins.record if begins else None,
        "data": reached.images if reached else {},
    }  # fmt: skip
    write_atomic(history, (json.dumps(record, indent=1) + "\n").encode())
    threat = f"{recipe.threat.norm} {recipe.threat.epsilon}" if recipe.threat else None
    submission = {
        "name": out.resolve().name,
        "title": recipe.titled(architecture.title),
        "authors": ["The fracbench contributors"],
        "licence": "Apache-2.0",
        "benchmarks": recipe.entered(architecture, seed),
        "model": recipe.served(architecture.model).model_dump(mode="json"),
        "weights": {"file": weights.name, "sha256": file_hash(weights)},
        "training": {"data": recipe.dataset.name, "splits": ["train"], "recipe": recipe.name, "threat": threat,
                     "seed": seed, "seconds": seconds, "device": device},
        "control": recipe.control,
        "links": list(dict.fromkeys([*(begins.links if begins else ()), *_page(recipe)])),
    }  # fmt: skip
    text = yaml.safe_dump(submission, sort_keys=False, allow_unicode=True)
    write_atomic(described, f"# written by `{_command(recipe, seed)}`\n{text}".encode())
    return described
