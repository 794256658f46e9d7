"""Claims: what a caption says, with its span, negation, hedge, quantity, count, place and adjectives."""

from dataclasses import dataclass
from functools import lru_cache

from geomeld.caption.lexicon import (
    COUNTS,
    GROUP_OF,
    LOCATION,
    MISSPELT,
    MODIFIERS,
    SURROUNDS,
    WORD,
    Marker,
    known,
    look_up,
    place,
)
from geomeld.core.caption import Claim
from geomeld.signals.quantities import QUANTITIES

_LANDS = frozenset(["area", "areas", "land", "ground", "terrain", "landscape"])
REACH = 3
"""Unknown words that may stand between a noun and the words that say how much of it there is."""
NEGATION_REACH = 8
"""Words that a negation governs at most."""


@dataclass(frozen=True, slots=True)
class Token:
    """One entry of the lexicon, or one unknown word, in a caption."""

    kind: str
    """ "claim", a kind of marker, "place", "clause" (punctuation) or "word"."""
    value: str
    start: int
    end: int
    is_of_land: bool = False
    """Whether it names the ground itself: "a wooded area"."""


@lru_cache(maxsize=4096)
def extract(text: str) -> tuple[Claim, ...]:
    """All claims of a caption, in order; the longest entry wins where several start at one word."""
    tokens = tokenize(text)
    at = [i for i, t in enumerate(tokens) if t.kind == "claim"]
    return tuple(_claim(text, tokens, i, number) for number, i in enumerate(at))


def tokenize(text: str) -> list[Token]:
    """A caption as entries of the lexicon and the words between them."""
    lower = text.lower()
    spans = [(m.start(), m.end()) for m in WORD.finditer(text)]
    words = [MISSPELT.get(lower[a:b], lower[a:b]) for a, b in spans]
    places = {m.start(): m for m in LOCATION.finditer(lower)}
    tokens: list[Token] = []
    i = 0
    while i < len(words):
        start, end = spans[i]
        if start in places:
            match = places[start]
            tokens.append(Token("place", place(match["where"]), start, match.end()))
            while i < len(words) and spans[i][0] < match.end():
                i += 1
            continue
        found = look_up(words, i)
        if found is None:
            tokens.append(Token(_kind_of_unknown(text[start:end], first=start == 0), words[i], start, end))
            i += 1
            continue
        entry, length = found
        kind, value = ("claim", entry) if isinstance(entry, str) else (entry.kind, entry.value)
        tokens.append(Token(kind, value, start, spans[i + length - 1][1], words[i + length - 1] in _LANDS))
        i += length
    return [_as_style(t) for t in tokens]


def _kind_of_unknown(word: str, *, first: bool) -> str:
    if not word[0].isalnum():
        return "clause" if word in ",;:.!?" else "word"
    if word[0].isdigit():
        return "number"
    return "name" if word[0].isupper() and not first and not known(word.lower()) else "word"


def _as_style(token: Token) -> Token:
    """Digits and proper names are claims of style."""
    return Token("claim", token.kind, token.start, token.end) if token.kind in ("number", "name") else token


def _claim(text: str, tokens: list[Token], i: int, number: int) -> Claim:
    token, group = tokens[i], GROUP_OF[tokens[i].value]
    before = _before(tokens, i)
    quantity, count = _amount(before)
    if group not in ("cover", "water") and quantity not in COUNTS and token.value != "house":
        quantity = None  # a "small" tank is a size, and relief has no amount
    elif quantity is None and not _is_second_subject(tokens, i - len(before)):
        quantity = _predicate(tokens, i)
    return Claim(
        claim_id=f"{token.value}-{number}",
        concept=token.value,
        start=token.start,
        end=token.end,
        text=text[token.start : token.end],
        negated=_negated(tokens, i),
        hedged=_hedged(tokens, i),
        quantity=quantity,
        count=count,
        location=_place(tokens, i) if group in ("cover", "water", "object") else None,
        modifiers=tuple(t.value for t in before if t.value in MODIFIERS),
    )


