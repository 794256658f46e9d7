"""The template writer: a grounded grammar that says only facts, in many ways, drawn by the tile's own identifier."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Angle, Plan
from geomeld.caption.segments import tidy
from geomeld.caption.writers import grammar, vocabulary
from geomeld.caption.writers.words import (
    LINES,
    Pen,
    amount_of,
    is_plural,
    noun_of,
    object_in_words,
    place_of,
    third_person,
    water_in_words,
)
from geomeld.core.draw import below, draw_words

FEWEST, MOST = 12, 26
"""Words of a caption: the published ones have 17 to 25."""
FEW, SHORT = 3, 8
"""Up to so many facts, and the words from which a caption of them is long enough: asked for more, all of them would
have the few wordy frames."""
TRIES = 6
"""Drafts per wanted candidate, at most."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One candidate."""

    text: str
    angle: str
    frame: str
    """The opening frame, for the audit of monotony."""
    error: str = ""
    """Which kind of error was put in on purpose; empty for an honest draft."""


def drafts(
    tile_id: int, facts: Sequence[Fact], plan: Plan, config: CaptionConfig, round_number: int = 0
) -> list[Draft]:
    """Up to `config.candidates` distinct captions, the plan's angles in turn; a pure function of its arguments."""
    out: list[Draft] = []
    short: list[Draft] = []
    fewest = FEWEST if len(facts) > FEW else SHORT
    turn = below(draw_words(config.seed, "angle", tile_id)[0], len(plan.angles))
    angles = (*plan.angles[turn:], *plan.angles[:turn])
    for k in range(config.candidates * TRIES):
        pen = Pen(config.seed, tile_id, f"{round_number}-{k}")
        draft = _draft(facts, angles[k % len(angles)], pen)
        if draft is None or any(draft.text == d.text for d in out + short):
            continue
        # Little to say makes short captions, and dull ones: they wait until the others have had their chance.
        (out if fewest <= len(draft.text.split()) <= MOST and not repeats(draft.text) else short).append(draft)
        if len(out) == config.candidates:
            break
    return (out + sorted(short, key=lambda d: (repeats(d.text), abs(len(d.text.split()) - fewest))))[
        : config.candidates
    ]


def repeats(text: str) -> int:
    """How many words of substance a caption uses again, "cover" and "covered" being one."""
    words = [w.removesuffix("s").removesuffix("ed") for w in re.findall("[a-z]{4,}", text.lower()) if not _AGAIN(w)]
    return len(words) - len(set(words))


_AGAIN = re.compile("with|(?:north|south|east|west)(?:ern)?|part|half|corner|towards|along|most|mostly").fullmatch
"""Words that may come twice."""


def _draft(facts: Sequence[Fact], angle: Angle, pen: Pen) -> Draft | None:
    opening = _opening(facts, angle, pen)
    if opening is None:
        return None
    frame, text = opening
    room = MOST - len(text.split())
    if _WHOLLY(frame):
        facts = [f for f in facts if f.role != "cover" or f.concept == "built"]
    rest = _rest(facts, pen, room)
    return Draft(tidy(text + _tails(rest, text, pen) + "."), angle, frame)


_WHOLLY = re.compile(
    "nothing but|little else|entire |entirely covered|completely|whole .*edge|wall-to-wall|blanketed"
).search
"""Frames after which no other cover can be told."""


# --- openings ---


@dataclass
class Slots:
    """What a frame is filled with."""

    values: dict[str, str]
    plural: bool = False
    """Whether the subject of verbs marked + is plural."""


def _opening(facts: Sequence[Fact], angle: Angle, pen: Pen) -> tuple[str, str] | None:
    covers = sorted((f for f in facts if f.role == "cover" and f.concept != "built"), key=lambda f: -f.value)
    waters = [f for f in facts if f.role == "water"]
    relief = next((f for f in facts if f.fact_id == "relief-class"), None)
    main = next((c for c in covers if c.detail in ("all", "most")), None)
    flooded = next((w for w in waters if w.value >= 0.5), None)
    placed = [c for c in covers if c.sector and c.value >= 0.08]
    if flooded is not None:
        return _about_flood(flooded, pen)
    match angle:
        case "objects" if things := _worth_opening(facts):
            return _about_object(things[0], covers, relief, pen)
        case "water-first" if waters and (covers or relief):
            return _about_water(waters[0], covers, relief, pen)
        case "layout" if len(placed) >= 2 and placed[0].sector != placed[1].sector:
            return _about_layout(placed[0], placed[1], relief, pen)
        case "terrain-first" if main is not None and relief is not None:
            return _about_ground(main, relief, pen, grammar.TERRAIN)
    if main is not None:
        frames = grammar.EVERYWHERE if main.detail == "all" and pen.chance(60) else grammar.GROUND
        return _about_ground(main, relief, pen, frames)
    if covers:
        return _about_mixture(covers, relief, pen)
    return _about_little(facts, relief, pen)


