"""The lexicon: which words make which claim. Longest match wins, so that "solar panel farm" is no farm."""

import re
from dataclasses import dataclass

from geomeld.signals.phrases import PHRASES
from geomeld.signals.quantities import QUANTITIES


@dataclass(frozen=True, slots=True)
class Entry:
    """One concept and the words that claim it."""

    concept: str
    group: str
    """cover, water, relief, object or style."""
    pattern: str


COVER = {
    "tree": r"(?:coniferous |tropical |open )?forests?|woodlands?|woods|wooded (?:areas?|patches|slopes|hills)|wooded|trees|tree cover|groves?",
    "shrub": r"shrub ?lands?|shrubs|scrub(?:land)?|bush(?:es|land)",
    "grass": r"(?:open |dry )?grasslands?|grass|grassy (?:areas?|plains?|slopes)|meadows?|pastures?|rangeland|savanna",
    "crop": r"crop ?lands?|crops|crop fields|farmland|farm fields|cultivated (?:land|fields)|agricultural (?:land|fields)|ploughed (?:land|fields)|arable land",
    "field": r"fields",
    "built": r"buildings|built-up (?:areas?|land)|settlements?|housing|rooftops",
    "city": r"(?:dense )?(?:city|cities|urban areas?|town cent(?:er|re))",
    "bare": r"bare (?:ground|soil|earth|land|rock|slopes)|brown earth|barren (?:ground|land)|sand(?:y ground)?|rocky ground|exposed soil",
    "desert": r"deserts?|sand dunes|dunes",
    "snow": r"snow(?:fields?)?|ice(?: cover)?|snow-covered (?:ground|land|slopes)",
    "wetland": r"wetlands?|marsh(?:es|land|y ground)?|swamps?|bogs?",
    "mangrove": r"mangroves?(?: forests?)?",
    "moss": r"moss and lichen|moss|lichen|mossy ground",
    "veg_dense": r"(?:dense|lush) (?:green )?vegetation",
    "veg_sparse": r"sparse (?:green )?vegetation|sparsely vegetated (?:ground|land)",
    "veg": r"(?:green )?vegetation|greenery",
}  # fmt: skip
WATER = {
    "river": r"rivers?|waterways?",
    "stream": r"streams?|creeks?|brooks?",
    "lake": r"lakes?",
    "pond": r"ponds?",
    "sea": r"seas?|oceans?|open sea",
    "coast": r"coasts?|coastlines?|seashore|beach(?:es)?",
    "water": r"open water|water bod(?:y|ies)|bod(?:y|ies) of water|water",
}
RELIEF = {
    "flat": r"flat|level|plains?|even ground",
    "undulating": r"gently undulating|undulating|gentle rises",
    "rolling": r"rolling(?: hills)?",
    "hilly": r"hilly|hills|hillsides?",
    "mountain": r"mountains?|mountainous|steep|rugged|mountainsides?",
    "valley": r"valleys?|gorges?|canyons?",
    "ridge": r"ridges?|crests?|peaks?|summits?",
}
STYLE = {
    "meta": r"(?:satellite|aerial|overhead)(?: image| view| photo(?:graph)?| scene)?|image|photo(?:graph)?|picture|we (?:can )?see|can be seen in this",
    "sensor": r"sentinel(?:-?[12])?|ndvi|worldcover|openstreetmap|radar|pixels?|bands?|spectral|reflectance",
    "hedge": r"possibly|probably|perhaps|maybe|likely|appears? to be|seems? to be|may be|might be",
    "weather": r"clouds?|cloudy|haz[ey]|sunny|clear (?:sky|skies)|fog(?:gy)?|shadows?|rain(?:y)?",
    "people": r"people|cars?|vehicles?|boats?|animals?|cattle|sheep",
    "purpose": r"used for|supporting the|for agriculture|for recreation|local economy|popular with|important for",
    "change": r"expanding|growing city|recently (?:burned|built|cleared)|newly|in recent years|deforestation|abandoned",
    "number": r"\d+(?:\.\d+)?(?: ?%| percent)?",
}  # fmt: skip

GROUPS = {"cover": COVER, "water": WATER, "relief": RELIEF, "style": STYLE}


def _objects() -> dict[str, set[str]]:
    words: dict[str, set[str]] = {}
    known = {w for group in (COVER, WATER) for w in group}
    for p in PHRASES:
        if p.concept not in known and p.concept not in ("forest", "scrub", "grassland", "farmland", "meadow"):
            words.setdefault(p.concept, set()).update({p.phrase, p.plural})
    words["road"] |= {"roads", "road", "lane", "lanes"}
    words["solar_farm"] |= {"solar farm", "solar farms", "solar panels", "solar park"}
    words["highway"] |= {"highway", "highways", "motorway"}
    return words


ENTRIES: tuple[Entry, ...] = tuple(
    Entry(concept, group, pattern) for group, table in GROUPS.items() for concept, pattern in table.items()
) + tuple(
    Entry(c, "object", "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True)))
    for c, words in _objects().items()
)
"""Every concept once."""

GROUP_OF = {e.concept: e.group for e in ENTRIES}

CONCEPT = re.compile("|".join(rf"(?P<c{i}>\b(?:{e.pattern})\b)" for i, e in enumerate(ENTRIES)), re.IGNORECASE)
SINGLE = tuple(re.compile(rf"\b(?:{e.pattern})\b", re.IGNORECASE) for e in ENTRIES)

QUANTITY = re.compile(
    r"\b(?:"
    + "|".join(re.escape(w) for w in sorted((w for q in QUANTITIES for w in q.words), key=len, reverse=True))
    + r")\b",
    re.IGNORECASE,
)
COUNTS = {
    "a couple of": (2, 2),
    "two": (2, 2),
    "a few": (2, 6),
    "several": (4, 20),
    "many": (10, 10_000),
    "numerous": (10, 10_000),
}
COUNT = re.compile(r"\b(?:a couple of|two|a few|several|many|numerous)\b", re.IGNORECASE)
LOCATION = re.compile(
    r"\b(?:in|to|along|near|at|towards?|on) the (?P<where>north-?east|north-?west|south-?east|south-?west|north|south|east|west|cent(?:re|er)|middle)(?:ern)?"
    r"(?: (?:part|corner|half|side|edge))?\b",
    re.IGNORECASE,
)
MODIFIER = re.compile(
    r"\b(?:dense|thick|closed|tall|young|green|lush|dry|brown|winding|meandering|large|small|wide|narrow|big|sandy)\b",
    re.IGNORECASE,
)
NEGATION = re.compile(r"\b(?:no|without|lacks?|lacking|free of|devoid of|absence of)\b", re.IGNORECASE)
PSEUDO_NEGATION = re.compile(
    r"\b(?:not only|not far from|no more than|no less than|without interruption|nothing but)\b", re.IGNORECASE
)
CLAUSE = re.compile(r"[,;.]| with | while | whereas | where | but | and (?=an? )", re.IGNORECASE)
