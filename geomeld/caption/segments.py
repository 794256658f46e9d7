"""Segments: the parts of a sentence that can be taken out, and the grammar put right afterwards."""

import re

from geomeld.caption.claims import tokenize

_LEADS = (
    "with|while|where|whereas|but|alongside|along with|as well as|next to|amid|among|beside|near|around|below|above|"
    "surrounded by|crossed by|dotted with|interspersed with|broken up by|broken by|bordered by|flanked by|lined with|"
    "fringed by|edged by|supporting|under|as|without|plus|cut by|divided by|close to|together with|joined by|"
    "mixed with|giving way to|leaving room for|making room for|not far from|accompanied by|complemented by|backed by|"
    "enriched by|supplemented by|varied by|followed by|besides|interrupted by|punctuated by|sprinkled with|"
    "studded with|peppered with|speckled with|flecked with|intermixed with|traversed by|split by|facing|within|inside|"
    "amidst"
)
SEPARATOR = re.compile(rf",? (?:{_LEADS}) |, by |, and |, |; | and ")
"""What leads from one part of a sentence to the next."""
LIST = (", ", " and ", ", and ", "; ")
"""Separators between items of one list."""
_VERBS = (
    "cover dominate stretch spread fill lie run cross stand sit surround blanket make take occupy extend pass flow "
    "border line grow give share mix hold carry reach meet rise alternate clothe flank divide wind cut separate follow "
    "hug lead prevail carpet predominate cloak mantle drape sweep span claim form account traverse drain split edge "
    "fringe frame face touch connect link join accompany appear occur exist contain bear rest gather go head"
)
_OTHERS = (
    "stretches crosses passes carries reaches is are surrounded covered dominated on in across over under along among"
)
VERBS = frozenset((*_VERBS.split(), *(v + "s" for v in _VERBS.split()), *_OTHERS.split()))
"""Words that make a subject a clause, or a noun a phrase of its own: from them on an "and" joins two parts."""


_PARTICIPLE = re.compile(r"(?:\w+(?:ing|ed)|cut|along|in|on|at|down|right)\b")


def segments(text: str) -> list[str]:
    """Parts and separators in turn: [part, separator, part, ...]. An "and" inside the subject does not cut it."""
    pieces = _split(text)
    while len(pieces) > 2 and not (set(re.findall(r"[a-z]+", pieces[0].lower())) & VERBS) and pieces[1] in LIST:
        pieces = ["".join(pieces[:3]), *pieces[3:]]
    return pieces


def _split(text: str) -> list[str]:
    """Cuts that lie inside one entry of the lexicon ("moss and lichen") are none."""
    whole = [(t.start, t.end) for t in tokenize(text) if t.kind in ("claim", "quantity", "pseudo")]
    pieces, position = [], 0
    for match in SEPARATOR.finditer(text):
        inside = any(a < match.start() + 1 and match.end() - 1 < b for a, b in whole)
        if not inside:
            pieces += [text[position : match.start()], match.group()]
            position = match.end()
    return [*pieces, text[position:]]


def first_segment_end(text: str) -> int:
    """Where the main clause ends."""
    return len(segments(text)[0])


def drop_segment(text: str, at: int) -> str | None:
    """The text without the part that holds character `at`; None where that part is the main clause, and no other
    clause follows that could stand alone."""
    stop = "." if text.endswith(".") else ""
    pieces = segments(text.rstrip("."))
    position, part = 0, 0
    for k, piece in enumerate(pieces):
        if position <= at < position + len(piece):
            part = k if k % 2 == 0 else k + 1
            break
        position += len(piece)
    if part == 0:
        return tidy("".join(pieces[2:]) + stop) if len(pieces) > 2 and pieces[1] == ", while " else None
    before, rest = pieces[:part], pieces[part + 1 :]
    if not rest:
        stop = "."  # what cut the sentence off has gone with its last part
    separator = before.pop()
    if rest and rest[0] in LIST and separator not in LIST:
        # The next item of the list takes over what led to it: ", with A and B" -> ", with B".
        before.append(separator)
        rest = rest[1:]
    elif (
        separator in (" and ", ", and ")
        and len(before) >= 2
        and before[-2] == ", "
        and not _PARTICIPLE.match(before[-1])
        and not re.search(r"ing\b", before[-1])
    ):
        before[-2] = " and "
    return tidy("".join(before + rest) + stop)


def tidy(text: str) -> str:
    """Spaces, articles, commas and the capital put right."""
    text = re.sub(r"\s+", " ", text).replace(" ,", ",").replace(" .", ".")
    text = re.sub(r"\b(a|an|A|An) (?=([a-zA-Z]+))", _article, text)
    text = re.sub(r"(?:\s*(?:[,.]|\b(?:and|with|(?<!close )by|of|on|in|near|under|as)\b))+\s*\.$", ".", text)
    text = re.sub(r"\b(\w+) \1\b", r"\1", re.sub(r",\s*(?=,)", "", text)).strip(" ,")
    return text[:1].upper() + text[1:]


def _article(match: re.Match[str]) -> str:
    word = match[2].lower()
    vowel = word[0] in "aeiou" and not word.startswith(("uni", "use", "eu", "one"))
    return match[1][0] + ("n " if vowel else " ")