def _worth_opening(facts: Sequence[Fact]) -> list[Fact]:
    return [f for f in facts if f.role == "object" and f.salience >= 0.45]


def _about_ground(main: Fact, relief: Fact | None, pen: Pen, frames: Sequence[str]) -> tuple[str, str]:
    noun, words = noun_of(main, pen)
    clad = vocabulary.CLAD.get(main.concept)
    frames = [f for f in frames if clad is not None or "{c}" not in f]
    slots = Slots({"g": words, "c": pen.pick(clad or ("",))}, noun.plural)
    return _filled(frames, slots, relief, pen, main)


def _about_mixture(covers: Sequence[Fact], relief: Fact | None, pen: Pen) -> tuple[str, str]:
    first = covers[0]
    if len(covers) == 1:
        amount = amount_of(first, pen)
        plain = (f"{amount} on {{land}}", f"a {{area}} with {amount}", f"the {{area}} holds {amount}")
        return _filled(plain, Slots({}), relief, pen, first)
    second = covers[1]
    near = second.detail in ("large", "all", "most")
    (noun, a), (_, b) = noun_of(first, pen), noun_of(second, pen)
    slots = Slots({"a": a, "b": b, "qa": amount_of(first, pen), "qb": amount_of(second, pen)}, noun.plural)
    frames = [f for f in grammar.MIXTURE if (near or "{q" in f) and _is_so_arranged(f, first, second)]
    if " and " in a + b:
        frames = [f for f in frames if not f.startswith("{a} and")]
    if not is_plural(slots.values["qa"]):
        frames = [f for f in frames if not f.startswith("{qa} lie")]
    return _filled(frames, slots, relief, pen, first, second)


def _is_so_arranged(frame: str, first: Fact, second: Fact) -> bool:
    """Whether the measured patterns bear out what a frame says of how two covers lie to one another."""
    if _MIXTURE(frame):
        return first.is_dispersed or second.is_dispersed
    return not _APART(frame) or not (first.is_dispersed or second.is_dispersed)


_MIXTURE = re.compile("patchwork|mosaic|interspersed|intermingled|alternate|mix|broken").search
_APART = re.compile("side by side|way to|meet|next to").search


def _about_layout(first: Fact, second: Fact, relief: Fact | None, pen: Pen) -> tuple[str, str]:
    noun, a = noun_of(first, pen)
    _, b = noun_of(second, pen)
    slots = Slots({"a": a, "b": b, "p": first.sector, "q": second.sector}, noun.plural)
    return _filled(grammar.LAYOUT, slots, relief, pen, first, second)


def _about_water(water: Fact, covers: Sequence[Fact], relief: Fact | None, pen: Pen) -> tuple[str, str]:
    frames: Sequence[str] = {"river": grammar.RIVER, "sea": grammar.SEA}.get(water.concept, grammar.LAKE)
    words = water_in_words(water, pen)
    if words.startswith(("two", "several", "a couple", "a few")):
        frames = tuple(f for f in frames if f.index("{w}") > 0 and "{w} " not in f.replace("{w} on", ""))
    return _around(frames, {"w": words}, water, covers, relief, pen)


def _about_object(thing: Fact, covers: Sequence[Fact], relief: Fact | None, pen: Pen) -> tuple[str, str]:
    words = object_in_words(thing, pen)
    frames: Sequence[str] = grammar.LINE if thing.concept in LINES else grammar.SITE
    ground = covers[0] if covers else None
    if ground is not None and ground.value < 0.3:
        frames = tuple(f for f in frames if "surround" not in f)
    plural = thing.count > 1
    frames = tuple(f for f in frames if f.startswith("{o}") or "+" not in f) if covers else frames
    return _around(frames, {"o": words}, thing, covers, relief, pen, plural)


