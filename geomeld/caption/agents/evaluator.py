"""Evaluator: the score table of the candidates."""

from geomeld.caption.agents import facts_at, per_tile, signals_at
from geomeld.caption.evaluators import Evaluator
from geomeld.caption.state import ChunkState
from geomeld.core.config import to_json


def evaluate(state: ChunkState, rank: Evaluator) -> ChunkState:
    """Fill `scores`, best candidate first."""

    def work(slot: int) -> list[dict]:
        if state["records"][slot] is not None:
            return state["scores"][slot]
        texts = [c["text"] for c in state["candidates"][slot]]
        return to_json(rank(texts, signals_at(state, slot), facts_at(state, slot)))

    scores, errors = per_tile(state, work)
    return {"scores": [s or [] for s in scores], "errors": errors}
