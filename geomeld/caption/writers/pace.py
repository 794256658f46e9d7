"""Pace: how many requests may be in flight: one more per round of successes, half after a sign of overload."""

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Additive increase, multiplicative decrease; used as `async with pace:` around a request."""

    def __init__(self, start: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`start` requests at first, never more than `most`."""
        self.limit = float(min(start, most))
        self.flying = 0
        self._most, self._clock, self._halved = most, clock, float("-inf")
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> "Pace":
        async with self._changed:
            await self._changed.wait_for(lambda: self.flying < int(self.limit))
            self.flying += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self.flying -= 1
            self._changed.notify_all()

    def went_well(self) -> None:
        """An answer came: as many of them as are in flight allow one more."""
        self.limit = min(self.limit + 1 / self.limit, self._most)

    def was_too_much(self) -> None:
        """429, 503 or a hang: half as many. What comes within a second of it tells nothing new."""
        if self._clock() - self._halved >= 1.0:
            self.limit, self._halved = max(self.limit / 2, 1.0), self._clock()
