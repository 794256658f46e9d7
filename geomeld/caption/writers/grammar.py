"""Grammar: the words and sentence frames of the template writer, as tables.

In a frame, {g} is the ground's noun, {a} and {b} two covers, {w} water, {o} an object, {land} land with its relief
("rolling hills"), {area} the same as a singular noun ("rolling landscape"), {p} and {q} places. "cover+" is a verb
that agrees with its frame's subject.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun of a cover."""

    word: str
    plural: bool = False
    traits: bool = True
    """Whether adjectives fit before it."""


def _nouns(mass: str, plural: str = "") -> tuple[Noun, ...]:
    single = tuple(Noun(w.strip("*"), False, not w.endswith("*")) for w in mass.split("|") if w)
    return single + tuple(Noun(w.strip("*"), True, not w.endswith("*")) for w in plural.split("|") if w)


# A land cover is not a land use, bare ground need not be soil: pastures, ploughed fields or sand are not said.
NOUNS: Mapping[str, tuple[Noun, ...]] = {
    "tree": _nouns("forest|woodland|tree cover|forest|wooded land*", "trees|woods"),
    "shrub": _nouns("shrubland|scrub|scrubland|bushland|brush|shrubby ground*", "shrubs|bushes"),
    "grass": _nouns("grassland|grass|grassland|grass cover|grassy ground*", "meadows|grasslands"),
    "crop": _nouns(
        "cropland|farmland|cultivated land|arable land|agricultural land", "crop fields|cultivated fields|crops"
    ),
    "built": _nouns("built-up land*|housing*", "buildings*"),
    "bare": _nouns("bare ground*|bare land*|barren land*|barren ground*|open bare ground*"),
    "snow": _nouns("snow*|snow cover*|snow and ice*", "snowfields*"),
    "wetland": _nouns("marshland|wetland|marshy ground", "wetlands|marshes"),
    "mangrove": _nouns("mangrove forest", "mangroves"),
    "moss": _nouns("moss and lichen|moss"),
    "veg_dense": _nouns("dense vegetation*|dense green vegetation*|thick vegetation*|lush vegetation*|dense greenery*"),
    "veg": _nouns("vegetation*|green vegetation*|greenery*|plant cover*"),
    "veg_sparse": _nouns("sparse vegetation*|thin vegetation*|sparse plant cover*"),
}
TRAITS: Mapping[str, tuple[str, ...]] = {
    "dense": ("dense", "thick"), "tall": ("tall",), "green": ("green",),
    "lush": ("lush", "lush green"), "dry": ("dry",), "large": ("large", "broad"),
    "small": ("small",), "narrow": ("narrow",), "wide": ("wide", "broad"),
}  # fmt: skip
UNFIT = {("dense", "tree cover"), ("tall", "tree cover"), ("tall", "woodland"), ("dry", "meadows"),
         ("dense", "trees"), ("dense", "mangroves"), ("broad", "lake"), ("broad", "pond"), ("thick", "trees"),
         ("tall", "mangrove forest")}  # fmt: skip
"""Adjective and noun that do not go together."""

AMOUNTS: Mapping[str, tuple[str, ...]] = {
    "all": ("",),
    "most": ("",),
    "large": ("large areas of", "wide areas of", "broad stretches of", "extensive", "large tracts of",
              "wide expanses of"),
    "some": ("patches of", "areas of", "pockets of", "some", "stretches of", "several patches of"),
    "few": ("scattered", "a few patches of", "small patches of", "scattered patches of", "small pockets of", "a little",
            "a touch of", "isolated patches of", "bits of", "a few small patches of", "a scattering of", "slivers of"),
}  # fmt: skip
"""By quantity band of `signals.quantities`."""
COMPACT: Mapping[str, tuple[str, ...]] = {
    "some": ("some", "a block of"),
    "few": ("a little", "a small patch of", "a patch of"),
}
"""Of a cover that lies in one piece: nothing there is scattered."""
COMPACT_PLURALS: Mapping[str, tuple[str, ...]] = {"some": ("some",), "few": ("a few",)}
FOR_PLURALS: Mapping[str, tuple[str, ...]] = {
    "large": ("extensive",),
    "some": ("some", "several"),
    "few": ("a few", "scattered", "a few scattered", "a few small", "isolated"),
}
OF_WOODS = {"large": ("extensive", "large areas of"), "some": ("some", "patches of", "stretches of"),
            "few": ("small patches of", "bits of", "slivers of")}  # fmt: skip
OF_TREES = {"large": ("large areas of", "broad stretches of"),
            "some": ("stands of", "clumps of", "some", "groups of", "clusters of"),
            "few": ("scattered", "a few", "small clumps of", "a few stands of", "isolated",
                    "a scattering of")}  # fmt: skip
OF_CROPS = {"large": ("large areas of", "broad stretches of"), "some": ("plots of", "some", "parcels of"),
            "few": ("a few plots of", "small plots of", "slivers of")}  # fmt: skip
