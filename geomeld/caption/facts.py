"""Facts: what may be said of a tile, each with its value, its source and how much it matters."""

from dataclasses import dataclass
from typing import Literal

from geomeld.caption.lexicon import TOLD_BY_RASTERS
from geomeld.caption.rules.rule import KINDS_OF, UNSURE, VEGETATION, greenness, parts_of
from geomeld.core.caption import LandCover, MapFeature, Signals
from geomeld.signals.phrases import PHRASES
from geomeld.signals.quantities import ABSENT_BELOW, quantity_for

Role = Literal["cover", "water", "relief", "object"]
TILE_M2 = 1280.0**2
SMALLEST_POND_M2 = 2000.0
"""Smaller ones are told by no caption: at 10 m they are as often what is seen of a stream between its trees."""
MENTIONED_FROM = 0.02
"""Share of the tile from which a cover is worth a word."""
CONFIRMED_FROM = ((0.08, 0.6), (0.25, 0.4))
"""(below this share of the tile, this much of a cover's pixels must a second map call the same): what is small must be
the better confirmed; a quarter of the tile is no speckle whatever a second map says. Chosen on the simulated Earths 11
and 41, where nearly every cover is false that one map alone shows on less than a tenth (the paper is silent)."""
MINOR, HALF_CONFIRMED, LEAST_LEFT = 0.35, 0.5, 0.4
"""Shares under MINOR shrink with confirmation below HALF_CONFIRMED, at most to LEAST_LEFT of themselves (chosen on the
same Earths, where the true share of such covers is 0.2 to 0.8 of the measured one in the median)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured statement that a caption may make."""

    fact_id: str
    """ "role-concept", unique on a tile."""
    role: Role
    concept: str
    predicate: Literal["covers", "is there", "has form", "counts"]
    value: float
    """Share 0..1 of the tile, count of objects, or metres of relief."""
    salience: float
    """0..1: what is mentioned first."""
    confidence: float
    """0..1, of the source."""
    source: str
    detail: str = ""
    """Quantity band of a cover, kind of a water body, relief class, "singular|plural" of an object."""
    sector: str = ""
    """Where it lies, where that is worth saying."""
    traits: tuple[str, ...] = ()
    """Adjectives that the measurements support."""
    count: int = 1
    pattern: str = ""
    """How a cover is laid out, as in `LandCover.patterns`; empty where nothing tells."""

    @property
    def is_dispersed(self) -> bool:
        """Whether a cover lies in several pieces."""
        return self.pattern in ("patches", "scattered")


def facts_of(signals: Signals) -> tuple[Fact, ...]:
    """Everything worth saying of a tile, most salient first."""
    found = [*_covers(signals), *_water(signals), *_relief(signals), *_objects(signals)]
    return tuple(sorted(found, key=lambda f: (-f.salience, f.fact_id)))


def _covers(signals: Signals) -> list[Fact]:
    cover = signals.land_cover
    if cover is None:
        return _spectral_covers(signals)
    shares = cover.shares if cover.confidence >= UNSURE else _broad(cover)
    rare = {"built", "crop", "wetland", "mangrove", "snow", "moss"}
    return [
        Fact(
            fact_id=f"cover-{concept}",
            role="cover",
            concept=concept,
            predicate="covers",
            value=share,
            salience=min(1.0, 0.25 + share + (0.25 if concept in rare else 0.0)),
            confidence=cover.confidence,
            source=cover.source,
            detail=band.name,
            sector=_where(cover, concept, share),
            traits=_traits(signals, concept, share),
            pattern=cover.patterns.get(concept, ""),
        )
        for concept, share in shares.items()
        if concept != "water" and share >= max(MENTIONED_FROM, 1.2 * ABSENT_BELOW.get(concept, 0.0))
        if share >= max(shares.get(k, 0.0) for k in _ALIKE.get(concept, (concept,)))
        if _is_sure(share, cover.confirmed.get(concept, 1.0))
        if (band := quantity_for(_cautious(share, cover.confirmed.get(concept, 1.0)))) is not None
    ]


_ALIKE = {kind: kinds for kinds in KINDS_OF.values() for kind in kinds}
"""Covers that a second map cannot tell apart: only the larger one is told."""


