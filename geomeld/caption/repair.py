"""Repair: edits that a rule asks for, from removing a word to dropping a clause, each checked again."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules import conflicts, share_of, verify
from geomeld.core.caption import Claim, Signals, Verdict
from geomeld.signals.quantities import quantity_for, quantity_of

ROUNDS = 6
"""Edits at most; a caption that needs more is written anew."""
MAX_WORDS = 45
MIN_WORDS = 4

RELIEF_WORD = {
    "flat": "flat", "gently undulating": "gently undulating", "rolling": "rolling", "hilly": "hilly",
    "mountainous": "mountainous",
}  # fmt: skip
WATER_WORD = {"river": "river", "lake": "lake", "pond": "pond", "sea": "sea"}
SEPARATOR = re.compile(
    r"(, with | with |, and |, surrounded by |, crossed by |, broken by |, where |, while | and |, )"
)


def repair(text: str, signals: Signals) -> tuple[str | None, list[dict[str, Any]]]:
    """(text without a hard conflict, edits); None where nothing worth keeping is left."""
    edits: list[dict[str, Any]] = []
    for _ in range(ROUNDS):
        claims = extract(text)
        found = conflicts(verify(claims, signals))
        if not found:
            return (text, edits) if well_formed(text) else (None, edits)
        claim = next(c for c in claims if c.claim_id == found[0].claim_id)
        changed = _edited(text, claim, found[0], signals)
        if changed is None or changed == text:
            return None, edits
        edits.append({"rule": found[0].rule, "before": text, "after": changed, "evidence": dict(found[0].evidence)})
        text = changed
    return None, edits


def well_formed(text: str) -> bool:
    """One sentence of 4 to 45 words that makes at least one claim."""
    words = text.split()
    return MIN_WORDS <= len(words) <= MAX_WORDS and "." not in text[:-1] and bool(extract(text))


def _edited(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    match verdict.action:
        case "unmodify":
            return _without_adjectives(text, claim)
        case "unlocate":
            return tidy(
                re.sub(
                    rf",? ?(?:in|to|along|near|at|towards?|on) the {claim.location}(?:ern)?(?: \w+)?", "", text, count=1
                )
            )
        case "unhedge":
            return tidy(text[: claim.start] + text[claim.end :])
        case "requantify":
            return _requantified(text, claim, signals) or _dropped(text, claim)
        case "rerelief":
            word = RELIEF_WORD.get(signals.terrain.relief_class) if signals.terrain else None
            ok = word and claim.text.lower() in (
                "flat",
                "level",
                "hilly",
                "rolling",
                "mountainous",
                "steep",
                "undulating",
                "gently undulating",
                "rugged",
            )
            return tidy(text[: claim.start] + str(word) + text[claim.end :]) if ok else _dropped(text, claim)
        case "rekind":
            kinds = verdict.evidence["kinds"]
            plural = claim.text.lower().endswith("s") and claim.text.lower() != "seas"
            if kinds and GROUP_OF[claim.concept] == "water":
                return tidy(text[: claim.start] + WATER_WORD[kinds[0]] + ("s" if plural else "") + text[claim.end :])
            return _dropped(text, claim)
        case "recount":
            return tidy(
                _replaced_before(text, claim, claim.quantity or "", _count_word(int(verdict.evidence["mapped"])))
            )
        case _:
            return _dropped(text, claim)


def _without_adjectives(text: str, claim: Claim) -> str:
    before = text[: claim.start]
    for word in claim.modifiers:
        before = re.sub(rf"\b{word}\s+(?=(?:\S+\s+){{0,3}}$)", "", before, flags=re.IGNORECASE)
    return tidy(before + text[claim.start :])


def _requantified(text: str, claim: Claim, signals: Signals) -> str | None:
    share, _ = share_of(claim.concept, signals)
    band, said = quantity_for(share or 0.0), quantity_of(claim.quantity or "")
    if band is None or said is None or claim.concept == "built":
        return None
    new = {"all": "mostly", "most": "mostly", "large": "large areas of", "some": "patches of", "few": "scattered"}[
        band.name
    ]
    old = claim.quantity or ""
    if old in (
        "dominates",
        "dominate",
        "dominated",
        "mostly",
        "largely",
        "mainly",
        "predominantly",
        "entirely",
        "completely",
        "wholly",
        "blanketed",
        "all",
        "most",
        "much of",
    ):
        return None
    if new == "mostly":
        return None
    return tidy(_replaced_before(text, claim, old, new))


def _replaced_before(text: str, claim: Claim, old: str, new: str) -> str:
    at = text.lower().rfind(old, 0, claim.start)
    return text if at < 0 else text[:at] + new + text[at + len(old) :]


def _count_word(count: int) -> str:
    return "a couple of" if count == 2 else "a few" if count <= 5 else "several" if count <= 15 else "many"


def _dropped(text: str, claim: Claim) -> str | None:
    """The text without the part that makes a claim; None where that part is the sentence itself."""
    pieces = SEPARATOR.split(text.rstrip("."))
    position, part = 0, 0
    for k in range(0, len(pieces), 2):
        end = position + len(pieces[k])
        if position <= claim.start < end:
            part = k
            break
        position = end + (len(pieces[k + 1]) if k + 1 < len(pieces) else 0)
    if part == 0:
        return None
    kept = pieces[: part - 1] + pieces[part + 1 :]
    # What followed an "and" or a comma takes over the separator of the part that is gone.
    if part + 1 < len(pieces) and pieces[part + 1] in (" and ", ", "):
        kept[part - 1] = pieces[part - 1]
    return tidy("".join(kept) + ("." if text.endswith(".") else ""))


def tidy(text: str) -> str:
    """Spaces, articles, commas and the capital put right."""
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").replace(" .", ".")
    text = re.sub(r"\b([Aa])n?\s+(?=([a-z]))", lambda m: m[1] + ("n " if m[2] in "aeiou" else " "), text)
    text = re.sub(r"(,|\band|\bwith|\bby|\bof)+\s*\.$", ".", text)
    text = re.sub(r",\s*,", ",", text).strip(" ,")
    return text[:1].upper() + text[1:]


def rejected(verdicts: Sequence[Verdict]) -> Mapping[str, int]:
    """How often each rule objected."""
    counts: dict[str, int] = {}
    for v in conflicts(verdicts):
        counts[v.rule] = counts.get(v.rule, 0) + 1
    return counts
