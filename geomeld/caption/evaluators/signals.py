"""The signal-agreement evaluator: how many claims the measurements support, and how many salient facts are told."""

from collections.abc import Sequence

from geomeld.caption.claims import extract
from geomeld.caption.facts import Fact
from geomeld.caption.rules import conflicts, verify
from geomeld.core.caption import Score, Signals

WEIGHTS = {"agreement": 0.6, "coverage": 0.3, "style": 0.1}
PENALTY = 1.0
"""Per hard conflict (captions study 1.4)."""
SALIENT = 0.5


def rank(candidates: Sequence[str], signals: Signals, facts: Sequence[Fact]) -> list[Score]:
    """Scores of all candidates, best first; ties keep the order in which they were written."""
    scores = [_score(k, text, signals, facts) for k, text in enumerate(candidates)]
    return sorted(scores, key=lambda s: (-s.total, s.candidate))


def _score(number: int, text: str, signals: Signals, facts: Sequence[Fact]) -> Score:
    claims = extract(text)
    verdicts = verify(claims, signals)
    wrong = {v.claim_id for v in verdicts if v.status != "supported"}
    right = {v.claim_id for v in verdicts} - wrong
    agreement = len(right) / max(len(right) + len(wrong), 1)
    salient = {f.concept if f.role != "relief" else "relief" for f in facts if f.salience >= SALIENT}
    told = {c.concept for c in claims} | ({"relief"} if {c.concept for c in claims} & _RELIEF else set())
    coverage = len(salient & told) / max(len(salient), 1)
    words = len(text.split())
    style = 1.0 if 8 <= words <= 30 else 0.5
    parts = {"agreement": agreement, "coverage": coverage, "style": style, "conflicts": float(len(conflicts(verdicts)))}
    total = sum(WEIGHTS[k] * parts[k] for k in WEIGHTS) - PENALTY * parts["conflicts"]
    return Score(number, round(total, 6), {k: round(v, 6) for k, v in parts.items()})


_RELIEF = {"flat", "undulating", "rolling", "hilly", "mountain"}
