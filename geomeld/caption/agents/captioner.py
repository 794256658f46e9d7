"""Captioner: several candidate sentences per tile, from its facts."""

from typing import Any

from geomeld.caption.agents import facts_at, per_tile, settings
from geomeld.caption.plan import Plan
from geomeld.caption.state import ChunkState
from geomeld.caption.writers import WRITERS
from geomeld.core.config import from_json, to_json


def caption(state: ChunkState) -> ChunkState:
    """Fill `candidates` of tiles that have no record yet."""
    config, round_number = settings(state), state["round"]
    write = WRITERS[config.writer]

    def work(slot: int) -> list[dict[str, Any]]:
        if state["records"][slot] is not None:
            return state["candidates"][slot]
        plan = from_json(Plan, state["plans"][slot])
        return to_json(write(state["signals"][slot]["tile_id"], facts_at(state, slot), plan, config, round_number))

    candidates, errors = per_tile(state, work)
    return {"candidates": [c or [] for c in candidates], "errors": errors, "round": round_number + 1}
