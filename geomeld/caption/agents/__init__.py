"""The four agents of paper 3.3, each a function from state to what it changes; a tile's failure stays in its slot."""

import json
from collections.abc import Callable
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
    return _signals(json.dumps(state["signals"][slot]))


def facts_at(state: ChunkState, slot: int) -> tuple[Fact, ...]:
    """The facts of a tile."""
    return _facts(json.dumps(state["facts"][slot]))


@lru_cache(maxsize=256)
def _signals(text: str) -> Signals:
    # Checking types costs more than reading JSON, and four agents ask for the same tile.
    return from_json(Signals, json.loads(text))


@lru_cache(maxsize=256)
def _facts(text: str) -> tuple[Fact, ...]:
    return tuple(from_json(Fact, f) for f in json.loads(text))


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
