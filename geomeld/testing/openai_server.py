"""A language model behind HTTP that answers from the prompt's own measurements, with the faults of real servers."""

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

FOREIGN = "Los campos verdes se extienden por la zona, con una pequeña parte de los bosques en el norte."
SKIES = "Clear blue."
"""What is said to a question that is none about a tile."""
FRAMES = (
    "{0} lies across the area{1}.",
    "An area of {0}{1}.",
    "The ground here holds {0}{1}.",
    "Across the area there is {0}{1}.",
    "The area is made up of {0}{1}.",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it came in."""

    number: int
    """From 0, over the life of the server."""
    body: dict[str, Any]
    key: str
    """The bearer token."""

    @property
    def text(self) -> str:
        """All words of the chat."""
        return "\n".join(p["text"] for p in _parts(self.body) if p["type"] == "text")

    @property
    def images(self) -> list[str]:
        """URLs of its pictures."""
        return [p["image_url"]["url"] for p in _parts(self.body) if p["type"] == "image_url"]

    @property
    def is_tile(self) -> bool:
        """Whether it is about a tile, not a probe."""
        return "Measurements of the place" in self.text


Fault = Callable[[Call], str | None]
"""Which fault a request meets, one of FAULTS; None for none."""

FAULTS = ("429", "500", "503", "400", "401", "hang", "half json", "no choices", "wrong n", "empty", "foreign", "echo",
          "drop", "cut off")  # fmt: skip


@dataclass
class ModelServer:
    """A model behind HTTP; its faults and abilities may be changed at any time."""

    url: str
    """Base address for a client, ".../v1"."""
    fault: Fault = lambda call: None
    reply: Callable[[Call, int], str] | None = None
    """(request, which of its answers) -> text; None for sentences made from the prompt's measurements."""
    several: bool = True
    """Whether `n` is heeded."""
    images: bool = True
    asked: list[Call] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        """To start another one in its place."""
        return int(self.url.rsplit(":", 1)[1].split("/")[0])


@contextmanager
def serve_model(port: int = 0, **settings: Any) -> Iterator[ModelServer]:
    """Answer POST /v1/chat/completions on 127.0.0.1 until the block is left; `settings` are fields of ModelServer."""
    with _Listener(("127.0.0.1", port), http.server.BaseHTTPRequestHandler) as listener:
        server = ModelServer(f"http://127.0.0.1:{listener.server_port}/v1", **settings)
        listener.RequestHandlerClass = partial(_Handler, server)  # type: ignore[assignment]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listener.shutdown()
            thread.join()


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, served: ModelServer, request: Any, client: Any, server: Any) -> None:
        self.served = served
        super().__init__(request, client, server)

    def log_message(self, *words: object) -> None:
        """Nothing: what was asked is in `ModelServer.asked`."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # clients hang up

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = Call(len(self.served.asked), body, self.headers.get("Authorization", "").removeprefix("Bearer "))
        self.served.asked.append(call)
        if self.served.closing.is_set():
            self.close_connection = True
            return
        fault = self.served.fault(call) or ""
        if call.images and not self.served.images:
            fault = "400"
        match fault:
            case "400" | "401" | "429" | "500" | "503":
                again = {"Retry-After": "1", "Retry-After-Ms": "20"} if fault == "429" else {}
                self._send(int(fault), json.dumps({"error": {"message": f"no, {call.key}", "code": fault}}), again)
            case "hang":
                self.served.closing.wait(60)
                self.close_connection = True
            case "drop":
                self._send(200, self._answer(call, fault), keep=0.5)
            case "half json":
                whole = self._answer(call, fault)
                self._send(200, whole[: len(whole) // 2])
            case _:
                self._send(200, self._answer(call, fault))

    def _answer(self, call: Call, fault: str) -> str:
        wanted = call.body.get("n") or 1
        count = 0 if fault == "no choices" else 1 if fault == "wrong n" or not self.served.several else wanted
        reason = "length" if fault == "cut off" else "stop"
        texts = [self._text(call, fault, k) for k in range(count)]
        choices = [
            {"index": k, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
            for k, text in enumerate(texts)
        ]
        prompt = len(call.text.split()) + 256 * len(call.images)
        answered = sum(len(t.split()) for t in texts)
        usage = {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered}
        return json.dumps({
            "id": "x", "object": "chat.completion", "created": 0, "model": call.body["model"], "choices": choices,
            "usage": usage,
        })  # fmt: skip

    def _text(self, call: Call, fault: str, which: int) -> str:
        match fault:
            case "empty":
                return "  \n"
            case "foreign":
                return FOREIGN
            case "echo":
                return call.text
            case "cut off":
                return "Green fields stretch across the hilly area, with dense wooded patches and a"
        if self.served.reply is not None:
            return self.served.reply(call, which)
        return grounded(call.text, call.body.get("seed") or 0, which) if call.is_tile else SKIES

    def _send(self, code: int, body: str, headers: dict[str, str] | None = None, keep: float = 1.0) -> None:
        data = body.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: int(len(data) * keep)])
        self.close_connection = keep < 1


def grounded(prompt: str, seed: int, which: int) -> str:
    """A sentence from the measurements in a prompt, by seed and number."""
    payload = json.loads(re.search(r"^\{.*\}$", prompt, re.MULTILINE)[0])  # type: ignore[index]
    # Snow on tiles of random pixels is contradicted by their spectrum.
    covers = [c[0] for c in payload.get("land_cover", []) if c[0] != "snow"] or ["open land"]
    rest = [*covers[1:3], *payload.get("objects", [])[:1]]
    tail = f" with some {' and '.join(rest)}" if rest else ""
    sentence = FRAMES[(seed + which) % len(FRAMES)].format(covers[0], tail)
    return sentence[0].upper() + sentence[1:]


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for message in body["messages"]:
        content = message["content"]
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts
