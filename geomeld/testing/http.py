"""HTTP: a folder served over the loopback interface, byte ranges included, with the faults of real servers at will."""

import http.server
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from geomeld.testing.storm import Fault, Storm

V = TypeVar("V")

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came in."""

    method: str
    path: str
    """From the folder, without a leading slash or a query."""
    range: str | None
    """Its Range header."""


@dataclass
class Server:
    """A folder behind HTTP. The faults may be changed at any time; each goes by a pattern of paths ("*.tif"), and the
    first pattern that fits counts."""

    url: str
    """Address of the folder, without a slash at its end."""
    status: dict[str, int] = field(default_factory=dict)
    """Answer with this code instead of the file."""
    cut: dict[str, int] = field(default_factory=dict)
    """Send this many bytes of an answer, then drop the connection."""
    delay: dict[str, float] = field(default_factory=dict)
    """Wait this many seconds before answering."""
    storm: Storm | None = None
    """Faults by chance, besides those above."""
    asked: list[Request] = field(default_factory=list)
    """Every request so far."""


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serve a folder on a free port of 127.0.0.1 until the block is left; answers HEAD and GET, the latter with a range
    (206, or 416 beyond the end) where one is asked for."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listener:
        server = Server(f"http://127.0.0.1:{listener.server_port}")
        listener.RequestHandlerClass = partial(_Handler, server, directory=str(folder))
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, served: Server, request: Any, client: Any, server: Any, *, directory: str) -> None:
        self.served = served
        super().__init__(request, client, server, directory=directory)

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *words: object) -> None:
        """Nothing: what was asked is in `Server.asked`."""

    def _answer(self) -> None:
        path, asked = self.path.partition("?")[0].lstrip("/"), self.headers.get("Range")
        self.served.asked.append(Request(self.command, path, asked))
        time.sleep(_fitting(self.served.delay, path) or 0)
        self.fault = self.served.storm.fault(path, asked) if self.served.storm else Fault()
        if self.fault.hang_s:
            time.sleep(self.fault.hang_s)
            self.close_connection = True
            return None
        code = _fitting(self.served.status, path) or self.fault.status
        file = Path(self.translate_path(self.path))
        if code or not file.is_file():
            return self._send(code or 404, b"")
        data = file.read_bytes()
        part = _part(asked, len(data))
        if part is None:
            return self._send(200, data)
        first, last = part
        if first >= len(data) or last < first:
            return self._send(416, b"", f"bytes */{len(data)}")
        return self._send(206, data[first : last + 1], f"bytes {first}-{last}/{len(data)}")

    def _send(self, code: int, body: bytes, content_range: str | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        if self.fault.retry_after_s is not None:
            self.send_header("Retry-After", f"{self.fault.retry_after_s:.0f}")
        self.end_headers()
        if self.command == "HEAD":
            return
        keep = _fitting(self.served.cut, self.path.partition("?")[0].lstrip("/"))
        if keep is None and self.fault.kept < 1:
            keep = int(self.fault.kept * len(body))
        if keep is not None and keep < len(body):
            body, self.close_connection = body[:keep], True
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # a client may hang up once it has enough


def _part(asked: str | None, size: int) -> tuple[int, int] | None:
    """(first, last) byte of a Range header; None where it asks for the whole, or for several parts."""
    found = RANGE.fullmatch(asked or "")
    if not found or found.group() == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _fitting(switches: Mapping[str, V], path: str) -> V | None:
    return next((value for pattern, value in switches.items() if fnmatch(path, pattern)), None)
