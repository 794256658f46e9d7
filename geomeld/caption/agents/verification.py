"""Verification: holds the best candidate against the signals, edits what disagrees, and keeps the evidence."""

from typing import Any

from geomeld.caption.agents import per_tile, settings
from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.repair import repair, well_formed
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.state import ChunkState
from geomeld.caption.writers import template
from geomeld.core.caption import Caption, Score, Signals
from geomeld.core.config import from_json, to_json

ROUNDS = 2
"""How often the Captioner may be asked before the plainest grounded sentence is taken."""
NEAR = 0.1
"""A runner-up within this of the best score is taken when it has no conflict and the best one has."""


def verification(state: ChunkState) -> ChunkState:
    """Fill `records`; a tile whose candidates are all beyond repair stays empty for another round, or falls back."""
    config, last = settings(state), state["round"] >= ROUNDS
    known = state.get("records") or [None] * len(state["signals"])
    records, errors = per_tile(state, lambda slot: known[slot] or _record(state, slot, config, last))
    return {"records": records, "errors": errors}


def unfinished(state: ChunkState) -> bool:
    """Whether a tile still needs candidates, and may have them."""
    open_slots = [s for s, r in enumerate(state["records"]) if r is None and state["errors"][s] is None]
    return bool(open_slots) and state["round"] < ROUNDS


def _record(state: ChunkState, slot: int, config: CaptionConfig, last: bool) -> dict[str, Any] | None:
    signals = from_json(Signals, state["signals"][slot])
    candidates = state["candidates"][slot]
    scores = [from_json(Score, s) for s in state["scores"][slot]]
    for score in _order(scores):
        text, edits = repair(candidates[score.candidate], signals)
        if text is not None:
            status = "repaired" if edits else "verified"
            return _caption(signals, text, candidates[score.candidate], status, edits, candidates, scores)
    if not last:
        return None
    text = _fallback(state, slot, signals, config)
    original = candidates[scores[0].candidate] if scores else ""
    return _caption(signals, text, original, "fallback" if text else "failed", [], candidates, scores)


def _order(scores: list[Score]) -> list[Score]:
    """Best first; a conflict-free runner-up within NEAR of a best one that has conflicts goes before it."""
    if not scores or not scores[0].parts.get("conflicts"):
        return scores
    clean = [s for s in scores if not s.parts.get("conflicts") and s.total >= scores[0].total - NEAR]
    return clean + [s for s in scores if s not in clean]


def _fallback(state: ChunkState, slot: int, signals: Signals, config: CaptionConfig) -> str:
    """The first grounded sentence without a conflict, from ever fewer facts; empty where nothing can be said."""
    facts = [from_json(Fact, f) for f in state["facts"][slot]]
    for keep in range(len(facts), 0, -1):
        for text in template.drafts(signals.tile_id, facts[:keep], config, 100 + keep):
            if well_formed(text) and not conflicts(verify(extract(text), signals)):
                return text
    return ""


def _caption(
    signals: Signals,
    text: str,
    original: str,
    status: Any,
    edits: list[dict[str, Any]],
    candidates: list[str],
    scores: list[Score],
) -> dict[str, Any]:
    claims = extract(text)
    return to_json(
        Caption(
            signals.tile_id,
            text,
            original,
            status,
            tuple(candidates),
            tuple(scores),
            claims,
            verify(claims, signals),
            tuple(edits),
        )
    )
