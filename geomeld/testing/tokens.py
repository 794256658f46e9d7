"""Tokens: a signing service on the loopback interface whose tokens open what Nginx serves under `/signed/`."""

import base64
import datetime as dt
import email.utils
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial


@dataclass
class TokenServer:
    """A running service; what it does may be changed at any time."""

    url: str
    """Address to which `/COLLECTION` is added."""
    secret: str
    """What it shares with the web server."""
    life_s: float = 3600.0
    """Seconds that a token opens anything."""
    skew_s: float = 0.0
    """How far its clock is ahead: it dates its answers and states expiries by that clock."""
    opens_s: float | None = None
    """Seconds that a token really opens anything, where that is not what is said of it."""
    stale: int = 0
    """So many tokens to come have expired before they are handed out, whatever is said of them."""
    status: int = 0
    """Answer with this code instead."""
    body: bytes | None = None
    """Answer with this instead of a token."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""
    asked: list[str] = field(default_factory=list)
    """The collection of every request so far."""
    keys: list[str | None] = field(default_factory=list)
    """The subscription key of every request so far."""

    def token(self, collection: str) -> dict[str, str]:
        """A token for the files of a collection, and when it expires."""
        until = int(time.time() + (self.life_s if self.opens_s is None else self.opens_s))
        if self.stale > 0:
            self.stale -= 1
            until = int(time.time()) - 10
        digest = hashlib.md5(f"{until}{collection} {self.secret}".encode()).digest()
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        stated = dt.datetime.fromtimestamp(time.time() + self.life_s + self.skew_s, dt.UTC)
        return {"token": f"se={until}&sig={signature}", "msft:expiry": stated.isoformat().replace("+00:00", "Z")}


@contextmanager
def token_server(secret: str) -> Iterator[TokenServer]:
    """Hand out tokens on a free port until the block is left."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listener:
        server = TokenServer(f"http://127.0.0.1:{listener.server_port}/token", secret)
        listener.RequestHandlerClass = partial(_Handler, server)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, served: TokenServer, *given: object) -> None:
        self.served = served
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        collection = self.path.rpartition("/")[2]
        self.served.asked.append(collection)
        self.served.keys.append(self.headers.get("Ocp-Apim-Subscription-Key"))
        body = self.served.body or json.dumps(self.served.token(collection)).encode()
        self.send_response(self.served.status or 200)
        for name, value in {"Content-Length": str(len(body)), **self.served.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The time by the service's own clock."""
        return email.utils.formatdate(time.time() + self.served.skew_s, usegmt=True)

    def log_message(self, *words: object) -> None:
        """Nothing: what was asked is in `TokenServer.asked`."""
