"""Injection: one error of a known type is put into a true caption, to see what verification makes of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact, facts_of
from geomeld.caption.plan import Plan, plan_of
from geomeld.caption.quality.judge import assertions
from geomeld.caption.quality.tally import Place, content, invented, is_true
from geomeld.caption.repair import repair
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.writers import template
from geomeld.caption.writers.noisy import ERRORS
from geomeld.core.caption import Signals, Verdict
from geomeld.core.draw import draw_words

OF_FORM = frozenset(("truncation", "empty"))
"""Errors that leave no plain sentence; all others say something false, or something that no caption says."""
EXAMPLES = 3
"""Failures kept per type."""


@dataclass
class Outcome:
    """What became of one type of error."""

    made: int = 0
    harmless: int = 0
    """Not made after all: the altered sentence is true of the place."""
    detected: int = 0
    located: int = 0
    """Detected on the very words that were changed, or as a fault of the whole sentence."""
    edited: int = 0
    """Repaired in place, to a sentence that is true."""
    rewritten: int = 0
    """Given up, and a true sentence written instead."""
    known: int = 0
    """Repaired, in place or by another sentence, to one that says nothing but what is true or measured."""
    claims: int = 0
    """True claims beside the error, in captions repaired in place."""
    lost: int = 0
    """Of those, no longer in the repaired caption."""
    missed: list[dict[str, str]] = field(default_factory=list)
    """Examples of errors not detected or not repaired."""

    def figures(self) -> dict[str, Any]:
        """The counts as shares of the errors made."""
        made = max(self.made, 1)
        return {
            "made": self.made,
            "harmless": self.harmless,
            "detected": self.detected / made,
            "located": self.located / made,
            "repaired": (self.edited + self.rewritten) / made,
            "repaired in place": self.edited / made,
            "repaired, sensors' errors apart": self.known / made,
            "over-correction": self.lost / max(self.claims, 1),
            "missed": self.missed,
        }


@dataclass
class Injections:
    """Outcomes by type, and what happens to captions without an error."""

    types: dict[str, Outcome] = field(default_factory=lambda: {name: Outcome() for name in ERRORS})
    places: int = 0
    clean_claims: int = 0
    """Claims of true captions without an error."""
    alarms: int = 0
    """Of those, contradicted or unsupported."""
    clean_lost: int = 0
    """Of those, gone after repair."""
    seen_claims: int = 0
    """Claims of captions written from the truth itself, true though no sensor need show them."""
    seen_alarms: int = 0
    alarm_examples: list[dict[str, str]] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Everything, with all types together under "all"."""
        whole = Outcome()
        for outcome in self.types.values():
            for name in ("made", "harmless", "detected", "located", "edited", "rewritten", "known", "claims", "lost"):
                setattr(whole, name, getattr(whole, name) + getattr(outcome, name))
        return {
            "places": self.places,
            "all": {k: v for k, v in whole.figures().items() if k != "missed"},
            "types": {name: o.figures() for name, o in self.types.items() if o.made or o.harmless},
            "clean claims": self.clean_claims,
            "false alarms": self.alarms / max(self.clean_claims, 1),
            "over-correction of clean captions": self.clean_lost / max(self.clean_claims, 1),
            "alarms on captions of the truth": self.seen_alarms / max(self.seen_claims, 1),
            "false alarm examples": self.alarm_examples,
        }


def inject(places: Sequence[Place], config: CaptionConfig) -> Injections:
    """Put one error of every type into a true caption of every place that has one, verify and repair."""
    out = Injections()
    for place in places:
        facts = facts_of(place.measured)
        plan = plan_of(facts, place.measured)
        _watch_the_truth(out, place, config)
        draft = _true_draft(place, facts, plan, config)
        if draft is None:
            continue
        out.places += 1
        _leave_alone(out, draft, place)
        word = draw_words(config.seed, "injection", place.measured.tile_id)[1]
        for name, spoil in ERRORS.items():
            text = spoil(draft, facts, plan, word)
            if text is not None and text != draft:
                rewrite = partial(_plain, place, facts, plan, config)
                _follow(out.types[name], name, draft, text, place, rewrite)
    return out


def _true_draft(place: Place, facts: Sequence[Fact], plan: Plan, config: CaptionConfig) -> str | None:
    """The first draft that is true of the place. That it also passes the rules is not asked: false alarms count."""
    drafts = template.drafts(place.measured.tile_id, facts, plan, config)
    return next((d.text for d in drafts if is_true(d.text, place.truth)), None)


