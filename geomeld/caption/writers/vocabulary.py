"""Vocabulary: the nouns, adjectives, amounts and places that the template writer's frames are filled with."""

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
    "tree": _nouns(
        "forest|woodland|tree cover|wooded land*|forested ground*|woodland|forest|timberland",
        "trees|woods|woodlands|forests|tree stands|trees",
    ),
    "shrub": _nouns(
        "shrubland|scrub|scrubland|bushland|brush|shrubby ground*|brushland|shrubbery",
        "shrubs|bushes|thickets|shrublands|low shrubs",
    ),
    "grass": _nouns(
        "grassland|grass|grassy ground*|meadowland|grassland|sward|herbage|grass cover",
        "meadows|grasslands|grasses|swards|meadows|leas",
    ),
    "crop": _nouns(
        "cropland|farmland|arable land|agricultural land|cultivation*|agriculture*|cropped land|farmed ground",
        "crop fields|cultivated fields|crops|arable fields|agricultural plots|croplands|farmlands|farm plots",
    ),
    "built": _nouns("built-up land*|housing*", "buildings*"),
    "bare": _nouns(
        "bare ground*|barren land*|barren ground*|unvegetated ground*|exposed ground*|naked ground*|"
        "bare terrain*|barren terrain*",
        "barrens*|bare surfaces*|barren expanses*|barrens*|unvegetated surfaces*|exposed surfaces*",
    ),
    "snow": _nouns("snow*|snow cover*|snow and ice*|snowy ground*|ice and snow*", "snowfields*|snow fields*"),
    "wetland": _nouns(
        "marshland|wetland|marshy ground|boggy ground|swampy ground|swampland", "wetlands|marshes|swamps|bogs"
    ),
    "mangrove": _nouns("mangrove forest|mangrove woodland", "mangroves|mangrove trees|mangrove stands"),
    "moss": _nouns("moss and lichen|moss|lichen and moss|mossy ground|moss cover", "mosses|mosses and lichens"),
    "veg_dense": _nouns("dense vegetation*|dense green vegetation*|thick vegetation*|lush vegetation*|dense greenery*"),
    "veg": _nouns("vegetation*|green vegetation*|greenery*|plant cover*"),
    "veg_sparse": _nouns("sparse vegetation*|thin vegetation*|sparse plant cover*|thin plant cover*"),
}
SMALL: Mapping[str, tuple[Noun, ...]] = {
    "tree": _nouns("", "copses*|groves*|coppices*|spinneys*|tree groups*|tree clumps*|wooded patches*"),
    "shrub": _nouns("", "thickets*|bushes*|shrub patches*|bushy patches*"),
    "grass": _nouns("", "grassy patches*|grass plots*|meadows*"),
    "crop": _nouns("", "farm plots*|crop plots*|farmed plots*|field patches*|field strips*|cropped parcels*"),
    "bare": _nouns("", "bare patches*|barren spots*|bare spots*"),
    "wetland": _nouns("", "marshy patches*|boggy patches*"),
    "moss": _nouns("", "mossy patches*"),
}
"""Nouns of little that lies in several pieces."""
CLAD: Mapping[str, tuple[str, ...]] = {
    "tree": ("forest-clad", "tree-clad", "forest-covered", "tree-covered", "wood-clad", "forested", "wooded"),
    "shrub": ("scrub-covered", "shrub-covered", "scrub-clad", "shrub-clad", "brush-covered", "shrubby"),
    "grass": ("grass-covered", "grass-clad", "grassy", "meadow-covered", "turf-clad"),
    "crop": ("crop-covered", "cultivated", "cropped", "farmed", "field-covered"),
    "bare": ("bare-surfaced", "barren", "unvegetated"),
    "snow": ("snow-covered", "snow-clad", "snowy"),
    "wetland": ("marshy", "swampy", "marsh-covered"),
    "moss": ("mossy", "moss-covered", "moss-clad"),
    "mangrove": ("mangrove-covered", "mangrove-clad"),
}
"""Adjectives that a leading cover lends the land."""
TRAITS: Mapping[str, tuple[str, ...]] = {
    "dense": ("dense", "thick", "closed"), "tall": ("tall",), "green": ("green", "verdant"),
    "lush": ("lush", "lush green", "verdant"), "dry": ("dry", "parched", "dried"), "large": ("large", "broad"),
    "small": ("small",), "narrow": ("narrow",), "wide": ("wide", "broad"),
}  # fmt: skip
UNFIT = {
    *((t, n) for t in ("dense", "thick", "closed") for n in ("trees", "mangroves", "mangrove trees", "tree stands")),
    ("dense", "tree cover"), ("thick", "tree cover"), ("tall", "tree cover"), ("tall", "forest cover"),
    ("tall", "woodland"), ("tall", "woodlands"), ("closed", "woods"), ("closed", "mangrove stands"), ("dry", "meadows"),
    ("broad", "lake"), ("broad", "pond"), ("tall", "mangrove forest"), ("tall", "forests"),
    ("parched", "moss"), ("verdant", "crops"),
}  # fmt: skip
"""Adjective and noun that do not go together."""

