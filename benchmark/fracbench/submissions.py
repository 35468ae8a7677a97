"""Finds submissions, says where their results go, and loads their models."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from fracbench import libraries, registry, signatures, specs
from fracbench.errors import InputError, did_you_mean, printable
from fracbench.files import beside, cache_dir
from fracbench.overlap import listed_hashes
from fracbench.progress import Transfer
from fracbench.schema import NAME_PATTERN
from fracbench.submission_schema import LARGEST_WEIGHTS, Submission, Weights
from fracbench.yamlio import checked, line_in, line_of, read

if TYPE_CHECKING:
    from fracbench.models import Guarded

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Entry:
    """A submission and the folder it came from; ``results`` is the folder its specs' results go below."""

    submission: Submission
    folder: Path
    results: Path

    @property
    def name(self) -> str:
        return self.submission.name


def starters_dir() -> Path:
    """Folder of the starter submissions: the checkout's, else the one shipped in the wheel."""
    if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "submissions").is_dir():
        return _CHECKOUT / "submissions"
    return Path(__file__).parent / "starters"


def default_dir() -> Path:
    """``./submissions`` where there is one, else the starters."""
    local = Path("submissions")
    return local if local.is_dir() else starters_dir()


def results_dir(submissions: Path, name: str, results: Path | None) -> Path:
    """Where a submission's results go: beside its YAML, or below ``results``; starters' go to ``./results``."""
    if results is None and submissions.resolve() == (Path(__file__).parent / "starters").resolve():
        results = Path("results")
    return submissions / name / "results" if results is None else results / name


def read_entry(file: Path, submissions: Path, results: Path | None) -> Entry:
    """Read one ``submission.yaml``; its name must be its folder's, and neither may be a link."""
    if file.is_symlink() or file.parent.is_symlink():
        raise InputError(f"{file}: is reached by a link; put the files themselves there")
    submission = read(file, Submission)
    if submission.name != file.parent.resolve().name:
        fault = f"name '{submission.name}' must equal its folder's name '{file.parent.name}'; rename one of them"
        raise InputError(f"{file}:{line_of(file, 'name')}: {fault}")
    return Entry(submission, file.parent, results_dir(submissions, submission.name, results))


def discover(submissions: Path, results: Path | None, names: Sequence[str] = ()) -> list[Entry]:
    """All submissions of a folder, or the named ones, sorted by name; every fault on a line of its own."""
    entries, faults = survey(submissions, results, names)
    if faults:
        raise InputError(*chain.from_iterable(faults.values()))
    return entries


def survey(
    submissions: Path, results: Path | None, names: Sequence[str] = ()
) -> tuple[list[Entry], dict[str, list[str]]]:
    """Submissions that can be read, sorted by name, and the faults of the others, by name."""
    if not submissions.is_dir():
        raise InputError(f"{submissions}: no such folder; pass --submissions DIR")
    files = {file.parent.name: file for file in sorted(submissions.glob("*/submission.yaml"))}
    if not files:
        raise InputError(f"{submissions}: no */submission.yaml in it; pass --submissions DIR")
    faults: dict[str, list[str]] = {}
    for name in names:
        if name not in files:
            hint = did_you_mean(name, files)
            faults[name] = [f"unknown submission '{name}'.{hint} {submissions} has: {', '.join(files)}"]
    entries = []
    for name in names or files:
        if name in files:
            try:
                entries.append(read_entry(files[name], submissions, results))
            except InputError as error:
                faults[name] = error.faults
    return sorted({entry.name: entry for entry in entries}.values(), key=lambda entry: entry.name), faults


def faults_of(file: Path) -> list[str]:
    """Everything wrong with a submission that shows without torch, a line each."""
    try:
        entry = read_entry(file, file.parent.parent, None)
    except InputError as error:
        return error.faults
    beside: list[Check] = [
        (("weights",), lambda: _check_weights(entry)),
        (("training", "hashes"), lambda: listed_hashes(entry)),
    ]
    return _faults(entry.submission, file, file.read_text(encoding="utf-8"), beside)


def faults_in(text: str) -> list[str]:
    """The same of what a ``submission.yaml`` would say; what would lie beside it is not looked for."""
    path = Path("submission.yaml")
    try:
        submission = checked(text.encode(), path, Submission)
    except InputError as error:
        return error.faults
    return _faults(submission, path, text)


Check = tuple[tuple[int | str, ...], Callable[[], object]]  # a place in the file, and what may be wrong there


