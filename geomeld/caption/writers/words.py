"""Words: noun phrases for facts, and the keyed draws that choose among them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from geomeld.caption.facts import Fact
from geomeld.caption.writers import vocabulary
from geomeld.caption.writers.vocabulary import NOUNS, Noun
from geomeld.core.draw import below, draw_words

T = TypeVar("T")
LINES = frozenset(("road", "main_road", "highway", "railway", "street", "canal"))
"""Objects that run through a tile."""


@dataclass
class Pen:
    """Keyed draws for one draft, and the facts that it has told so far."""

    seed: int
    tile_id: int
    stream: str
    drawn: int = 0
    told: set[str] = field(default_factory=set)
    covers: list[Fact] = field(default_factory=list)
    """The covers among them."""

    def pick(self, options: Sequence[T]) -> T:
        """One of several, each equally likely."""
        self.drawn += 1
        word, _ = draw_words(self.seed, f"caption-{self.stream}-{self.drawn}", self.tile_id)
        return options[below(word, len(options))]

    def spun(self, frame: str) -> str:
        """A frame with one option taken of every choice "[a|b]"."""
        return re.sub(r"\[([^]]*)\]", lambda m: self.pick(m[1].split("|")), frame)

    def chance(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.pick(range(100)) < percent


def noun_of(fact: Fact, pen: Pen, *, small: bool = False) -> tuple[Noun, str]:
    """(noun, with an adjective that the measurements support, or without)."""
    pieces = vocabulary.SMALL.get(fact.concept, ()) if small and fact.is_dispersed and fact.value < 0.25 else ()
    noun = pen.pick((*NOUNS[fact.concept], *pieces))
    traits = [
        t for t in fact.traits if noun.traits for t in vocabulary.TRAITS[t] if (t, noun.word) not in vocabulary.UNFIT
    ]
    if not traits or not pen.chance(40):
        return noun, noun.word
    return noun, f"{pen.pick(traits)} {noun.word}"


def amount_of(fact: Fact, pen: Pen) -> str:
    """A cover with a word for how much of it there is."""
    if fact.concept == "built":
        few = "spread" if fact.is_dispersed else "few"
        return pen.pick(_BUILT[few if fact.value < 0.06 else "some" if fact.value < 0.25 else "many"])
    noun, words = noun_of(fact, pen, small=True)
    amounts: Sequence[str] = _amounts(fact, noun)[fact.detail]
    if noun.word.endswith(("land", "ground", "cover", "forest", "soil", "earth")) and not noun.plural:
        amounts = [a for a in amounts if a not in ("scattered", "plenty of")] or list(amounts)
    if "vegetation" in noun.word or "sparse" in words:
        amounts = [a for a in amounts if a not in ("scattered", "a scattering of")] or list(amounts)
    return f"{pen.pick(amounts)} {words}".strip()


def _amounts(fact: Fact, noun: Noun) -> Mapping[str, Sequence[str]]:
    """Words by quantity band: those that scatter a cover need a measured pattern that does."""
    usual = {
        **vocabulary.AMOUNTS,
        **(vocabulary.PLURAL_TABLES.get(noun.word, vocabulary.FOR_PLURALS) if noun.plural else {}),
    }
    if fact.is_dispersed:
        return usual
    return {**usual, **(vocabulary.COMPACT_PLURALS if noun.plural else vocabulary.COMPACT)}


_BUILT = {
    "few": ("a few buildings", "a few rooftops", "a few structures"),
    "spread": (
        "a few buildings",
        "scattered rooftops",
        "scattered buildings",
        "isolated buildings",
        "a few structures",
        "isolated structures",
        "scattered structures",
        "isolated rooftops",
        "occasional buildings",
    ),
    "some": (
        "some buildings",
        "clusters of buildings",
        "some rooftops",
        "clusters of structures",
        "some built-up ground",
        "clusters of rooftops",
        "some structures",
    ),
    "many": (
        "many buildings",
        "numerous buildings",
        "extensive built-up land",
        "many rooftops",
        "numerous structures",
        "numerous rooftops",
        "many structures",
    ),
}


def water_in_words(fact: Fact, pen: Pen) -> str:
    if fact.concept == "sea":
        return pen.pick(("the sea", "open water of the sea", "the open sea"))
    if fact.count > 1:
        return f"{'two' if fact.count == 2 else 'several' if fact.count > 3 else 'a few'} {fact.concept}s"
    traits = [t for t in fact.traits for t in vocabulary.TRAITS[t] if (t, fact.concept) not in vocabulary.UNFIT]
    trait = pen.pick(traits) + " " if traits and pen.chance(45) else ""
    return f"a {trait}{pen.pick(vocabulary.WATERS.get(fact.concept, (fact.concept,)))}{place_of(fact, pen, 35)}"


def object_in_words(fact: Fact, pen: Pen) -> str:
    single, plural = pen.pick(vocabulary.SYNONYMS.get(fact.detail, (fact.detail,))).split("|")
    if fact.count > 1 and fact.concept in LINES:
        # The map cuts a road into many pieces: their number says nothing.
        return pen.pick((plural, f"a network of {plural}", f"{plural} of different sizes")[: 1 + (fact.count > 7)])
    if fact.count > 1:
        return plural  # a map holds what volunteers have drawn so far: it shows that there are several, not how many
    return single if single.endswith("land") else f"a {single}"


def place_of(fact: Fact, pen: Pen, percent: int) -> str:
    if not fact.sector or f"in {fact.sector}" in pen.told or not pen.chance(percent):
        return ""
    pen.told.add(f"in {fact.sector}")  # one place is named once
    kind = "centre" if fact.sector == "centre" else "corner" if "-" in fact.sector else "side"
    return " " + pen.pick(vocabulary.PLACES[kind]).format(fact.sector)


def is_plural(words: str) -> bool:
    """Whether a noun phrase takes a plural verb: its head, before any "of" or place, ends in s."""
    head = re.split(r" (?:of|in|to|towards|at) ", words)[0]
    return head.endswith("s") and not head.endswith(("ss", "moss"))


def third_person(verb: str) -> str:
    """ "cover" -> "covers"."""
    if verb == "be":
        return "is"
    if verb.endswith(("ch", "sh", "s", "x")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"
