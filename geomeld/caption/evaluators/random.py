"""The random evaluator: a control that every other evaluator has to beat; each score is a keyed draw."""

from collections.abc import Sequence

from geomeld.caption.facts import Fact
from geomeld.core.caption import Score, Signals
from geomeld.core.draw import draw_words, unit


def rank(candidates: Sequence[str], signals: Signals, facts: Sequence[Fact], seed: int = 0) -> list[Score]:
    """Scores of all candidates in random order, the same for the same seed, tile and sentence."""
    drawn = [unit(draw_words(seed, "evaluator", f"{signals.tile_id}|{k}|{t}")[0]) for k, t in enumerate(candidates)]
    # Verification counts conflicts wherever it looks for a better candidate: a control must not have it do so.
    scores = [Score(k, round(value, 6), {"draw": round(value, 6)}) for k, value in enumerate(drawn)]
    return sorted(scores, key=lambda s: (-s.total, s.candidate))
