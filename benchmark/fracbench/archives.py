"""Datasets as their authors publish them: downloaded, verified, unpacked."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from fracbench.contracts import Archive
from fracbench.download import Digest, fetch
from fracbench.errors import InputError
from fracbench.files import check_writable
from fracbench.progress import Transfer

LARGEST = 20  # times its own size that an archive may unpack to


def obtain(archive: Archive, into: Path) -> Path:
    """The dataset's folder below ``into``, where it is downloaded and unpacked to unless it is there.

    A download that broke off goes on. Raises ``InputError``, with no folder made, for what cannot be downloaded, is
    not the file that was published, or cannot be unpacked.
    """
    root = into / archive.folder
    if root.exists():
        return root
    check_writable(into, "this folder")
    file = into / f"{archive.folder}.zip"
    try:
        with Transfer(archive.folder, archive.size) as shown:
            fetch(archive.url, file, Digest("md5", archive.md5), archive.size, shown)
    except InputError as error:
        advice = f"or unpack what {archive.page} offers, and pass --data DIR"
        raise InputError(*(f"{fault}; {advice}" for fault in error.faults)) from error
    _unpack(file, root, LARGEST * archive.size)
    file.unlink()
    file.with_name(file.name + ".lock").unlink(missing_ok=True)
    return root


def _unpack(file: Path, root: Path, most: int) -> None:
    """Unpack a zip, of which a folder with the name of ``root`` is all that counts where it has one."""
    try:
        with (
            zipfile.ZipFile(file) as packed,
            tempfile.TemporaryDirectory(prefix=".unpacking-", dir=root.parent) as place,
        ):
            size = sum(member.file_size for member in packed.infolist())
            if size > most:
                raise InputError(f"{file}: unpacks to {size} bytes; this is not the dataset, so delete it")
            if size > (free := shutil.disk_usage(place).free):
                raise InputError(f"{file}: needs {size} bytes to be unpacked, where {free} are free; make room")
            packed.extractall(place)
            inner = Path(place) / root.name
            (inner if inner.is_dir() else Path(place)).rename(root)
            Path(place).mkdir(exist_ok=True)  # for its own removal, where all of it was renamed
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{file}: is no zip that can be unpacked ({error}); delete it and try again") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be unpacked ({error.strerror or error}); make room and try again") from error
