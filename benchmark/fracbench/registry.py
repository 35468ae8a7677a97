"""Names to lazy factories: entry points ``fracbench.<kind>`` and what this process registered itself."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, get_type_hints

from fracbench import quiet as _quiet  # noqa: F401  # before a plugin imports torch
from fracbench.errors import InputError, did_you_mean
from fracbench.schema import PluginRef

KINDS = ("models", "attacks", "explainers", "metrics", "datasets")
Factory = Callable[..., Any]
F = TypeVar("F", bound=Factory)

_registered: dict[tuple[str, str], Factory] = {}


@dataclass(frozen=True)
class Listing:
    """One registered plugin: where its code is and which package brought it."""

    name: str
    target: str
    package: str

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'.{did_you_mean(kind, KINDS)} Kinds are: {', '.join(KINDS)}")


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _points(kind: str) -> dict[str, EntryPoint]:
    return _scan(kind, entry_points)


@cache  # what is installed is read once per process: it takes as long as scoring a batch
def _scan(kind: str, read: Callable[..., Iterable[EntryPoint]]) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in read(group=f"fracbench.{kind}"):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise InputError(
                f"two packages register {kind[:-1]} '{point.name}': {_package(other)} ({other.value}) and "
                f"{_package(point)} ({point.value}); uninstall one of them"
            )
    return found


@cache
def _installed(kind: str, read: Callable[..., Iterable[EntryPoint]]) -> list[Listing]:
    return [Listing(point.name, point.value, _package(point)) for point in _scan(kind, read).values()]


def register(kind: str, name: str) -> Callable[[F], F]:
    """Register a factory in this process; for notebooks and tests. Duplicates raise ``InputError``."""
    _check_kind(kind)

    def add(factory: F) -> F:
        if name in names(kind):
            raise InputError(f"{kind[:-1]} '{name}' is registered already; choose another name")
        _registered[kind, name] = factory
        return factory

    return add


def unregister(kind: str, name: str) -> None:
    """Take back what ``register`` added."""
    del _registered[kind, name]


def registered() -> Mapping[tuple[str, str], Factory]:
    """What ``register`` added in this process, by kind and name."""
    return _registered


def names(kind: str) -> list[str]:
    """Sorted names of all plugins of a kind, without importing any of them."""
    return [row.name for row in listings(kind)]


def listings(kind: str) -> list[Listing]:
    """All plugins of a kind, sorted by name, without importing any of them."""
    _check_kind(kind)
    rows = [
        *_installed(kind, entry_points),
        *(
            Listing(name, f"{factory.__module__}:{factory.__qualname__}", "this process")
            for (of, name), factory in _registered.items()
            if of == kind
        ),
    ]
    return sorted(rows, key=lambda row: row.name)


def check_name(kind: str, name: str) -> None:
    """Raise ``InputError`` with the nearest name where no such plugin is registered; nothing is imported."""
    if name not in names(kind):
        hint = did_you_mean(name, names(kind))
        if kind == "models" and not hint:
            hint = f" An architecture is a parameter: name: timm, params: {{architecture: {name}}}."
        raise InputError(f"unknown {kind[:-1]} '{name}'.{hint} See `fracbench list {kind}`.")


def refs(kind: str, given: Sequence[str | PluginRef], known: Iterable[PluginRef] = ()) -> tuple[PluginRef, ...]:
    """References to registered plugins; a bare name has the parameters of its namesake in ``known``, or none.

    Raises ``InputError`` for an empty list, what names no plugin, and what is listed twice.
    """
    if isinstance(given, str) or not given:
        raise InputError(f"{kind} must be a list of at least one name; see `fracbench list {kind}`")
    by_name = {ref.name: ref for ref in known}
    found: dict[str, PluginRef] = {}
    for one in given:
        if not isinstance(one, str | PluginRef):
            raise InputError(f"{kind}: {one!r} is neither a name nor a PluginRef; see `fracbench list {kind}`")
        name = one if isinstance(one, str) else one.name
        check_name(kind, name)
        if name in found:
            raise InputError(f"{kind}: '{name}' is listed twice; keep one")
        found[name] = one if isinstance(one, PluginRef) else by_name.get(name) or PluginRef(name=name)
    return tuple(found.values())


def listing(kind: str, name: str) -> Listing:
    """Of one plugin, which is not imported. Raises ``InputError`` where there is none."""
    check_name(kind, name)
    return next(row for row in listings(kind) if row.name == name)


def load(kind: str, name: str) -> Factory:
    """Import a plugin and return its factory, which takes the plugin's parameters.

    Raises ``InputError`` with the nearest name when there is none, and when its code cannot be imported.
    """
    _check_kind(kind)
    if (kind, name) in _registered:
        return _registered[kind, name]
    check_name(kind, name)
    points = _points(kind)
    try:
        return points[name].load()
    except Exception as error:
        raise InputError(
            f"{kind[:-1]} '{name}' of package {_package(points[name])} cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def make(kind: str, name: str, params: Mapping[str, Any], **given: Any) -> Any:
    """Load a plugin and build it; an unknown parameter or a refused value is an ``InputError``."""
    factory = load(kind, name)
    accepted = inspect.signature(factory).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        given = {key: value for key, value in given.items() if key in accepted}
        known = [key for key in accepted if key not in given]
        for key in params:
            if key not in known:
                raise InputError(no_parameter(kind, name, key, known))
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for key, parameter in accepted.items():
        if parameter.default is parameter.empty and parameter.kind not in variadic and key not in {**params, **given}:
            raise InputError(needs_parameter(kind, name, key))
    for key, fault in _wrong_types(factory, params):
        raise InputError(f"{kind[:-1]} '{name}': {key} is {params[key]!r}; {fault}")
    try:
        return factory(**params, **given)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{kind[:-1]} '{name}': {error}") from error
    except Exception as error:
        raise InputError(f"{kind[:-1]} '{name}': {type(error).__name__}: {error}") from error


def no_parameter(kind: str, name: str, key: str, known: Collection[str]) -> str:
    """The fault of a parameter that a plugin does not take."""
    hint = did_you_mean(key, known)
    return f"{kind[:-1]} '{name}' has no parameter '{key:.80}'.{hint} It takes: {', '.join(known) or 'none'}"


def needs_parameter(kind: str, name: str, key: str) -> str:
    """The fault of a parameter that a plugin cannot do without."""
    return f"{kind[:-1]} '{name}' needs the parameter '{key}'"


def _wrong_types(factory: Factory, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Parameters that are not of the type they are annotated with, as far as pydantic knows the type."""
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    plain_class = inspect.isclass(factory) and not is_dataclass(factory)
    try:
        hints = get_type_hints(factory.__init__ if plain_class else factory)
    except Exception:  # annotations that only a type checker can see
        return
    for key, value in params.items():
        try:
            TypeAdapter(hints.get(key, Any)).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            yield key, error.errors()[0]["msg"].replace("Input", "it")
        except (PydanticSchemaGenerationError, TypeError):
            continue
