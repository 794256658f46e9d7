"""The rules: every claim of a caption is held against the measurements of its tile."""

from collections.abc import Iterable
from dataclasses import replace

from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules import cover, objects, relief, style, water
from geomeld.caption.rules.rule import NOISY, UNSURE, Finding, Rule, share_of
from geomeld.caption.rules.whole import WHOLE, WholeRule
from geomeld.core.caption import Claim, Signals, Verdict

__all__ = ["BY_CONCEPT", "RULES", "TITLES", "WHOLE", "Rule", "WholeRule", "conflicts", "share_of", "verify"]

RULES: tuple[Rule, ...] = (*cover.RULES, *water.RULES, *relief.RULES, *objects.RULES, *style.RULES)
"""All rules over single claims; those over whole captions are in WHOLE."""
TITLES: dict[str, str] = {r.rule_id: r.title for r in RULES} | {r.rule_id: r.title for r in WHOLE}
"""What each rule demands, in words."""
OF_DEGREE = frozenset(("requantify", "unmodify", "unlocate", "rerelief"))
"""Edits of rules that object to a degree, not to the thing itself."""
BY_CONCEPT: dict[str, tuple[Rule, ...]] = {c: tuple(r for r in RULES if c in r.concepts) for c in GROUP_OF}


def verify(text: str, claims: Iterable[Claim], signals: Signals) -> tuple[Verdict, ...]:
    """Verdicts of every rule on every claim that it concerns, then of the rules on the whole caption (those have an
    empty claim_id). Where land cover or elevation is unsure, they contradict nothing: what they do not show is
    unsupported, and their objections to how much, how dense or how steep are soft."""
    claims = tuple(claims)
    verdicts = [
        _verdict(claim.claim_id, rule, found, signals, GROUP_OF[claim.concept])
        for claim in claims
        for rule in BY_CONCEPT[claim.concept]
        if (found := rule.check(claim, signals, rule.limits)) is not None
    ]
    verdicts += [
        _verdict("", rule, found, signals, "")
        for rule in WHOLE
        if (found := rule.check(text, claims, signals, rule.limits)) is not None
    ]
    return tuple(verdicts)


def _verdict(claim_id: str, rule: Rule | WholeRule, found: Finding, signals: Signals, group: str) -> Verdict:
    edit = "keep" if found.status == "supported" else (found.edit or rule.edit)
    verdict = Verdict(claim_id, rule.rule_id, found.status, rule.severity, found.evidence, edit)
    if found.status != "contradicted" or not _is_unsure(signals, group):
        return verdict
    return replace(verdict, status="unsupported", severity="soft" if rule.edit in OF_DEGREE else rule.severity)


def _is_unsure(signals: Signals, group: str) -> bool:
    if group == "cover":
        return signals.land_cover is not None and signals.land_cover.confidence < UNSURE
    return group == "relief" and signals.terrain is not None and signals.terrain.noise_m > NOISY


def conflicts(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts that a caption may not leave standing."""
    return [v for v in verdicts if v.severity == "hard" and v.status != "supported"]
