"""Orchestrator: turns the signals of each tile into facts and a plan for telling them."""

from geomeld.caption.agents import facts_at, per_tile, signals_at
from geomeld.caption.facts import facts_of
from geomeld.caption.plan import plan_of
from geomeld.caption.state import ChunkState
from geomeld.core.config import to_json


def orchestrate(state: ChunkState) -> ChunkState:
    """Fill `facts` and `plans`."""
    facts, errors = per_tile(state, lambda slot: to_json(facts_of(signals_at(state, slot))))
    state = {**state, "facts": [f or [] for f in facts], "errors": errors}
    plans, errors = per_tile(state, lambda slot: to_json(plan_of(facts_at(state, slot), signals_at(state, slot))))
    return {"facts": state["facts"], "plans": plans, "errors": errors, "round": 0}
