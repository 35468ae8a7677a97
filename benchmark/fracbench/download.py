"""Files from a stranger's server: resumed, never larger than declared, verified before they get their name."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from filelock import FileLock
from urllib3.exceptions import HTTPError

from fracbench.connections import Deadlines, Watch, WatchedAdapter
from fracbench.errors import InputError
from fracbench.files import check_writable

CHUNK = 2**18  # bytes
REDIRECTS = 5
SLOWEST = 20_000  # bytes per second, over one timeout
USUAL, SPARE = 100_000, 120.0  # bytes per second and seconds that a whole download is given
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others a moment later


@dataclass(frozen=True)
class Digest:
    """What a file's bytes must add up to: an algorithm of hashlib and its value as lower-case hex."""

    algorithm: str
    hex: str

    def of(self, file: Path) -> str:
        """This algorithm's value for a file."""
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, self.algorithm).hexdigest()

    def matches(self, file: Path) -> bool:
        """Whether the file is there with these bytes."""
        return file.is_file() and self.of(file) == self.hex


class _Session(requests.Session):
    """Follows no redirect by itself, for which requests would take the redirect's whole body into memory."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Broken(Exception):
    """This attempt failed, the next may not; the message says how."""


def fetch(
    url: str,
    file: Path,
    digest: Digest,
    size: int,
    progress: Callable[[int], None],
    *,
    timeout: float = 30.0,
    waits: Sequence[float] = (1.0, 3.0, 9.0),
    spare: float = SPARE,
) -> None:
    """Download ``url`` to ``file``, unless it is there with its digest; ``progress`` is told the bytes that are there.

    ``size`` is in bytes, ``timeout`` in seconds until the headers of an answer are there, or between bytes, ``waits``
    the seconds before each further attempt; in all it may take ``spare`` seconds and what ``USUAL`` needs for ``size``.
    Redirects lead to https alone. What a break left lies beside as ``NAME.part`` and is gone on from; of several
    processes one downloads and the others wait. Raises ``InputError``: no or another answer, a slow one, another size
    or digest, an address that is not public (unless ``FRACBENCH_LOCAL_URLS`` is 1), no room.
    """
    check_writable(file.parent, "the folder of downloads")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".part")
    with FileLock(file.with_name(file.name + ".lock")):
        if digest.matches(file):
            return
        allowed = size / USUAL + spare
        limits = Deadlines(timeout, allowed, time.monotonic() + allowed)
        try:
            resumed = _complete(url, partial, size, progress, limits, waits)
            if resumed and not digest.matches(partial):  # the file changed since its first part came
                partial.unlink()
                _complete(url, partial, size, progress, limits, waits)
            if (found := digest.of(partial)) != digest.hex:
                partial.unlink()
                raise InputError(
                    f"{url}: its {digest.algorithm} is {found}, not the {digest.hex} declared, and it was deleted; "
                    "correct the hash, or the url"
                )
            partial.replace(file)
        except OSError as error:
            raise InputError(f"{partial}: cannot be written ({error.strerror}); free some room there") from error


def _held(partial: Path) -> int:
    """Bytes that an earlier attempt left."""
    return partial.stat().st_size if partial.is_file() else 0


def _complete(
    url: str, partial: Path, size: int, progress: Callable[[int], None], limits: Deadlines, waits: Sequence[float]
) -> bool:
    """Attempts until all bytes are there, unverified; says whether they came in more than one part."""
    resumed = False
    if (lacking := size - _held(partial)) > (free := shutil.disk_usage(partial.parent).free):
        raise InputError(f"{url}: needs {lacking} bytes in {partial.parent}, where {free} are free; make room")
    progress(_held(partial))
    for wait in (*waits, None):
        resumed |= _held(partial) > 0
        try:
            _attempt(url, partial, size, progress, limits)
            return resumed
        except _Broken as error:
            if time.monotonic() >= limits.until:
                raise InputError(
                    f"{url}: {urlsplit(url).hostname} is too slow: {_held(partial)} of {size} bytes in "
                    f"{limits.allowed:.0f} s; try again later, or put the file beside the YAML"
                ) from error
            if wait is None:
                raise InputError(
                    f"{url}: {error}, {len(waits) + 1} times; {_held(partial)} of {size} bytes are kept. "
                    "Repeat the same command to go on"
                ) from error
            time.sleep(max(0.0, min(wait, limits.until - time.monotonic())))
    raise AssertionError("the last attempt returns or raises")


def _attempt(url: str, partial: Path, size: int, progress: Callable[[int], None], limits: Deadlines) -> None:
    """One request for what is still lacking, appended; what cannot be gone on from is deleted."""
    held = _held(partial)
    if held > size:
        partial.unlink()
        held = 0
    if held == size:
        return
    host = urlsplit(url).hostname
    start = done = held
    try:
        with (
            Watch(limits) as watch,
            _Session() as session,
            closing(_answer(session, watch, url, held)) as response,
        ):
            start = done = _start(response, url, partial, held, size)
            with partial.open("r+b" if start else "wb") as file:
                file.seek(start)
                progress(done)
                for chunk in _chunks(response, watch):
                    done += len(chunk)
                    if done > size:
                        break
                    file.write(chunk)
                    progress(done)
    except requests.exceptions.SSLError as error:
        if watch.fired:
            raise _Broken(f"no answer from {host}") from error
        raise InputError(f"{url}: the certificate of {host} cannot be trusted; give another url") from error
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        raise _Broken(f"{host} broke off" if done > start else f"no answer from {host}") from error
    except requests.RequestException as error:
        raise InputError(f"{url}: cannot be asked for ({type(error).__name__}); correct the url") from error
    if done > size:
        partial.unlink()
        raise InputError(f"{url}: {host} sends more than the {size} bytes declared; correct the size, or the url")
    if done < size:
        raise _Broken(f"{host} broke off")


def _chunks(response: requests.Response, watch: Watch) -> Iterator[bytes]:
    """The body as it arrives; a server that trickles would otherwise never be late."""
    timeout = watch.limits.timeout
    since, fresh = time.monotonic(), 0
    watch.allow(2 * timeout)  # a part that begins within the timeout may take as long again
    while chunk := response.raw.read1(CHUNK, decode_content=False):
        yield chunk
        fresh += len(chunk)
        if (elapsed := time.monotonic() - since) > timeout:
            if fresh < SLOWEST * elapsed:
                raise _Broken(f"less than {SLOWEST} bytes a second arrive")
            since, fresh = time.monotonic(), 0
            watch.allow(2 * timeout)


def _answer(session: _Session, watch: Watch, url: str, held: int) -> requests.Response:
    """The response, headers read, body not: redirects are followed here, to https alone."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    adapter = WatchedAdapter(watch)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    at = url
    for _ in range(REDIRECTS + 1):
        watch.allow(watch.limits.timeout)
        response = session.get(at, headers=headers, stream=True, timeout=watch.limits.timeout, allow_redirects=False)
        if watch.fired:  # within the headers, of which the first are there as if they were all
            response.close()
            raise _Broken(f"no answer from {urlsplit(at).hostname}")
        if not response.is_redirect:
            return response
        at = urljoin(at, response.headers["location"])
        response.close()
        if not at.startswith("https://"):
            raise InputError(f"{url}: is redirected to {at:.200}, which is not https; give an https url")
    raise InputError(f"{url}: is redirected more than {REDIRECTS} times; give the last url")


def _start(response: requests.Response, url: str, partial: Path, held: int, size: int) -> int:
    """Where in the file the body begins; ``InputError`` where the headers promise another file."""
    host, status = urlsplit(url).hostname, response.status_code
    if status in PASSING:
        raise _Broken(f"{host} answers HTTP {status}")
    if status not in (200, 206, 416):
        raise InputError(f"{url}: {host} answers HTTP {status}; open the url in a browser, and correct it")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(f"{url}: {host} sends it compressed ({encoding:.20}); give a url of the plain file")
    if status == 200:  # also of servers that know no ranges
        held, whole = 0, response.headers.get("Content-Length", "*")
    else:
        part = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
        if part is None or int(part[1]) != held:
            partial.unlink(missing_ok=True)
            raise _Broken(f"{host} sends another part than asked for")
        whole = part[2]
    if whole not in ("*", str(size)):
        raise InputError(
            f"{url}: has {whole:.20} bytes at {host}, not the {size} declared; correct the size, or the url"
        )
    return held