def _before(tokens: list[Token], i: int) -> list[Token]:
    """The words of the noun phrase that ends in token `i`, in order: back to a verb, a conjunction or another noun."""
    j, unknown = i, 0
    while j > 0:
        token = tokens[j - 1]
        if token.kind not in ("quantity", "predicate", "count", "modifier", "of", "word", "claim"):
            break
        if token.kind == "claim" and (GROUP_OF[token.value] != "relief" or (tokens[j].kind == "claim" and j < i)):
            break
        unknown += token.kind == "word"
        if unknown > REACH:
            break
        j -= 1
    return tokens[j:i]


def _amount(before: list[Token]) -> tuple[str | None, int | None]:
    """(quantity word, count) of a noun phrase: the first of an unbroken chain, which governs: "a few patches of"."""
    quantity: str | None = None
    number: int | None = None
    for token in reversed(before):
        if token.kind in ("quantity", "predicate") and not (quantity and token.value in SURROUNDS):
            quantity = token.value
        if token.kind == "count" or token.value in COUNTS:
            number = COUNTS[token.value][0] if COUNTS[token.value][0] == COUNTS[token.value][1] else None
            if token.value not in ("a", "an", "one", "a single"):
                quantity = token.value
        if token.kind == "word" and quantity is not None:
            break
    return quantity, number


def _predicate(tokens: list[Token], i: int) -> str | None:
    """What directly follows a noun and says how far it reaches: "dominates", "is mostly ..." does not count."""
    for token in tokens[i + 1 : i + 3]:
        if token.kind == "predicate" or (token.kind == "quantity" and token.value in _EITHER_SIDE):
            return token.value
        if token.kind not in ("word", "place"):
            return None
    return None


_EITHER_SIDE = frozenset(w for band in QUANTITIES for w in band.words if w in band.predicates)


def _is_second_subject(tokens: list[Token], start: int) -> bool:
    """Whether the noun phrase that starts there follows "forest and": of two subjects nobody knows which dominates."""
    return start > 1 and tokens[start - 1].kind == "and" and tokens[start - 2].kind == "claim"


def _place(tokens: list[Token], i: int) -> str | None:
    """The place named after a noun in its clause, or before it where no other noun is nearer to that place."""
    for k, token in enumerate(tokens[i + 1 :], i + 1):
        if token.kind == "place":
            return None if _is_relative(tokens, k) else token.value
        if token.kind in ("claim", "clause", "stop", "and"):
            break
    for k in range(i - 1, -1, -1):
        if tokens[k].kind == "place":
            ahead = tokens[k - 1] if k else None
            taken = ahead is not None and ahead.kind == "claim" and GROUP_OF[ahead.value] not in ("style", "relief")
            return None if taken or _is_relative(tokens, k) else tokens[k].value
        if tokens[k].value == "meta" or (k and (tokens[k - 1].value == "meta" or tokens[k - 1].kind == "place")):
            continue  # "the left of the image is sea", "the north is sea"
        if tokens[k].kind in ("claim", "and", "stop") or (tokens[k].kind == "clause" and k > 2):
            return None
    return None


def _is_relative(tokens: list[Token], k: int) -> bool:
    """Whether a place is one of a thing, not of the tile: "in the middle of the forest"."""
    if k + 1 >= len(tokens) or tokens[k + 1].value != "of":
        return False
    noun = next((t for t in tokens[k + 2 :] if t.kind not in ("of", "modifier", "word")), None)
    if noun is None or noun.kind != "claim" or noun.value == "meta":
        return False
    return GROUP_OF[noun.value] in ("cover", "water", "object") and not noun.is_of_land


def _negated(tokens: list[Token], i: int) -> bool:
    """Whether a negation governs token `i`: from its trigger to the end of the clause (NegEx)."""
    for token in reversed(tokens[max(0, i - NEGATION_REACH) : i]):
        if token.kind == "negation":
            return True
        if token.kind in ("clause", "stop", "pseudo", "preposition") or token.value in SURROUNDS:
            return False
    return False


def _hedged(tokens: list[Token], i: int) -> bool:
    for token in reversed(tokens[:i]):
        if token.kind == "claim" and token.value == "hedge":
            return True
        if token.kind in ("clause", "claim"):
            return False
    return False


__all__ = ["Marker", "Token", "extract", "tokenize"]
