"""Captioner: several candidate sentences per tile, from its facts."""

from typing import Any

from geomeld.caption.agents import facts_at, per_tile, settings
from geomeld.caption.plan import Plan
from geomeld.caption.state import ChunkState
from geomeld.caption.writers import WRITERS
from geomeld.caption.writers.author import Asked, Author
from geomeld.core.config import from_json, to_json


def caption(state: ChunkState, author: Author | None = None) -> ChunkState:
    """Fill `candidates` of tiles that have no record yet: by `author` for all of them at once, else tile by tile."""
    if author is not None:
        return _by_author(state, author)
    config, round_number = settings(state), state["round"]
    write = WRITERS[config.writer]

    def work(slot: int) -> list[dict[str, Any]]:
        if state["records"][slot] is not None:
            return state["candidates"][slot]
        plan = from_json(Plan, state["plans"][slot])
        return to_json(write(state["signals"][slot]["tile_id"], facts_at(state, slot), plan, config, round_number))

    candidates, errors = per_tile(state, work)
    revised: list[dict[str, Any] | None] = [None] * len(errors)
    return {
        "candidates": [c or [] for c in candidates], "revised": revised, "errors": errors, "round": round_number + 1
    }  # fmt: skip


def _by_author(state: ChunkState, author: Author) -> ChunkState:
    errors, notes = list(state["errors"]), list(state["notes"])
    candidates = list(state.get("candidates") or [[] for _ in errors])
    slots = [i for i, record in enumerate(state["records"]) if record is None and errors[i] is None]
    for slot, written in zip(slots, author([asked_at(state, slot) for slot in slots], state["round"]), strict=True):
        candidates[slot], errors[slot] = to_json(written.drafts), written.error
        notes[slot] = [*notes[slot], written.note]
    revised: list[dict[str, Any] | None] = [None] * len(errors)
    return {
        "candidates": candidates, "revised": revised, "errors": errors, "notes": notes, "round": state["round"] + 1
    }  # fmt: skip


def asked_at(state: ChunkState, slot: int) -> Asked:
    """What a model is asked about a tile."""
    signals, plan = state["signals"][slot], from_json(Plan, state["plans"][slot])
    return Asked(signals["tile_id"], facts_at(state, slot), plan, signals["season"], signals["gsd_m"])
