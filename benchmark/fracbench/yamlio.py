"""YAML in through a safe, strict door: every fault names its file, its line and what to write."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fracbench.errors import InputError, did_you_mean
from fracbench.schema import PATTERN_ADVICE
from fracbench.text import hidden
from fracbench.yaml_nodes import NotPlain, faults, line_at, parse

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 64 * 1024
MAX_FAULTS = 20  # shown of one file


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


# what to write in place of a value of the wrong kind, by the kind that pydantic names
_WRITE = {
    "bool": "write true or false, without quotes",
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "finite_number": "write a finite number",
    "model": "write keys and values",
    "dict": "write keys and values",
}


_ADVICE = {"character '\\t'": "; use spaces", "mapping values": "; put a text that holds ': ' in quotes"}


def _phrase(error: dict[str, Any], model: type[BaseModel]) -> str:
    key = ".".join(f"{step:.80}" if isinstance(step, str) else str(step) for step in error["loc"]) or "the file"
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
    if error["input"] is None:
        return f"{key}: is empty; write something, or take the key out"
    if error["type"] == "string_type":
        return f"{key}: '{error['input']!s:.80}' is not text; put it in quotes"
    if error["type"] in ("too_long", "too_short") and isinstance(error["input"], str):
        bound = "at most {max_length}" if error["type"] == "too_long" else "at least {min_length}"
        return f"{key}: {len(error['input'])} characters; write {bound.format(**error['ctx'])}"
    if error["type"] in ("too_long", "too_short"):
        bound = "at most {max_length}" if error["type"] == "too_long" else "at least {min_length}"
        return f"{key}: {len(error['input'])} items; write {bound.format(**error['ctx'])}"
    kind = error["type"] if error["type"] in _WRITE else error["type"].removesuffix("_type").removesuffix("_parsing")
    if kind in _WRITE:
        return f"{key}: {error['input']!r:.80} is of the wrong kind; {_WRITE[kind]}"
    return f"{key}: {error['msg'].removeprefix('Value error, ')} (got {error['input']!r:.80})"


def line_of(path: Path, *location: int | str) -> int:
    """The line of a key or list item in a YAML file that ``read`` accepts."""
    return line_in(path.read_text(encoding="utf-8"), *location)


def line_in(text: str, *location: int | str) -> int:
    node, _ = parse(text)
    return line_at(node, location) if node is not None else 1


def _content(path: Path) -> bytes:
    """What a file holds, of one that is too large its beginning."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _text(content: bytes, path: Path, what: str) -> str:
    """What they say; ``InputError`` where there are too many, or one hides something even in a comment."""
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB; this is no {what} file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8 text; save it as UTF-8") from None
    for number, written in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if found := hidden(written.replace("\t", "")):
            raise InputError(f"{path}:{number}: the invisible character {found} is not allowed; take it out")
    return text


def read(path: Path, model: type[M]) -> M:
    """Read and check a YAML file. Raises ``InputError`` with one ``file:line: fault`` line per fault."""
    return checked(_content(path), path, model)


def checked(content: bytes, path: Path, model: type[M]) -> M:
    """Check what a YAML file holds, or would hold: ``path`` is what its faults are said of."""
    text = _text(content, path, model.__name__)
    try:
        node, said = parse(text)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", None) or error)
        if not isinstance(error, NotPlain):
            advice = next((words for sign, words in _ADVICE.items() if sign in problem), "")
            problem = f"not valid YAML: {problem}{advice}"
        raise InputError(f"{path}:{mark.line + 1 if mark else 1}: {problem}") from None
    found = list(faults(node)) if node is not None else []
    if node is not None and not found:
        if not isinstance(said, dict):
            raise InputError(f"{path}:1: expected keys and values, found {type(said).__name__}")
        try:
            return model.model_validate(said)
        except ValidationError as error:
            found = sorted((line_at(node, e["loc"]), _phrase(dict(e), model)) for e in error.errors())
    lines = [f"{path}:{line}: {fault}" for line, fault in found[:MAX_FAULTS]]
    more = [f"{path}: {len(found) - MAX_FAULTS} faults more"] if len(found) > MAX_FAULTS else []
    raise InputError(*(lines + more or [f"{path}:1: empty; `fracbench init NAME` writes one to begin with"]))