def _watch_the_truth(out: Injections, place: Place, config: CaptionConfig) -> None:
    """How often rules object to what is so, because the sensors do not show it."""
    facts = facts_of(place.truth)
    for draft in template.drafts(place.truth.tile_id, facts, plan_of(facts, place.truth), config)[:1]:
        flagged = {v.claim_id for v in _conflicts(draft.text, place.measured)}
        judged = {(a.start, a.end) for a in assertions(draft.text, place.truth) if a.true is False}
        claims = [c for c in extract(draft.text) if (c.start, c.end) not in judged]
        out.seen_claims += len(claims)
        out.seen_alarms += sum(c.claim_id in flagged for c in claims)


def _leave_alone(out: Injections, text: str, place: Place) -> None:
    found = _conflicts(text, place.measured)
    flagged = {v.claim_id for v in found}
    claims = extract(text)
    out.clean_claims += len(claims)
    out.alarms += sum(c.claim_id in flagged for c in claims)
    repaired, _ = repair(text, place.measured)
    out.clean_lost += _lost(content(text), content(repaired or ""))
    if found and len(out.alarm_examples) < 5 * EXAMPLES:
        out.alarm_examples.append({"text": text, "rules": ", ".join(v.rule for v in found), "after": repaired or ""})


def _follow(
    outcome: Outcome, name: str, draft: str, text: str, place: Place, rewrite: Callable[[], str | None]
) -> None:
    said = assertions(text, place.truth)
    if name not in OF_FORM and not any(a.true is False for a in said):
        outcome.harmless += 1
        return
    outcome.made += 1
    found = _conflicts(text, place.measured)
    start, end = changed(draft, text)
    outcome.detected += bool(found)
    outcome.located += _is_located(text, found, start, end)
    repaired, edits = repair(text, place.measured)
    final = repaired if repaired is not None else rewrite() or ""
    good = is_true(final, place.truth) and final != text  # what was cut off may be true as far as it goes
    outcome.edited += good and repaired is not None
    outcome.rewritten += good and repaired is None
    outcome.known += final not in ("", text) and not _conflicts(final, place.measured) and not _invents(final, place)
    if repaired is not None:
        beside = [(c.concept, c.negated) for c in extract(text) if c.end <= start or c.start >= end]
        kept = Counter(content(draft)) & Counter(beside)
        outcome.claims += sum(kept.values())
        outcome.lost += _lost(list(kept.elements()), content(final))
    if not (found and good) and len(outcome.missed) < EXAMPLES:
        rules = ", ".join(dict.fromkeys(v.rule for v in found)) or "none"
        edited = ", ".join(e["rule"] for e in edits) or "none"
        wrong = ", ".join(final[a.start : a.end] for a in assertions(final, place.truth) if a.true is False)
        outcome.missed.append(
            {
                "before": draft,
                "spoiled": text,
                "conflicts": rules,
                "edits": edited,
                "after": final,
                "still false": wrong,
            }
        )


def _conflicts(text: str, measured: Signals) -> list[Verdict]:
    return conflicts(verify(text, extract(text), measured))


def _invents(text: str, place: Place) -> bool:
    return bool(invented(text, place.truth, place.measured)) or any(
        a.facet == "style" and a.true is False for a in assertions(text, place.truth)
    )


def _is_located(text: str, found: Sequence[Verdict], start: int, end: int) -> bool:
    spans = {c.claim_id: (c.start, c.end) for c in extract(text)}
    return any(not v.claim_id or (spans[v.claim_id][0] < end and start < spans[v.claim_id][1]) for v in found)


def _lost(before: Sequence[tuple[str, bool]], after: Sequence[tuple[str, bool]]) -> int:
    return sum((Counter(before) - Counter(after)).values())


def _plain(place: Place, facts: Sequence[Fact], plan: Plan, config: CaptionConfig) -> str | None:
    """What Verification falls back to: the first grounded sentence without a conflict, from ever fewer facts."""
    for keep in range(len(facts), 0, -1):
        for draft in template.drafts(place.measured.tile_id, facts[:keep], plan, config, 100 + keep):
            if not _conflicts(draft.text, place.measured):
                return draft.text
    return None


def changed(before: str, after: str) -> tuple[int, int]:
    """Span of `after` that is not in `before`: between their common beginning and their common end."""
    same = zip(before.lower(), after.lower(), strict=False)
    start = next((i for i, (a, b) in enumerate(same) if a != b), min(len(before), len(after)))
    room = min(len(before), len(after)) - start
    backwards = zip(before[::-1].lower(), after[::-1].lower(), strict=False)
    tail = next((i for i, (a, b) in enumerate(backwards) if a != b), room)
    return start, max(start + 1, len(after) - min(tail, room))
