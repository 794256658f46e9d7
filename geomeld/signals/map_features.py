"""Map features at three levels of a tile: at its centre, around it, and the area that it lies in (paper 5.1)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from shapely.geometry import Point, box
from shapely.geometry.base import BaseGeometry

from geomeld.core.caption import MapFeature
from geomeld.core.config import from_json
from geomeld.core.grid import Grid
from geomeld.signals.land_cover import sector_of
from geomeld.signals.phrases import KEYS, PHRASES, Phrase

SAFE_VALUE = re.compile(r"[a-z0-9][a-z0-9_:-]{0,39}")
"""Map tags are written by strangers: a value is kept only where it is a plain tag word."""

SECTORS = frozenset(
    ("north", "south", "west", "east", "north-west", "north-east", "south-west", "south-east", "centre")
)
"""What `sector_of` gives."""
NEAR_CENTRE = 50.0
"""Metres: features of the centre level touch this circle."""
AREA_COVERS = 0.6
"""Share of the tile from which a polygon describes the area."""
MOST = 12
"""Groups kept at the surrounding level."""


@dataclass(frozen=True, slots=True)
class _Seen:
    phrase: Phrase
    shape: BaseGeometry
    """In metres of the tile's zone, clipped to the tile."""
    tags: dict[str, str]
    share: float
    distance: float


def safe_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags whose key is in the table and whose value is a plain word; of a list "a;b" the first."""
    kept = {}
    for key in sorted(KEYS & set(tags)):
        value = str(tags[key]).split(";")[0].strip()
        if SAFE_VALUE.fullmatch(value) and value not in ("no", "unknown", "fixme"):
            kept[key] = value
    return kept


def phrase_for(tags: Mapping[str, str]) -> Phrase | None:
    """The first row of the table that the tags match."""
    for phrase in PHRASES:
        if all(k in tags and (not values or tags[k] in values) for k, values in phrase.tags):
            return phrase
    return None


def summarise(features: Iterable, grid: Grid, gsd: float) -> tuple[MapFeature, ...]:
    """Map features of a tile, grouped by phrase and level; `features` have `geometry` (degrees) and `tags`.

    `gsd` is that of the finest optical layer: things too small for it are kept with `visible=False`.
    """
    seen = [s for f in features if (s := _see(f.geometry, f.tags, grid)) is not None]
    out = []
    centre = min((s for s in seen if s.distance <= NEAR_CENTRE), key=_centre_order, default=None)
    if centre is not None:
        out.append(_group("center", [centre], grid, gsd))
    area = [s for s in seen if s.share >= AREA_COVERS]
    out += [_group("area", [s], grid, gsd) for s in sorted(area, key=lambda s: (-s.share, s.phrase.phrase))[:3]]
    groups: dict[str, list[_Seen]] = {}
    for s in seen:
        if s.share < AREA_COVERS:
            groups.setdefault(s.phrase.phrase, []).append(s)
    ranked = sorted(groups.values(), key=lambda g: (-_weight(g), g[0].phrase.phrase))
    out += [_group("surrounding", g, grid, gsd) for g in ranked[:MOST]]
    return tuple(out)


def _see(geometry: BaseGeometry, tags: Mapping[str, str], grid: Grid) -> _Seen | None:
    kept = safe_tags(tags)
    phrase = phrase_for(kept)
    if phrase is None:
        return None
    shape = shapely.transform(geometry, lambda xy: np.column_stack(grid.project(xy[:, 0], xy[:, 1])))
    square = box(*grid.bounds)
    try:
        inside = shape.intersection(square)
    except shapely.errors.GEOSException:
        inside = shapely.make_valid(shape).intersection(square)
    if inside.is_empty:
        return None
    west, south, east, north = grid.bounds
    distance = inside.distance(Point((west + east) / 2, (south + north) / 2))
    return _Seen(phrase, inside, kept, inside.area / square.area, distance)


def _centre_order(s: _Seen) -> tuple[bool, float, float]:
    """Polygons that hold the centre first, the smallest of them; then what is nearest."""
    return s.share == 0, s.share if s.distance == 0 else 1.0, s.distance


def _weight(group: Sequence[_Seen]) -> float:
    size = sum(s.shape.area / 1000 + s.shape.length / 100 for s in group) + len(group)
    return group[0].phrase.salience * float(np.log1p(size))


def _group(level: str, group: Sequence[_Seen], grid: Grid, gsd: float) -> MapFeature:
    phrase = group[0].phrase
    areal = group[0].share > 0
    all_shapes = shapely.union_all([s.shape for s in group])
    middle = all_shapes.centroid
    west, _, _, north = grid.bounds
    row, column = (north - middle.y) / grid.gsd, (middle.x - west) / grid.gsd
    return MapFeature(
        level=level,  # type: ignore[arg-type]
        concept=phrase.concept,
        phrase=phrase.phrase,
        plural=phrase.plural,
        tags={k: group[0].tags[k] for k, _ in phrase.tags},
        count=len(group),
        length_m=round(float(sum(s.shape.length for s in group if s.share == 0)), 1),
        area_fraction=round(float(sum(s.share for s in group)), 5),
        distance_m=round(float(min(s.distance for s in group)), 1),
        sector=sector_of(row, column, grid.size),
        visible=phrase.size >= (1.0 if areal else 0.5) * gsd,
    )


def restored(stored: Iterable[Any]) -> tuple[MapFeature, ...]:
    """Map features from a tile's metadata. A dataset may come from anywhere: features whose words no row of the table
    has are left out, and so are places and tags that are none."""
    features = (from_json(MapFeature, f) for f in stored)
    return tuple(
        replace(f, sector=f.sector if f.sector in SECTORS else None, tags=safe_tags(f.tags))
        for f in features
        if (f.concept, f.phrase, f.plural) in _ROWS
    )


_ROWS = frozenset((p.concept, p.phrase, p.plural) for p in PHRASES)


def osm_tags(features: Iterable, grid: Grid) -> dict[str, list[str]]:
    """Tags of a tile in the published flat form: key -> values, only keys and words of the table, sorted."""
    found: dict[str, set[str]] = {}
    for feature in features:
        for key, value in safe_tags(feature.tags).items():
            found.setdefault(key, set()).add(value)
    return {k: sorted(v) for k, v in sorted(found.items())}
