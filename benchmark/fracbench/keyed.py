"""Hashes of plain data, and those that only this user can make."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from typing import Any

from fracbench.files import cache_dir

_NOBODYS = secrets.token_bytes(32)


def digest(content: Any) -> str:
    """SHA-256 (hex) of plain data in canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _secret() -> bytes:
    """A key of this user that no submission knows: results that came with one are not taken for ours."""
    path = cache_dir() / "key"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
        except FileExistsError:
            pass
        except OSError:  # who has no key, and no place for one, has sealed nothing
            return _NOBODYS
    return path.read_bytes()


def keyed_digest(content: Any) -> str:
    """Like ``digest``, under this user's key."""
    return hmac.new(_secret(), digest(content).encode(), "sha256").hexdigest()
