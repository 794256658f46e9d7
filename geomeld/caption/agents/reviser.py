"""Reviser: has a model rewrite captions that no edit of ours could save, from words alone (captions study 1.5)."""

from typing import Any

from geomeld.caption.agents import settings, signals_at
from geomeld.caption.agents.captioner import asked_at
from geomeld.caption.agents.verification import order
from geomeld.caption.claims import extract
from geomeld.caption.rules import TITLES, conflicts, verify
from geomeld.caption.state import ChunkState
from geomeld.caption.writers.author import Author, Revision
from geomeld.core.caption import Score
from geomeld.core.config import from_json


def revise(state: ChunkState, author: Author) -> ChunkState:
    """Fill `revised` for tiles whose candidates were all beyond repair, once a round."""
    errors, notes, revised = list(state["errors"]), list(state["notes"]), list(state["revised"])
    slots = to_revise(state)
    for slot, written in zip(slots, author.revise([_revision(state, s) for s in slots]), strict=True):
        revised[slot] = {"of": _best(state, slot)["text"], "text": written.drafts[0].text if written.drafts else ""}
        errors[slot] = written.error
        notes[slot] = [*notes[slot], written.note]
    return {"revised": revised, "errors": errors, "notes": notes}


def to_revise(state: ChunkState) -> list[int]:
    """Slots without a record that have a candidate and no revision of it yet; none where revision is off."""
    if not settings(state).revise:
        return []
    open_slots = (i for i, r in enumerate(state["records"]) if r is None and state["errors"][i] is None)
    return [i for i in open_slots if state["revised"][i] is None and state["candidates"][i]]


def _best(state: ChunkState, slot: int) -> dict[str, Any]:
    scores = order([from_json(Score, s) for s in state["scores"][slot]])
    return state["candidates"][slot][scores[0].candidate if scores else 0]


def _revision(state: ChunkState, slot: int) -> Revision:
    text, signals = _best(state, slot)["text"], signals_at(state, slot)
    claims = extract(text)
    words = {c.claim_id: c.text for c in claims}
    found = conflicts(verify(text, claims, signals))
    problems = dict.fromkeys((words.get(v.claim_id, text), TITLES[v.rule]) for v in found)
    return Revision(asked_at(state, slot), text, tuple(problems))
