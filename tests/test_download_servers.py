"""Servers that hang, trickle, never end, or lead elsewhere: each is left in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from file_server import Server, send
from fracbench import connections, download
from fracbench.download import Digest, fetch
from fracbench.errors import InputError
from test_download import CONTENT, SHA, file, get, refused, server  # noqa: F401


def test_a_server_that_hangs_is_left(server: Server, file: Path) -> None:
    server.answer = lambda request, _: time.sleep(2)
    began = time.monotonic()
    refused(server, file, "no answer from 127.0.0.1, 3 times; 0 of 1048576 bytes are kept", timeout=0.2)
    assert time.monotonic() - began < 2


def test_a_server_that_trickles_is_left(server: Server, file: Path) -> None:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        send(request, b"", says=len(CONTENT))
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    server.answer = answer
    refused(server, file, "less than 20000 bytes a second arrive, 3 times", timeout=0.3)


def one_by_one(request: BaseHTTPRequestHandler, begin: bytes) -> None:
    """``begin``, then a byte every 50 ms, which is soon enough for a socket's timeout, for ten seconds."""
    request.wfile.write(begin)
    for _ in range(200):
        request.wfile.write(b"a")
        request.wfile.flush()
        time.sleep(0.05)


HEADER = b"HTTP/1.1 200 OK\r\nX-a: "


CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"


@pytest.mark.parametrize("begin", [b"", HEADER, CHUNK], ids=["status", "header", "chunk"])
def test_lines_that_never_end_are_left(server: Server, file: Path, begin: bytes) -> None:
    server.answer = lambda request, _: one_by_one(request, begin)
    began = time.monotonic()
    refused(server, file, "no answer from 127.0.0.1, 3 times", timeout=0.3)
    assert time.monotonic() - began < 4


def test_a_handshake_that_never_ends_is_no_answer_either(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACBENCH_LOCAL_URLS", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = silent.accept()
                    with client, contextlib.suppress(OSError):
                        client.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB is to come
                        for _ in range(200):
                            client.sendall(b"\x02")
                            time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        url, began = f"https://127.0.0.1:{silent.getsockname()[1]}/w", time.monotonic()
        with pytest.raises(InputError, match=r"no answer from 127.0.0.1, 2 times"):
            fetch(url, file, Digest("sha256", SHA), 1, lambda _: None, timeout=0.3, waits=(0.01,))
    assert time.monotonic() - began < 4


def test_the_whole_download_has_a_deadline(server: Server, file: Path) -> None:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        send(request, b"", says=10_000)
        for _ in range(100):
            request.wfile.write(bytes(20))
            request.wfile.flush()
            time.sleep(0.05)

    server.answer = answer
    began = time.monotonic()
    says = r"127.0.0.1 is too slow: [1-9]\d* of 10000 bytes in 1 s; try again later, or put the file beside the YAML"
    refused(server, file, says, size=10_000, timeout=30, spare=0.6)
    assert time.monotonic() - began < 3


def test_waits_do_not_outlast_the_deadline(server: Server, file: Path) -> None:
    server.answer = lambda request, _: request.send_error(503)
    began = time.monotonic()
    with pytest.raises(InputError, match="is too slow: 0 of 1 bytes"):
        fetch(server.url, file, Digest("sha256", SHA), 1, lambda _: None, waits=(60,), spare=0.5)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0"],
)
def test_a_host_that_leads_inside_is_not_connected_to(
    address: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FRACBENCH_LOCAL_URLS", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def connect(*_: object, **__: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(connections.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("93.184.215.14", 443)),
                                                                         (0, 0, 0, "", (address, 443))])  # fmt: skip
    monkeypatch.setattr(connections.socket, "create_connection", connect)
    says = f"a.example leads to {address}, which is no public address; .* FRACBENCH_LOCAL_URLS=1 if it is yours"
    with pytest.raises(InputError, match=says) as caught:
        fetch("https://a.example/w", file, Digest("sha256", SHA), 1, lambda _: None)
    assert len(caught.value.faults) == 1


def test_a_redirect_inside_is_not_followed_either(server: Server, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redirected(server, "https://127.0.0.2:1/w")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,127.0.0.2")
    monkeypatch.delenv("FRACBENCH_LOCAL_URLS")
    monkeypatch.setattr(connections, "_public", lambda address: address != "127.0.0.2")
    with pytest.raises(InputError, match=r"127.0.0.2 leads to 127.0.0.2, which is no public address"):
        get(server, file)
    assert len(server.ranges) == 1


def redirected(server: Server, to: str, body: bytes = b"") -> None:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()
        request.wfile.write(body)

    server.answer = answer


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/w", "/w", "file:///etc/passwd", "//127.0.0.1/w"])
def test_redirects_lead_to_https_alone(server: Server, file: Path, to: str) -> None:
    redirected(server, to)
    refused(server, file, "is redirected to .*, which is not https; give an https url")
    assert len(server.ranges) == 1


def test_a_redirect_to_https_is_followed(server: Server, file: Path) -> None:
    redirected(server, server.url.replace("http:", "https:"))
    server_speaks_no_tls = "certificate of 127.0.0.1 cannot be trusted|no answer from 127.0.0.1"
    refused(server, file, server_speaks_no_tls)


def test_the_body_of_a_redirect_is_not_read(server: Server, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def content(_: object) -> bytes:
        raise AssertionError("read")

    monkeypatch.setattr(download.requests.Response, "content", property(content))
    redirected(server, "http://127.0.0.1:1/w", CONTENT)
    refused(server, file, "which is not https")
