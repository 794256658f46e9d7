"""Captioner: several candidate sentences per tile, from its facts."""

from geomeld.caption.agents import per_tile, settings
from geomeld.caption.facts import Fact
from geomeld.caption.state import ChunkState
from geomeld.caption.writers import WRITERS
from geomeld.core.config import from_json


def caption(state: ChunkState) -> ChunkState:
    """Fill `candidates` of tiles that have no record yet."""
    config, round_number = settings(state), state["round"]
    write = WRITERS[config.writer]
    records = state.get("records") or [None] * len(state["signals"])

    def work(slot: int) -> list[str]:
        if records[slot] is not None:
            return state["candidates"][slot]
        facts = [from_json(Fact, f) for f in state["facts"][slot]]
        return write(state["signals"][slot]["tile_id"], facts, config, round_number)

    candidates, errors = per_tile(state, work)
    return {"candidates": [c or [] for c in candidates], "errors": errors, "round": round_number + 1}
