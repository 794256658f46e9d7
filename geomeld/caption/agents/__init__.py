"""The four agents of paper 3.3, each a function from state to what it changes; a tile's failure stays in its slot."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.state import ChunkState
from geomeld.core.caption import Signals
from geomeld.core.config import from_json


def settings(state: ChunkState) -> CaptionConfig:
    """The run's configuration."""
    return from_json(CaptionConfig, state["config"])


def signals_at(state: ChunkState, slot: int) -> Signals:
    """The signals of a tile."""
    return _signals(_Same(state["signals"][slot]))


def facts_at(state: ChunkState, slot: int) -> tuple[Fact, ...]:
    """The facts of a tile."""
    return _facts(_Same(state["facts"][slot]))


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """A piece of state as a key: equal to itself alone, and alive as long as the key is."""

    value: Any

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


@lru_cache(maxsize=256)
def _signals(piece: _Same) -> Signals:
    # Checking types costs more than writing a caption, and four agents ask for the same tile.
    return from_json(Signals, piece.value)


@lru_cache(maxsize=256)
def _facts(piece: _Same) -> tuple[Fact, ...]:
    return tuple(from_json(Fact, f) for f in piece.value)


def per_tile(state: ChunkState, work: Callable[[int], Any]) -> tuple[list[Any], list[str | None]]:
    """(results, errors) of `work` over all slots; a slot with an error is passed over, a new one is noted."""
    errors = list(state["errors"])
    results: list[Any] = []
    for slot in range(len(state["signals"])):
        result = None
        if errors[slot] is None:
            try:
                result = work(slot)
            except Exception as error:  # one tile must not end the other sixty-three
                errors[slot] = f"{type(error).__name__}: {error}"
        results.append(result)
    return results, errors
