"""Connections to a stranger's server: to public addresses alone, and hung up when time is up."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from fracbench.errors import InputError
from fracbench.submission_schema import local_urls


@dataclass(frozen=True)
class Deadlines:
    """Seconds until an answer, seconds ``allowed`` in all, and when on the monotonic clock these are over."""

    timeout: float
    allowed: float
    until: float


class Watch:
    """Hangs up when time is up, whatever is being read: each single byte renews a socket's own timeout."""

    def __init__(self, limits: Deadlines) -> None:
        self.limits, self.fired = limits, False
        self._until, self._done, self._sockets = limits.until, threading.Event(), list[socket.socket]()
        self.allow(limits.timeout)
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> Watch:
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


class WatchedAdapter(HTTPAdapter):
    """Connects through a watch."""

    def __init__(self, watch: Watch) -> None:
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
