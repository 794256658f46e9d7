"""Scenes: hand-made signals of fourteen well-understood places, for examples and tests of captions."""

from collections.abc import Mapping
from dataclasses import replace

from geomeld.core.caption import LandCover, MapFeature, Signals, Terrain, Water, WaterBody

TILE_M2 = 1280.0**2
FORMS = ("Flat", "Peak", "Ridge", "Shoulder", "Spur", "Slope", "Hollow", "Footslope", "Valley", "Pit")
QUADRANTS = ("north-west", "north-east", "south-west", "south-east", "centre")


def cover(shares: Mapping[str, float], **parts: Mapping[str, float]) -> LandCover:
    """Land cover with these shares, the same in every part except those given (`north_west={...}`)."""
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    quadrants = {q: {**ordered, **parts.get(q.replace("-", "_"), {})} for q in QUADRANTS}
    return LandCover(ordered, quadrants, dict.fromkeys(ordered, "patches"), 0.8, 1.0, "scene")


def relief(kind: str, **changes: float) -> Terrain:
    """Terrain of a relief class, with typical figures."""
    metres, slope = {"flat": (8, 1), "gently undulating": (40, 3), "rolling": (80, 7), "hilly": (200, 15),
                     "mountainous": (700, 32)}[kind]  # fmt: skip
    forms = dict.fromkeys(FORMS, 0.0)
    forms |= {"Flat": 1.0} if slope < 5 else {"Slope": 0.4, "Ridge": 0.15, "Valley": 0.2, "Peak": 0.1, "Hollow": 0.15}
    made = Terrain(
        terrain_class="Flat" if slope < 5 else "Slope",
        relief_class=kind,  # type: ignore[arg-type]
        setting="plain" if kind == "flat" else "none",
        relief_m=float(metres),
        elevation_m=100.0,
        slope_mean=slope / 2,
        slope_p90=float(slope),
        form_shares=forms,
        noise_m=1.0,
        confidence=0.9,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def water(*bodies: tuple[str, float, str, float]) -> Water:
    """Consensus water of bodies (kind, share of the tile, sector, elongation)."""
    made = tuple(WaterBody(k, share * TILE_M2, sector, long) for k, share, sector, long in bodies)  # type: ignore[arg-type]
    percent = round(100 * sum(b[1] for b in bodies), 2)
    kinds = {b[0] for b in bodies}
    kind = "none" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    return Water(percent >= 0.1, percent, percent, 0.0, 0.0, kind, made, 1.0, ("scene",))  # type: ignore[arg-type]


def thing(concept: str, phrase: str, count: int = 1, sector: str = "centre", visible: bool = True) -> MapFeature:
    """A group of map objects."""
    plural = phrase if phrase.endswith("s") else phrase + "s"
    return MapFeature("surrounding", concept, phrase, plural, {}, count, sector=sector, visible=visible)


def _scene(**fields: object) -> Signals:
    known: dict[str, object] = {
        "tile_id": 1, "gsd_m": 10.0, "date": "2020-07-15", "latitude": 48.0, "season": "summer", "land_cover": None,
        "spectral": {}, "radar": {}, "canopy": {}, "water": water(), "terrain": relief("flat"), "map_features": (),
        "missing": (),
    }  # fmt: skip
    return Signals(**{**known, **fields})  # type: ignore[arg-type]


def _index(**medians: float) -> dict[str, dict[str, float]]:
    """Quantiles of indices over the tile ("ndvi") or over a cover ("ndvi_crop")."""
    return {k.replace("_", "@"): {"p5": v - 0.1, "p50": v, "p95": v + 0.1} for k, v in medians.items()}


def _shares(**parts: float) -> dict[str, dict[str, float]]:
    return {f"share@{k.replace('_', ' ')}": {"share": v} for k, v in parts.items()}


SCENES: Mapping[str, Signals] = {
    "farm": _scene(
        land_cover=cover({"crop": 0.64, "tree": 0.15, "grass": 0.14, "built": 0.03, "water": 0.04}),
        spectral=_index(ndvi=0.6, ndvi_crop=0.65, ndvi_tree=0.7, ndvi_grass=0.6),
        canopy={"p50": 9.0, "p95": 15.0, "stddev": 4.0},
        water=water(("river", 0.04, "south-west", 16.0)),
        map_features=(thing("road", "road"), thing("farm_building", "farm building", 4, "north-east"),
                      thing("house", "house", 5), thing("swimming_pool", "swimming pool", 1, "centre", False)),
    ),
    "forest": _scene(
        land_cover=cover({"tree": 0.86, "shrub": 0.08, "grass": 0.06}),
        spectral=_index(ndvi=0.8, ndvi_tree=0.82, ndvi_shrub=0.6, ndvi_grass=0.6),
        canopy={"p50": 21.0, "p95": 30.0, "stddev": 5.0},
        terrain=relief("hilly"),
    ),
    "desert": _scene(
        land_cover=cover({"bare": 0.985, "shrub": 0.015}),
        spectral=_index(ndvi=0.08, ndvi_bare=0.07),
        latitude=24.0,
    ),
    "lake": _scene(
        land_cover=cover(
            {"grass": 0.5, "tree": 0.2, "water": 0.18, "shrub": 0.12},
            north_east={"tree": 0.02, "water": 0.6, "grass": 0.3},
            south_east={"tree": 0.04, "grass": 0.8},
            north_west={"tree": 0.4, "grass": 0.3},
            south_west={"tree": 0.34, "grass": 0.5},
        ),
        spectral=_index(ndvi=0.4, ndvi_tree=0.42, ndvi_grass=0.45, ndvi_shrub=0.4, ndsi_water=0.1),
        canopy={"p50": 6.0, "p95": 9.0, "stddev": 3.0},
        water=water(("lake", 0.18, "north-east", 1.6)),
        terrain=relief("rolling"),
        latitude=62.0,
    ),
    "coast": _scene(
        land_cover=cover({"water": 0.45, "mangrove": 0.35, "wetland": 0.12, "tree": 0.08}),
        spectral=_index(ndvi=0.5, ndvi_mangrove=0.75),
        water=water(("sea", 0.45, "east", 1.5)),
        map_features=(thing("coast", "coast"), thing("cliff", "cliff")),
        latitude=8.0,
        season=None,
    ),
    "town": _scene(
        gsd_m=1.0,
        land_cover=cover({"built": 0.55, "tree": 0.25, "grass": 0.2}),
        spectral=_index(ndre=0.3),
        map_features=(thing("house", "house", 180), thing("road", "road", 6), thing("street", "residential street", 20),
                      thing("storage_tank", "storage tank", 2, "east"), thing("residential", "residential area", 2)),
    ),
    "works": _scene(
        gsd_m=1.0,
        land_cover=cover({"built": 0.4, "bare": 0.35, "tree": 0.25}),
        map_features=(thing("house", "house", 60), thing("construction", "construction site", 2, "north")),
    ),
    "alps": _scene(
        land_cover=cover({"bare": 0.44, "grass": 0.24, "snow": 0.2, "moss": 0.12}),
        spectral=_index(ndvi=0.15, ndvi_grass=0.25, ndvi_moss=0.2, ndsi_snow=0.8),
        terrain=relief("mountainous", elevation_m=2800.0),
        latitude=46.0,
    ),
    "spectrum": _scene(
        spectral=_index(ndvi=0.55)
        | _shares(dense_vegetation=0.48, moderate_vegetation=0.12, sparse_vegetation=0.12, bare_ground=0.24,
                  open_water=0.04, snow=0.0),
        water=water(("lake", 0.04, "south", 2.0)),
        terrain=relief("gently undulating"),
        map_features=None,
    ),
    "blind": _scene(water=None, terrain=None, map_features=None),
    "salt": _scene(
        land_cover=cover({"snow": 0.6, "bare": 0.4}), spectral=_index(ndvi=0.05, ndsi_snow=0.05), latitude=20.0
    ),
    "delta": _scene(
        land_cover=cover({"wetland": 0.7, "grass": 0.15, "water": 0.15}),
        spectral=_index(ndvi=0.5),
        water=water(("river", 0.1, "centre", 3.5), ("pond", 0.002, "north", 1.2), ("pond", 0.002, "south", 1.3),
                    ("pond", 0.001, "west", 1.2)),
    ),
    "ice": _scene(
        land_cover=cover({"snow": 0.7, "water": 0.3}),
        spectral=_index(ndvi=0.0, ndsi_snow=0.8, ndsi_water=0.6),
        water=water(("lake", 0.3, "centre", 1.4)),
        latitude=68.0,
        season="winter",
        date="2020-02-01",
    ),
    "orchard": _scene(
        land_cover=cover({"crop": 0.6, "tree": 0.3, "water": 0.1}),
        spectral=_index(ndvi=0.6, ndvi_crop=0.6, ndvi_tree=0.6),
        water=water(("lake", 0.1, "north", 1.5)),
        map_features=(thing("orchard", "orchard"), thing("reservoir", "reservoir", 1, "north")),
    ),
}  # fmt: skip
"""By name: farm, forest, desert, lake, coast, town (photographed at 1 m), works (a town under
construction), alps, spectrum (no land cover, no map), blind
(nothing measured), salt (a bright salt flat that a map calls snow), delta, ice, orchard."""
