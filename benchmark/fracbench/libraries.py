"""What timm, torchvision and RobustBench have by name, read from their source: importing them imports torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fracbench.errors import InputError, did_you_mean

# the decorators below which timm and torchvision define each architecture
_REGISTERED = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_ZOO = {"cifar10": ("cifar10.py", "cifar_10_models"), "imagenet": ("imagenet.py", "imagenet_models")}
PARAMETER = {"timm": "architecture", "torchvision": "architecture", "robustbench": "backbone"}


def check(model: str, name: str, **of: str) -> None:
    """``InputError`` where a library has nothing of that name; for RobustBench ``dataset`` and ``threat_model`` too."""
    if model == "robustbench":
        _check_zoo(name, of.get("dataset", "imagenet"), of.get("threat_model", "Linf"))
    elif (known := _architectures(model)) and name not in known:
        raise InputError(f"{model} has no architecture '{name:.80}'.{did_you_mean(name, known)}")


def faults(model: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of a parameter that names what the library of a model does not have: its name, and the fault."""
    key = PARAMETER.get(model)
    texts = {name: value for name, value in params.items() if isinstance(value, str)}
    if key is not None and key in texts:
        zoo = {name: texts[name] for name in ("dataset", "threat_model") if name in texts}
        try:
            check(model, texts[key], **zoo)
        except InputError as error:
            yield from ((key, fault) for fault in error.faults)


def zoo_places(name: str) -> list[tuple[str, str]]:
    """Data sets and threat models that RobustBench has a backbone of that name for."""
    return [place for place, names in _zoo().items() if name in names]


def zoo_names() -> set[str]:
    return set().union(*_zoo().values())


def _check_zoo(name: str, dataset: str, threat_model: str) -> None:
    zoo = _zoo()
    known = zoo.get((dataset, threat_model), [])
    if not zoo or name in known:
        return
    if not known:
        others = " or ".join(threat for data, threat in zoo if data == dataset)
        if not others:
            there = " or ".join(dict.fromkeys(data for data, _ in zoo))
            raise InputError(f"RobustBench's backbones are not for dataset '{dataset:.40}'; use {there}")
        raise InputError(
            f"RobustBench has no backbone for {dataset} and {threat_model:.40}; use threat_model: {others}"
        )
    elsewhere = [f"dataset: {data}, threat_model: {threat}" for data, threat in zoo_places(name)]
    hint = f" It is there for {'; '.join(elsewhere)}." if elsewhere else did_you_mean(name, known)
    raise InputError(f"RobustBench has no backbone '{name:.80}' for {dataset} and {threat_model}.{hint}")


def _source(library: str, *parts: str) -> Path:
    """A folder or file of an installed library; an empty one where it is not installed as files."""
    spec = find_spec(library)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0], *parts) if places else Path("/dev/null")


@cache
def _architectures(library: str) -> frozenset[str]:
    """Names of timm's or torchvision's classifiers; none where the source does not tell."""
    files = _source(library, "models").glob("*.py")
    return frozenset(name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8")))


@cache
def _zoo() -> dict[tuple[str, str], list[str]]:
    """Backbones by data set and threat model; none where the source does not tell."""
    found = {}
    for dataset, (file, table) in _ZOO.items():
        path = _source("robustbench", "model_zoo", file)
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
        ordered = {
            ast.unparse(node.targets[0]): list(_pairs(node.value)) for node in tree.body if isinstance(node, ast.Assign)
        }
        for threat_model, models in ordered.get(table, []):
            names = [ast.literal_eval(name) for name, _ in ordered.get(ast.unparse(models), [])]
            found[dataset, ast.unparse(threat_model).rpartition(".")[2]] = names
    return found


def _pairs(value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Of ``OrderedDict([(key, value), ...])``, each key and value."""
    if isinstance(value, ast.Call) and value.args and isinstance(value.args[0], ast.List):
        for pair in value.args[0].elts:
            if isinstance(pair, ast.Tuple):
                yield pair.elts[0], pair.elts[1]
