"""Hub: a folder served as one dataset repository of the Hugging Face Hub, as far as reading it goes."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0" * 39 + "1"


@dataclass
class Hub:
    """A server that speaks the Hub's info, tree, paths-info and resolve addresses."""

    endpoint: str
    """What HF_ENDPOINT must be."""
    folder: Path
    repository: str
    """OWNER/NAME."""
    token: str | None
    """Who does not bring it is told that there is no such repository, as the Hub does; None lets everybody read."""
    fail: list[int] = field(default_factory=list)
    """Codes to answer the next requests for file contents with, one each."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header) of every request so far."""


@contextmanager
def serve_hub(folder: Path, repository: str = "owner/name", *, token: str | None = None) -> Iterator[Hub]:
    """Serve `folder` as the files of a dataset repository on a free port of 127.0.0.1 until the block is left."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listener:
        hub = Hub(f"http://127.0.0.1:{listener.server_port}", folder, repository, token)
        listener.RequestHandlerClass = partial(_Handler, hub)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            listener.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, request: Any, client: Any, server: Any) -> None:
        self.hub = hub
        super().__init__(request, client, server)

    def log_message(self, *words: object) -> None:
        """Nothing: what was asked is in `Hub.asked`."""

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        api, files = f"/api/datasets/{self.hub.repository}", f"/datasets/{self.hub.repository}/resolve/main/"
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif path in (api, f"{api}/revision/main"):
            self._json({"id": self.hub.repository, "sha": COMMIT, "private": False, "siblings": [], "tags": []})
        elif path.startswith(f"{api}/tree/main"):
            self._tree(path.removeprefix(f"{api}/tree/main").strip("/"))
        elif path == f"{api}/paths-info/main":
            named = parse_qs(body.decode()).get("paths", []) or json.loads(body or b"{}").get("paths", [])
            found = [self.hub.folder / name for name in named]
            self._json([self._entry(file) for file in found if file.exists()])
        elif path.startswith(files):
            self._file(self.hub.folder / path.removeprefix(files))
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _entry(self, file: Path) -> dict[str, Any]:
        path = file.relative_to(self.hub.folder).as_posix()
        if file.is_dir():
            return {"type": "directory", "oid": COMMIT, "size": 0, "path": path}
        data = file.read_bytes()
        lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        oid = hashlib.sha1(data).hexdigest()
        return {"type": "file", "oid": oid, "size": len(data), "path": path, "lfs": lfs}

    def _tree(self, path: str) -> None:
        folder = self.hub.folder / path
        if not folder.is_dir():
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
        files = sorted(folder.rglob("*") if recursive else folder.iterdir())
        return self._json([self._entry(file) for file in files])

    def _file(self, file: Path) -> None:
        if self.hub.fail:
            return self._send(self.hub.fail.pop(0), b"")
        if not file.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data, asked = file.read_bytes(), self.headers.get("Range")
        about = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not asked:
            return self._send(200, data, about)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data) - 1) + 1]
        whole = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return self._send(206, part, {**about, "Content-Range": whole})

    def _json(self, answer: Any) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
