"""What verification promises of any caption on any place: true, one sentence, nothing of its own, and settled."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from geomeld.caption.agents.verification import finalize, verification
from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators.signals import rank
from geomeld.caption.facts import Fact, facts_of
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.plan import Plan, plan_of
from geomeld.caption.repair import repair
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.writers import noisy, template
from geomeld.caption.writers.noisy import ERRORS
from geomeld.core.caption import Signals
from geomeld.core.config import to_json
from geomeld.testing.places import random_place

PLACES = st.integers(0, 1 << 40)


def told(place: int) -> tuple[Signals, tuple[Fact, ...], Plan]:
    """A random place, its facts and its plan."""
    signals = random_place(place)
    facts = facts_of(signals)
    return signals, facts, plan_of(facts, signals)


def holds(text: str, before: str, signals: Signals) -> None:
    """The four promises."""
    claims = extract(text)
    verdicts = verify(text, claims, signals)
    assert conflicts(verdicts) == []
    assert repair(text, signals) == (text, [])
    assert 5 <= len(text.split()) <= 45
    assert re.fullmatch(r"[A-Z][^.!?]*\.", text)
    # What was not said before is what a rule found supported, and no rule left in doubt.
    new = {c.concept for c in claims} - {c.concept for c in extract(before)}
    for concept in new:
        found = [v.status for v in verdicts if v.claim_id.rsplit("-", 1)[0] == concept]
        assert set(found) == {"supported"}, (concept, found)
        assert GROUP_OF[concept] != "style"


@settings(max_examples=300, deadline=None)
@given(
    PLACES, st.integers(0, 3), st.lists(st.tuples(st.sampled_from(sorted(ERRORS)), st.integers(0, 1 << 60)), max_size=3)
)
@example(165_401_394_781, 0, [("story", 56_174), ("truncation", 0)])  # the full stop went with the last part
def test_repair_keeps_its_promises(place: int, which: int, errors: list[tuple[str, int]]) -> None:
    signals, facts, plan = told(place)
    made = template.drafts(signals.tile_id, facts, plan, CaptionConfig())
    text = made[which % len(made)].text
    for name, word in errors:
        text = ERRORS[name](text, facts, plan, word) or text
    repaired, edits = repair(text, signals)
    if repaired is not None:
        holds(repaired, text, signals)
        assert bool(edits) == (repaired != text)


@settings(max_examples=150, deadline=None)
@given(PLACES, st.integers(0, 1000))
def test_every_record_keeps_the_promises(place: int, seed: int) -> None:
    """Through the Verification agent: whatever the noisy writer drafts, what is written holds."""
    signals, facts, plan = told(place)
    config = CaptionConfig(error_rate=1.0, seed=seed)
    made = noisy.drafts(signals.tile_id, facts, plan, config)
    state = {
        "config": to_json(config), "signals": [to_json(signals)], "facts": [to_json(facts)], "plans": [to_json(plan)],
        "candidates": [to_json(made)], "scores": [to_json(rank([d.text for d in made], signals, facts))],
        "records": [None], "notes": [[]], "errors": [None], "round": 9,
    }  # fmt: skip
    state |= verification(state)  # type: ignore[arg-type]
    state |= finalize(state)  # type: ignore[arg-type]
    assert state["errors"] == [None]
    record = state["records"][0]
    assert record["status"] in ("verified", "repaired", "fallback")
    holds(record["text"], " ".join(record["candidates"]) if record["status"] != "fallback" else record["text"], signals)


@settings(max_examples=250, deadline=None)
@given(PLACES, st.integers(0, 3))
def test_honest_captions_raise_no_alarm(place: int, round_number: int) -> None:
    signals, facts, plan = told(place)
    for draft in template.drafts(signals.tile_id, facts, plan, CaptionConfig(), round_number):
        assert conflicts(verify(draft.text, extract(draft.text), signals)) == [], draft.text