AMOUNTS: Mapping[str, tuple[str, ...]] = {
    "all": ("",),
    "most": ("",),
    "large": ("extensive", "sizeable", "considerable", "substantial", "widespread", "swathes of",
              "much", "plenty of", "abundant", "ample", "", ""),
    "some": ("patches of", "pockets of", "some", "stretches of", "parcels of", "tracts of",
             "intermittent", "broken", "sections of", "patchy", "piecemeal", "discontinuous", "", ""),
    "few": ("scattered", "small patches of", "a little", "dispersed", "bits of", "sporadic", "occasional",
            "sparse", "limited", "fragments of", "isolated patches of", "sporadic", "scant", "scattered"),
}  # fmt: skip
"""By quantity band of `signals.quantities`."""
COMPACT: Mapping[str, tuple[str, ...]] = {
    "some": ("some", "a block of", "", "", "a share of", "some"),
    "few": ("a little", "a small patch of", "a patch of", "limited", "a touch of", "a spot of", "scant"),
}
"""Of a cover that lies in one piece: nothing there is scattered."""
COMPACT_PLURALS: Mapping[str, tuple[str, ...]] = {"some": ("some", ""), "few": ("a few",)}
FOR_PLURALS: Mapping[str, tuple[str, ...]] = {
    "large": ("extensive", "abundant", "widespread", "plenty of", "sizeable", "ample", "", ""),
    "some": ("some", "several", "various", "intermittent", "assorted", "", "multiple"),
    "few": ("a few", "scattered", "dispersed", "infrequent", "isolated", "occasional", "sporadic", "stray"),
}  # fmt: skip
OF_WOODS = {"large": ("extensive", "widespread", ""),
            "some": ("some", "patches of", "stretches of", "intermittent", "portions of", "patchy", ""),
            "few": ("small patches of", "bits of", "sporadic", "fragments of", "isolated")}  # fmt: skip
OF_TREES = {"large": ("plentiful", "abundant", "widespread", "plenty of", "swathes of", ""),
            "some": ("stands of", "clumps of", "some", "groups of", "clusters of", "intermittent", "", ""),
            "few": ("scattered", "a few", "small clumps of", "isolated", "occasional", "sporadic", "scattered",
                    "a scattering of", "stray", "dispersed", "solitary", "infrequent")}  # fmt: skip
OF_CROPS = {"large": ("sizeable", "abundant", "widespread", "swathes of", "extensive", ""),
            "some": ("plots of", "some", "parcels of", "sections of", ""),
            "few": ("a few plots of", "small plots of", "slivers of", "bits of", "sporadic")}  # fmt: skip
OF_PATCHES = {"large": ("extensive",), "some": ("some", "several", "various", "assorted", "intermittent", "multiple"),
              "few": ("a few", "scattered", "dispersed", "isolated", "occasional", "sporadic", "stray", "small",
                      "infrequent")}  # fmt: skip
