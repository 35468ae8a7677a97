"""What the source says of a plugin's parameters is what Python says after importing it."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
from fracbench import registry
from fracbench.signatures import parameters


def test_the_source_tells_what_an_import_tells() -> None:
    for listing in registry.listings("models"):
        factory = registry.load("models", listing.name)
        signature = inspect.signature(factory).parameters.values()
        named = {p.name: p for p in signature if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        told = parameters(listing.target)
        assert told is not None, listing
        handed_on = any(p.kind is p.VAR_KEYWORD for p in signature)
        expected = list(dict.fromkeys([*named, *(inspect.signature(factory.__base__).parameters if handed_on else ())]))
        assert list(told) == expected, listing
        required = {name for name, p in named.items() if p.default is p.empty}
        assert {name for name in named if told[name] is None} == required, listing


def test_nothing_is_imported_and_what_cannot_be_told_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "never_imported"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "base.py").write_text("class Base:\n    def __init__(self, width, depth=2): ...\n")
    (package / "model.py").write_text(
        "from never_imported.base import Base\nfrom elsewhere import Gone\n"
        "def make(size: int, *, bias: bool = False): ...\n"
        "class Plain(Base): ...\n"
        "class More(Base):\n    def __init__(self, levels=3, **others): ...\n"
        "class Fields:\n    a: int\n    b: 'ClassVar[int]' = 3\n    c: int = 4\n"
        "class Unknown(Gone):\n    def __init__(self, **others): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    told = {name: parameters(f"never_imported.model:{name}") for name in ("make", "Plain", "More", "Fields")}
    assert told == {
        "make": {"size": None, "bias": "False"},
        "Plain": {"width": None, "depth": "2"},
        "More": {"levels": "3", "width": None, "depth": "2"},
        "Fields": {"a": None, "c": "4"},
    }
    for target in ("never_imported.model:Unknown", "never_imported.model:Gone", "never_imported.none:X", "none.x:X"):
        assert parameters(target) is None
    assert "never_imported" not in sys.modules
