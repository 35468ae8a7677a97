"""YAML in through a safe, strict door: every fault names its file, its line and what to write."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fracbench.errors import InputError, did_you_mean
from fracbench.schema import PATTERN_ADVICE

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 256 * 1024


def _duplicates(node: yaml.Node, where: str) -> list[str]:
    faults: list[str] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                faults.append(f"{where}:{key.start_mark.line + 1}: '{key.value}' is given twice; keep one")
            seen.add(key.value)
            faults += _duplicates(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            faults += _duplicates(value, where)
    return faults


def _line(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """Line of the deepest node on the way to ``location``; a missing key gets its parent's line."""
    line = node.start_mark.line + 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Field names the schema knows at the parent of ``location``."""
    current: Any = model
    for step in location[:-1]:
        if isinstance(step, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = current.model_fields.get(step)
        options = [field.annotation, *typing.get_args(field.annotation)] if field else []
        models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
        if not models:
            return []
        current = models[0]
    return list(current.model_fields)


def _phrase(error: dict[str, Any], model: type[BaseModel]) -> str:
    key = ".".join(str(step) for step in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, error["loc"])
        hint = did_you_mean(str(error["loc"][-1]), known)
        return f"unknown key '{key}'.{hint} Keys are: {', '.join(known)}"
    if error["type"] == "missing":
        return f"'{key}' is missing; add it"
    if error["type"] == "string_pattern_mismatch":
        advice = PATTERN_ADVICE[error["ctx"]["pattern"]]
        return f"{key}: '{error['input']!s:.80}' is not allowed; {advice}"
    if error["type"] == "tuple_type":
        return f"{key}: '{error['input']!s:.80}' is not a list; write [{error['input']!s:.80}]"
    return f"{key}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r:.80})"


def line_of(path: Path, *location: int | str) -> int:
    """The line of a key or list item in a YAML file that ``read`` accepts."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    return _line(node, location) if node is not None else 1


def read(path: Path, model: type[M]) -> M:
    """Read and check a YAML file. Raises ``InputError`` with one ``file:line: fault`` line per fault."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB; this is no {model.__name__} file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        # an alias can blow a few bytes up to gigabytes, and no file of ours needs one
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InputError(f"{path}: aliases (*name) are not allowed; write the value out")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except InputError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    except ValueError as error:  # a date or number that is none
        raise InputError(f"{path}: not valid YAML: {error}; put the value in quotes") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply") from None
    if node is None or not isinstance(content, dict):
        raise InputError(f"{path}:1: expected keys and values, found {type(content).__name__}")
    faults = _duplicates(node, str(path))
    if faults:
        raise InputError(*faults)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = [(_line(node, e["loc"]), _phrase(dict(e), model)) for e in error.errors()]
        raise InputError(*(f"{path}:{line}: {phrase}" for line, phrase in sorted(found))) from None
