"""A published dataset from a server that breaks off, lies about the size, or serves another file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from file_server import Server, send
from fracbench.contracts import Archive
from fracbench_plugins.datasets.fracatlas import RELEASE_7, FracAtlas
from test_cli import call, files, refused
from test_fracatlas import made  # noqa: F401


def packed(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in content.items():
            archive.writestr(name, body)
    return buffer.getvalue()


@pytest.fixture
def tree(made: Path) -> dict[str, bytes]:
    content = {str(path.relative_to(made.parent)): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    return content | {"__MACOSX/FracAtlas/._dataset.csv": b"left by a Mac"}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def publish(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch, served: bytes | None = None) -> None:
    """Have the dataset say that ``content`` is published, while the server serves ``served``."""
    md5 = hashlib.md5(content).hexdigest()
    archive = Archive(server.url, len(content), md5, RELEASE_7.folder, RELEASE_7.page, RELEASE_7.terms)
    monkeypatch.setattr(FracAtlas, "archive", archive)
    monkeypatch.setattr("fracbench.download.fetch.__kwdefaults__", {"timeout": 2.0, "waits": (0.01,), "spare": 20.0})
    server.answer = lambda request, _: send(request, content if served is None else served)


def test_the_archive_is_downloaded_unpacked_and_shown(
    server: Server, tree: dict[str, bytes], empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, packed(tree), monkeypatch)
    done = call("data", "fracatlas")
    assert done.exit_code == 0, done.output
    assert "CC BY 4.0: name the authors" in done.output and "next: fracbench data check FracAtlas" in done.output
    assert {str(path.relative_to(empty)) for path in empty.rglob("*") if path.is_file()} == {
        "fracatlas-sheet.png", *(name for name in tree if not name.startswith("__")),
    }  # fmt: skip
    assert all((empty / name).read_bytes() == tree[name] for name in tree if not name.startswith("__"))
    asked = len(server.ranges)
    assert call("data", "fracatlas").exit_code == 0 and len(server.ranges) == asked, "it is there now"


def test_what_broke_off_is_gone_on_from(
    server: Server, tree: dict[str, bytes], empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed(tree)
    publish(server, content, monkeypatch)

    def breaks_off(request: BaseHTTPRequestHandler, before: int) -> None:
        send(request, content, only=len(content) // 2 if before < 2 else None)

    server.answer = breaks_off
    refused(call("data", "fracatlas"), "bytes are kept. Repeat the same command to go on", "--data DIR")
    assert not (empty / "FracAtlas").exists()
    assert call("data", "fracatlas").exit_code == 0
    assert server.ranges[-1] is not None and (empty / "FracAtlas" / "dataset.csv").is_file()


@pytest.mark.parametrize(
    "served, says",
    [
        (lambda content: content[:-1] + b"?", "its md5 is"),
        (lambda content: content + b"more", "not the"),
        (lambda content: b"<html>sign in</html>", "has 20 bytes at 127.0.0.1, not the"),
    ],
)
def test_another_file_is_refused_and_nothing_left(  # type: ignore[no-untyped-def]
    served, says: str, server: Server, tree: dict[str, bytes], empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = packed(tree)
    publish(server, content, monkeypatch, served(content))
    done = call("data", "fracatlas")
    refused(done, says, f"or unpack what {RELEASE_7.page} offers, and pass --data DIR")
    assert len([line for line in done.output.splitlines() if line.startswith("error")]) == 1
    assert not any(path.suffix in (".jpg", ".zip") for path in files(empty))


@pytest.mark.parametrize(
    "content, says",
    [
        (b"no zip at all", "is no zip that can be unpacked"),
        (packed({"FracAtlas/bomb": bytes(10_000_000)}), "this is not the dataset, so delete it"),
    ],
)
def test_what_cannot_be_unpacked_makes_no_folder(
    content: bytes, says: str, server: Server, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, content, monkeypatch)
    refused(call("data", "fracatlas"), says)
    assert [path.name for path in empty.iterdir() if path.suffix not in (".zip", ".lock")] == []


def test_names_in_the_archive_lead_nowhere_else(
    server: Server, tree: dict[str, bytes], empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, packed(tree | {"../evil.txt": b"x", "/tmp/fracbench-evil.txt": b"x"}), monkeypatch)
    assert call("data", "fracatlas").exit_code == 0
    assert not (empty.parent / "evil.txt").exists() and not Path("/tmp/fracbench-evil.txt").exists()
    assert not (empty / "evil.txt").exists()


def test_a_folder_that_is_given_is_not_downloaded(server: Server, made: Path, empty: Path) -> None:
    assert call("data", "fracatlas", "--data", made).exit_code == 0
    assert not server.ranges
