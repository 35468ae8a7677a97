"""What a ``submission.yaml`` may say. No torch here."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, model_validator

from fracbench.benchmark_schema import BenchmarkSpec
from fracbench.schema import FILE_PATTERN, LINK_PATTERN, SHA256_PATTERN, SPLIT_PATTERN, Name, PluginRef, StrictModel
from fracbench.text import OneLine

LARGEST_WEIGHTS = 8 * 10**9  # bytes


class _Written(StrictModel):
    """Written by hand, by strangers: text is text, and ``true`` is no number."""

    model_config = ConfigDict(str_strip_whitespace=True)


Words = Annotated[OneLine, Field(min_length=1, max_length=200)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


def _written_as_text(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("reads as a number; put it in quotes")
    return value


def local_urls() -> bool:
    """Whether the user lets submissions name servers on this machine and in its network."""
    return os.environ.get("FRACBENCH_LOCAL_URLS") == "1"


def _fetchable(url: str) -> str:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if local and not local_urls():
        raise ValueError("leads to this machine; write https://HOST/FILE, or set FRACBENCH_LOCAL_URLS=1 if it is yours")
    if not parts.hostname or (parts.scheme != "https" and not local):
        raise ValueError("is no https address; write https://HOST/FILE")
    if parts.username is not None:
        raise ValueError("holds a user name; give a url that anyone can open")
    return url


def _counted(value: object) -> object:
    if type(value) is not int:
        raise ValueError("is no whole number; write the bytes that `wc -c FILE` prints")
    return value


Sha256 = Annotated[
    str, Field(pattern=SHA256_PATTERN), BeforeValidator(_written_as_text), AfterValidator(str.lower)
]  # upper case, as some systems print it, is the same


class Weights(_Written):
    """A safetensors file, or a state dict that loads with ``weights_only=True``: beside the YAML, or at a url.

    ``size`` is in bytes. A url needs ``sha256`` and ``size``; it is https; http on this very machine where the
    environment variable ``FRACBENCH_LOCAL_URLS`` is 1.
    """

    file: str | None = Field(
        default=None, pattern=FILE_PATTERN, description="Name of the file, which lies beside this one."
    )
    url: Annotated[str, AfterValidator(_fetchable)] | None = Field(
        default=None, pattern=LINK_PATTERN, description="Address of the file, in place of `file`: https, for anyone."
    )
    sha256: Sha256 | None = Field(
        default=None, description="What `sha256sum FILE` prints; other bytes are refused. A url needs it."
    )
    size: Annotated[int, BeforeValidator(_counted), Field(ge=1, le=LARGEST_WEIGHTS)] | None = Field(
        default=None, description="Bytes of the file, as `wc -c FILE` prints them. A url needs it."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Weights:
        if (self.file is None) == (self.url is None):
            raise ValueError("give either file or url")
        if self.url is not None and (self.sha256 is None or self.size is None):
            raise ValueError("a url needs the sha256 and the size in bytes of its file; `sha256sum FILE; wc -c FILE`")
        return self


class Training(_Written):
    """What the model was trained on, how, with which seed and for how long.

    ``splits`` and ``hashes`` are compared with the images of a run.
    """

    data: Words = Field(description="What it was trained on, such as fracatlas or phantom; the board shows it.")
    splits: tuple[Annotated[str, Field(pattern=SPLIT_PATTERN)], ...] = Field(
        default=(), min_length=1, max_length=50, description="Splits of that data that weights were fitted on: [train]."
    )
    hashes: str | None = Field(
        default=None,
        pattern=FILE_PATTERN,
        description="A file beside this one with the SHA-256 of a training image on each line.",
    )
    recipe: Annotated[OneLine, Field(max_length=2000)] | None = Field(default=None, description="How it was trained.")
    threat: Words | None = Field(default=None, description="Threat model of adversarial training: linf 0.5/255.")
    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)] | None = Field(default=None, description="Seed of the draws.")
    seconds: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="How long it took.")
    device: Words | None = Field(default=None, description="What it was trained on: cpu, or the name of a GPU.")


class Submission(_Written):
    """``submissions/<name>/submission.yaml``."""

    name: Name = Field(description="Its name on the board, and its folder's: lower case letters, digits and -.")
    title: Words = Field(description="One line for readers of the board.")
    authors: tuple[Words, ...] = Field(min_length=1, max_length=50, description="Who made it, as the board shows them.")
    contact: Words | None = Field(default=None, description="Whom to ask about it.")
    licence: Words = Field(description="Under which the weights may be used, such as Apache-2.0.")
    benchmarks: tuple[Name, ...] = Field(
        min_length=1, max_length=50, description="The boards it enters: `fracbench list benchmarks` shows all."
    )
    model: PluginRef = Field(description="A registered model, which takes images in [0, 1] and gives two logits.")
    weights: Weights | None = Field(default=None, description="Its weights; leave it out for a model without any.")
    training: Training = Field(description="What it was trained on, and how.")
    control: Annotated[bool, Strict()] = Field(default=False, description="true for an entry that is there to lose.")
    reported: Annotated[dict[Words, Number], Field(max_length=100)] = Field(
        default={},
        description="Numbers published elsewhere, such as {AutoAttack at 1/255: 0.61}; shown beside the measured ones, "
        "never instead.",
    )
    links: tuple[Annotated[str, Field(pattern=LINK_PATTERN)], ...] = Field(
        default=(), max_length=20, description="Papers and code: http or https addresses."
    )

    @model_validator(mode="after")
    def _once(self) -> Submission:
        if len(self.benchmarks) != len(set(self.benchmarks)):
            raise ValueError("benchmarks are listed twice; keep one of each")
        return self

    def enters(self, spec: BenchmarkSpec) -> bool:
        return spec.name in self.benchmarks or spec.entered_by in self.benchmarks
