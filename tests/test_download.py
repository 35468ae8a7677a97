"""Downloads from servers that break off, lie, hang and lead elsewhere."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from file_server import Server, send
from fracbench.download import Digest, fetch
from fracbench.errors import InputError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]


@pytest.fixture
def server(server: Server) -> Server:
    server.answer = lambda request, _: send(request, CONTENT)
    return server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / SHA


def get(
    server: Server,
    file: Path,
    *,
    digest: Digest | None = None,
    size: int = len(CONTENT),
    timeout: float = 5,
    spare: float = 20,
) -> list[int]:
    seen: list[int] = []
    chosen = digest or Digest("sha256", SHA)
    fetch(server.url, file, chosen, size, seen.append, timeout=timeout, waits=(0.01, 0.01), spare=spare)
    return seen


def refused(server: Server, file: Path, says: str, *, size: int = len(CONTENT), **seconds: float) -> None:
    with pytest.raises(InputError, match=says) as caught:
        get(server, file, size=size, **seconds)
    assert len(caught.value.faults) == 1 and caught.value.faults[0].startswith(server.url)
    assert not file.exists()


def part(file: Path) -> Path:
    return file.with_name(file.name + ".part")


def test_a_file_arrives_whole_with_progress_and_is_not_asked_for_again(server: Server, file: Path) -> None:
    seen = get(server, file)
    assert file.read_bytes() == CONTENT and not part(file).exists()
    assert seen[0] == 0 and seen[-1] == len(CONTENT) and seen == sorted(seen)
    get(server, file)
    assert len(server.ranges) == 1


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(OTHER)
    get(server, file)
    assert file.read_bytes() == CONTENT


def test_another_algorithm_will_do(server: Server, file: Path) -> None:
    get(server, file, digest=Digest("md5", hashlib.md5(CONTENT).hexdigest()))
    assert file.read_bytes() == CONTENT


def test_a_break_in_the_middle_is_gone_on_from(server: Server, file: Path) -> None:
    server.answer = lambda request, before: send(request, CONTENT, only=None if before else 300_000)
    seen = get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges == [None, "bytes=300000-"]
    assert 300_000 in seen and seen == sorted(seen)


def test_after_the_last_attempt_what_came_is_kept_for_the_next_command(server: Server, file: Path) -> None:
    server.answer = lambda request, _: send(request, CONTENT, only=100_000)
    refused(server, file, r"127.0.0.1 broke off, 3 times; 300000 of 1048576 bytes are kept. Repeat the same command")
    server.answer = lambda request, _: send(request, CONTENT)
    get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges[-1] == "bytes=300000-"


def test_a_break_without_a_length_is_noticed(server: Server, file: Path) -> None:
    server.answer = lambda request, before: send(request, CONTENT, length=False, only=None if before else 10)
    get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges == [None, "bytes=10-"]


def test_a_server_that_knows_no_ranges_starts_again(server: Server, file: Path) -> None:
    server.answer = lambda request, before: send(request, CONTENT, ranges=False, only=None if before else 300_000)
    get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges == [None, "bytes=300000-"]


def test_a_server_that_sends_another_part_starts_again(server: Server, file: Path) -> None:
    def answer(request: BaseHTTPRequestHandler, before: int) -> None:
        if before == 1:
            request.send_response(206)
            request.send_header("Content-Range", f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
            request.end_headers()
        else:
            send(request, CONTENT, only=None if before else 300_000)

    server.answer = answer
    get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges == [None, "bytes=300000-", None]


@pytest.mark.parametrize("before_the_command", [True, False])
def test_a_file_that_changed_after_its_first_part_is_taken_anew(
    server: Server, file: Path, before_the_command: bool
) -> None:
    if before_the_command:
        file.parent.mkdir()
        part(file).write_bytes(OTHER[:300_000])
        get(server, file)
        assert server.ranges == ["bytes=300000-", None]
    else:
        server.answer = lambda request, n: send(request, CONTENT if n else OTHER, only=None if n else 300_000)
        get(server, file)
        assert server.ranges == [None, "bytes=300000-", None]
    assert file.read_bytes() == CONTENT


def test_a_leftover_larger_than_the_file_is_thrown_away(server: Server, file: Path) -> None:
    file.parent.mkdir()
    part(file).write_bytes(CONTENT + b"x")
    get(server, file)
    assert file.read_bytes() == CONTENT and server.ranges == [None]


def test_another_file_of_the_same_size_is_deleted(server: Server, file: Path) -> None:
    server.answer = lambda request, _: send(request, OTHER)
    refused(server, file, f"its sha256 is {hashlib.sha256(OTHER).hexdigest()}, not the {SHA} declared, and it was del")
    assert not part(file).exists() and len(server.ranges) == 1


@pytest.mark.parametrize("says", [len(CONTENT) + 1, len(CONTENT) - 1, 10**15])
def test_a_server_that_announces_another_size_is_not_read(server: Server, file: Path, says: int) -> None:
    server.answer = lambda request, _: send(request, CONTENT, says=says)
    refused(server, file, f"has {says} bytes at 127.0.0.1, not the 1048576 declared; correct the size, or the url")
    assert not part(file).exists() and len(server.ranges) == 1


def test_a_server_that_sends_more_than_declared_is_stopped(server: Server, file: Path) -> None:
    written = []

    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(1000):  # a GiB, if nobody stops it
            request.wfile.write(CONTENT)
            written.append(len(CONTENT))

    server.answer = answer
    refused(server, file, "127.0.0.1 sends more than the 1048576 bytes declared")
    assert not part(file).exists() and sum(written) < 100 * len(CONTENT)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_answer_that_will_not_change_is_told_at_once(server: Server, file: Path, status: int) -> None:
    server.answer = lambda request, _: request.send_error(status)
    refused(server, file, f"127.0.0.1 answers HTTP {status}; open the url in a browser, and correct it")
    assert len(server.ranges) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_answer_that_may_change_is_asked_for_again(server: Server, file: Path, status: int) -> None:
    server.answer = lambda request, before: send(request, CONTENT) if before else request.send_error(status)
    get(server, file)
    assert file.read_bytes() == CONTENT and len(server.ranges) == 2
    file.unlink()
    server.answer = lambda request, _: request.send_error(status)
    refused(server, file, f"127.0.0.1 answers HTTP {status}, 3 times")


def test_what_is_there_is_told_before_any_server_answers(server: Server, file: Path) -> None:
    file.parent.mkdir()
    part(file).write_bytes(CONTENT[:1000])
    server.answer = lambda request, _: request.send_error(404)
    seen: list[int] = []
    with pytest.raises(InputError, match="HTTP 404"):
        fetch(server.url, file, Digest("sha256", SHA), len(CONTENT), seen.append)
    assert seen == [1000]


def test_no_server_at_all_is_no_answer(server: Server, file: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}/w"
        refused(server, file, "no answer from 127.0.0.1, 3 times")


def test_a_compressed_answer_is_refused(server: Server, file: Path) -> None:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.end_headers()

    server.answer = answer
    refused(server, file, r"sends it compressed \(gzip\)")


def test_a_file_without_room_is_not_begun(server: Server, file: Path) -> None:
    refused(server, file, "needs 1000000000000000 bytes in .*; make room", size=10**15)
    assert not server.ranges


def test_of_several_at_once_one_downloads(server: Server, file: Path) -> None:
    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        time.sleep(0.2)
        send(request, CONTENT)

    server.answer = answer
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: get(server, file), range(4)))
    assert file.read_bytes() == CONTENT and len(server.ranges) == 1
