"""Benchmark specs: versioned YAML files shipped with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.errors import InputError, did_you_mean
from fracbench.yamlio import read


def names() -> list[str]:
    """Names of the shipped specs."""
    return sorted(file.name.removesuffix(".yaml") for file in files(__name__).iterdir() if file.name.endswith(".yaml"))


def extended(spec: BenchmarkSpec) -> bool:
    """Whether a shipped spec shares random draws, and so cells, with this one."""
    return spec.seeds_of is not None or any(load(name).seeds_of == spec.name for name in names())


def load(name: str) -> BenchmarkSpec:
    """Read a shipped spec; ``InputError`` with the nearest name when there is none."""
    if name not in names():
        raise InputError(
            f"unknown benchmark '{name}'.{did_you_mean(name, names())} Benchmarks are: {', '.join(names())}"
        )
    with as_file(files(__name__) / f"{name}.yaml") as path:
        return read(path, BenchmarkSpec)
