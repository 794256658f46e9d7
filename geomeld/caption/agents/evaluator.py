"""Evaluator: the score table of the candidates."""

from geomeld.caption.agents import per_tile, settings
from geomeld.caption.evaluators import EVALUATORS
from geomeld.caption.facts import Fact
from geomeld.caption.state import ChunkState
from geomeld.core.caption import Signals
from geomeld.core.config import from_json, to_json


def evaluate(state: ChunkState) -> ChunkState:
    """Fill `scores`, best candidate first."""
    rank = EVALUATORS[settings(state).evaluator]

    def work(slot: int) -> list[dict]:
        facts = [from_json(Fact, f) for f in state["facts"][slot]]
        return to_json(rank(state["candidates"][slot], from_json(Signals, state["signals"][slot]), facts))

    scores, errors = per_tile(state, work)
    return {"scores": [s or [] for s in scores], "errors": errors}
