"""Files from a stranger's server: resumed, never larger than declared, verified before they get their name."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from filelock import FileLock
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from fracbench.errors import InputError
from fracbench.files import check_writable
from fracbench.schema import local_urls

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


@dataclass(frozen=True)
class _Limits:
    """Seconds until an answer, seconds ``allowed`` in all, and when on the monotonic clock these are over."""

    timeout: float
    allowed: float
    until: float


class _Watch:
    """Hangs up when time is up, whatever is being read: each single byte renews a socket's own timeout."""

    def __init__(self, limits: _Limits) -> None:
        self.limits, self.fired = limits, False
        self._until, self._done, self._sockets = limits.until, threading.Event(), list[socket.socket]()
        self.allow(limits.timeout)
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for opened in self._sockets:
            opened.close()

    def allow(self, seconds: float) -> None:
        """So long from now, within what is left in all."""
        self._until = min(self.limits.until, time.monotonic() + seconds)

    def _wait(self) -> None:
        while not self._done.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.fired = True
                for opened in self._sockets:
                    _hang_up(opened)
                return

    def connect(self, host: str, port: int, proxied: bool) -> socket.socket:
        """A connection to a public address.

        It goes to the very addresses that were looked at, so that a name cannot lead elsewhere the next moment. What
        a proxy connects to is the proxy's to say; a look-up takes as long as the system lets it.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host} is no name of a host") from error
        addresses = [str(of[4][0]) for of in found]
        hidden = [] if proxied or local_urls() else [of for of in addresses if not _public(of)]
        if hidden:
            raise InputError(
                f"{host} leads to {hidden[0]}, which is no public address; give another url, "
                "or set FRACBENCH_LOCAL_URLS=1 if it is yours"
            )
        for address in addresses:
            left = min(self.limits.timeout, self._until - time.monotonic())
            if left <= 0:
                break
            try:
                made = socket.create_connection((address, port), left)
            except OSError:
                continue
            self._sockets.append(made.dup())  # TLS takes the socket itself over
            if self.fired:
                _hang_up(made)
            return made
        raise OSError(f"no connection to {host}")


def _hang_up(opened: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        opened.shutdown(socket.SHUT_RDWR)


def _public(address: str) -> bool:
    of = ipaddress.ip_address(address)
    return (getattr(of, "ipv4_mapped", None) or of).is_global and not of.is_multicast


class _Adapter(HTTPAdapter):
    """Connects through a watch."""

    def __init__(self, watch: _Watch) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return watch.connect(self.host, self.port or 80, self.proxy is not None)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return watch.connect(self.host, self.port or 443, self.proxy is not None)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        if not proxy.startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


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
        limits = _Limits(timeout, allowed, time.monotonic() + allowed)
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
    url: str, partial: Path, size: int, progress: Callable[[int], None], limits: _Limits, waits: Sequence[float]
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


def _attempt(url: str, partial: Path, size: int, progress: Callable[[int], None], limits: _Limits) -> None:
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
            _Watch(limits) as watch,
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


def _chunks(response: requests.Response, watch: _Watch) -> Iterator[bytes]:
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


def _answer(session: _Session, watch: _Watch, url: str, held: int) -> requests.Response:
    """The response, headers read, body not: redirects are followed here, to https alone."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    adapter = _Adapter(watch)
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
