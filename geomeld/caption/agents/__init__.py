"""The four agents of paper 3.3, each a function from state to what it changes; a tile's failure stays in its slot."""

from collections.abc import Callable
from typing import Any

from geomeld.caption.config import CaptionConfig
from geomeld.caption.state import ChunkState
from geomeld.core.config import from_json


def settings(state: ChunkState) -> CaptionConfig:
    """The run's configuration."""
    return from_json(CaptionConfig, state["config"])


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