def _is_sure(share: float, confirmed: float) -> bool:
    return confirmed >= next((least for below, least in CONFIRMED_FROM if share < below), 0.0)


def _cautious(share: float, confirmed: float) -> float:
    """The share that a word of amount is chosen by. Minor covers that a second map confirms on less than half of their
    pixels are mostly smaller than they seem: what is taken for them elsewhere outweighs what is missed of them."""
    return share * min(max(confirmed / HALF_CONFIRMED, LEAST_LEFT), 1.0) if share < MINOR else share


def _broad(cover: LandCover) -> dict[str, float]:
    """Where two maps disagree, only what both can hardly mistake (captions study 2.1)."""
    green = sum(cover.shares.get(c, 0.0) for c in VEGETATION)
    return {"veg": green, **{c: cover.shares.get(c, 0.0) for c in ("bare", "snow", "built")}}


def _spectral_covers(signals: Signals) -> list[Fact]:
    """What the spectrum alone supports: vegetation by its density, bare ground, snow (captions study 2.2)."""

    def share(*names: str) -> float:
        return sum(signals.spectral.get(f"share@{n}", {}).get("share", 0.0) for n in names)

    dense, middle, thin = (share(f"{n} vegetation") for n in ("dense", "moderate", "sparse"))
    shares = {"bare": share("bare ground"), "snow": share("snow")}
    # Moderate green is no class of its own: it joins whichever kind of vegetation there is more of.
    if dense >= middle + thin:
        shares |= {"veg_dense": dense, "veg_sparse": middle + thin if middle + thin >= 0.08 else 0.0}
    elif dense + middle > thin:
        shares["veg"] = dense + middle + thin
    else:
        shares |= {"veg_sparse": middle + thin, "veg_dense": dense if dense >= 0.08 else 0.0}
    return [
        Fact(
            fact_id=f"cover-{concept}",
            role="cover",
            concept=concept,
            predicate="covers",
            value=value,
            salience=0.3 + 0.7 * value,
            confidence=0.5,
            source="sentinel2 spectrum",
            detail=band.name,
        )
        for concept, value in shares.items()
        if (band := quantity_for(value)) is not None
    ]


def _where(cover: LandCover, concept: str, share: float) -> str:
    """The part of the tile that holds clearly more of a cover than the rest does; empty where none does."""
    best, ratio = "", 1.0
    for place in ("north", "south", "west", "east", "north-west", "north-east", "south-west", "south-east", "centre"):
        quarters = [cover.quadrants[q].get(concept, 0.0) for q in parts_of(place)]
        local = sum(quarters) / len(quarters)
        wanted = 1.55 if len(quarters) == 2 else 2.2
        if local >= max(wanted * share, 0.12) and local / share / wanted > ratio:
            best, ratio = place, local / share / wanted
    return best


def _traits(signals: Signals, concept: str, share: float) -> tuple[str, ...]:
    """Adjectives, held to stricter limits than the rules' so that no pixel more or less flips them."""
    ndvi, cover = greenness(concept, signals), signals.land_cover
    traits = []
    if concept in ("tree", "mangrove") and cover is not None:
        tall, spread = signals.canopy.get("p50"), signals.canopy.get("stddev", 0.0)
        densest = max((q.get(concept, 0.0) for q in cover.quadrants.values()), default=0.0)
        if densest >= 0.3 and (ndvi is None or ndvi >= 0.5) and (tall is None or tall >= 6):
            traits.append("dense")
        if concept == "tree" and tall is not None and tall >= 14 and spread <= 9:
            traits.append("tall")
    if ndvi is not None and concept in ("grass", "crop", "shrub", "wetland", "moss"):
        traits += ["lush"] if ndvi >= 0.65 and concept == "grass" else []
        traits += ["green"] if ndvi >= 0.45 else []
        moisture = signals.spectral.get(f"ndmi@{concept}", {}).get("p50", 1.0)
        traits += ["dry"] if ndvi < 0.28 and moisture < -0.05 and concept != "wetland" else []
    return tuple(traits)


