"""The parameters of a plugin, read from its source: what it imports, torch above all, is not imported."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

from fracbench import registry

Parameters = dict[str, str | None]


def faults(kind: str, name: str, given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Of each parameter that a registered plugin does not take, or needs and is not given: its name, and the fault."""
    known = parameters(registry.listing(kind, name).target)
    if known is not None:
        for key in given:
            if key not in known:
                yield key, registry.no_parameter(kind, name, key, known)
        for key, default in known.items():
            if default is None and key not in given:
                yield key, registry.needs_parameter(kind, name, key)


def parameters(target: str) -> Parameters | None:
    """Parameters of the plugin at ``module:name`` in their order, each with the source of its default.

    The default of a required one is None. The result is None where the source does not tell.
    """
    module, _, name = target.partition(":")
    try:
        return _of(module, name)
    except (ImportError, OSError, SyntaxError, ValueError, RecursionError):
        return None


def _tree(module: str) -> ast.Module:
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None:
        raise ImportError(module)
    places = [Path(place).joinpath(*rest) for place in spec.submodule_search_locations or ()]
    files = [file for place in places for file in (place.parent / f"{place.name}.py", place / "__init__.py")]
    file = next((file for file in files if file.is_file()), Path(spec.origin or ""))
    return ast.parse(file.read_text(encoding="utf-8"))


def _of(module: str, name: str) -> Parameters | None:
    """Of what ``name`` means in a module, be it defined there or imported."""
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _arguments(node)
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(node, module)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _of(node.module, alias.name)
    return None


def _of_class(node: ast.ClassDef, module: str) -> Parameters | None:
    """Of ``__init__``, or of a dataclass's fields; what they hand on or inherit is the first base's."""
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is not None and init.args.kwarg is None:
        return _arguments(init)
    if not node.bases:
        inherited: Parameters | None = {}
    else:
        inherited = _of(module, node.bases[0].id) if isinstance(node.bases[0], ast.Name) else None
    if inherited is None:
        return None
    if init is not None:
        own = _arguments(init)
        return own | {key: default for key, default in inherited.items() if key not in own}
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    return inherited | {
        ast.unparse(n.target): None if n.value is None else ast.unparse(n.value)
        for n in fields
        if "ClassVar" not in ast.unparse(n.annotation)
    }


def _arguments(node: ast.FunctionDef) -> Parameters:
    args = node.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    defaults = [*[None] * (len(names) - len(args.defaults)), *map(ast.unparse, args.defaults)]
    keyword_only = {
        arg.arg: None if default is None else ast.unparse(default)
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    }
    found = dict(zip(names, defaults, strict=True)) | keyword_only
    found.pop("self", None)
    return found
