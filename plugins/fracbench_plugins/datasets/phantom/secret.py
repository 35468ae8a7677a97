"""A seed that nobody but its owner knows: from the environment or from a file outside every repository."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fracbench.errors import InputError

from fracbench_plugins.datasets.phantom.shelf import SECRET

VARIABLE, FILE = "FRACBENCH_PRIVATE_SEED", "FRACBENCH_PRIVATE_SEED_FILE"
LEAST, MOST, DIFFERENT = 16, 1024, 8  # characters
MAKE = "(umask 077; python -c 'import secrets; print(secrets.token_hex(16))' > ~/.fracbench-private-seed)"

_taken: list[str] = []  # what the variable said: it is no longer in the environment, which child processes inherit


def secret_seed() -> tuple[int, tuple[Path, ...]]:
    """The seed, above 2^128, and the file it came from, if any.

    Raises ``InputError``, which never quotes the seed, where there is none, or one that can be guessed or read.
    """
    if FILE in os.environ:
        if VARIABLE in os.environ:
            raise InputError(f"{VARIABLE} and {FILE} are both set; unset one of them")
        path = Path(os.environ[FILE]).expanduser()
        return _number(_text(path), f"{FILE} {path}"), (path,)
    if VARIABLE in os.environ:
        _taken[:] = [os.environ.pop(VARIABLE)]
    if not _taken:
        raise InputError(
            f"the private phantom needs a secret seed; make one with {MAKE} and "
            f"export {FILE}=~/.fracbench-private-seed, or put one into {VARIABLE}"
        )
    return _number(_taken[0], VARIABLE), ()


def _number(text: str, where: str) -> int:
    text = text.strip()
    if not (LEAST <= len(text) <= MOST and len(set(text)) >= DIFFERENT and text.isprintable()):
        raise InputError(
            f"{where}: a secret seed is one line of at least {LEAST} characters, {DIFFERENT} of them different; "
            f"make one with {MAKE}"
        )
    digest = hashlib.sha256(b"phantom-private " + text.encode()).digest()
    return SECRET**2 + int.from_bytes(digest[:16], "big")


def _text(path: Path) -> str:
    where = f"{FILE} {path}"
    try:
        if not path.is_file():
            raise InputError(f"{where}: there is no such file; make one with {MAKE}")
        for folder in (*path.absolute().parents, *path.resolve().parents):
            if (folder / ".git").exists() or (folder / "pyproject.toml").exists():
                raise InputError(f"{where}: lies in the repository {folder}; move it out, where nobody commits it")
        if os.name == "posix" and path.stat().st_mode & 0o004:
            raise InputError(f"{where}: everybody can read it; type chmod 600 {path}")
        with path.open("rb") as file:
            return file.read(4 * MOST).decode()
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{where}: is not UTF-8 text; make one with {MAKE}") from None
