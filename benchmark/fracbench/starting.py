"""A submission to begin with: its YAML with comments, and the JSON Schema that lets editors check it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from fracbench.errors import InputError, did_you_mean, printable

if TYPE_CHECKING:
    from fracbench.signatures import Parameters

SCHEMA = Path(__file__).with_name("submission.schema.json")
TEMPLATE = Path(__file__).with_name("submission-template.yaml")
UNNAMED = "timm:resnet18"
# said of parameters that several models have
NOTES = {
    "channels": "3 repeats the grey image",
    "image_size": "resized inside; left out, the benchmark's size is kept, which may be faster",
    "logits": "1 for a network with a single logit",
}
# where a parameter of the same name does something else
OWN_NOTES = {
    "robustbench": {
        "image_size": "resized inside; left out, to the 224 (imagenet) or 32 (cifar10) pixels of the zoo",
        "zoo_weights": "true to begin a training from the zoo's weights; a submission brings all of its own",
    }
}
# how the state dict is saved, by the model; any other is built, trained and saved itself
OF_A_NETWORK = """# The state dict of that model as safetensors; its network is the attribute `network`:
#   from safetensors.torch import save_file
#   state = {f"network.{key}": value.contiguous() for key, value in network.state_dict().items()}
#   save_file(state, $file)"""
OF_THE_MODEL = """# The state dict of that model as safetensors. Build it, train it, save it:
#   from fracbench import registry
#   from safetensors.torch import save_file
#   model = registry.make("models", $model, $params)
#   save_file(model.state_dict(), $file)"""
RECIPES = {"timm": OF_A_NETWORK, "torchvision": OF_A_NETWORK}


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
    model, colon, value = (source or UNNAMED).partition(":")
    if colon and not value:
        raise InputError(f"--from {source}: nothing comes after the colon; write such as {UNNAMED}, or {model} alone")
    takes, given = _parameters(model, value, look_up=source is not None)
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=_yaml(name),
        title=_yaml(value.partition(".")[0] if source and value[:1].isalnum() else name),
        benchmarks=_yaml(list(dict.fromkeys(benchmarks))),
        model=model,
        params=_block(model, takes, given),
        recipe=Template(RECIPES.get(model, OF_THE_MODEL)).substitute(
            model=repr(model), params=repr(given), file=repr(printable(weights))
        ),
    )


def _parameters(model: str, value: str, look_up: bool) -> tuple[Parameters, dict[str, Any]]:
    """What a model takes, and the values that are known from the source; None for one that is needed.

    What pretrained weights expect is looked up only where it is asked for: that imports torch.
    """
    from fracbench import registry
    from fracbench.pretrained import PRETRAINED
    from fracbench.signatures import parameters

    if model not in (known := registry.names("models")):
        hint = did_you_mean(model, known)
        raise InputError(
            f"--from: unknown model '{model:.80}'.{hint} Registered are: {', '.join(known)}; an architecture comes "
            "after a colon: timm:resnet50"
        )
    takes = (
        parameters(registry.listing("models", model).target) or {}
    )  # nothing is filled in where its source does not tell
    required = [key for key, default in takes.items() if default is None]
    if value and not required:
        raise InputError(f"--from: '{model}' has no parameter to be given after the colon; write --from {model}")
    given: dict[str, Any] = {key: None for key in required}
    if value:
        given[required[0]] = value
    if value and model in PRETRAINED and look_up:
        given |= {key: of for key, of in PRETRAINED[model](value).items() if key in takes}
    return takes, given


def _block(model: str, takes: Parameters, given: Mapping[str, Any]) -> str:
    """Parameters with their values, and as comments those that have their defaults."""
    notes = {**NOTES, **OWN_NOTES.get(model, {})}
    lines = []
    for key, default in takes.items():
        note = f"  # {notes[key]}" if key in notes else ""
        if key in given:
            needed = "" if given[key] is not None else "  # needed: write its value"
            lines.append(f"    {key}: {_yaml(given[key])}{needed or note}")
        elif default is not None and (shown := _literal(default)) is not None:
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
