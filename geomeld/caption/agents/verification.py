"""Verification: holds the best candidate against the signals, edits what disagrees, and keeps the evidence."""

from collections.abc import Sequence
from typing import Any, Literal

from geomeld.caption.agents import facts_at, per_tile, settings, signals_at
from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.repair import repair
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.state import ChunkState
from geomeld.caption.writers import template
from geomeld.core.caption import Caption, Score, Signals
from geomeld.core.config import from_json, to_json

ROUNDS = 2
"""How often the Captioner may be asked before the plainest grounded sentence is taken."""
NEAR = 0.1
"""A runner-up within this of the best score is taken when it has no conflict and the best one has."""
PENALTY = 1.0
"""What a conflict costs in a score; taken off again where a runner-up is compared."""


def verification(state: ChunkState) -> ChunkState:
    """Fill `records`; a tile whose candidates are all beyond repair stays empty for another round."""
    records, errors = per_tile(state, lambda slot: state["records"][slot] or _checked(state, slot))
    return {"records": records, "errors": errors}


def finalize(state: ChunkState) -> ChunkState:
    """Fill the `records` that are still empty with the plainest grounded sentence."""
    config = settings(state)
    records, errors = per_tile(state, lambda slot: state["records"][slot] or _fallback(state, slot, config))
    return {"records": records, "errors": errors}


def unfinished(state: ChunkState) -> bool:
    """Whether a tile still needs candidates, and may have them."""
    waiting = [r is None and e is None for r, e in zip(state["records"], state["errors"], strict=True)]
    return any(waiting) and state["round"] < ROUNDS


def _checked(state: ChunkState, slot: int) -> dict[str, Any] | None:
    """The record of the first candidate that needs no edit or survives it, or of a model's revision that does; None
    where none does."""
    signals = signals_at(state, slot)
    revised = state["revised"][slot] if "revised" in state else None
    if revised is not None:
        return _from_revision(state, slot, revised, signals)
    candidates = state["candidates"][slot]
    scores = [from_json(Score, s) for s in state["scores"][slot]]
    for score in order(scores):
        draft = candidates[score.candidate]
        text, edits = repair(draft["text"], signals)
        if text is not None:
            status: Literal["repaired", "verified"] = "repaired" if edits else "verified"
            return _record(signals, text, status, draft, edits, candidates, scores, state["round"])
    return None


def _from_revision(state: ChunkState, slot: int, revised: dict[str, Any], signals: Signals) -> dict[str, Any] | None:
    text, edits = repair(revised["text"], signals) if revised["text"] else (None, [])
    if text is None:  # the rules let nothing stand that is not measured, a model's additions included
        return None
    candidates = state["candidates"][slot]
    draft = next(c for c in candidates if c["text"] == revised["of"])
    before = [v.rule for v in conflicts(verify(draft["text"], extract(draft["text"]), signals))]
    rewritten = {"rule": "model", "before": draft["text"], "after": revised["text"], "evidence": {"conflicts": before}}
    scores = [from_json(Score, s) for s in state["scores"][slot]]
    return _record(signals, text, "repaired", draft, [rewritten, *edits], candidates, scores, state["round"])


def order(scores: Sequence[Score]) -> list[Score]:
    """Best first; where the best has conflicts, runners-up without any that are nearly as good go before it."""
    if not scores or not scores[0].parts.get("conflicts"):
        return list(scores)
    best = scores[0].total + PENALTY * scores[0].parts["conflicts"]
    clean = [s for s in scores if not s.parts.get("conflicts") and s.total >= best - NEAR]
    return clean + [s for s in scores if s not in clean]


def _fallback(state: ChunkState, slot: int, config: CaptionConfig) -> dict[str, Any]:
    """The first grounded sentence that rules accept or can mend, from ever fewer facts; "failed" where none is."""
    signals, facts = signals_at(state, slot), facts_at(state, slot)
    plan = from_json(Plan, state["plans"][slot])
    candidates, scores = state["candidates"][slot], [from_json(Score, s) for s in state["scores"][slot]]
    for draft in _plain(signals, facts, plan, config):
        text, edits = repair(draft.text, signals)
        if text is not None:
            return _record(signals, text, "fallback", to_json(draft), edits, candidates, scores, state["round"])
    nothing = {"text": "", "angle": "", "frame": "", "error": ""}
    return _record(signals, "", "failed", nothing, [], candidates, scores, state["round"])


def _plain(signals: Signals, facts: Sequence[Fact], plan: Plan, config: CaptionConfig) -> list[template.Draft]:
    return [
        draft
        for keep in range(len(facts), 0, -1)
        for draft in template.drafts(signals.tile_id, facts[:keep], plan, config, 100 + keep)
    ]


def _record(
    signals: Signals,
    text: str,
    status: Literal["verified", "repaired", "fallback", "failed"],
    draft: dict[str, Any],
    edits: list[dict[str, Any]],
    candidates: Sequence[dict[str, Any]],
    scores: Sequence[Score],
    rounds: int,
) -> dict[str, Any]:
    claims = extract(text)
    return to_json(
        Caption(
            tile_id=signals.tile_id,
            text=text,
            original=draft["text"],
            status=status,
            candidates=tuple(c["text"] for c in candidates),
            scores=tuple(scores),
            claims=claims,
            verdicts=verify(text, claims, signals) if text else (),
            edits=tuple(edits),
            provenance={"angle": draft["angle"], "frame": draft["frame"], "injected": draft["error"], "rounds": rounds},
        )
    )
