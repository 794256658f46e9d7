"""Facts: what may be said of a tile, each with the words for it and how much it matters."""

from dataclasses import dataclass
from typing import Literal

from geomeld.core.caption import MapFeature, Signals
from geomeld.signals.quantities import ABSENT_BELOW, quantity_for

Role = Literal["cover", "water", "relief", "object"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured statement that a caption may make."""

    role: Role
    concept: str
    share: float
    """0..1 of the tile; 0 for things that have none."""
    salience: float
    """0..1: what is mentioned first."""
    detail: str = ""
    """Quantity band of a cover, kind of a water body, relief class, phrase of an object."""
    sector: str = ""
    """Where it lies, where that is worth saying."""
    traits: tuple[str, ...] = ()
    """Adjectives that the measurements support."""
    count: int = 1


def facts_of(signals: Signals) -> tuple[Fact, ...]:
    """Everything worth saying of a tile, most salient first."""
    found = [*_covers(signals), *_water(signals), *_relief(signals), *_objects(signals)]
    return tuple(sorted(found, key=lambda f: (-f.salience, f.role, f.concept)))


def _covers(signals: Signals) -> list[Fact]:
    cover = signals.land_cover
    if cover is None:
        return _spectral_covers(signals)
    out = []
    for concept, share in cover.shares.items():
        band = quantity_for(share)
        if band is None or concept == "water" or share < max(0.02, ABSENT_BELOW.get(concept, 0.0)):
            continue
        rare = 0.25 if concept in ("built", "crop", "wetland", "mangrove", "snow", "moss") else 0.0
        out.append(
            Fact(
                "cover",
                concept,
                share,
                min(1.0, 0.25 + share + rare),
                band.name,
                _where(signals, concept, share),
                _traits(signals, concept),
            )
        )
    return out


def _spectral_covers(signals: Signals) -> list[Fact]:
    names = {"veg_dense": "dense vegetation", "veg_sparse": "sparse vegetation", "bare": "bare ground", "snow": "snow"}
    out = []
    for concept, name in names.items():
        share = signals.spectral.get(f"share@{name}", {}).get("share", 0.0)
        band = quantity_for(share)
        if band is not None:
            out.append(Fact("cover", concept, share, 0.3 + 0.7 * share, band.name))
    middle = signals.spectral.get("share@moderate vegetation", {}).get("share", 0.0)
    everything = sum(
        signals.spectral.get(f"share@{n} vegetation", {}).get("share", 0.0) for n in ("dense", "moderate", "sparse")
    )
    band = quantity_for(everything)
    if band is not None and middle >= 0.1:
        out.append(Fact("cover", "veg", everything, 0.28 + 0.5 * everything, band.name))
    return out


def _where(signals: Signals, concept: str, share: float) -> str:
    """The half or quarter of the tile that holds most of a minor cover."""
    if signals.land_cover is None or share > 0.35:
        return ""
    parts = signals.land_cover.quadrants
    best, local = max(((p, parts[p].get(concept, 0.0)) for p in parts if p != "centre"), key=lambda x: x[1])
    return best if local >= 2.2 * share and local >= 0.15 else ""


def _traits(signals: Signals, concept: str) -> tuple[str, ...]:
    ndvi = signals.spectral.get(f"ndvi@{concept}", {}).get("p50")
    traits = []
    if concept == "tree":
        tall = signals.canopy.get("p50")
        if (
            (ndvi is None or ndvi >= 0.5)
            and (tall is None or tall >= 7)
            and signals.land_cover
            and signals.land_cover.shares.get("tree", 0) >= 0.15
        ):
            traits.append("dense")
    if ndvi is not None and concept in ("grass", "crop") and ndvi >= 0.5:
        traits.append("green")
    if ndvi is not None and concept in ("grass", "shrub") and ndvi < 0.28:
        traits.append("dry")
    return tuple(traits)


def _water(signals: Signals) -> list[Fact]:
    water = signals.water
    if water is None or not water.detected or not water.bodies:
        return []
    out = []
    for kind in dict.fromkeys(b.kind for b in water.bodies):
        same = [b for b in water.bodies if b.kind == kind]
        share = sum(b.area_m2 for b in same) / 1_638_400
        traits = (
            ("large",)
            if share > 0.08
            else ("small",)
            if kind in ("lake", "pond") and share < 0.03
            else ("narrow",)
            if kind == "river" and share < 0.03
            else ()
        )
        sector = same[0].sector if kind in ("lake", "pond") and same[0].sector != "centre" else ""
        out.append(Fact("water", kind, share, min(1.0, 0.62 + share), kind, sector, traits, len(same)))
    return out


def _relief(signals: Signals) -> list[Fact]:
    terrain = signals.terrain
    if terrain is None:
        return []
    strength = {"mountainous": 0.7, "hilly": 0.55, "rolling": 0.45, "gently undulating": 0.35, "flat": 0.4}[
        terrain.relief_class
    ]
    out = [Fact("relief", "relief", 0.0, strength, terrain.relief_class)]
    if terrain.setting == "valley" and terrain.relief_m >= 80:
        out.append(Fact("relief", "valley", 0.0, 0.42, "valley"))
    return out


def _objects(signals: Signals) -> list[Fact]:
    merged: dict[str, MapFeature] = {}
    for feature in signals.map_features or ():
        if feature.visible and feature.concept not in _TOLD_BY_RASTERS and feature.phrase not in merged:
            merged[feature.phrase] = feature
    return [
        Fact("object", f.concept, f.area_fraction, _object_salience(f), f"{f.phrase}|{f.plural}", "", (), f.count)
        for f in merged.values()
    ]


_TOLD_BY_RASTERS = frozenset(
    ("water", "river", "lake", "pond", "stream", "coast", "wetland", "forest", "scrub", "grassland", "bare",
     "farmland", "meadow", "glacier", "power_line", "footpath", "track", "swimming_pool")
)  # fmt: skip


def _object_salience(feature: MapFeature) -> float:
    plain = {
        "house": 0.45,
        "building": 0.4,
        "street": 0.3,
        "road": 0.5,
        "main_road": 0.55,
        "residential": 0.5,
        "village": 0.45,
        "hamlet": 0.4,
        "industrial": 0.6,
    }
    return plain.get(feature.concept, 0.85)
