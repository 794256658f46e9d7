"""The template writer: a grounded grammar that says only facts, in many ways, drawn by the tile's own identifier."""

from collections.abc import Callable, Sequence

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.repair import tidy
from geomeld.core.draw import below, draw_words

Pick = Callable[[Sequence[str]], str]

NOUNS: dict[str, tuple[str, ...]] = {
    "tree": ("forest", "woodland", "trees"),
    "shrub": ("shrubland", "scrub", "shrubs"),
    "grass": ("grassland", "open grassland", "grass"),
    "crop": ("cropland", "farmland", "cultivated land", "crop fields"),
    "built": ("buildings", "buildings"),
    "bare": ("bare ground", "bare earth", "bare soil"),
    "snow": ("snow", "snow"),
    "wetland": ("marshland", "wetland"),
    "mangrove": ("mangroves", "mangrove forest"),
    "moss": ("moss and lichen", "moss"),
    "veg_dense": ("dense vegetation", "dense green vegetation"),
    "veg": ("vegetation", "green vegetation"),
    "veg_sparse": ("sparse vegetation",),
}
PLURAL = ("trees", "shrubs", "crop fields", "buildings", "mangroves", "wetlands", "moss and lichen")
WORDS: dict[str, tuple[str, ...]] = {
    "large": ("large areas of", "extensive", "wide areas of"),
    "some": ("patches of", "areas of", "pockets of", "some"),
    "few": ("scattered", "a few patches of", "bits of"),
}
LAND = ("land", "terrain", "ground")
AREA = ("area", "landscape", "terrain")
RUNS = ("runs through", "crosses", "winds past", "passes through")


def drafts(tile_id: int, facts: Sequence[Fact], config: CaptionConfig, round_number: int) -> list[str]:
    """Up to `config.candidates` distinct captions; deterministic in the tile's identifier, the seed and the round."""
    out: list[str] = []
    for k in range(config.candidates * 4):
        text = draft(facts, _picker(config.seed, tile_id, f"{round_number}-{k}"))
        if text and text not in out:
            out.append(text)
        if len(out) == config.candidates:
            break
    return out


def _picker(seed: int, tile_id: int, stream: str) -> Pick:
    state = {"n": 0}

    def pick(options: Sequence[str]) -> str:
        state["n"] += 1
        word, _ = draw_words(seed, f"caption-{stream}-{state['n']}", tile_id)
        return options[below(word, len(options))]

    return pick


def draft(facts: Sequence[Fact], pick: Pick) -> str:
    """One caption from the facts of a tile; empty where there is nothing to say."""
    covers = sorted((f for f in facts if f.role == "cover"), key=lambda f: -f.share)
    waters = [f for f in facts if f.role == "water"]
    objects = [f for f in facts if f.role == "object"]
    relief = next((f for f in facts if f.role == "relief" and f.concept == "relief"), None)
    main = next((f for f in covers if f.detail in ("all", "most", "large") and f.concept != "built"), None)
    flooded = next((w for w in waters if w.share > 0.5), None)
    if flooded is not None:
        opening = _flooded(flooded, pick)
    elif objects and objects[0].salience > 0.5 and pick(("object", "object", "cover")) == "object":
        opening, objects = _object_first(objects[0], main, relief, pick), objects[1:]
    elif waters and pick(("water", "cover", "cover")) == "water":
        opening, waters = _water_first(waters[0], main, relief, pick), waters[1:]
    elif main is not None:
        opening = _cover_first(main, relief, pick)
    elif covers:
        opening = _mixture(covers[:2], relief, pick)
        main = None
        covers = covers[2:]
    elif relief is not None:
        opening = f"{_a(relief.detail).capitalize()} stretch of land"
    else:
        return ""
    rest = [f for f in covers if f is not main and (flooded is None or f.share > 0.02)]
    return tidy(_closed(opening, _minor(waters, rest, objects, pick), pick) + ".")


def _closed(opening: str, minor: list[str], pick: Pick) -> str:
    if not minor:
        return opening
    listed = minor[0] if len(minor) == 1 else ", ".join(minor[:-1]) + " and " + minor[-1]
    dotted = "with" if "scattered" in listed else "dotted with"
    return f"{opening}, {pick(('with', 'with', 'alongside', dotted))} {listed}"


def _minor(waters: Sequence[Fact], covers: Sequence[Fact], objects: Sequence[Fact], pick: Pick) -> list[str]:
    said = [_water_phrase(w, pick) for w in waters[:1]]
    wanted = 2 if pick(("two", "three")) == "two" else 3
    said += [_cover_phrase(c, pick) for c in covers if c.detail in WORDS or c.concept == "built"][: wanted - len(said)]
    if (objects and objects[0].concept not in ("house", "building")) or (
        objects and not any(c.concept == "built" for c in covers)
    ):
        said.append(_object_phrase(objects[0]))
    return said


def _noun(fact: Fact, pick: Pick, traits: bool = True) -> str:
    noun = pick(NOUNS[fact.concept])
    trait = fact.traits[0] if traits and fact.traits and pick(("yes", "no")) == "yes" else ""
    if trait == "dense" and noun == "trees":
        trait = ""
    return f"{trait} {noun}".strip() if trait not in noun else noun


