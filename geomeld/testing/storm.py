"""Storm: the faults of a bad day on the web, drawn by key for every request that a loopback server gets."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock

from geomeld.core.draw import draw_words, unit


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one request."""

    status: int = 0
    """Answer with this code."""
    retry_after_s: float | None = None
    """With this Retry-After."""
    hang_s: float = 0.0
    """Wait for so long, then hang up without a word."""
    kept: float = 1.0
    """Share of the body that is sent before the connection breaks."""


@dataclass(slots=True)
class Storm:
    """Shares of all requests that meet each fault. The n-th request for one part of a file always meets the same."""

    seed: int = 0
    fails: float = 0.0
    """500, 502, 503 or 504."""
    hangs: float = 0.0
    hang_s: float = 60.0
    breaks: float = 0.0
    """The body is cut at some point."""
    refuses: float = 0.0
    """403, as for a token that has expired."""
    busy: float = 0.0
    """429, with a Retry-After of `busy_s` seconds."""
    busy_s: float = 1.0
    met: Counter[str] = field(default_factory=Counter)
    """How often each fault was met so far; "calm" for none."""
    _asked: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def fault(self, path: str, asked: str | None) -> Fault:
        """What befalls the next request for a path and its Range header."""
        key = f"{path}|{asked}"
        with self._lock:
            self._asked[key] += 1
            name, fault = self._drawn(f"{key}|{self._asked[key]}")
            self.met[name] += 1
        return fault

    def _drawn(self, key: str) -> tuple[str, Fault]:
        first, second = (unit(w) for w in draw_words(self.seed, "storm", key))
        kinds = {
            "fails": (self.fails, Fault(status=(500, 502, 503, 504)[int(second * 4)])),
            "hangs": (self.hangs, Fault(hang_s=self.hang_s)),
            "breaks": (self.breaks, Fault(kept=second)),
            "refuses": (self.refuses, Fault(status=403)),
            "busy": (self.busy, Fault(status=429, retry_after_s=self.busy_s)),
        }
        for name, (share, fault) in kinds.items():
            if first < share:
                return name, fault
            first -= share
        return "calm", Fault()
