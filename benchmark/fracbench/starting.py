"""A submission to begin with: its YAML with comments, and the JSON Schema that lets editors check it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from fracbench.errors import InputError, did_you_mean, printable

SCHEMA = Path(__file__).with_name("submission.schema.json")
TEMPLATE = Path(__file__).with_name("submission-template.yaml")
UNNAMED = "timm:resnet18"
# said of parameters that several models have
NOTES = {
    "channels": "3 repeats the grey image",
    "image_size": "resized inside; left out, the benchmark's size is kept",
    "logits": "1 for a network with a single logit",
}


def begin(name: str, source: str | None, submissions: Path, benchmarks: Sequence[str]) -> Path:
    """Write ``submissions/<name>/submission.yaml``, and the schema beside the folder; the path of the first.

    ``source`` is a registered model, with ``:`` and the value of its first required parameter, such as
    ``timm:resnet50``. Raises ``InputError``, before anything is written, for what is unknown or there already.
    """
    from fracbench import specs
    from fracbench.files import check_writable, write_atomic
    from fracbench.submissions import check_name

    check_name(name)
    for benchmark in benchmarks:
        specs.load(benchmark)
    file = submissions / name / "submission.yaml"
    if file.exists() or file.is_symlink():
        raise InputError(f"{file} is there already; edit it, or give another name")
    if (submissions / name).exists() and not (submissions / name).is_dir():
        raise InputError(f"{submissions / name} is a file; give another name")
    text = skeleton(name, source, str(file.with_name("weights.safetensors")), benchmarks)
    check_writable(file.parent, "--submissions")
    write_atomic(file, text.encode())
    write_atomic(submissions / SCHEMA.name, SCHEMA.read_bytes())
    return file


def skeleton(name: str, source: str | None, weights: str, benchmarks: Sequence[str]) -> str:
    """The text of a ``submission.yaml`` for a model from ``source``; for a small ResNet where that is None."""
    model, _, value = (source or UNNAMED).partition(":")
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=_yaml(name),
        title=_yaml(value.partition(".")[0] if source and value[:1].isalnum() else name),
        benchmarks=_yaml(list(dict.fromkeys(benchmarks))),
        model=model,
        params=_params(model, value, look_up=source is not None),
        weights=printable(weights),
    )


def _params(model: str, value: str, look_up: bool) -> str:
    """The block of parameters: those known from the source, and as comments those that have their defaults.

    What pretrained weights expect is looked up only where it is asked for: that imports torch.
    """
    from fracbench import registry
    from fracbench.signatures import parameters

    if model not in (known := registry.names("models")):
        hint = did_you_mean(model, known)
        raise InputError(
            f"--from: unknown model '{model:.80}'.{hint} Registered are: {', '.join(known)}; an architecture comes "
            "after a colon: timm:resnet50"
        )
    target = next(row.target for row in registry.listings("models") if row.name == model)
    takes = parameters(target) or {}  # nothing is filled in where its source does not tell
    required = [key for key, default in takes.items() if default is None]
    if value and not required:
        raise InputError(f"--from: '{model}' has no parameter to be given after the colon; write --from {model}")
    given: dict[str, Any] = {required[0]: value or None} if required else {}
    if value and model in PRETRAINED and look_up:
        given |= {key: of for key, of in PRETRAINED[model](value).items() if key in takes}
    lines = []
    for key, default in takes.items():
        note = f"  # {NOTES[key]}" if key in NOTES else ""
        if key in given or default is None:
            needed = "" if given.get(key) is not None else "  # needed: write its value"
            lines.append(f"    {key}: {_yaml(given.get(key))}{needed or note}")
        elif (shown := _literal(default)) is not None:
            lines.append(f"    # {key}: {shown}{note}")
    if not given:
        return "\n".join(["  # params:  # these are the defaults", *lines] if lines else [])
    return "\n".join(["  params:", *lines])


def _literal(source: str) -> str | None:
    """A default as YAML; None where it is no plain value."""
    try:
        return _yaml(ast.literal_eval(source))
    except (ValueError, SyntaxError):
        return None


def _yaml(value: Any) -> str:
    import yaml

    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def _timm(architecture: str) -> Mapping[str, Any]:
    """What the pretrained weights of a timm architecture, or one tag of it, expect of their input."""
    import timm
    from timm.models import get_pretrained_cfg

    name = architecture.partition(".")[0]
    if name not in timm.list_models():
        raise InputError(f"timm has no architecture '{name:.80}'.{did_you_mean(name, timm.list_models())}")
    expected = get_pretrained_cfg(architecture) or get_pretrained_cfg(name)
    if expected is None:
        return {"architecture": name, "channels": 3}
    of = {"mean": expected.mean, "std": expected.std, "image_size": expected.input_size[-1]}
    return {"architecture": name, "channels": 3, **of}


def _torchvision(architecture: str) -> Mapping[str, Any]:
    """What the default weights of a torchvision classifier expect of their input."""
    from torchvision import models

    known = models.list_models(module=models)
    if architecture not in known:
        raise InputError(f"torchvision has no classifier '{architecture:.80}'.{did_you_mean(architecture, known)}")
    expected = models.get_model_weights(architecture).DEFAULT.transforms()
    of = {"mean": expected.mean, "std": expected.std, "image_size": expected.crop_size[0]}
    return {"architecture": architecture, "channels": 3, **of}


PRETRAINED = {"timm": _timm, "torchvision": _torchvision}
