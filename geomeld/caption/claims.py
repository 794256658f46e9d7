"""Claims: what a caption says, found by the lexicon with its span, negation, quantity, place and adjectives."""

import re

from geomeld.caption.lexicon import (
    CLAUSE,
    CONCEPT,
    COUNT,
    ENTRIES,
    GROUP_OF,
    LOCATION,
    MODIFIER,
    NEGATION,
    PSEUDO_NEGATION,
    QUANTITY,
    SINGLE,
)  # fmt: skip
from geomeld.core.caption import Claim

COUNT_VALUE = {"a couple of": 2, "two": 2}
AFTER_NOUN = frozenset(
    [
        "dominates",
        "dominate",
        "dominated",
        "mostly",
        "largely",
        "mainly",
        "entirely",
        "completely",
        "wholly",
        "predominantly",
    ]
)
"""Quantity words that may follow their noun: "cropland dominates"."""
REACH = 4
"""Words between an adjective and its noun, at most."""


def extract(text: str) -> tuple[Claim, ...]:
    """All claims of a caption, in order; longest match wins where concepts overlap."""
    bounds = clauses(text)
    return tuple(_claim(text, n, *found, bounds) for n, found in enumerate(_matches(text)))


def clauses(text: str) -> list[tuple[int, int]]:
    """(start, end) of the clauses of a sentence."""
    cuts = [m.start() for m in CLAUSE.finditer(text)]
    return list(zip([0, *cuts], [*cuts, len(text)], strict=True))


def _matches(text: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for at in CONCEPT.finditer(text):
        # The alternation stops at its first match; another concept may reach further from the same place.
        longest = (ENTRIES[at.lastindex - 1 if at.lastindex else 0].concept, at.start(), at.end())
        for entry, pattern in zip(ENTRIES, SINGLE, strict=True):
            other = pattern.match(text, at.start())
            if other and other.end() > longest[2]:
                longest = (entry.concept, at.start(), other.end())
        if not found or longest[1] >= found[-1][2]:
            found.append(longest)
    return found


def _claim(text: str, number: int, concept: str, start: int, end: int, bounds: list[tuple[int, int]]) -> Claim:
    first, last = next((a, b) for a, b in bounds if a <= start < b or b == len(text))
    clause, offset = text[first:last], first
    quantity = _nearest(QUANTITY, clause, start - offset, end - offset)
    count = _nearest(COUNT, clause, start - offset, end - offset, before_only=True)
    place = _place_after(clause, end - offset)
    return Claim(
        claim_id=f"{concept}-{number}",
        concept=concept,
        start=start,
        end=end,
        text=text[start:end],
        negated=_negated(clause, start - offset),
        hedged=False,
        quantity=count.lower() if count and GROUP_OF[concept] == "object" else quantity.lower() if quantity else None,
        location=place["where"].lower() if place and GROUP_OF[concept] in ("cover", "water") else None,
        modifiers=tuple(
            m.group().lower() for m in MODIFIER.finditer(clause) if _adjoins(clause, m.end(), start - offset)
        ),
    )  # fmt: skip


def _nearest(pattern: re.Pattern[str], clause: str, start: int, end: int, before_only: bool = False) -> str | None:
    """The match nearest to a span, on either side of it: "vast cropland", "cropland dominates"."""
    best, gap = None, 10**6
    for m in pattern.finditer(clause):
        distance = start - m.end() if m.end() <= start else m.start() - end
        after = m.end() > start
        if distance < 0 or (after and (before_only or m.group().lower() not in AFTER_NOUN)):
            continue
        # A noun between the two takes the word for itself.
        between = clause[min(m.end(), end) : max(m.start(), start)]
        if distance < gap and not (CONCEPT.search(between) and distance > 2):
            best, gap = m.group(), distance
    return best


def _place_after(clause: str, end: int) -> re.Match[str] | None:
    """The place that follows a noun, if no other noun stands between them."""
    place = LOCATION.search(clause, end)
    return place if place and not CONCEPT.search(clause[end : place.start()]) else None


def _adjoins(clause: str, end: int, start: int) -> bool:
    between = clause[end:start]
    return start - end >= 0 and len(between.split()) < REACH and not CONCEPT.search(between)


def _negated(clause: str, start: int) -> bool:
    before = PSEUDO_NEGATION.sub(lambda m: " " * len(m.group()), clause[:start])
    return bool(NEGATION.search(before))
