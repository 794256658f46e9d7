"""Progress: how fast a run goes, how much of it is waiting for data, how long it will take, what memory it holds."""

import resource
import sys
from collections import deque
from dataclasses import dataclass, field

import torch

WINDOW = 50
"""Steps that the figures look back over."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Of the last steps."""

    samples_per_second: float
    waiting: float
    """Share of the time that was spent waiting for data, 0..1."""
    seconds_per_step: float
    memory: float
    """Highest so far, GiB: of the GPU where there is one, else of the process."""


@dataclass
class Meter:
    """Steps in, Pace out."""

    _steps: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, samples: int, seconds: float, waited: float) -> Pace:
        """Count one step of `seconds`, of which `waited` went by before its data came."""
        self._steps.append((samples, seconds, waited))
        total = max(sum(s for _, s, _ in self._steps), 1e-9)
        return Pace(
            sum(n for n, _, _ in self._steps) / total,
            sum(w for _, _, w in self._steps) / total,
            total / len(self._steps),
            peak_memory() / 2**30,
        )


def peak_memory() -> int:
    """Bytes that were held at most: on the GPU where torch has used one, else by this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min, 5 h 10 min, 2 d 3 h."""
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{int(hours // 24)} d {round(hours % 24)} h"
