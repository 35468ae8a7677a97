"""Adversarial images that somebody else made: verified here, they lower a row, with the name of who sent them."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from fracbench.data import load
from fracbench.errors import InputError, did_you_mean
from fracbench.models import Guarded, NonFinite
from fracbench.plan import Job
from fracbench.robustness import RANDOM_PREDICTIONS, AttackFault, margins
from fracbench.rows import prediction_rows
from fracbench.schema import NAME_PATTERN, THIRD_PARTY, with_rounding
from fracbench.submissions import file_hash
from fracbench.tensors import Images, Labels, Margins
from fracbench.threat import distance
from fracbench.undisturbed import undisturbed

KEPT = re.compile(r"(?P<number>\d{4,})-(?P<by>[a-z0-9-]+)-[0-9a-f]{12}\.npz")
LONGEST_ID = 1000  # characters
MEMBERS = ("ids.npy", "images.npy")
OVERHEAD = 2**20  # bytes of an archive beside its arrays


@dataclass(frozen=True)
class Sent:
    """A file of perturbed images: ``images`` float32 (n, H, W) in [0, 1], one for each of ``ids``."""

    by: str
    sha256: str
    ids: tuple[str, ...]
    images: NDArray[np.float32]

    @property
    def attack(self) -> str:
        """The name of its rows among those of attacks."""
        return f"{THIRD_PARTY}/{self.by}"

    def record(self, file: Path) -> dict[str, str]:
        """What ``run.json`` says of it, kept as ``file``."""
        return {"by": self.by, "file": file.name, "sha256": self.sha256}


def check_sender(by: str) -> None:
    """``InputError`` for what cannot stand on the board as a name."""
    if re.fullmatch(NAME_PATTERN, by) is None:
        raise InputError(f"'{by}' cannot name who sent it; use at most 64 of lower case letters, digits and -")


def read(file: Path, by: str, job: Job) -> Sent:
    """Read an ``.npz`` file with the arrays ``ids`` (n,) and ``images`` (n, H, W) or (n, 1, H, W).

    Raises ``InputError`` for a file that is not such. What the arrays are is read before they are unpacked, and nothing
    that the file may contain is run.
    """
    check_sender(by)
    size, side = sum(map(len, job.batches)), job.spec.image_size
    if not file.is_file():
        raise InputError(f"{file}: no such file; it is written by numpy.savez(FILE, ids=..., images=...)")
    try:
        if file.stat().st_size > size * (8 * side**2 + 4 * LONGEST_ID) + OVERHEAD:
            raise InputError(f"{file}: is larger than {size} images can be; give one for each of at most {size}")
        with zipfile.ZipFile(file) as archive:
            lacking = " and ".join(name.removesuffix(".npy") for name in MEMBERS if name not in archive.namelist())
            if lacking:
                raise InputError(f"{file}: no array {lacking}; save it with numpy.savez(FILE, ids=..., images=...)")
            if sorted(archive.namelist()) != list(MEMBERS):
                raise InputError(f"{file}: holds more than ids and images, each once; leave the rest out")
            with _Member(archive, "ids.npy") as ids, _Member(archive, "images.npy") as images:
                _check_kinds(file, ids, images, size, job)
                names = tuple(ids.content().tolist())
                with np.errstate(all="ignore"):  # what is not finite is refused with the ids at hand
                    pixels = images.content().reshape(-1, side, side).astype(np.float32)
    except InputError:
        raise
    except Exception as error:  # whatever a strange file makes of the reader
        said = " ".join(f"{error}".split())[:200]
        raise InputError(f"{file}: cannot be read as .npz ({said}); save it with numpy.savez") from None
    return Sent(by, file_hash(file), names, pixels)


class _Member:
    """An array in an archive, of which the header alone is read until its ``content`` is asked for."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        info = archive.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("packed as numpy never does")  # and unpacked by zipfile without any bound
        self._file: IO[bytes] = archive.open(info)
        reader = npy.read_array_header_1_0 if npy.read_magic(self._file) == (1, 0) else npy.read_array_header_2_0
        self.shape, self._transposed, self.dtype = reader(self._file)
        self._bytes = math.prod(self.shape) * self.dtype.itemsize
        self.whole = info.file_size == self._file.tell() + self._bytes

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def content(self) -> NDArray[Any]:
        """The array, once."""
        # asked for all there is, zipfile unpacks all there is, whatever length the archive declares
        read = np.frombuffer(self._file.read(self._bytes), self.dtype)
        return read.reshape(self.shape, order="F" if self._transposed else "C")


def _check_kinds(file: Path, ids: _Member, images: _Member, size: int, job: Job) -> None:
    """``InputError`` for arrays of other kinds, shapes and lengths than the job's."""
    side = job.spec.image_size
    if len(ids.shape) != 1 or ids.dtype.kind != "U" or ids.dtype.itemsize > 4 * LONGEST_ID:
        raise InputError(f"{file}: ids are {ids.dtype} {ids.shape}; give one text for each image")
    shape, kind = images.shape, images.dtype
    if kind.kind != "f" or kind.itemsize > 8 or not (len(shape) == 3 or (len(shape) == 4 and shape[1] == 1)):
        raise InputError(f"{file}: images are {kind} {shape}; give floats of shape (n, height, width)")
    if shape[-2:] != (side, side):
        raise InputError(f"{file}: images are {shape[-2]} x {shape[-1]} pixels; {job.spec.name} has {side} x {side}")
    if not 0 < shape[0] <= size or ids.shape != shape[:1]:
        raise InputError(f"{file}: {ids.shape[0]} ids for {shape[0]} images; give one text for each of at most {size}")
    if not (ids.whole and images.whole):
        raise InputError(f"{file}: an array has another length than its header says; save it with numpy.savez")


