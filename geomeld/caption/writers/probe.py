"""Probe: what a server can do, found out by asking: pictures, several answers, seeds, log-probabilities, JSON."""

import base64
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from geomeld.caption.endpoint import Endpoint

QUESTION = "Which colour has the sky on a clear day? Answer in a few words."
SHORT = 8
"""Tokens of a probe's answer."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server of an endpoint can do."""

    images: bool
    """Whether it takes a picture, and counts more prompt tokens with one than without where it counts at all."""
    several: bool
    """Whether `n` gives so many answers (`transformers serve` ignores it)."""
    seed: bool
    """Whether it takes a seed, and repeats its answer with it."""
    logprobs: bool
    json: bool
    """Whether it answers in JSON when asked to."""


async def probe(client: Any, endpoint: Endpoint) -> Capabilities:
    """Some short requests. Raises what the client raises where even a plain question is not answered."""
    plain = await ask(client, endpoint)
    pictured = await _tried(client, endpoint, image=True)
    several = await _tried(client, endpoint, n=2)
    seeded = [await _tried(client, endpoint, seed=1) for _ in range(2)]
    surely = await _tried(client, endpoint, logprobs=True)
    as_json = await _tried(client, endpoint, response_format={"type": "json_object"})
    return Capabilities(
        images=pictured is not None and _looked(plain, pictured),
        several=several is not None and len(_texts(several)) == 2,
        seed=seeded[0] is not None and seeded[1] is not None and _texts(seeded[0]) == _texts(seeded[1]),
        logprobs=surely is not None and bool(_choices(surely)) and _choices(surely)[0].logprobs is not None,
        json=as_json is not None and any(_is_json(t) for t in _texts(as_json)),
    )


async def ask(client: Any, endpoint: Endpoint, *, image: bool = False, **more: Any) -> Any:
    """One short question, with a grey square where `image` says so; the client's answer."""
    content: Any = QUESTION
    if image:
        square = {"type": "image_url", "image_url": {"url": grey_square(endpoint.image_px)}}
        content = [square, {"type": "text", "text": QUESTION}]
    return await client.chat.completions.create(
        model=endpoint.model, messages=[{"role": "user", "content": content}], max_tokens=SHORT, **more
    )


async def _tried(client: Any, endpoint: Endpoint, **more: Any) -> Any:
    """The answer, None where the server refuses or fails."""
    import openai

    try:
        return await ask(client.with_options(max_retries=1), endpoint, **more)
    except (openai.OpenAIError, ValueError):
        return None


def _looked(plain: Any, pictured: Any) -> bool:
    """Whether a picture was read: it costs prompt tokens."""
    before, after = getattr(plain, "usage", None), getattr(pictured, "usage", None)
    if before is None or after is None or not before.prompt_tokens:
        return True  # a server that does not count has at least not refused
    return after.prompt_tokens > before.prompt_tokens


def _choices(answer: Any) -> list[Any]:
    return list(getattr(answer, "choices", None) or [])


def _texts(answer: Any) -> list[str]:
    return [getattr(c.message, "content", None) or "" for c in _choices(answer)]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def grey_square(side: int) -> str:
    """A PNG of one grey as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * 3 * side) * side)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
