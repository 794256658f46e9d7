"""Rules: each by its own examples, and the three kinds of evidence they weigh."""

from dataclasses import replace

import pytest

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules import BY_CONCEPT, RULES, WHOLE, conflicts, verify
from geomeld.core.caption import Signals, Verdict
from geomeld.testing.scenes import SCENES, relief

EVERY = (*RULES, *WHOLE)


def judged(text: str, signals: Signals | str) -> tuple[Verdict, ...]:
    """All verdicts on a caption."""
    return verify(text, extract(text), SCENES[signals] if isinstance(signals, str) else signals)


def by_rule(text: str, signals: Signals | str, rule_id: str) -> list[str]:
    """What one rule says of a caption."""
    return [v.status for v in judged(text, signals) if v.rule == rule_id]


@pytest.mark.parametrize(("rule_id", "example"), [(r.rule_id, e) for r in EVERY for e in r.agrees])
def test_rule_agrees(rule_id: str, example: str) -> None:
    scene, text = example.split(": ", 1)
    assert set(by_rule(text, scene, rule_id)) <= {"supported"}


@pytest.mark.parametrize(("rule_id", "example"), [(r.rule_id, e) for r in EVERY for e in r.conflicts])
def test_rule_objects(rule_id: str, example: str) -> None:
    scene, text = example.split(": ", 1)
    assert set(by_rule(text, scene, rule_id)) - {"supported"}


def test_every_rule_has_examples_of_both_kinds() -> None:
    assert len(EVERY) >= 54
    assert len({r.rule_id for r in EVERY}) == len(EVERY)
    for rule in EVERY:
        assert len(set(rule.agrees)) >= 2, rule.rule_id
        assert len(set(rule.conflicts)) >= 2, rule.rule_id


def test_most_rules_measure_something_in_their_agreeing_example() -> None:
    silent = [
        r.rule_id
        for r in RULES
        if r.concepts.isdisjoint(c for c, g in GROUP_OF.items() if g == "style")
        and not any(by_rule(e.split(": ", 1)[1], e.split(": ", 1)[0], r.rule_id) for e in r.agrees)
    ]
    assert set(silent) <= {"W9", "O2", "O9", "M8"}  # these only ever object


def test_every_concept_has_a_rule() -> None:
    assert [c for c, rules in BY_CONCEPT.items() if not rules] == []


def test_rasters_contradict_but_maps_only_leave_unsupported() -> None:
    assert by_rule("Forest covers the land.", "desert", "L1") == ["contradicted"]
    assert by_rule("Bare ground with a solar farm.", "desert", "O1") == ["unsupported"]
    assert by_rule("Bare ground with a solar farm.", "spectrum", "O1") == ["unsupported"]


def test_evidence_names_what_was_measured_and_against_which_limit() -> None:
    verdict = next(v for v in judged("Trees dominate the flat land.", "farm") if v.rule == "L14")
    assert verdict.status == "contradicted"
    assert verdict.evidence["share"] == 0.15
    assert verdict.evidence["accepted"] == [0.35, 1.0]
    assert verdict.evidence["word"] == "dominate"
    assert verdict.action == "requantify"


@pytest.mark.parametrize(
    ("share", "word", "ok"),
    [(0.35, "mostly", True), (0.34, "mostly", False), (0.55, "patches of", True), (0.56, "patches of", False),
     (0.85, "entirely", True), (0.84, "entirely", False), (0.25, "a few", True), (0.26, "a few", False)],
)  # fmt: skip
def test_bands_accept_up_to_their_edges(share: float, word: str, ok: bool) -> None:
    cover = SCENES["farm"].land_cover
    assert cover is not None
    signals = replace(SCENES["farm"], land_cover=replace(cover, shares={"grass": 1 - share, "tree": share}))
    found = [v.status for v in judged(f"{word} trees on flat land", signals) if v.rule in ("L14", "L15", "L16")]
    assert found == ["supported" if ok else "contradicted"]


def test_unsure_land_cover_disproves_nothing() -> None:
    cover = SCENES["farm"].land_cover
    assert cover is not None
    unsure = replace(SCENES["farm"], land_cover=replace(cover, confidence=0.1))
    few = next(v for v in judged("A few crops on flat land.", unsure) if v.rule == "L15")
    assert (few.status, few.severity) == ("unsupported", "soft")
    snow = next(v for v in judged("Snow lies on flat land.", unsure) if v.rule == "L12")
    assert (snow.status, snow.severity) == ("unsupported", "hard")


def test_noisy_elevation_makes_relief_soft() -> None:
    noisy = replace(SCENES["farm"], terrain=relief("flat", noise_m=9.0))
    assert conflicts(judged("Cropland covers the hilly land.", "farm"))
    assert not conflicts(judged("Cropland covers the hilly land.", noisy))


def test_nothing_measured_supports_nothing() -> None:
    for text in ("Forest covers the hills.", "A lake on flat land.", "A road beside a quarry.", "Sparse vegetation."):
        claims = extract(text)
        verdicts = verify(text, claims, SCENES["blind"])
        assert {v.status for v in verdicts if v.claim_id} == {"unsupported"}, text


def test_without_a_land_cover_map_only_the_spectrum_speaks() -> None:
    assert not conflicts(
        judged("Dense vegetation mixed with patches of bare ground and sparse vegetation.", "spectrum")
    )
    for text in ("Cropland covers the land.", "Forest covers the land.", "A few buildings stand on the land."):
        assert conflicts(judged(text, "spectrum")), text
