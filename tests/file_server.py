"""A server on this machine that answers as a test tells it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler, int], None]  # the request, and how many came before it


class Server:
    """Answers each request as ``answer`` does, and keeps the ranges asked for."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request, _: send(request, b"")
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.ranges.append(self.headers["Range"])
                with contextlib.suppress(OSError):  # hung up
                    outer.answer(self, len(outer.ranges) - 1)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/w.safetensors"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(
    request: BaseHTTPRequestHandler,
    content: bytes,
    *,
    ranges: bool = True,
    only: int | None = None,
    says: int | None = None,
    length: bool = True,
) -> None:
    """A file server's answer; ``only`` so many bytes of the body, ``says`` another size than the content has."""
    total = len(content) if says is None else says
    asked = re.match(r"bytes=(\d+)-", request.headers["Range"] or "") if ranges else None
    start = int(asked[1]) if asked else 0
    request.send_response(206 if asked else 200)
    if asked:
        request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    if length:
        request.send_header("Content-Length", str(total - start))
    request.end_headers()
    body = content[start:]
    request.wfile.write(body[:only])
    request.wfile.flush()
    request.close_connection = True
