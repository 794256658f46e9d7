"""Retry: the one policy of trying again, with waits that double and are spread by keyed draws."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from geomeld.core.draw import draw_words, unit
from geomeld.core.errors import ConfigError, SourceError

R = TypeVar("R")

LONGEST_ASKED_S = 3600.0
"""A server's Retry-After is honoured up to an hour."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is made, and how long it is waited in between."""

    tries: int = 5
    """Times in all."""
    first_wait_s: float = 1.0
    """Mean seconds before the second try; each further wait is twice as long."""
    longest_wait_s: float = 60.0
    """No wait of our own is longer."""

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ConfigError(f"{self} is no policy: at least one try, and 0 <= first_wait_s <= longest_wait_s.")

    def wait_s(self, key: str, made: int, asked: float | None = None) -> float:
        """Seconds to wait after `made` tries that failed: half to one and a half times the doubled wait, by a draw that
        belongs to the key, or what the server asked for where that is longer."""
        word, _ = draw_words(0, "retry", f"{key}|{made}")
        doubled = self.first_wait_s * 2.0 ** min(made - 1, 60)
        own = min(doubled * (0.5 + unit(word)), self.longest_wait_s)
        return max(own, min(asked or 0.0, LONGEST_ASKED_S))

    def call(self, work: Callable[[], R], key: str, sleep: Callable[[float], None] = time.sleep) -> tuple[R, int]:
        """(`work()`, number of tries). Errors whose kind a further try may cure are met with one; the last try's error,
        and every other one at once, is raised with the number of tries made in `error.tries`."""
        for made in range(1, self.tries + 1):
            try:
                return work(), made
            except SourceError as error:
                error.tries = made
                if not error.again or made == self.tries:
                    raise
                sleep(self.wait_s(key, made, getattr(error, "retry_after", None)))
        raise AssertionError("a policy has at least one try")