def check(sent: Sent, job: Job) -> None:
    """Raise ``InputError`` for ids that are not evaluated, or the largest step out of the ball."""
    samples = {sample.id: sample for batch in job.batches for sample in batch}
    unknown = [name for name in sent.ids if name not in samples]
    if len(unknown) == len(sent.ids):
        place = f"{job.spec.name}, {job.split} split"
        raise InputError(
            f"none of the {len(sent.ids)} ids, such as '{unknown[0]}', is an image of {place}; "
            "say which benchmark they are of: --benchmark, --split, --data"
        )
    if unknown:
        hint = did_you_mean(unknown[0], samples)
        raise InputError(
            f"{len(unknown)} of {len(sent.ids)} ids are not among the images evaluated, such as '{unknown[0]}'.{hint}"
        )
    if len(set(sent.ids)) != len(sent.ids):
        raise InputError("an id is given twice; send one image for each")
    if not np.isfinite(sent.images).all():
        raise InputError("an image has pixels that are not finite")
    if sent.images.min() < 0 or sent.images.max() > 1:
        raise InputError(f"pixels span {sent.images.min():g} to {sent.images.max():g}; they must lie in [0, 1]")
    threat = job.spec.threat.model
    clean = load(job.dataset, [samples[name] for name in sent.ids], job.spec.image_size)
    away = distance(clean.images, torch.from_numpy(sent.images)[:, None], threat.norm)
    outside = away > with_rounding(threat.epsilon)
    if outside.any():
        worst = int(away.argmax())
        raise InputError(
            f"{int(outside.sum())} of {len(sent.ids)} images leave the {threat.norm} ball of {job.spec.threat.epsilon};"
            f" the furthest, '{sent.ids[worst]}', is {float(away[worst]) * 255:.4f}/255 away; clip the perturbation"
        )


def verified(sent: Sent, job: Job, model: Guarded, device: str, random: bool) -> pd.DataFrame:
    """Prediction rows of the images, by this machine's predictions; those sent along are never read."""
    samples = {sample.id: sample for batch in job.batches for sample in batch}
    threat, rows = job.spec.threat.model, []
    times = RANDOM_PREDICTIONS if random else 1
    for start in range(0, len(sent.ids), job.spec.logical_batch):
        ids = sent.ids[start : start + job.spec.logical_batch]
        batch = load(job.dataset, [samples[name] for name in ids], job.spec.image_size)
        images = torch.from_numpy(sent.images[start : start + len(ids)])[:, None]
        labels = batch.labels.to(device)
        with undisturbed(model):
            margin, clean = (_answers(model, of.to(device), labels, times).cpu() for of in (images, batch.images))
        away = distance(batch.images, images, threat.norm)
        nearest = torch.where(margin > 0, torch.inf, away).masked_fill(~(clean > 0), 0)
        rows.append(prediction_rows(ids, threat.norm, threat.epsilon, sent.attack, margin, away, nearest))
    return pd.concat(rows, ignore_index=True)


def _answers(model: Guarded, images: Images, labels: Labels, times: int) -> Margins:
    """Margins; not a number where the model gives none, which is no correct answer."""
    try:
        return margins(model, images, labels, times)
    except (AttackFault, NonFinite):
        if len(images) > 1:
            pairs = zip(images.split(1), labels.split(1), strict=True)
            return torch.cat([_answers(model, image, label, times) for image, label in pairs])
        if times < RANDOM_PREDICTIONS:  # its answers may differ from call to call on this image alone
            return _answers(model, images, labels, RANDOM_PREDICTIONS)
        return torch.full((1,), torch.nan)


def received(folder: Path, job: Job) -> Iterator[tuple[Path, Sent | InputError]]:
    """Each file kept beside the results, and what it holds, or what is wrong with it under this job."""
    for file, by in kept(folder):
        try:
            sent = read(file, by, job)
            check(sent, job)
        except InputError as error:
            yield file, error
        else:
            yield file, sent


def kept(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files kept beside the results, in the order in which they came, and who sent each."""
    for file in sorted(folder.glob("*.npz")):
        if found := KEPT.fullmatch(file.name):
            yield file, found["by"]


def name_for(sent: Sent, folder: Path) -> Path:
    """Where a file is kept: the one it has already, or the next."""
    known = [file for file, _ in kept(folder)]
    same = [file for file in known if file.name.endswith(f"-{sent.by}-{sent.sha256[:12]}.npz")]
    number = max((int(file.name.partition("-")[0]) for file in known), default=0) + 1
    return same[0] if same else folder / f"{number:04d}-{sent.by}-{sent.sha256[:12]}.npz"
