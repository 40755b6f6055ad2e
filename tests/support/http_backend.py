"""Small HTTP back-end for the tests of `http` steps; it listens on 127.0.0.1 on a free port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["TOKEN", "Backend", "running_backend"]

TOKEN = "tok-4f9a1c"
"""Token that the back-end gives out."""


@dataclass
class Backend:
    """Running back-end: its address, and the requests that it took, in order."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    done_after: int = 3
    """Number of questions after which a ticket is done."""
    asked: int = 0

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        status, headers, answer = 200, {"Content-Type": "application/json"}, body
        match path:
            case "/tickets":
                ticket = {"id": 17, "device": json.loads(body)["device"], "token": TOKEN}
                headers["Set-Cookie"] = f"session={TOKEN}"
                status, answer = 201, json.dumps(ticket).encode()
            case "/tickets/17":
                self.asked += 1
                state = "done" if self.asked >= self.done_after else "open"
                answer = json.dumps({"id": 17, "state": state, "tags": ["a", "b"]}).encode()
            case "/text":
                headers, answer = {"Content-Type": "text/plain"}, b"hello, phone"
            case "/large":
                answer = b" " * (1024 * 1024 + 1)
            case "/slow":
                time.sleep(1)
            case "/moved":
                status, headers["Location"] = 302, "/text"
        return status, headers, answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    backend: Backend


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _handle(self: Self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        backend = self.server.backend
        backend.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body,
            }
        )
        status, headers, answer = backend.answer(self.path.partition("?")[0], body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _handle  # noqa: N815  # the names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its parent's name
        """Log nothing."""


@contextmanager
def running_backend() -> Iterator[Backend]:
    """Run a back-end in a thread."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.backend = Backend(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.backend
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
