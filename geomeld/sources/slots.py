"""Slots: how many requests all processes of a machine have under way at once, adapted to what the server can take."""

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE = struct.Struct("<dd")
"""What is kept: the number of slots, and when it was last cut, seconds since the epoch."""

POLL_S = 0.05
"""Seconds between looks for a free slot."""

QUIET_S = 2.0
"""Refusals within so many seconds of a cut are of requests from before it, and cut no further."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Slots of one server, shared by every process that sees `folder`; a process that dies leaves its slot free.

    Each request that succeeds widens the way a little (one slot more per round of all), each refusal halves it.
    """

    folder: Path
    most: int = 40
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a free slot and hold it for the length of the block."""
        handle = self._take()
        try:
            yield
        finally:
            os.close(handle)

    def width(self) -> float:
        """How many slots there are now."""
        with self._state() as state:
            return state[0]

    def succeeded(self) -> None:
        """A request came back whole."""
        with self._state() as state:
            state[0] = min(state[0] + 1 / state[0], float(self.most))

    def refused(self) -> None:
        """The server said that these are too many."""
        with self._state() as state:
            if self.now() - state[1] > QUIET_S:
                state[0], state[1] = max(state[0] / 2, 1.0), self.now()

    def _take(self) -> int:
        while True:
            for number in range(int(self.width())):
                handle = os.open(self.folder / str(number), os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return handle
                except OSError:
                    os.close(handle)
            self.sleep(POLL_S)

    @contextmanager
    def _state(self) -> Iterator[list[float]]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / "width", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            data = os.pread(handle, STATE.size, 0)
            state = list(STATE.unpack(data)) if len(data) == STATE.size else [float(self.most), 0.0]
            yield state
            os.pwrite(handle, STATE.pack(*state), 0)
        finally:
            os.close(handle)
