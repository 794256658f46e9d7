"""The noisy writer: grounded drafts, some spoiled with one error of a known type, to measure the verifier."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.repair import NOUN
from geomeld.caption.segments import tidy
from geomeld.caption.writers import template
from geomeld.caption.writers.template import Draft
from geomeld.core.draw import below, draw_words, unit

Spoil = Callable[[str, Sequence[Fact], Plan, int], str | None]
"""(text, facts, plan, a random word) -> the text with one error; None where this error cannot be made here."""

INVENTED_COVER = {
    "tree": "dense forest", "crop": "patches of farmland", "built": "a dense settlement", "bare": "barren ground",
    "snow": "fields of snow", "wetland": "swampy ground", "mangrove": "a belt of mangroves",
}  # fmt: skip
INVENTED_WATER = {
    "lake": ("a small lake", "a large lake with calm water"),
    "river": ("a winding river", "a wide river"),
}
INVENTED_OBJECT = {
    "airfield": "an airport", "golf_course": "a golf course", "stadium": "a stadium", "quarry": "an open-pit mine",
    "storage_tank": "several storage tanks", "solar_farm": "a field of solar panels", "viaduct": "a viaduct",
    "marina": "a marina",
}  # fmt: skip
WRONG_RELIEF = {
    "flat": " below steep mountains", "gently undulating": " below rugged peaks", "rolling": " beside high mountains",
    "hilly": " on a completely level plain", "mountainous": " on a flat plain",
}  # fmt: skip
META = ("A satellite image of {}", "The picture shows {}", "An aerial view of {}", "{}, as NDVI indicates")
STORY = (", used for agriculture", ", supporting the local economy", " under clear skies", ", recently burned",
         " near Fresno", ", with cars parked nearby", ", covering 35% of the scene")  # fmt: skip
HEDGED = (", possibly with {}", ", with what looks like {}", ", and perhaps {}")


def drafts(
    tile_id: int, facts: Sequence[Fact], plan: Plan, config: CaptionConfig, round_number: int = 0
) -> list[Draft]:
    """The template's drafts with a share of `config.error_rate` spoiled, in the first round as in later ones."""
    out = []
    for k, draft in enumerate(template.drafts(tile_id, facts, plan, config, round_number)):
        chance, kind = draw_words(config.seed, f"noise-{round_number}-{k}", tile_id)
        if unit(chance) < config.error_rate:
            names = sorted(ERRORS)
            start = below(kind, len(names))
            draft = _spoiled(draft, [*names[start:], *names[:start]], facts, plan, kind)
        out.append(draft)
    return out


def _spoiled(draft: Draft, names: Sequence[str], facts: Sequence[Fact], plan: Plan, word: int) -> Draft:
    """The draft with the first of these errors that can be made."""
    for name in names:
        text = ERRORS[name](draft.text, facts, plan, word)
        if text is not None and text != draft.text:
            return replace(draft, text=text, error=name)
    return draft


def _pick(options: Sequence[str], word: int) -> str:
    # The low bits: the high ones chose the kind of error already.
    return options[(word & 0xFFFF) * len(options) >> 16]


def _add(text: str, words: str) -> str:
    return f"{text.rstrip('.')}{words}."


def _wrong_class(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    absent = [c for c in plan.forbidden if c in NOUN]
    nouns = [c for c in extract(text) if c.concept in NOUN]
    if not absent or not nouns:
        return None
    wrong, claim = _pick(absent, word), nouns[0]
    plural = claim.text.lower().endswith("s")
    return tidy(text[: claim.start] + NOUN[wrong][plural] + text[claim.end :])


def _invented_cover(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    absent = [c for c in plan.forbidden if c in INVENTED_COVER]
    return _add(text, f" and {INVENTED_COVER[_pick(absent, word)]}") if absent else None


def _invented_water(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    absent = [c for c in plan.forbidden if c in INVENTED_WATER]
    return _add(text, f", with {_pick(INVENTED_WATER[_pick(absent, word)], word >> 16)}") if absent else None


def _invented_object(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    there = {f.concept for f in facts}
    options = [c for c in INVENTED_OBJECT if c not in there and not (c == "marina" and "sea" in there)]
    return _add(text, f" and {INVENTED_OBJECT[_pick(options, word)]}")


def _exaggeration(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    little = [f for f in facts if f.role == "cover" and f.value < 0.12 and f.concept in NOUN and f.concept != "built"]
    if not little:
        return None
    mass, plural = NOUN[_pick([f.concept for f in little], word)]
    said = (f"{mass} dominates the area", f"vast {plural} stretch across the area", f"the area is mostly {mass}")
    return (
        tidy(_pick(said, word >> 16) + ", while " + text[:1].lower() + text[1:])
        if word & 1
        else _add(text, f", and {_pick(said, word >> 16)}")
    )


def _understatement(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    much = next((f for f in facts if f.role == "cover" and f.value >= 0.45 and f.concept in NOUN), None)
    if much is None or much.concept == "built":
        return None
    plural = NOUN[much.concept][1]
    return f"A few {plural} lie on open ground in the area."


def _kind_swap(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    kinds = {f.concept for f in facts if f.role == "water"}
    claim = next((c for c in extract(text) if c.concept in ("river", "lake", "sea", "pond")), None)
    if claim is None or len(kinds) != 1:
        return None
    other = {"river": "lake", "lake": "river", "pond": "river", "sea": "river"}[claim.concept]
    plural = "s" if claim.text.lower().endswith("s") and other != "sea" else ""
    return tidy(text[: claim.start] + other + plural + text[claim.end :])


def _wrong_relief(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    relief = next((f.detail for f in facts if f.fact_id == "relief-class"), None)
    return _add(text, WRONG_RELIEF[relief]) if relief else None


def _negation(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    there = [f.concept for f in facts if f.role == "cover" and f.value >= 0.1 and f.concept in NOUN]
    return _add(text, f", without any {NOUN[_pick(there, word)][0]}") if there else None


def _meta(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    return tidy(_pick(META, word).format(text[:1].lower() + text[1:].rstrip(".")) + ".")


def _story(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    return _add(text, _pick(STORY, word))


def _hedge(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    absent = [INVENTED_COVER[c] for c in plan.forbidden if c in INVENTED_COVER] or ["a golf course"]
    return _add(text, _pick(HEDGED, word).format(_pick(absent, word >> 16)))


def _truncation(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    return re.sub(r"(\bof|\bwith|\band|\bthe|\ba)\b[^ ]* (?!.*\b\1\b).*$", r"\1", text)


def _empty(text: str, facts: Sequence[Fact], plan: Plan, word: int) -> str | None:
    return ""


ERRORS: Mapping[str, Spoil] = {
    "wrong class": _wrong_class, "invented cover": _invented_cover, "invented water": _invented_water,
    "invented object": _invented_object, "exaggeration": _exaggeration, "understatement": _understatement,
    "kind swap": _kind_swap, "wrong relief": _wrong_relief, "negation": _negation, "meta text": _meta, "story": _story,
    "hedge": _hedge, "truncation": _truncation, "empty": _empty,
}  # fmt: skip
"""By type of error; each result is false of the tile, or no plain sentence."""