def _around(
    frames: Sequence[str],
    values: dict[str, str],
    thing: Fact,
    covers: Sequence[Fact],
    relief: Fact | None,
    pen: Pen,
    plural: bool | None = None,
) -> tuple[str, str]:
    """A thing in its ground: the leading cover, or the bare relief where nothing leads."""
    ground = next((c for c in covers if c.detail in ("all", "most", "large")), None)
    if ground is None:
        verb = "runs across" if thing.concept in (*LINES, "river") else "lies on"
        words = next(iter(values.values()))
        number = {"runs across": "run across", "lies on": "lie on"}[verb] if thing.count > 1 else verb
        return _filled((f"{words} {number} {{land}}", f"a {{area}} with {words}"), Slots(values), relief, pen, thing)
    noun, words = noun_of(ground, pen)
    if ground.value < 0.5:  # what has less need not lie beside the thing
        frames = tuple(f for f in frames if not _BESIDE(f)) or (
            f"a {{area}} of {{g}} with {next(iter(values.values()))}",
        )
    slots = Slots({**values, "g": words}, noun.plural if plural is None else plural)
    return _filled(frames, slots, relief, pen, thing, ground)


_BESIDE = re.compile(r"line\+|flank|sides|border|edge|surround|beside|next to|around|midst|amid|past|reach").search


def _about_flood(water: Fact, pen: Pen) -> tuple[str, str]:
    name = {
        "sea": ("the sea", "the open sea", "open water of the sea"),
        "river": ("a wide river", "the water of a river"),
        "lake": ("a large lake", "the water of a large lake", "open water of a lake"),
    }
    words = pen.pick(name.get(water.concept, ("open water",)))
    return _filled(grammar.FLOODED, Slots({"w": words}), None, pen, water)


def _about_little(facts: Sequence[Fact], relief: Fact | None, pen: Pen) -> tuple[str, str] | None:
    """No cover is known: relief, and what else there is."""
    things = [f for f in facts if f.role in ("water", "object")]
    if things:
        words = water_in_words(things[0], pen) if things[0].role == "water" else object_in_words(things[0], pen)
        return _filled((f"a {{area}} with {words}", f"{{land}} with {words}"), Slots({}), relief, pen, things[0])
    return (
        None
        if relief is None
        else _filled(("a {area} seen as a whole", "an expanse of {land}"), Slots({}), relief, pen)
    )


def _filled(frames: Sequence[str], slots: Slots, relief: Fact | None, pen: Pen, *told: Fact) -> tuple[str, str]:
    frame = pen.pick(frames)
    adjectives, lands = vocabulary.RELIEF[relief.detail if relief else ""]
    adjective, land = pen.pick(adjectives), pen.pick(lands)
    area = f"{adjective} {pen.pick(vocabulary.AREA_OF if '{area} of' in frame else vocabulary.AREA)}".strip()
    pen.told |= {f.fact_id for f in told}
    if relief is not None and re.search(r"\{(land|area|adj)\}", frame):
        pen.told.add(relief.fact_id)
    pen.covers += [f for f in told if f.role == "cover"]
    text = pen.spun(frame).format(**slots.values, land=land, area=area, adj=adjective)
    text = _agreeing(_agreeing(text, plural=slots.plural), plural=land.endswith("s"), mark="*")
    return frame, re.sub(r"\ba (?=countryside)", "", text.replace("a the ", "the "))


def _agreeing(text: str, *, plural: bool, mark: str = "+") -> str:
    """Marked verbs in the form that their subject needs."""
    return re.sub(rf"(\w+)\{mark}", lambda m: m[1] if plural else third_person(m[1]), text)


# --- the rest ---


@dataclass(frozen=True, slots=True)
class Said:
    """A fact in words."""

    words: str
    fact: Fact


def _rest(facts: Sequence[Fact], pen: Pen, room: int) -> list[Said]:
    """The most salient facts not yet told: one to three, as they fit."""
    left = [f for f in facts if f.fact_id not in pen.told and f.concept != "relief"]
    if any(f.concept == "built" for f in facts):
        settled = {"house", "building", "street"} | ({"residential", "village", "town"} if pen.chance(50) else set())
        left = [f for f in left if f.concept not in settled]
    wanted = pen.pick((1, 1, 2, 2, 3))
    said: list[Said] = []
    for fact in left:
        words = _phrase(fact, pen)
        if len(said) < wanted and sum(len(s.words.split()) + 1 for s in said) + len(words.split()) + 3 <= room:
            said.append(Said(words, fact))
            pen.told.add(fact.fact_id)
            pen.covers += [fact] if fact.role == "cover" else []
    return said


