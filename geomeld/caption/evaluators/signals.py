"""The signal-agreement evaluator: how many claims the measurements support, and how many salient facts are told."""

from collections.abc import Sequence

from geomeld.caption.claims import extract
from geomeld.caption.facts import Fact
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.rules.objects import SAME
from geomeld.caption.rules.rule import KINDS_OF, SUM_OF
from geomeld.core.caption import Claim, Score, Signals

WEIGHTS = {"agreement": 0.6, "coverage": 0.3, "style": 0.1}
PENALTY = 1.0
"""Per hard conflict (captions study 1.4)."""
SALIENT = 0.5
WORDS = (12, 30)
"""Of the published captions' kind."""
CLASSES = frozenset(("flat", "undulating", "rolling", "hilly", "mountain"))


def rank(candidates: Sequence[str], signals: Signals, facts: Sequence[Fact]) -> list[Score]:
    """Scores of all candidates, best first; ties keep the order in which they were written.

    agreement: F1 of the share of claims that are supported and the share of salience that is told; coverage: share of
    the facts of at least SALIENT that are told; style: length and no word of substance twice.
    """
    scores = [_score(k, text, signals, facts) for k, text in enumerate(candidates)]
    return sorted(scores, key=lambda s: (-s.total, s.candidate))


def _score(number: int, text: str, signals: Signals, facts: Sequence[Fact]) -> Score:
    claims = extract(text)
    verdicts = verify(text, claims, signals)
    wrong = {v.claim_id for v in verdicts if v.status != "supported"}
    precision = 1 - len(wrong & {c.claim_id for c in claims}) / len(claims) if claims else 0.0
    told = [f for f in facts if _is_told(f, claims)]
    weight = sum(f.salience for f in facts)
    recall = sum(f.salience for f in told) / weight if weight else 0.0
    salient = [f for f in facts if f.salience >= SALIENT]
    parts = {
        "agreement": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "coverage": sum(f in told for f in salient) / len(salient) if salient else 1.0,
        "style": _style(text),
        "conflicts": float(len(conflicts(verdicts))),
    }
    total = sum(WEIGHTS[k] * parts[k] for k in WEIGHTS) - PENALTY * parts["conflicts"]
    return Score(number, round(total, 6), {k: round(v, 6) for k, v in parts.items()})


def _is_told(fact: Fact, claims: Sequence[Claim]) -> bool:
    said = {c.concept for c in claims if not c.negated}
    if fact.role == "relief" and fact.concept == "relief":
        return bool(said & CLASSES)
    if fact.role == "object":
        same = {k for k, others in SAME.items() if fact.concept in others}
        return bool(said & ({fact.concept} | same)) or (fact.concept in ("house", "building") and "built" in said)
    broad = {k for k, parts in {**SUM_OF, **KINDS_OF}.items() if fact.concept in parts}
    return bool(said & ({fact.concept} | broad)) or (fact.concept == "sea" and "coast" in said)


def _style(text: str) -> float:
    words = [w.strip(",.").lower() for w in text.split()]
    nouns = [c.text.lower() for c in extract(text) if GROUP_OF[c.concept] != "style"]
    length = 1.0 if WORDS[0] <= len(words) <= WORDS[1] else 0.5
    return length * (1.0 if len(set(nouns)) == len(nouns) else 0.7)
