"""What the pickle in a PyTorch file declares, told without importing, calling or allocating what it names.

A pickle is a program. Even the few calls that ``weights_only=True`` allows can take all memory (a bytearray, a tensor
of any size) or all time (keys that are tuples of tuples of tuples). Only those operations are known here that
``torch.save`` needs for dicts of plain tensors, numbers and text.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

KINDS = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
DICT, TENSOR, PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
KNOWN = (DICT, TENSOR, PARAMETER, *(f"torch {name}" for name in KINDS))
SHORT = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
GIVEN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE")
MARK = object()


class Refused(ValueError):
    """Why the pickle is no state dict of plain tensors, as a clause."""


@dataclass(frozen=True)
class Declared:
    """A tensor that a file says it holds."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class _Named:
    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    values: int


def declared(pickle: bytes, records: Mapping[str, int]) -> Any:
    """The pickled object with ``Declared`` in the place of tensors; ``records`` are the file's others, in bytes.

    Raises ``Refused``.
    """
    try:
        return _Machine(records).run(pickle)
    except Refused:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise Refused("it is damaged") from error


class _Machine:
    def __init__(self, records: Mapping[str, int]) -> None:
        self.records = records
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> Any:
        stack = self.stack
        given: Any
        for opcode, given, _ in pickletools.genops(pickle):
            name = opcode.name
            if name in GIVEN:
                stack.append(given)
            elif name in FIXED:
                stack.append(FIXED[name])
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.memo[given] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(self.memo[given])
            elif name == "GLOBAL":
                stack.append(_Named(given) if given in KNOWN else _foreign(given))
            elif name == "MARK":
                stack.append(MARK)
            elif name == "TUPLE":
                stack.append(tuple(self.marked()))
            elif name in SHORT:
                stack[-SHORT[name] :] = [tuple(stack[-SHORT[name] :])]
            elif name == "EMPTY_LIST":
                stack.append([])
            elif name == "EMPTY_DICT":
                stack.append({})
            elif name == "APPEND":
                self.extend([stack.pop()])
            elif name == "APPENDS":
                self.extend(self.marked())
            elif name == "SETITEM":
                self.update([stack.pop(-2), stack.pop()])
            elif name == "SETITEMS":
                self.update(self.marked())
            elif name == "BINPERSID":
                stack.append(self.storage(stack.pop()))
            elif name == "REDUCE":
                arguments = stack.pop()
                stack.append(self.call(stack.pop(), arguments))
            elif name == "BUILD":
                self.build(stack.pop())
            elif name == "STOP":
                return stack.pop()
            elif name != "PROTO" or given != 2:
                _refuse(f"it has the operation {name} {given if name == 'PROTO' else ''}".rstrip())
        raise Refused("it has no end")

    def marked(self) -> list[Any]:
        """What lies above the last mark, taken off with it."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            _refuse("it appends to what is no list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        keys = items[::2]
        if not isinstance(self.stack[-1], dict) or any(type(key) not in (str, int) for key in keys):
            _refuse("it has a key that is neither text nor a whole number")
        self.stack[-1].update(zip(keys, items[1::2], strict=True))

    def storage(self, id_: Any) -> _Storage:
        what, kind, key, location, values = id_
        if what != "storage" or not _texts(key, location) or not _counts((values,)) or not isinstance(kind, _Named):
            _refuse("it names no storage of values")
        dtype = KINDS[kind.name.removeprefix("torch ")]
        if self.records[f"data/{key}"] != values * dtype.itemsize:
            _refuse(f"it declares {values} values of {dtype} where the file has {self.records[f'data/{key}']} bytes")
        return _Storage(dtype, values)

    def call(self, function: Any, arguments: Any) -> Any:
        name = function.name if isinstance(function, _Named) else None
        if name == DICT and arguments == ():
            return {}
        if name == TENSOR:
            storage, offset, shape, strides, grad, hooks = arguments
            if not isinstance(storage, _Storage) or type(grad) is not bool or hooks != {}:
                _refuse("it has a tensor with more than values")
            return _tensor(storage, offset, shape, strides)
        if name == PARAMETER:
            tensor, grad, hooks = arguments
            if isinstance(tensor, Declared) and type(grad) is bool and hooks == {}:
                return tensor
        return _refuse("it calls what is no tensor")

    def build(self, state: Any) -> None:
        """A state dict carries the versions of its modules; any other attribute could stand for a method."""
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            _refuse("it sets attributes")


def _tensor(storage: _Storage, offset: Any, shape: Any, strides: Any) -> Declared:
    if not _counts(shape) or not _counts(strides) or not _counts((offset,)) or len(shape) != len(strides):
        _refuse("it has a tensor without a shape")
    reach = 1  # values from the first to beyond the last
    for stride, side in sorted(zip(strides, shape, strict=True)):
        if side > 1 and stride < reach and math.prod(shape):
            _refuse("it has a tensor whose values overlap; save .contiguous() ones")
        reach += (side - 1) * stride
    if math.prod(shape) and offset + reach > storage.values:
        _refuse("it has a tensor larger than its values")
    return Declared(tuple(shape), storage.dtype)


def _counts(values: Any) -> bool:
    """Whether these are a tuple of few whole numbers from 0."""
    few = isinstance(values, tuple) and len(values) <= 64
    return few and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _texts(*values: Any) -> bool:
    return all(type(value) is str for value in values)


def _foreign(name: str) -> NoReturn:
    raise Refused(f"it asks for {name.replace(' ', '.'):.100}, which no plain tensor needs")


def _refuse(why: str) -> NoReturn:
    raise Refused(why)