def _cover_phrase(fact: Fact, pick: Pick) -> str:
    if fact.concept == "built":
        return "a few buildings" if fact.share < 0.08 else "buildings" if fact.share < 0.3 else "many buildings"
    noun = _noun(fact, pick)
    words = WORDS.get(fact.detail, ("",))
    word = pick([w for w in words if not (w == "scattered" and noun in ("grass", "moss"))] or words)
    place = f" in the {fact.sector}" if fact.sector and pick(("yes", "no")) == "yes" else ""
    return f"{word} {noun}{place}".strip()


def _water_phrase(fact: Fact, pick: Pick) -> str:
    trait = fact.traits[0] if fact.traits and pick(("yes", "no")) == "yes" else ""
    if fact.concept == "sea":
        return "open water of the sea"
    if fact.count > 2 and fact.concept in ("lake", "pond"):
        return f"several {fact.concept}s"
    place = f" in the {fact.sector}" if fact.sector and pick(("yes", "no")) == "yes" else ""
    return f"a {trait} {fact.concept}{place}"


def _object_phrase(fact: Fact) -> str:
    single, plural = fact.detail.split("|")
    if fact.concept in ("house", "building", "street") or fact.count > 1:
        count = max(fact.count, 2)
        word = "a couple of" if count == 2 else "a few" if count <= 5 else "several" if count <= 15 else "many"
        return f"{word} {plural}"
    return _a(single)


def _a(noun: str) -> str:
    return f"a {noun}"


def _relief_word(relief: Fact | None) -> str:
    return relief.detail if relief else ""


def _cover_first(main: Fact, relief: Fact | None, pick: Pick) -> str:
    noun, hill = _noun(main, pick), _relief_word(relief)
    s = "" if noun in PLURAL else "s"
    most = main.detail in ("all", "most")
    land, area = pick(LAND), pick(AREA)
    frames = (
        [
            f"{noun} cover{s} most of the {hill} {land}",
            f"{noun} dominate{s} this {hill} {area}",
            f"{hill} {land} mostly covered by {noun}",
            f"A {hill} {area} largely covered by {noun}",
            f"{noun} stretch{'es' if s else ''} across most of the {hill} {area}",
            f"Mostly {noun} on {hill} {land}",
        ]
        if most
        else [
            f"Large areas of {noun} spread over the {hill} {land}",
            f"A {hill} {area} with large areas of {noun}",
            f"Extensive {noun} on {hill} {land}",
            f"Wide areas of {noun} lie across the {hill} {area}",
        ]
    )
    if main.detail == "all":
        frames += [f"{noun} cover{s} the {hill} {land} entirely", f"{hill} {land} entirely covered by {noun}"]
    return pick(frames)


def _mixture(covers: Sequence[Fact], relief: Fact | None, pick: Pick) -> str:
    names = " and ".join(_cover_phrase(c, pick) for c in covers)
    hill = _relief_word(relief)
    frames = (
        f"A {hill} {pick(AREA)} with {names}",
        f"{names} on {hill} {pick(LAND)}",
        f"{names} spread over the {hill} {pick(LAND)}",
    )
    return pick(frames)


def _water_first(water: Fact, main: Fact | None, relief: Fact | None, pick: Pick) -> str:
    phrase, hill = _water_phrase(water, pick), _relief_word(relief)
    noun = _noun(main, pick) if main else f"{hill} {pick(LAND)}"
    if water.concept == "river":
        across = f"{hill} {pick(LAND)}" if not main else noun
        return f"{phrase} {pick(RUNS)} {across}"
    if water.concept == "sea":
        ground = f"the {hill} coast" if not main else f"a {hill} coast with {noun}"
        return pick((f"The sea borders {ground}", f"The sea lies beside {ground}"))
    plural = phrase.startswith("several")
    around = f"{noun} on {hill} {pick(LAND)}" if main and hill else noun
    return pick((f"{phrase} {'lie' if plural else 'lies'} among {around}", f"{phrase} surrounded by {around}"))


def _object_first(thing: Fact, main: Fact | None, relief: Fact | None, pick: Pick) -> str:
    phrase, hill = _object_phrase(thing), _relief_word(relief)
    plural = phrase.split()[0] in ("several", "many") or phrase.startswith(("a few", "a couple"))
    ground = f"{hill} {pick(LAND)}"
    around = _noun(main, pick) if main else ground
    if thing.concept in ("road", "main_road", "highway", "railway", "track"):
        return f"{phrase} {'run' if plural else 'runs'} through {pick((around, ground))}"
    verb = "stand" if plural else "stands"
    frames = [f"{phrase} surrounded by {around}", f"{phrase} {verb} on {ground}"]
    return pick(frames + ([f"{phrase} {verb} among {around}"] if main else []))


def _flooded(water: Fact, pick: Pick) -> str:
    name = {"sea": "sea", "lake": "lake", "river": "river"}.get(water.concept, "water")
    return pick(
        (f"Open water of a {name} fills most of the area", f"The open water of a large {name} dominates the area")
    )
