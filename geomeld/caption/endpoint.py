"""Endpoint: where a vision-language model is asked, and how."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from geomeld.core.errors import ConfigError


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server (vLLM, LMDeploy, SGLang, `transformers serve`, ...) and how it is asked."""

    base_url: str = "http://127.0.0.1:8000/v1"
    """Address, with its version: ".../v1"."""
    model: str = "OpenGVLab/InternVL2_5-78B"
    """Name that the server knows the model by (the paper's captioner)."""
    key_variable: str = "GEOMELD_API_KEY"
    """Environment variable that holds the key; a server that wants none needs none. The key is stored nowhere."""
    image: bool = True
    """Whether the model is shown a picture of the tile; without, it rewords measurements."""
    image_px: int = 448
    """Side of that picture, pixels: one visual tile of InternVL."""
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 80
    """Longest answer, tokens."""
    timeout: float = 60.0
    """Seconds until a request counts as hanging."""
    retries: int = 4
    """How often the client asks again after 429, 5xx, a hang or a lost connection, each time after a longer wait."""
    concurrency: int = 16
    """Requests in flight at first; from there it adapts to what the server bears ..."""
    most: int = 256
    """... and never beyond this."""
    failures: int = 2
    """A tile that fails so often while the server answers others is left to the template writer."""
    patience: float = 60.0
    """Seconds to wait for a server that has stopped answering, before the tiles still open are listed as failures."""
    price_in: float = 0.0
    """Price of a million prompt tokens, to sum the cost; any currency."""
    price_out: float = 0.0
    """Price of a million answered tokens."""

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(
                f"endpoint.base_url is {self.base_url!r}; give an address such as http://127.0.0.1:8000/v1."
            )
        if address.username or address.password or address.query:
            raise ConfigError("endpoint.base_url holds a name, a password or a query; keys come from the environment.")
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"endpoint.{name} is {getattr(self, name)}; give {low} to {high}.")


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("image_px", 28, 4096), ("temperature", 0, 2), ("top_p", 0.01, 1), ("max_tokens", 16, 4096),
    ("timeout", 0.01, 3600),
    ("retries", 0, 20), ("concurrency", 1, 4096), ("most", 1, 4096), ("failures", 1, 20), ("patience", 0, 86400),
)  # fmt: skip

_SHAPING = ("model", "image", "image_px", "temperature", "top_p", "max_tokens")


def shaping(endpoint: Endpoint) -> dict[str, Any]:
    """The settings that shape an answer, part of its key; address, pace and prices do not."""
    return {name: getattr(endpoint, name) for name in _SHAPING}
