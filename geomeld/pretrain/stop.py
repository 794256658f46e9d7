"""Stop: SIGTERM and Ctrl-C as a wish that is granted after the step, when the state has been saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from geomeld.core.errors import Terminated


class Stop:
    """Whether this process has been asked to end."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """SIGTERM, SIGINT, or None while nobody has asked."""

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal: SIGTERM, and the first SIGINT, are kept for later; a second SIGINT ends at once."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def obey(self, number: int, step: int) -> None:
        """Raise what a signal means: KeyboardInterrupt for SIGINT, Terminated (exit code 143) for SIGTERM."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Terminated(f"asked to end (SIGTERM); step {step} is saved, run the same command again to go on.")


@contextmanager
def stopping() -> Iterator[Stop]:
    """Handle signals while this lasts; outside the main thread there is nothing to handle."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