"""Of nouns that are pieces already."""
PLURAL_TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "trees": OF_TREES, "woods": OF_WOODS, "shrubs": OF_TREES, "bushes": OF_TREES, "mangroves": OF_TREES,
    "crops": OF_CROPS, "low shrubs": OF_TREES, "mangrove trees": OF_TREES, "mosses": OF_WOODS, "grasses": OF_WOODS,
    "mosses and lichens": OF_WOODS, **{n.word: OF_PATCHES for nouns in SMALL.values() for n in nouns},
}  # fmt: skip

_LANDS = ("land", "terrain", "country", "expanses", "ground", "tracts")


def _lands(*adjectives: str, also: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(adjectives, nouns of land that have them, and others)."""
    nouns = tuple(f"{a} {n}" for a in adjectives for n in _LANDS)
    return adjectives, nouns + tuple(w for w in also.split("|") if w)


RELIEF: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "flat": _lands("flat", "level", "flat-lying", "low-relief", "flattish", also="a flat plain|flatlands|"
    "even ground|plains|"
                   "flatland|open plains|even terrain|broad plains|level plains"),
    "gently undulating": _lands("gently undulating", "undulating", "softly undulating", "mildly undulating", "wavy",
                                also="gentle rises|gently swelling ground|soft undulations"),
    "rolling": _lands("rolling", "gently rolling", "softly rolling", also="rolling hills|low hills|gentle hills|"
    "softly rolling hills|"
                      "rounded hills|gentle hillsides|rolling slopes|hillocks"),
    "hilly": _lands("hilly", "sloping", "hummocky", "hillocky", also="hillsides|hills|hillslopes|hill country|"
    "slopes|a hillside"),
    "mountainous": _lands("mountainous", also="mountain slopes|mountainsides|mountains|mountain country|"
    "a mountainside|"
                          "mountain sides|mountain terrain|a mountain slope|mountain land"),
    "": (("",), ("the land", "the ground")),
}  # fmt: skip
"""Relief class -> (adjectives, nouns of land)."""
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "road|roads": ("road|roads", "roadway|roadways", "lane|lanes"),
    "residential area|residential areas": ("residential area|residential areas", "residential district|"
    "residential districts",
                                           "neighbourhood|neighbourhoods", "residential zone|residential zones"),
    "railway line|railway lines": ("railway line|railway lines", "railway|railways", "railroad|railroads"),
    "major highway|major highways": ("major highway|major highways", "highway|highways", "motorway|motorways"),
    "industrial area|industrial areas": ("industrial area|industrial areas", "industrial zone|industrial zones",
                                         "industrial site|industrial sites"),
    "commercial area|commercial areas": ("commercial area|commercial areas", "commercial district|"
    "commercial districts"),
    "farm building|farm buildings": ("farm building|farm buildings", "barn|barns"),
    "solar panel farm|solar panel farms": ("solar panel farm|solar panel farms", "solar farm|solar farms",
                                           "solar park|solar parks", "solar plant|solar plants"),
    "quarry|quarries": ("quarry|quarries", "open pit|open pits"),
    "airfield|airfields": ("airfield|airfields", "airstrip|airstrips", "aerodrome|aerodromes"),
    "sports pitch|sports pitches": ("sports pitch|sports pitches", "sports field|sports fields"),
    "parking lot|parking lots": ("parking lot|parking lots", "car park|car parks"),
}  # fmt: skip
"""Names for one thing of the map: singular and plural."""
WATERS: Mapping[str, tuple[str, ...]] = {"river": ("river", "river", "watercourse", "waterway")}
AREA = ("area", "landscape", "stretch of land", "expanse", "tract of land", "tract", "place", "setting", "stretch",
        "sweep", "locale", "site", "zone", "spot", "quarter")  # fmt: skip
AREA_OF = ("area", "landscape", "expanse", "tract", "stretch", "sweep")
"""What reads well before "of"."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "side": ("in the {}", "to the {}", "towards the {}", "in the {}ern half", "on the {}ern side"),
    "corner": ("in the {}", "to the {}", "in the {}ern corner", "towards the {}", "on the {}ern side"),
    "centre": ("in the centre", "in the middle", "at the centre", "towards the middle"),
}  # fmt: skip
