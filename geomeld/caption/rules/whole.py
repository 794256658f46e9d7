"""Rules of the whole caption: its form, what it leaves out, and claims that cannot all be true."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules.rule import KINDS_OF, SUM_OF, Finding, finding, rounded
from geomeld.core.caption import Claim, Severity, Signals
from geomeld.signals.quantities import quantity_of

Limits = Mapping[str, float]
WholeCheck = Callable[[str, Sequence[Claim], Signals, Limits], Finding | None]
_FUNCTION_WORDS = (
    "and or with of in on by the a an to at from across over among amid some few several many where while but "
    "surrounded covered dotted is are"
)
_DANGLING = frozenset(_FUNCTION_WORDS.split())
_NO_CUT = " close by"


@dataclass(frozen=True, slots=True)
class WholeRule:
    """One rule over a caption and all of its claims; examples as in `Rule`."""

    rule_id: str
    title: str
    check: WholeCheck
    edit: str = "reject"
    limits: Limits = field(default_factory=dict)
    severity: Severity = "hard"
    agrees: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def _form(text: str, claims: Sequence[Claim], signals: Signals, limits: Limits) -> Finding:
    words = text.split()
    # "Close by" ends a sentence well.
    last = re.sub(r"[^a-z-]", "", words[-1].lower()) if words and words[-2:][0] != "close" else ""
    clauses = [c.strip().lower() for c in re.split(r"[,;]", text.rstrip("."))]
    problems = [
        name
        for name, wrong in (
            ("too short", len(words) < limits["words_at_least"]),
            ("too long", len(words) > limits["words_at_most"]),
            ("cut off", last in _DANGLING and not text.rstrip(" .").lower().endswith(_NO_CUT)),
            ("several sentences", bool(re.search(r"[.!?]\s*\S", text.rstrip()))),
            ("says a clause twice", len(set(clauses)) < len(clauses)),
            ("says nothing", not any(GROUP_OF[c.concept] != "style" for c in claims)),
            ("not plain English", not text.isascii() or bool(re.search(r"[^A-Za-z0-9 ,;:.'%()-]", text))),
        )
        if wrong
    ]
    return finding(not problems, {"words": len(words), "problems": problems})


def _omission(text: str, claims: Sequence[Claim], signals: Signals, limits: Limits) -> Finding | None:
    cover = signals.land_cover
    if cover is None or not cover.shares:
        return None
    concept, share = next(iter(cover.shares.items()))
    if share < limits["dominant_from"] or concept == "water":
        return None
    said = {c.concept for c in claims if not c.negated}
    broad = {k for k, parts in {**SUM_OF, **KINDS_OF}.items() if concept in parts}
    special = {"desert"} if concept == "bare" else {"city"} if concept == "built" else set()
    ok = bool(said & ({concept} | broad | special))
    return finding(ok, {"dominant": concept, "share": rounded(share), **limits})


def _sum(text: str, claims: Sequence[Claim], signals: Signals, limits: Limits) -> Finding | None:
    least: dict[str, float] = {}
    for claim in claims:
        band = quantity_of(claim.quantity) if claim.quantity else None
        if band and GROUP_OF[claim.concept] == "cover" and not claim.negated and not claim.location:
            least[claim.concept] = max(least.get(claim.concept, 0.0), band.low)
    broad = set(least) & (set(SUM_OF) | {"desert"})
    total = sum(v for k, v in least.items() if k not in broad)
    if len(least) - len(broad) < 2:
        return None
    return finding(total <= limits["sum_to"], {"claimed_at_least": rounded(total), **limits})


WHOLE: tuple[WholeRule, ...] = (
    WholeRule("S1", "one plain sentence of fitting length", _form, "reject",
              {"words_at_least": 5, "words_at_most": 45}, "hard",
              ("farm: Cropland covers the flat land.",
               "farm: Cropland covers the land, with a few buildings close by."),
              ("farm: Cropland covers the flat land, with.", "farm: Cropland.",
               "farm: Cropland covers the land. It is flat.", "farm: Cropland, cropland, cropland and cropland.")),
    WholeRule("L18", "what dominates is mentioned", _omission, "insert", {"dominant_from": 0.5}, "soft",
              ("farm: Cropland covers the flat land.",
          "lake: Grassland surrounds a large lake."), ("farm: A narrow river crosses the flat land.",
          "lake: Trees and shrubs grow beside a large lake.")),
    WholeRule("L19", "claimed shares can all be true", _sum, "reject", {"sum_to": 1.1}, "hard",
              ("farm: Cropland dominates flat land, with patches of trees.",
          "farm: Mostly cropland on flat land, with a few trees."),
              ("lake: Mostly grass on rolling land, mostly trees and mostly shrubs.",
          "farm: Mostly crops, mostly trees and mostly grass on flat land.")),
)  # fmt: skip
