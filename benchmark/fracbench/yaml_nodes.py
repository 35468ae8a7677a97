"""YAML as a tree of few plain nodes: what could surprise a reader or tire a machine is refused, with its line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import yaml

from fracbench.text import hidden

MAX_DEPTH = 16
MAX_NODES = 2000
LONGEST_NUMBER = 100  # characters, of a date too
_STR, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class NotPlain(yaml.MarkedYAMLError):
    """YAML it is, but more than a file of ours may say."""


class _PlainLoader(yaml.SafeLoader):
    """Keys, values and lists; no aliases, tags, or nesting without end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        if isinstance(event, yaml.AliasEvent):
            # an alias can blow a few bytes up to gigabytes, and no file of ours needs one
            fault = "aliases (*name) are not allowed; write the value out"
        elif event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            fault = f"tags ({tag:.80}) are not allowed; write the plain value"
        elif self.depth >= MAX_DEPTH:
            fault = f"nested more than {MAX_DEPTH} deep; write it flatter"
        elif self.nodes > MAX_NODES:
            fault = f"more than {MAX_NODES} values; no file of ours needs so many"
        else:
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node
        raise NotPlain(problem=fault, problem_mark=event.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        # of numbers without end already the reading takes long
        if node.tag == _STR or not isinstance(node, yaml.ScalarNode) or len(node.value) <= LONGEST_NUMBER:
            with suppress(ValueError, OverflowError):
                return super().construct_object(node, deep)
        fault = f"'{node.value:.80}' reads as a date or a number, and is none; put it in quotes"
        raise NotPlain(problem=fault, problem_mark=node.start_mark)


def parse(text: str) -> tuple[yaml.Node | None, object]:
    """The tree of a YAML document, and what it says where the tree has no ``faults``. Raises ``yaml.YAMLError``."""
    loader = _PlainLoader(text)
    node = loader.get_single_node()
    sound = node is not None and next(faults(node), None) is None
    return node, loader.construct_document(node) if sound else None


def faults(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """Line and fault of each key that is given twice or is no text, and of each text that hides something."""
    if isinstance(node, yaml.ScalarNode):
        if found := hidden(node.value.replace("\n", "")):
            yield _line(node), f"the invisible character {found} is not allowed; take it out"
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from faults(value)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            yield from _key_faults(key, seen)
            yield from faults(value)


def _key_faults(key: yaml.Node, seen: set[str]) -> Iterator[tuple[int, str]]:
    if key.tag == _MERGE:
        yield _line(key), "merge keys (<<) are not allowed; write the keys out"
    elif not isinstance(key, yaml.ScalarNode):
        yield _line(key), "a key is a list or has keys itself; write a word before the colon"
    elif key.tag != _STR:
        yield _line(key), f"the key {key.value:.80} is no text; put it in quotes"
    else:
        if key.value in seen:
            yield _line(key), f"'{key.value:.80}' is given twice; keep one"
        seen.add(key.value)
        yield from faults(key)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def line_at(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """Line of the deepest node on the way to ``location``; a missing key gets its parent's line."""
    line = _line(node)
    for step in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            line, node = _line(found[0][0]), found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = _line(node)
        else:
            break
    return line
