"""Reference pages of files and of Python, from the schemas and the docstrings that the package itself uses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import Any, get_args

import yaml
from fracbench import specs
from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.submission_schema import Submission
from pydantic import BaseModel

API = {  # what may be imported and is kept
    "fracbench.notebook": ("evaluate", "Result"),  # evaluate is fracbench.evaluate too
    "fracbench.contracts": ("Model", "Attack", "Ensemble", "Explainer", "AlignmentMetric", "Dataset", "Sample",
                            "Radiograph", "MarginModel", "label_margin", "Unsupported", "InputError"),
    "fracbench.tensors": (),
    "fracbench.registry": ("register", "names", "listings", "load", "make"),
    "fracbench.schema": ("PluginRef", "ThreatModel", "parse_epsilon"),
    "fracbench.data": ("load", "Batch", "choose", "image_hash"),
    "fracbench.robustness": ("craft", "Crafted"),
    "fracbench.robust_scores": ("robust_at",),
    "fracbench.alignment": ("score",),
    "fracbench.testing": ("check_model", "check_attack", "check_explainer", "check_metric", "check_dataset"),
}  # fmt: skip
LEFT_OUT = "*Left out* is what a missing key counts as; where that is empty, as nothing, or as its meaning says."
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
         "object": "mapping"}  # fmt: skip


def submission_format() -> str:
    """Every key of a ``submission.yaml``."""
    parts = [
        "# Submission files",
        "What `submissions/NAME/submission.yaml` may say; made from the schema by `python docs/generate.py`. "
        "`fracbench init` writes one to fill in, with a JSON Schema beside it by which an editor completes and checks "
        "it; `fracbench validate` names each fault with its line. [How to submit a model](submit.md).",
        LEFT_OUT,
        *_tables(Submission),
    ]
    return "\n\n".join(parts) + "\n"


def benchmark_format() -> str:
    """Every key of a benchmark, and those that ship."""
    parts = [
        "# Benchmark files",
        "A benchmark is one YAML file of the package (`benchmark/fracbench/specs`), and a submission can change none "
        "of it. Made from the schema by `python docs/generate.py`.",
        LEFT_OUT,
        "## Those that ship",
        _table(("benchmark", "images", "side", "threat", "attacks", "explainers"), (
            (f"`{spec.name}`", f"{_count(spec.images.fractured)} + {_count(spec.images.normal)} of {spec.dataset.name}",
             f"{spec.image_size} px", f"{spec.threat.norm} {spec.threat.epsilon}", _names(spec.attacks),
             _names(spec.explainers)) for spec in map(specs.load, specs.names())
        )),
        *(f"**{spec.title}** (`{spec.name}`). {spec.note}" for spec in map(specs.load, specs.names())),
        *_tables(BenchmarkSpec),
        "## One of them whole",
        f"```yaml\n{(files(specs) / 'smoke.yaml').read_text().strip()}\n```",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _count(images: int | None) -> str:
    return "all" if images is None else str(images)


def _names(plugins: Any) -> str:
    return ", ".join(of.name for of in plugins)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tables(whole: type[BaseModel]) -> Iterator[str]:
    """A heading, the docstring and a table of keys for a model and each that its keys hold."""
    for model in dict.fromkeys(_within(whole)):
        yield f"## {model.__name__}"
        yield _text(model)
        yield _table(("key", "value", "left out", "meaning"), _rows(model))


def _within(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from _within(inner)


def _models(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for part in get_args(hint):
        yield from _models(part)


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name} has no description"
        default = "needed" if field.is_required() else _default(field.default)
        yield f"`{name}`", _kind(properties[name]), default, field.description.replace("|", "\\|")


def _default(value: Any) -> str:
    empty = value is None or value in ((), {}, "") or isinstance(value, BaseModel)
    return "" if empty else f"`{yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...').strip()}`"


def _kind(schema: dict[str, Any]) -> str:
    """A value in words, such as ``list of text``."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(of) for of in schema["anyOf"] if of.get("type") != "null"))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.casefold()})"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{of}`" for of in schema.get("enum", [schema.get("const")]))
    kind = KINDS.get(schema.get("type", ""), "anything")
    return f"{kind} of {_kind(schema['items'])}" if "items" in schema else kind


def python() -> str:
    """Signatures and docstrings of what is public."""
    parts = [
        "# Python",
        "What may be imported and is kept; made from the code by `python docs/generate.py`. Results as tables: "
        "[what a run writes](results.md). Contracts with an example of each: [write a plugin](write-a-plugin.md).",
    ]
    for name, members in API.items():
        module = import_module(name)
        parts += [f"## {name}", _text(module), *_aliases(module)]
        for member in members:
            of = getattr(module, member)
            parts += [f"### {name}.{member}", f"```\n{member}{_signature(of)}\n```", _text(of), *_methods(of)]
    return "\n\n".join(parts) + "\n"


def _aliases(module: ModuleType) -> Iterator[str]:
    """Names for types, as they are written."""
    if found := re.findall(r"^\w+: TypeAlias.*$", inspect.getsource(module), re.MULTILINE):
        yield "```python\n" + "\n".join(found) + "\n```"


def _methods(of: Any) -> Iterator[str]:
    """What a class, or a contract, has of its own: methods, properties and annotated attributes."""
    if not inspect.isclass(of) or issubclass(of, Exception):
        return
    lines = []
    if getattr(of, "_is_protocol", False):
        lines += [f"`{name}: {hint}`" for name, hint in vars(of).get("__annotations__", {}).items()]
    for name, found in vars(of).items():
        shown = name == "__call__" or not name.startswith("_")
        if isinstance(found, property) and shown:
            lines.append(f"`{name}`{_told(found)}")
        elif inspect.isfunction(found) and shown:
            lines.append(f"`{name}{_signature(found)}`{_told(found)}")
    if lines:
        yield "\n".join(f"- {line}" for line in lines)


def _told(of: Any) -> str:
    return f": {' '.join(_text(of).split())}" if of.__doc__ else ""


def _signature(of: Any) -> str:
    """As it is written, without the quotes of postponed annotations; nothing for a contract."""
    if getattr(of, "_is_protocol", False):
        return ""
    try:
        plain = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(of)))
        return re.sub(r"typing\.Annotated\[(\w+),.*?\)\]", r"\1", plain).replace("<factory>", "...")
    except (TypeError, ValueError):
        return ""


def _text(of: Any) -> str:
    """A docstring as Markdown."""
    return (inspect.getdoc(of) or "").replace("``", "`")