def _water(signals: Signals) -> list[Fact]:
    water = signals.water
    if water is None or not water.detected:
        return []
    out = []
    told = [b for b in water.bodies if b.kind != "pond" or b.area_m2 >= SMALLEST_POND_M2]
    for kind in dict.fromkeys(b.kind for b in told):
        same = [b for b in told if b.kind == kind]
        share = sum(b.area_m2 for b in same) / TILE_M2
        sector = same[0].sector if len(same) == 1 and kind != "river" and share < 0.3 else ""
        out.append(
            Fact(
                fact_id=f"water-{kind}",
                role="water",
                concept=kind,
                predicate="is there",
                value=share,
                salience=min(1.0, 0.62 + share),
                confidence=water.confidence,
                source=", ".join(water.sources),
                detail=kind,
                sector=sector,
                traits=_sizes(kind, [b.area_m2 for b in same]),
                count=len(same),
            )
        )
    return out


def _sizes(kind: str, areas: list[float]) -> tuple[str, ...]:
    if kind == "river":
        width = max(areas) / 1280
        return ("narrow",) if width < 90 else ("wide",) if width >= 140 else ()
    if kind == "sea":
        return ()
    return ("large",) if max(areas) >= 0.08 * TILE_M2 else ("small",) if max(areas) < 0.03 * TILE_M2 else ()


def _relief(signals: Signals) -> list[Fact]:
    terrain = signals.terrain
    if terrain is None:
        return []
    strength = {"mountainous": 0.7, "hilly": 0.55, "rolling": 0.45, "gently undulating": 0.35, "flat": 0.4}
    out = [
        Fact("relief-class", "relief", "relief", "has form", terrain.relief_m, strength[terrain.relief_class],
             terrain.confidence, "elevation", terrain.relief_class)
    ]  # fmt: skip
    forms = terrain.form_shares
    if terrain.setting == "valley" and terrain.relief_m >= 80:
        out.append(Fact("relief-valley", "relief", "valley", "has form", terrain.relief_m, 0.42, terrain.confidence,
                        "elevation", "valley"))  # fmt: skip
    if terrain.setting == "ridge" and terrain.relief_m >= 80 and forms.get("Ridge", 0) + forms.get("Peak", 0) >= 0.12:
        out.append(Fact("relief-ridge", "relief", "ridge", "has form", terrain.relief_m, 0.38, terrain.confidence,
                        "elevation", "ridge"))  # fmt: skip
    return out


def _objects(signals: Signals) -> list[Fact]:
    merged: dict[str, list[MapFeature]] = {}
    wet = signals.water is not None and signals.water.detected
    for feature in signals.map_features or ():
        if (feature.concept, feature.phrase, feature.plural) not in _WORDS:
            continue  # shards may come from strangers: only words of our own table are ever said
        if feature.visible and feature.concept not in _NOT_SAID | (_SEEN_AS_WATER if wet else frozenset()):
            merged.setdefault(feature.concept, []).append(feature)
    out = []
    for concept, group in merged.items():
        first, count = group[0], sum(f.count for f in group)
        single = count == 1 and first.level != "center" and first.length_m == 0
        out.append(
            Fact(
                fact_id=f"object-{concept}",
                role="object",
                concept=concept,
                predicate="counts",
                value=float(count),
                salience=min(1.0, _SALIENCE.get(concept, 0.5) + (0.1 if first.level == "center" else 0.0)),
                confidence=0.9,
                source="map",
                detail=f"{first.phrase}|{first.plural}",
                sector=first.sector if single and first.sector in _SECTORS else "",
                count=count,
            )
        )
    return out


_UNSAID = "power_line footpath track swimming_pool"
_NOT_SAID = (TOLD_BY_RASTERS - {"building"}) | set(_UNSAID.split())
"""Rasters tell these better, or nobody would look for them."""
_SEEN_AS_WATER = frozenset(("reservoir", "canal"))
"""Where water is measured, it is told once."""
_WORDS = frozenset((p.concept, p.phrase, p.plural) for p in PHRASES)
_SECTORS = frozenset(("north", "south", "west", "east", "north-west", "north-east", "south-west", "south-east"))
_SALIENCE = {p.concept: p.salience for p in reversed(PHRASES)}
