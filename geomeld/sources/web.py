"""Web: requests over HTTP whose failures come out as this project's errors, with what their server said of waiting."""

import datetime as dt
import email.utils
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geomeld.core.errors import AuthError, MissingAsset, SourceError, TransientError
from geomeld.sources import pace

TIMEOUT_S = float(os.environ.get("GDAL_HTTP_TIMEOUT", "30"))
"""Seconds that a request may take; by the same variable as GDAL's own requests."""

BUSY = frozenset({408, 425, 429})
"""HTTP codes below 500 that ask for patience."""

REFUSED = frozenset({401, 403, 409})
"""Azure says 409 of files that are not public."""
GONE = frozenset({404, 410})

BEGINNING = 16384
"""Bytes that GDAL asks for first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent."""

    body: bytes
    headers: Mapping[str, str]


def is_remote(href: str) -> bool:
    """Whether an address is on the web, and no path of this machine."""
    return href.startswith(("http://", "https://"))


def shown(href: str) -> str:
    """An address as messages may show it: without its query, which may hold a signature."""
    return href.partition("?")[0]


def get(href: str, headers: Mapping[str, str] | None = None, most: int | None = None) -> Answer:
    """What an http(s) address answers, or its first `most` bytes.

    Raises TransientError for a server that fails, asks for patience or breaks off; AuthError where it refuses;
    MissingAsset where there is nothing; SourceError for every other code.
    """
    pace.take(href)
    try:
        with urllib.request.urlopen(
            urllib.request.Request(href, headers=dict(headers or {})), timeout=TIMEOUT_S
        ) as answer:
            body = answer.read() if most is None else answer.read(most)
            promised = int(answer.headers.get("Content-Length") or 0)
            if len(body) < min(promised, most or promised):
                raise TransientError(f"{shown(href)} broke off. Try again later.")
            return Answer(body, dict(answer.headers.items()))
    except urllib.error.HTTPError as error:
        with error:
            code, headers = error.code, dict(error.headers.items())
        raise failure(code, f"{shown(href)} answered {code}", href, headers) from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(
            f"{shown(href)} did not answer: {getattr(error, 'reason', error)}. Try again later."
        ) from None


def failure(code: int, told: str, href: str, headers: Mapping[str, str] | None = None) -> SourceError:
    """The error that an HTTP code stands for; a host that asks for patience is given it."""
    if code >= 500 or code in BUSY:
        wait = asked_to_wait(headers or {})
        pace.rest(href, wait)
        return TransientError(f"{told}. Try again later.", wait)
    if code in REFUSED:
        return AuthError(f"{told}. Check that you may read it, and that your token or signature has not expired.")
    if code in GONE:
        return MissingAsset(f"{told}. Check the catalogue's address.")
    return SourceError(f"{told}. Check the catalogue's address.")


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None without a proper one."""
    text = next((v.strip() for k, v in headers.items() if k.lower() == "retry-after"), "")
    if text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return max((moment - now_of(headers)).total_seconds(), 0.0)


def now_of(headers: Mapping[str, str]) -> dt.datetime:
    """The time by the server's own clock, by this machine's where it does not say: the two may differ by hours."""
    text = next((v for k, v in headers.items() if k.lower() == "date"), "")
    try:
        return email.utils.parsedate_to_datetime(text).astimezone(dt.UTC)
    except ValueError:
        return dt.datetime.now(dt.UTC)


def fault_of(href: str) -> SourceError | None:
    """What is wrong with a server or with who asks, by asking for the beginning of a file; None where nothing is."""
    try:
        get(href, {"Range": f"bytes=0-{BEGINNING - 1}"}, BEGINNING)
    except (TransientError, AuthError, MissingAsset) as error:
        return error
    except SourceError:  # such as an empty file, which has no beginning
        return None
    return None


def content(href: str) -> bytes:
    """The bytes behind a path or an http(s) address. Raises SourceError and its kinds; see `get`."""
    if is_remote(href):
        return get(href).body
    try:
        return Path(href).read_bytes()
    except OSError as error:
        raise SourceError(f"{href} cannot be read: {error.strerror}; check the catalogue's path.") from None
