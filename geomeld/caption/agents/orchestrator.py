"""Orchestrator: turns the signals of each tile into the facts that may be said, most salient first."""

from geomeld.caption.agents import per_tile
from geomeld.caption.facts import facts_of
from geomeld.caption.state import ChunkState
from geomeld.core.caption import Signals
from geomeld.core.config import from_json, to_json


def orchestrate(state: ChunkState) -> ChunkState:
    """Fill `facts`."""
    facts, errors = per_tile(state, lambda slot: to_json(facts_of(from_json(Signals, state["signals"][slot]))))
    return {"facts": [f or [] for f in facts], "errors": errors, "round": 0}
