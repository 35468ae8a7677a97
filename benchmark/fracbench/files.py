"""Files that appear whole or not at all, and the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from fracbench.errors import InputError


def cache_dir() -> Path:
    """The user's cache folder for fracbench (``FRACBENCH_CACHE``, else below ``XDG_CACHE_HOME``)."""
    given = os.environ.get("FRACBENCH_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fracbench"


def check_writable(folder: Path, option: str) -> None:
    """``InputError`` that names the ``option`` or variable where no file can be written below ``folder``."""
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        with TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{option} {folder}: cannot be written to ({error.strerror}); name another place") from error


def beside(folder: Path, name: str, key: str, advice: str = "put it beside the YAML") -> Path:
    """The file that a submission's YAML in ``folder`` names under ``key``.

    ``InputError`` where it is not there, not inside, or reached by a link.
    """
    given = Path(name)
    path = folder / given
    try:
        outside = given.is_absolute() or ".." in given.parts
        if outside or any((folder / part).is_symlink() for part in (given, *given.parents[:-1])):
            raise InputError(f"{key}: '{name}' leaves the submission's folder, or is a link; put the file itself there")
        if not path.is_file():
            raise InputError(f"{key}: {path} is not there, or no file; {advice}")
    except OSError as error:
        raise InputError(f"{key}: {path} cannot be read ({error.strerror}); put another file there") from error
    return path


def write_atomic(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a kill leaves the old file or the new one."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write all under temporary names, then rename one after another: a full disk leaves every old file.

    Raises ``OSError`` that names the file.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}") for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary[path].open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        for path, written in temporary.items():
            written.replace(path)
    finally:
        for written in temporary.values():
            with contextlib.suppress(OSError):  # what went wrong before is what is told
                written.unlink(missing_ok=True)
