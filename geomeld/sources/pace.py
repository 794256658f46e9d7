"""Pace: how many requests per second a host gets from all processes of a run, and when it asked for a rest."""

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from geomeld.core.errors import ConfigError
from geomeld.core.retry import LONGEST_ASKED_S

RATES: Mapping[str, float] = {"planetarycomputer.microsoft.com": 5.0}
"""Requests per second by host, where nothing else is asked for; other hosts have no limit. The search of the Planetary
Computer has banned faster users; its files lie elsewhere."""

STATE = struct.Struct("<dd")
"""What is kept of a host: when its bucket will be full again, and until when it rests; seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A token bucket per host, shared by every process that sees `folder`. A bucket holds the tokens of one second."""

    folder: Path
    rates: Mapping[str, float] = field(default_factory=lambda: dict(RATES))
    """Requests per second by host."""
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def take(self, href: str) -> None:
        """Wait for a token of the address's host, and until its rest is over; local paths need none."""
        host = _host(href)
        if host is None:
            return
        rate = self.rates.get(host)
        if rate is None and not self._file(host).exists():
            return
        wait = self._reserve(host, rate)
        if wait > 0:
            self.sleep(wait)

    def rest(self, href: str, seconds: float) -> None:
        """No process asks this host for so long: it said so (Retry-After)."""
        host = _host(href)
        if host is not None:
            with self._state(host) as state:
                state[1] = max(state[1], self.now() + min(seconds, LONGEST_ASKED_S))

    def _reserve(self, host: str, rate: float | None) -> float:
        """Take a token, perhaps one of the future, and say how long it is until then."""
        with self._state(host) as state:
            now = self.now()
            ready = now
            if rate is not None:
                step = 1.0 / rate
                ready = max(now, state[0] - max(1.0 - step, 0.0))
                state[0] = max(state[0], now, state[1]) + step
            return max(ready, state[1]) - now

    @contextmanager
    def _state(self, host: str) -> Iterator[list[float]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._file(host), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            data = os.pread(handle, STATE.size, 0)
            state = list(STATE.unpack(data)) if len(data) == STATE.size else [0.0, 0.0]
            yield state
            os.pwrite(handle, STATE.pack(*state), 0)
        finally:
            os.close(handle)

    def _file(self, host: str) -> Path:
        return self.folder / host.replace(":", "_")


_current: ContextVar[Pace | None] = ContextVar("pace", default=None)


@contextmanager
def paced(pace: Pace | None) -> Iterator[None]:
    """Within the block, `take` and `rest` go by this pace."""
    token = _current.set(pace)
    try:
        yield
    finally:
        _current.reset(token)


def take(href: str) -> None:
    """To be called before a request to a host; returns when it may be made."""
    pace = _current.get()
    if pace is not None:
        pace.take(href)


def rest(href: str, seconds: float | None) -> None:
    """To be called when a host asked for patience; `seconds` as in its Retry-After, None where it did not say."""
    pace = _current.get()
    if pace is not None and seconds:
        pace.rest(href, seconds)


def parsed_rates(texts: tuple[str, ...]) -> dict[str, float]:
    """The default rates with those of "HOST=PER_SECOND" in their place. Raises ConfigError for another form."""
    rates = dict(RATES)
    for text in texts:
        host, _, number = text.rpartition("=")
        try:
            rates[host] = float(number)
        except ValueError:
            rates[host] = 0.0
        if not host or not 0 < rates[host] < float("inf"):
            raise ConfigError(f"{text!r} is no rate; write for example example.org=5 for five requests per second.")
    return rates


def _host(href: str) -> str | None:
    return urlsplit(href).hostname if href.startswith(("http://", "https://")) else None