def _faults(submission: Submission, file: Path, text: str, beside: Sequence[Check] = ()) -> list[str]:
    """What the schema cannot know: names that are not registered, parameters that do not fit."""
    model = submission.model
    checks: list[Check] = [
        (("model", "name"), lambda: registry.check_name("models", model.name)),
        *((("benchmarks", i), partial(specs.load, name)) for i, name in enumerate(submission.benchmarks)),
        *beside,
    ]
    found: list[tuple[int, str]] = []
    for location, check in checks:
        try:
            check()
        except InputError as error:
            found += [(line_in(text, *location), fault) for fault in error.faults]
    if model.name in registry.names("models"):
        for key, fault in (
            *signatures.faults("models", model.name, model.params),
            *libraries.faults(model.name, model.params),
        ):
            found.append((line_in(text, "model", "params", key), fault))
    return [printable(f"{file}:{line}: {fault}") for line, fault in sorted(found)]


def weights_file(entry: Entry) -> Path | None:
    """The weights, hash checked; None for a model without. A url's are downloaded into the cache, once.

    ``InputError`` where they are not there, leave the submission's folder, or are not the ones declared.
    """
    weights = entry.submission.weights
    if weights is None:
        return None
    return _beside(entry.folder, weights) if weights.file else _downloaded(entry.name, weights)


def _check_weights(entry: Entry) -> None:
    """What shows without a download."""
    if entry.submission.weights and entry.submission.weights.file:
        weights_file(entry)


def missing_files(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Faults of weights beside their YAML, by submission: known before any image is read."""
    faults = {}
    for entry in entries:
        try:
            _check_weights(entry)
        except InputError as error:
            faults[entry.name] = [f"{entry.folder / 'submission.yaml'}: {fault}" for fault in error.faults]
    return faults


def _beside(folder: Path, weights: Weights) -> Path:
    path = beside(folder, str(weights.file), "weights", "save it there with safetensors' save_file")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
        if size > LARGEST_WEIGHTS:
            raise InputError(f"weights: {path} has {size} bytes, more than {LARGEST_WEIGHTS}; save the weights alone")
        if weights.size is not None and size != weights.size:
            raise InputError(f"weights: {path} has {size} bytes, not the {weights.size} declared")
        if weights.sha256 is not None and (found := file_hash(path)) != weights.sha256:
            advice = f"put the right file there, or write sha256: '{found}'"
            raise InputError(f"weights: sha256 of {path} is {found}, not the one declared; {advice}")
    except OSError as error:
        raise InputError(f"weights: {path} cannot be read ({error.strerror}); put another file there") from error
    return path


def _downloaded(name: str, weights: Weights) -> Path:
    from fracbench.download import Digest, fetch

    url, sha256, size = str(weights.url), str(weights.sha256), weights.size or 0  # the schema has seen to them
    file, digest = cache_dir() / "weights" / sha256, Digest("sha256", sha256)
    if not digest.matches(file):
        with Transfer(f"weights of {name}", size) as shown:
            fetch(url, file, digest, size, shown)
    return file


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file, read once for as long as it stays the same."""
    seen = path.stat()
    return _hash(path, seen.st_ino, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model(entry: Entry, image_size: int, device: str, micro_batch: int) -> Guarded:
    """Build the model, load its weights strictly, check its contract."""
    import torch

    from fracbench.models import guard
    from fracbench.weights import load_weights

    with torch.random.fork_rng():
        torch.manual_seed(0)  # what the weights do not set is the same in every run
        model = registry.make("models", entry.submission.model.name, entry.submission.model.params)
    path = weights_file(entry)
    if path is not None:
        if not isinstance(model, torch.nn.Module):
            raise InputError(f"{path}: model '{entry.submission.model.name}' is no torch module and takes no weights")
        load_weights(model, path)
    if isinstance(model, torch.nn.Module):
        # on CPUs convolutions take about half the time in this layout; the numbers' meaning is the same
        model = model.to(device).to(memory_format=torch.channels_last).eval()
    return guard(model, image_size, device, micro_batch, fold=True)


def check_name(name: str) -> None:
    """``InputError`` for what cannot be the name, and so the folder, of a submission."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        near = re.sub("[^a-z0-9]+", "-", name.casefold()).strip("-")[:64]
        hint = f", such as '{near}'" if near else ""
        raise InputError(
            f"'{name:.80}' cannot name a submission; use at most 64 of lower case letters, digits and -{hint}"
        )
