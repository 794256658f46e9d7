"""Signing: addresses that open only with a token of their collection, fetched when needed and renewed in time."""

import datetime as dt
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from geomeld.core.errors import SourceError
from geomeld.sources.web import get, now_of, shown

MARGIN_S = 60.0
"""A token is renewed so long before it expires, or at half of its life where that is shorter."""

DATE_S = 1.0
"""What the Date of an answer leaves out of its second."""

KEY_VARIABLE = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable with a subscription key, which raises the limits of the Planetary Computer."""

KEY_HEADER = "Ocp-Apim-Subscription-Key"


@dataclass(frozen=True, slots=True)
class Signing:
    """A service that hands out a token per collection: `ENDPOINT/COLLECTION` answers `{"token": QUERY, "msft:expiry":
    TIME}`. Tokens are kept per process, never stored, and sent to no other hosts than its own."""

    endpoint: str
    """Address of the service, without a slash at its end."""
    hosts: tuple[str, ...] = ()
    """Ends of the names of hosts that tokens are for, e.g. ".blob.core.windows.net"; the endpoint's own host where
    none is given."""

    def signs(self, href: str) -> bool:
        """Whether an address is one that tokens are for."""
        host = urlsplit(href).hostname or ""
        return any(host.endswith(end) for end in self.hosts or (urlsplit(self.endpoint).hostname or "/",))

    def signed(self, href: str, collection: str) -> str:
        """An address with a token of its collection in place of its query; unchanged where tokens are not for it.

        Raises SourceError and its kinds where there is no token to be had.
        """
        if not self.signs(href):
            return href
        return f"{shown(href)}?{_tokens.query(self.endpoint, collection)}"

    def refused(self, href: str, collection: str) -> None:
        """To be told when a signed address was refused: its token is not used again."""
        _tokens.forget(self.endpoint, collection, urlsplit(href).query)


PLANETARY_COMPUTER = Signing("https://planetarycomputer.microsoft.com/api/sas/v1/token", (".blob.core.windows.net",))


def signing_of(href: str, endpoint: str | None = None) -> Signing | None:
    """The service that signs the files of a catalogue: the one that is named, the Planetary Computer's own for its
    catalogue or where it is called by its name (for copies of its catalogue elsewhere), and None for every other."""
    if endpoint == "planetary-computer":
        return PLANETARY_COMPUTER
    if endpoint is not None:
        return Signing(endpoint.rstrip("/"))
    known = urlsplit(PLANETARY_COMPUTER.endpoint).hostname
    return PLANETARY_COMPUTER if urlsplit(href).hostname == known else None


@dataclass(frozen=True, slots=True)
class _Token:
    query: str
    until: float
    """By `time.monotonic`, which no change of a clock moves."""


@dataclass(slots=True)
class _Tokens:
    """The tokens of this process; threads that want the same one wait for one request."""

    known: dict[tuple[str, str], _Token] = field(default_factory=dict)
    locks: dict[tuple[str, str], threading.Lock] = field(default_factory=dict)

    def query(self, endpoint: str, collection: str) -> str:
        key = endpoint, collection
        with self.locks.setdefault(key, threading.Lock()):
            token = self.known.get(key)
            if token is None or time.monotonic() >= token.until:
                token = self.known[key] = _fetched(f"{endpoint}/{collection}")
            return token.query

    def forget(self, endpoint: str, collection: str, query: str) -> None:
        key = endpoint, collection
        with self.locks.setdefault(key, threading.Lock()):
            token = self.known.get(key)
            if token is not None and token.query == query:  # another thread may have renewed it already
                del self.known[key]


_tokens = _Tokens()
os.register_at_fork(after_in_child=lambda: _tokens.locks.clear())


def _fetched(href: str) -> _Token:
    """A token and how long it lives: by the clock of the server that states both, since this machine's may be wrong."""
    key = os.environ.get(KEY_VARIABLE)
    asked = time.monotonic()
    answer = get(href, {KEY_HEADER: key} if key else None)
    try:
        stated = json.loads(answer.body)
        query = str(stated["token"]).lstrip("?")
        life = (_expiry(stated, query) - now_of(answer.headers)).total_seconds() - DATE_S
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{href} answered without a token and its expiry ({error!r}); check the address of the signing service."
        ) from None
    return _Token(query, asked + life - min(MARGIN_S, life / 2))


def _expiry(stated: dict[str, Any], query: str) -> dt.datetime:
    text = stated.get("msft:expiry") or parse_qs(query)["se"][0]
    moment = dt.datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
