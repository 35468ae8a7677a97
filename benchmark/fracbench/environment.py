"""The machine and the code of a run: what of them determines the numbers."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import fracbench
from fracbench import registry
from fracbench.errors import InputError
from fracbench.plan import Job

MICRO_BATCH = {"cpu": 64, "cuda": 512}  # at most; half of it for explainers, and a card is idle with fewer
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "robustbench",
    "captum",
    "quantus",
    "pyautoattack",
    "numpy",
    "pandas",
    "pillow",
    "scipy",
)


def pick_device(asked: str) -> str:
    """``auto`` takes a CUDA device where there is one."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {asked}: this machine has no CUDA device; use --device cpu or auto")
    try:
        if torch.device(asked).type in MICRO_BATCH:
            return asked
    except RuntimeError:
        pass
    raise InputError(f"unknown device '{asked}'; use auto, cpu or cuda")


def prepare(device: str) -> None:
    """The same numbers each time, in full float32 precision, and memory kept for reuse; call it before a card is used.

    TF32 moves margins by more than two devices may differ. An operation that has no deterministic version on a card
    computes all the same.
    """
    _keep_freed_memory()
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may add in another order
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time alone


def _keep_freed_memory() -> None:
    """Hand no freed block back to the system: getting it anew, page by page, can double a forward pass on a CPU."""
    if libc := _glibc():
        for parameter in (-3, -1):  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h, in bytes
            libc.mallopt(parameter, 2**30)


def hand_back_freed_memory() -> None:
    """All that is free now: what stays between freed blocks makes new ones grow with every batch."""
    if libc := _glibc():
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


@cache
def _code_hash(packages: tuple[str, ...]) -> str:
    """Hash of the Python sources that compute: a changed attack is another cell."""
    total = hashlib.sha256()
    for package in packages:
        for root in sorted(_folders(package)):
            for file in sorted(Path(root).rglob("*.py")):
                total.update(file.read_bytes())
    return total.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of every package that numbers depend on."""
    found = {"fracbench": fracbench.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def code_of(plugins: Iterable[Any]) -> str:
    """Hash of the code of fracbench and of the packages of these plugins; classes of a notebook add nothing."""
    return _code_in(map(_module_of, filter(None, plugins)))


def _code_in(modules: Iterable[str]) -> str:
    names = {module.partition(".")[0] for module in modules}
    return _code_hash(tuple(sorted({"fracbench"} | {name for name in names if _folders(name)})))


def _folders(package: str) -> list[str]:
    """Where its code is, none for a single module such as a notebook; it is not imported."""
    if (there := sys.modules.get(package)) is not None:
        return list(getattr(there, "__path__", ()))
    found = find_spec(package)
    return list(found.submodule_search_locations or ()) if found else []


def _module_of(plugin: Any) -> str:
    return str(plugin.__module__ if hasattr(plugin, "__module__") else type(plugin).__module__)


def _modules(job: Job, model: str | None) -> Iterator[str]:
    """Where the code of all is that take part; that of a model is not imported for it."""
    plugins = (job.dataset, *(attack for _, _, attack in job.every_attack()), *job.explainers.values())
    yield from map(_module_of, plugins)
    yield from (registry.listing("metrics", name).module for name in job.spec.metrics)
    if model:
        yield registry.listing("models", model).module


def environment(job: Job, device: str, model: str | None = None) -> dict[str, Any]:
    """What of the machine and the code determines the numbers."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "device": device,
        "device_name": name,
        "micro_batch": MICRO_BATCH[device.partition(":")[0]],
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "code": _code_in(_modules(job, model)),
    }