def _phrase(fact: Fact, pen: Pen) -> str:
    match fact.role:
        case "cover":
            return amount_of(fact, pen) + place_of(fact, pen, 25)
        case "water":
            return water_in_words(fact, pen)
        case "object":
            return object_in_words(fact, pen) + place_of(fact, pen, 25)
    return {"valley": "a valley", "ridge": "a ridge"}[fact.concept]


def _tails(said: Sequence[Said], opening: str, pen: Pen) -> str:
    """What follows the opening: one list of everything, or the covers first and one thing after them."""
    things = [s for s in said if s.fact.role != "cover" or s.fact.concept == "built"]
    forms = [s for s in things if s.fact.role == "relief"]
    if not said:
        return ""
    if things and (forms or pen.chance(60)):
        last = (forms or things)[0]
        others = [s for s in said if s is not last]
        return (_tail(others, opening, pen, last=False) if others else "") + _last(last, bool(others), opening, pen)
    return _tail(said, opening, pen)


def _last(said: Said, second: bool, opening: str, pen: Pen) -> str:
    frames = grammar.THING_TAILS[_sort_of(said.fact)]
    if second or " with " in opening:
        frames = tuple(f for f in frames if not f.startswith(", with "))
    if said.fact.concept == "built" and not said.words.startswith(("a few", "scattered", "some build", "many", "num")):
        frames = (", and {x} nearby", ", next to {x}", ", with {x} close by")
    if " where " in f" {opening.lower()}":
        frames = tuple(f for f in frames if "where" not in f)
    text = pen.spun(pen.pick(frames)).format(x=said.words)
    return _agreeing(text, plural=is_plural(said.words))


def _sort_of(fact: Fact) -> str:
    if fact.role == "relief":
        return "form"
    if fact.role == "cover":
        return "built"
    if fact.role == "water":
        return {"river": "river", "sea": "sea"}.get(fact.concept, "lake")
    return "line" if fact.concept in LINES else "built" if fact.concept == "house" else "site"


def _tail(said: Sequence[Said], opening: str, pen: Pen, *, last: bool = True) -> str:
    items = [s.words for s in said]
    joint = pen.pick((" and ", " and ", " plus ", " besides ", ", ")) if len(items) == 2 else " and "
    listed = items[0] if len(items) == 1 else ", ".join(items[:-1]) + joint + items[-1]
    plural = len(items) > 1 or is_plural(items[0])
    pieces = all(s.fact.is_dispersed for s in said)
    whole = last and sum(f.value for f in pen.covers) >= 0.97 and all(s.fact.role == "cover" for s in said)
    frames = _fitting(items, pieces, whole, opening)
    text = pen.spun(pen.pick(frames)).format(list=listed)
    return _agreeing(text, plural=plural)


_KIND_WORDS = {
    "dotted": "dotted|throughout|here and there|strewn",
    "rest": "the rest|the remainder|completing",
    "places": "in places",
    "mixed": "between|mixed|interspersed|broken by|broken up|interrupted",
}
"""What tells the kinds of tails apart."""


def _fitting(items: Sequence[str], pieces: bool, whole: bool, opening: str) -> list[str]:
    """The tails that read well with what they list, and say no more than is known: `pieces` says that all of it lies in
    several pieces, `whole` that nothing is left untold."""
    spread = pieces and not any(_PLACED(i) for i in items)
    scattered = any("scatter" in i for i in items)
    kinds = {
        "plain": True,
        "rest": whole,
        "mixed": spread and not _MIXED_ALREADY(opening),
        "places": spread and not scattered and not _MIXED_ALREADY(opening),
        "dotted": spread and not scattered and all(i.startswith(_PLURALS) for i in items),
    }
    said = [word for word in (" with ", " where ", "along") if word in f"{opening} "]
    return [t for t, kind in _KIND.items() if kinds[kind] and not (kind == "plain" and any(w in t for w in said))]


_KIND = {
    tail: next((kind for kind, words in _KIND_WORDS.items() if re.search(words, tail)), "plain")
    for tail in grammar.TAILS
}
_PLURALS = ("scattered", "a few", "small", "isolated", "several", "bits", "slivers", "clumps", "stands", "some build")
_MIXED_ALREADY = re.compile(r"\bwith|between|mixed|border|interspersed|broken|gives way").search
_PLACED = re.compile(r"\b(?:north|south|west|east|centre|middle)").search