PLURAL_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "trees": OF_TREES, "woods": OF_WOODS, "shrubs": OF_TREES, "bushes": OF_TREES, "mangroves": OF_TREES,
    "crops": OF_CROPS,
}  # fmt: skip

RELIEF: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "flat": (("flat", "flat", "level"), ("flat land", "flat terrain", "level ground", "flat ground", "a flat plain",
                                         "level terrain", "a level plain")),
    "gently undulating": (("gently undulating", "undulating"),
                          ("gently undulating land", "undulating terrain", "gently undulating ground",
                           "undulating land")),
    "rolling": (("rolling", "gently rolling"), ("rolling hills", "rolling terrain", "rolling land", "low hills",
                                                "gently rolling land")),
    "hilly": (("hilly",), ("hilly land", "hilly terrain", "hilly ground", "hillsides", "hills")),
    "mountainous": (("mountainous", "mountainous"), ("mountainous terrain", "mountain slopes", "mountainous ground",
                                                     "mountainous land", "mountainsides")),
    "": (("",), ("the land", "the ground")),
}  # fmt: skip
"""Relief class -> (adjectives, nouns of land)."""
AREA = ("area", "landscape", "area", "stretch of land", "landscape", "expanse", "tract of land")
AREA_OF = ("area", "landscape", "expanse")
"""What reads well before "of"."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "side": ("in the {}", "to the {}", "in the {}ern part", "towards the {}", "in the {}ern half"),
    "corner": ("in the {}", "to the {}", "in the {}ern corner", "towards the {}", "in the {}ern part"),
    "centre": ("in the centre", "in the middle", "at the centre"),
}

GROUND = (
    "{g} cover+ most of the {area}",
    "{g} stretch+ across the {area}",
    "{g} dominate+ the {area}",
    "{g} blanket+ the {area}",
    "{g} spread+ across most of the {area}",
    "{g} make+ up most of the {area}",
    "{g} extend+ over most of the {area}",
    "{g} take+ up most of the {area}",
    "{g} occupy+ most of the {area}",
    "{g} carpet+ the {area}",
    "{g} cover+ much of the {area}",
    "a {area} dominated by {g}",
    "a {area} mostly covered by {g}",
    "a {area} largely covered in {g}",
    "a {area} covered mainly by {g}",
    "mostly {g} on {land}",
    "{land} mostly covered with {g}",
    "{land} largely covered by {g}",
    "{land} dominated by {g}",
    "{land} covered in {g}",
    "across the {area}, {g} cover+ most of the ground",
    "over {land}, {g} take+ up most of the area",
    "{g} prevail+ on {land}",
    "the {area} is mostly {g}",
    "most of the {area} is covered with {g}",
    "vast expanses of {g} reach across {land}",
    "a vast expanse of {g} lies over {land}",
    "the {area} is dominated by {g}",
    "{g} cover+ {land}",
    "the ground of this {area} is mainly {g}",
)
"""One cover has half of the tile or more."""
EVERYWHERE = (
    "{g} cover+ the entire {area}",
    "{g} cover+ nearly all of the {area}",
    "{g} fill+ the whole {area} from edge to edge",
    "a {area} entirely covered by {g}",
    "a {area} completely covered by {g}",
    "the {area} is almost entirely {g}",
    "{g} cover+ almost all of the {area}",
    "nothing but {g} on {land}, reaching from one side of the area to the other",
    "{g} cover+ nearly the whole {area}, with little else to be found",
    "{land} blanketed by {g} in every direction",
    "wall-to-wall {g} on {land}",
)
"""One cover has nine tenths or more."""
MIXTURE = (
    "{a} and {b} share the {area}",
    "{a} and {b} lie side by side on {land}",
    "{a} and {b} alternate across the {area}",
    "a mix of {a} and {b} on {land}",
    "a patchwork of {a} and {b} spreads over {land}",
    "a {area} of {a} and {b}",
    "a {area} divided between {a} and {b}",
    "{land} shared by {a} and {b}",
    "{a} mixed with {b} on {land}",
    "{a} interspersed with {b} across the {area}",
    "{a} broken up by {b} on {land}",
    "a mosaic of {a} and {b} on {land}",
    "the {area} holds {qa} and {qb}",
    "a {area} with {qa} and {qb}",
    "{qa} and {qb} spread over {land}",
    "{a} give+ way to {b} across the {area}",
    "{qa} on {land}, next to {qb}",
    "{a} and {b} meet on {land}",
    "{a} intermingled with {b} over {land}",
)
"""No cover has half of the tile."""
LAYOUT = (
    "{a} lie+ in the {p} and {b} in the {q} of a {area}",
    "{a} in the {p} of the {area}, {b} in the {q}",
    "in the {p} lie+ {a}, in the {q} {b}, on {land}",
    "a {area} with {a} in the {p} and {b} in the {q}",
    "{a} lie+ in the {p} of the {area}, {b} in the {q}",
    "on {land}, {a} occupy+ the {p} and {b} the {q}",
)
"""Two covers that lie apart."""
RIVER = (
    "{w} runs through {g} on {land}",
    "{w} flows through {land} with {g}",
    "{w} crosses a {area} of {g}",
    "{w} cuts through {g}",
    "{w} passes through a {area} of {g}",
    "{g} line+ {w} on {land}",
    "{g} on both sides of {w} that crosses {land}",
    "{w} makes its way through {g} on {land}",
    "{g} flank+ {w} in a {area}",
    "a {area} of {g} crossed by {w}",
    "{w} divides a {area} of {g}",
    "{w} flows past {g} on {land}",
)
LAKE = (
    "{w} lies among {g} on {land}",
    "{w} sits in a {area} of {g}",
    "{g} border+ {w} on {land}",
    "{w} bordered by {g} on {land}",
    "{g} reach+ the edge of {w} on {land}",
    "{w} lies in the midst of {g} on {land}",
    "a {area} of {g} around {w}",
    "{g} lie+ around {w} on {land}",
    "{w} rests beside {g} on {land}",
    "{w} is set in {g} on {land}",
)
SEA = (
    "the sea meets a {area} of {g}",
    "{g} reach+ down to the sea on {land}",
    "the sea borders {land} with {g}",
    "a coast of {land} with {g}",
    "{g} lie+ beside the sea on {land}",
    "a coastal {area} of {g} beside the sea",
    "the sea lies next to {g} on {land}",
    "a coastline with {g} on {land}",
    "{g} line+ the coast of a {area}",
)
FLOODED = (
    "{w} takes up most of the area",
    "{w} covers most of the area",
    "{w} fills most of the area",
    "{w} dominates the area",
    "most of the area is covered by {w}",
    "{w} stretches across most of the area",
    "{w} occupies most of the area",
)
"""Water has half of the tile or more."""
LINE = (
    "{o} run+ through {g} on {land}",
    "{o} cross+ a {area} of {g}",
    "{o} pass+ through {g}",
    "a {area} of {g} crossed by {o}",
    "{o} cut+ across {land} with {g}",
    "{o} lead+ across a {area} of {g}",
    "{o} run+ across {land}, past {g}",
    "{g} on both sides of {o} that cross+ {land}",
)
"""Roads and railways."""
SITE = (
    "{o} lie+ on {land} with {g} around",
    "{o} sit+ among {g} on {land}",
    "{o} in a {area} of {g}",
    "{o} surrounded by {g} on {land}",
    "{o} stand+ on {land} beside {g}",
    "{o} stretch+ over {land} next to {g}",
    "{g} surround+ {o} on {land}",
    "a {area} with {o} amid {g}",
    "{o} occupy+ part of a {area} of {g}",
    "{o} beside {g} on {land}",
)
"""Things that take up ground."""
TERRAIN = (
    "{land} with {g} all around",
    "the terrain is {adj} and mostly covered by {g}",
    "the {adj} terrain is covered mainly by {g}",
    "the ground is {adj} and {g} dominate+ it",
    "{land} where {g} dominate+",
    "a {area} where {g} prevail+",
)
"""Relief comes first. "carry*" agrees with {land}."""
TAILS = (
    ", with {list}",
    ", with {list}",
    ", along with {list}",
    ", alongside {list}",
    ", interspersed with {list}",
    ", broken up by {list}",
    ", mixed with {list}",
    ", together with {list}",
    ", with {list} in between",
    ", where {list} also appear+",
    ", while {list} make+ up the rest",
    ", with {list} in places",
    ", with {list} here and there",
    ", with {list} scattered throughout",
    ", dotted with {list}",
)
"""Covers that follow."""
THING_TAILS: Mapping[str, tuple[str, ...]] = {
    "river": (
        ", crossed by {x}",
        ", with {x} running through",
        ", cut by {x}",
        ", with {x} flowing through",
        ", divided by {x}",
    ),
    "lake": (", beside {x}", ", near {x}", ", with {x} nearby", ", close to {x}", ", not far from {x}"),
    "sea": (", beside {x}", ", next to {x}", ", bordering {x}", ", right by {x}", ", down to {x}"),
    "line": (
        ", crossed by {x}",
        ", with {x} running through",
        ", cut by {x}",
        ", divided by {x}",
    ),
    "built": (
        ", and {x} nearby",
        ", where {x} stand",
        ", and {x} dot the area",
        ", with {x} here and there",
    ),
    "site": (
        ", near {x}",
        ", beside {x}",
        ", next to {x}",
        ", with {x} nearby",
        ", and {x} close by",
        ", not far from {x}",
    ),
    "form": (", in {x}", ", along {x}"),
}
"""One thing that follows, by what it is."""
