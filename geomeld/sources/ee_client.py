"""The client of Earth Engine: opened once per process, its failures as this project's errors, its quota respected."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from geomeld.core.errors import AuthError, ConfigError, MissingAsset, MissingExtra, SourceError, TransientError
from geomeld.sources import pace
from geomeld.sources.catalogue import chain
from geomeld.sources.slots import Slots
from geomeld.sources.web import BUSY, asked_to_wait

T = TypeVar("T")

DEADLINE_MS = 120_000
"""A request that takes longer is given up."""

LOGIN = "run `earthengine authenticate`, or point GOOGLE_APPLICATION_CREDENTIALS to the key of a service account"

_opening = threading.Lock()


class TooMuch(SourceError):
    """Earth Engine could not compute a request for want of memory or time; a smaller one may pass."""


def module() -> Any:
    """The module ee. Raises MissingExtra without it."""
    try:
        import ee
    except ImportError:
        raise MissingExtra(
            "Earth Engine needs its client library; install it with: pip install 'geomeld[earth-engine]'"
        ) from None
    return ee


def asked(project: str, url: str, what: str, request: Callable[[Any], T]) -> T:
    """`request(ee)` with the client opened for a project, in one of the slots that all processes share.

    `what` names it in messages. Raises ConfigError without a login, AuthError, TransientError, MissingAsset, TooMuch,
    or SourceError for what Earth Engine has against the request itself.
    """
    ee = module()
    with _opening:
        _open(project, url)
    slots = Slots(_folder(project, url))
    pace.take(url)
    try:
        with slots.one():
            answer = request(ee)
    except Exception as error:
        explained = _explained(error, what, url)
        if isinstance(explained, TransientError) and explained.retry_after is not None:
            slots.refused()
        raise explained from error
    slots.succeeded()
    return answer


def _folder(project: str, url: str) -> Path:
    digest = hashlib.blake2b(f"{project} {url}".encode(), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"geomeld-{os.getuid()}" / f"ee-{digest}"


@lru_cache(maxsize=1)  # the library knows one project at a time
def _open(project: str, url: str) -> None:
    """Raises ConfigError without a login that is any good: no other tile can escape it."""
    ee = module()
    try:
        ee.Initialize(_credentials(ee), url=url, project=project)
        ee.data.setDeadline(DEADLINE_MS)
        ee.data.setMaxRetries(0)  # `core.retry` tries again, and the slots have to hear of a refusal
        ee.data.setDefaultWorkloadTag("geomeld")
    except Exception as error:
        explained = _explained(error, f"Project {project}", url)
        raise (ConfigError(str(explained)) if isinstance(explained, AuthError) else explained) from error


def _credentials(ee: Any) -> Any:
    if not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return "persistent"
    import google.auth

    return google.auth.default(scopes=ee.oauth.SCOPES)[0]


def _explained(error: Exception, what: str, url: str) -> SourceError:
    """The kind of an error of the client, which tells an HTTP code only of the error that its own came from."""
    if isinstance(error, SourceError):
        return error
    told = str(error).strip() or type(error).__name__
    codes = [int(e.resp.status) for e in chain(error) if hasattr(e, "resp")]
    headers = next((dict(e.resp) for e in chain(error) if hasattr(e, "resp")), {})
    names = " ".join(t.__name__ for e in chain(error) for t in type(e).__mro__)
    if codes and (codes[0] >= 500 or codes[0] in BUSY):
        wait = asked_to_wait(headers) if codes[0] != 429 else asked_to_wait(headers) or 0.0
        pace.rest(url, wait)
        return TransientError(f"{what}: Earth Engine answered {codes[0]}: {told}. Try again later.", wait)
    if codes and codes[0] in (401, 403):
        return AuthError(f"{what} was refused by Earth Engine ({codes[0]}): {told}. Check the project, and {LOGIN}.")
    if codes and codes[0] == 404:
        return MissingAsset(f"{what}: Earth Engine does not have it: {told}.")
    if codes:
        low = told.lower()
        kind = TooMuch if "memory" in low or "timed out" in low or "too large" in low else SourceError
        return kind(f"{what}: Earth Engine refuses the request ({codes[0]}): {told}.")
    if "RefreshError" in names or "DefaultCredentialsError" in names or "authenticate" in told:
        return AuthError(f"{what}: the login to Earth Engine is missing or has expired ({told}); {LOGIN}.")
    if "ConnectionError" in names or "TimeoutError" in names or "TransportError" in names or "OSError" in names:
        return TransientError(f"{what}: Earth Engine did not answer: {told}. Try again later.")
    return SourceError(f"{what}: Earth Engine failed: {told}.")
