"""Repair: deterministic edits that rules ask for, from removing a word to dropping a clause, each verified again."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import COUNTS, GROUP_OF, LOCATION, place
from geomeld.caption.rules import conflicts, verify
from geomeld.caption.rules.rule import share_of
from geomeld.caption.segments import drop_segment, first_segment_end, tidy
from geomeld.core.caption import Claim, Signals, Verdict
from geomeld.signals.quantities import quantity_for

EDITS = 8
"""At most; a caption that needs more is written anew."""
KEEP = 0.5
"""Share of the words that must survive; below it the caption is another one (captions study 3.5)."""
ROOM = 38
"""Words up to which a missing dominant cover may still be added."""

NOUN: Mapping[str, tuple[str, str]] = {
    "tree": ("forest", "trees"), "shrub": ("shrubland", "shrubs"), "grass": ("grassland", "grasslands"),
    "crop": ("cropland", "crops"), "built": ("built-up land", "buildings"), "bare": ("bare ground", "bare slopes"),
    "snow": ("snow", "snowfields"), "wetland": ("marshland", "marshes"), "mangrove": ("mangrove forest", "mangroves"),
    "moss": ("moss", "mosses"),
}  # fmt: skip
"""(mass noun, plural) of a cover that takes the place of a wrong one."""
WORD_FOR_BAND = {"large": "large areas of", "some": "patches of", "few": "a few patches of"}
GENERAL = {
    "orchard": ("crop", "cropland"), "vineyard": ("crop", "cropland"), "paddy": ("crop", "cropland"),
    "plantation": ("tree", "trees"), "reservoir": ("lake", "lake"), "canal": ("river", "river"),
    "highway": ("road", "road"), "main_road": ("road", "road"), "school": ("built", "buildings"),
    "hospital": ("built", "buildings"), "church": ("built", "buildings"), "farm_building": ("built", "buildings"),
    "industrial_building": ("built", "buildings"), "greenhouse": ("built", "buildings"),
}  # fmt: skip
"""What a word that says too much becomes: "reservoir" -> "lake"."""
RELIEF_NOUN = {"flat": "flat land", "gently undulating": "gently undulating land", "rolling": "rolling hills",
               "hilly": "hills", "mountainous": "mountains"}  # fmt: skip

META_OPENING = re.compile(
    r"^(?:(?:an?|the|this|in) )*[^,]*?\b(?:of|shows?|showing|depicts?|displays?|see)\b ", re.IGNORECASE
)
"""What stands before the scene itself where a caption talks of a picture."""

Edit = Callable[[str, Claim, Verdict, Signals], str | None]


def repair(text: str, signals: Signals) -> tuple[str | None, list[dict[str, Any]]]:
    """(text without a hard conflict, edits made); None where nothing worth keeping would be left.

    Repairing a repaired text changes nothing.
    """
    edits: list[dict[str, Any]] = []
    first = text
    for _ in range(EDITS + 1):
        claims = extract(text)
        verdicts = verify(text, claims, signals)
        found = conflicts(verdicts) or [v for v in verdicts if v.action == "insert" and len(text.split()) <= ROOM]
        if not found:
            return text, edits
        verdict = found[0]
        claim = next((c for c in claims if c.claim_id == verdict.claim_id), None)
        changed = _edited(text, claim, verdict, signals)
        if changed is None or changed == text or len(changed.split()) < KEEP * len(first.split()):
            return (text, edits) if verdict.severity == "soft" else (None, edits)
        edits.append({"rule": verdict.rule, "before": text, "after": changed, "evidence": dict(verdict.evidence)})
        text = changed
    return None, edits


def _edited(text: str, claim: Claim | None, verdict: Verdict, signals: Signals) -> str | None:
    if claim is None:
        return _inserted(text, verdict) if verdict.action == "insert" else None
    return EDIT[verdict.action](text, claim, verdict, signals)


def _drop(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    return drop_segment(text, claim.start)


def _strip(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    """ "A satellite image of green fields" -> "Green fields"."""
    match = META_OPENING.match(text)
    return tidy(text[match.end() :]) if match and match.end() > claim.start else _drop(text, claim, verdict, signals)


def _unmodify(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    before = text[: claim.start]
    for word in claim.modifiers:
        before = re.sub(rf"\b{word}\s+(?=(?:\S+\s+){{0,4}}$)", "", before, flags=re.IGNORECASE)
    return tidy(before + text[claim.start :])


def _unlocate(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    for match in LOCATION.finditer(text.lower()):
        if place(match["where"]) == claim.location and match.start() >= claim.end:
            return tidy(text[: match.start()] + _WITHIN.sub(r" in \1", text[match.end() :]))
    return _drop(text, claim, verdict, signals)


_WITHIN = re.compile(r"^ of (the (?:\w+ ){0,3}?(?:area|landscape|region|land|expanse|scene)\b)")
"""What is left of "in the north of the flat area" without the north."""


def _unhedge(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    return tidy(text[: claim.start] + text[claim.end :])


def _requantify(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    if " while " in text and claim.start < text.index(" while ") and (shorter := drop_segment(text, claim.start)):
        return shorter  # another clause says what dominates
    share, _ = share_of(claim.concept, signals)
    band, said = quantity_for(share or 0.0), claim.quantity or ""
    at = text.lower().rfind(said, 0, claim.start)
    leading = at >= 0 and text[at + len(said) : claim.start].count(",") == 0
    if not leading or not re.search(r"\bof$|^(?:some|few|a few|several|extensive|scattered|small|sparse|vast)$", said):
        return _swapped(text, claim, signals) or _drop(text, claim, verdict, signals)
    if band is None or band.name not in WORD_FOR_BAND:
        word = "mostly" if band is not None and claim.start > first_segment_end(text) else "large areas of"
        return _replaced(text, at, said, word)
    return _replaced(text, at, said, WORD_FOR_BAND[band.name])


def _replaced(text: str, at: int, old: str, new: str) -> str:
    return tidy(text[:at] + new + text[at + len(old) :])


def _swapped(text: str, claim: Claim, signals: Signals) -> str | None:
    """The noun of a main clause gives way to the cover that dominates: its verb says how much there is."""
    cover = signals.land_cover
    if cover is None or claim.start > first_segment_end(text):
        return None
    concept = next((c for c in cover.shares if c in NOUN), None)
    if concept is None or concept == claim.concept:
        return None
    later = [c for c in extract(text) if c.concept == concept]
    if later:  # "Forest covers ..., with some cropland" -> "Cropland covers ..."
        shorter = drop_segment(text, later[-1].start)
        return _swapped(shorter, claim, signals) if shorter else None
    plural = claim.text.lower().endswith("s") and not claim.text.lower().endswith("ss")
    # "A city" becomes "cropland": a mass noun takes no article.
    before = re.sub(r"\b(?:an?|the) $", "", text[: claim.start], flags=re.IGNORECASE)
    for word in claim.modifiers:
        before = re.sub(rf"\b{word}\s+(?=(?:\S+\s+){{0,4}}$)", "", before, flags=re.IGNORECASE)
    return tidy(before + NOUN[concept][plural] + text[claim.end :])


def _rehead(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    if claim.negated:
        return _drop(text, claim, verdict, signals)
    return _swapped(text, claim, signals) or _drop(text, claim, verdict, signals)


def _rerelief(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    terrain, said = signals.terrain, claim.text.lower()
    if terrain is None or claim.negated:
        return _unhedge(text, claim, verdict, signals) if _is_adjective(said) else _drop(text, claim, verdict, signals)
    if _ASIDE.search(text[: claim.start]) and (shorter := _drop(text, claim, verdict, signals)):
        return shorter
    earlier = any(GROUP_OF[c.concept] == "relief" and c.end < claim.start - 1 for c in extract(text))
    if earlier and (aside := _ON_GROUND.search(text[: claim.start])):
        rest = re.sub(r"^ (?:land|ground|terrain|plains?|area)\b", "", text[claim.end :])
        return tidy(text[: aside.start()] + rest)
    word = terrain.relief_class if _is_adjective(said) else RELIEF_NOUN[terrain.relief_class]
    return tidy(text[: claim.start] + word + text[claim.end :])


_ON_GROUND = re.compile(r" on (?:an? |the )?(?:completely |almost |nearly )?$")
"""What leads to ground that was described before: it is taken out with what it leads to."""
_ASIDE = re.compile(r"\b(?:below|beneath|above|beside|near|behind) (?:\w+ )?$")
"""What other ground a place lies by: where there is none, nothing takes its place."""


def _is_adjective(word: str) -> bool:
    return word in ("flat", "level", "gently undulating", "undulating", "rolling", "gently rolling", "hilly", "steep",
                    "mountainous", "rugged", "alpine", "craggy", "uneven", "sloping", "gently sloping")  # fmt: skip


def _rekind(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    said = {c.concept for c in extract(text)}
    kinds = [k for k in verdict.evidence["kinds"] if k not in said]
    if not kinds:
        return _drop(text, claim, verdict, signals)
    word = kinds[0] + ("s" if claim.text.lower().endswith("s") and kinds[0] != "sea" else "")
    before = text[: claim.start]
    if kinds[0] == "sea":
        before = re.sub(r"\b(an?)\s+(?:\w+\s+)?$", "the ", before, flags=re.IGNORECASE)
    return tidy(before + word + text[claim.end :])


def _recount(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    mapped = verdict.evidence.get("mapped") or 0
    share = verdict.evidence.get("share") or 0.0
    word = count_word(mapped) if mapped > 1 else "many" if share >= 0.25 else "a few"
    said = claim.quantity if claim.quantity in COUNTS else None
    at = text.lower().rfind(said, 0, claim.start) if said else -1
    if at < 0:
        before = re.sub(r"\b(?:a couple of|scattered|small|isolated|some|two|three|four|five|few)\s+$", "",
                        text[: claim.start], flags=re.IGNORECASE)  # fmt: skip
        return tidy(f"{before}{word} {text[claim.start :]}") if before != text[: claim.start] else None
    return _replaced(text, at, said or "", word)


def count_word(count: int) -> str:
    """The word for a number of things, from two on (captions study 2.6)."""
    return next(w for w in ("a couple of", "a few", "several", "many") if count <= COUNTS[w][1])


def _generalise(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    concept, word = GENERAL.get(claim.concept, ("", ""))
    if not concept or claim.negated or concept in {c.concept for c in extract(text)}:
        return _drop(text, claim, verdict, signals)
    plural = claim.text.lower().endswith("s")
    changed = tidy(text[: claim.start] + word + ("s" if plural and word[-1] not in "sd" else "") + text[claim.end :])
    if word[-1] in "sd" and GROUP_OF[concept] == "cover":  # mass noun or plural: no article before it
        changed = tidy(re.sub(rf"\b(?:an?|one|two|three|several|many) {word}\b", word, changed, flags=re.IGNORECASE))
    again = [v for v in conflicts(verify(changed, extract(changed), signals)) if v.claim_id.startswith(f"{concept}-")]
    return _drop(text, claim, verdict, signals) if again else changed


def _singular(text: str, claim: Claim, verdict: Verdict, signals: Signals) -> str | None:
    said = claim.quantity or ""
    at = text.lower().rfind(said, 0, claim.start)
    if at < 0 or not said or claim.start <= first_segment_end(text):
        return _drop(text, claim, verdict, signals)
    return tidy(text[:at] + "a " + text[at + len(said) : claim.end - 1] + text[claim.end :])


def _inserted(text: str, verdict: Verdict) -> str | None:
    mass, _ = NOUN[verdict.evidence["dominant"]]
    return f"{text.rstrip('.')}, amid {mass}{'.' if text.endswith('.') else ''}"


EDIT: Mapping[str, Edit] = {
    "drop": _drop, "strip": _strip, "unmodify": _unmodify, "unlocate": _unlocate, "unhedge": _unhedge,
    "requantify": _requantify, "rehead": _rehead, "rerelief": _rerelief, "rekind": _rekind, "recount": _recount,
    "generalise": _generalise, "singular": _singular, "unquantify": _drop,
}  # fmt: skip
"""By the name that rules use."""
