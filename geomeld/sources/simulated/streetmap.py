"""Streetmap: the simulated, incomplete OpenStreetMap."""

from hashlib import blake2b

from shapely.geometry import Polygon

from geomeld.core.grid import Grid
from geomeld.sources.simulated import landscape
from geomeld.sources.source import Feature


def features(seed: int, grid: Grid) -> list[Feature]:
    """What volunteers have drawn of a tile, sorted by identifier; outdated objects are among it."""
    outline = Polygon(grid.footprint())
    found = {}
    for thing in landscape.objects(seed, *outline.bounds):
        if thing.mapped and thing.geometry.intersects(outline):
            number = int.from_bytes(blake2b(thing.geometry.wkb, digest_size=5).digest(), "little")
            kind = "node" if thing.geometry.geom_type == "Point" else "way"
            found[f"{kind}/{number}"] = Feature(f"{kind}/{number}", thing.geometry, dict(thing.tags))
    return [found[name] for name in sorted(found)]
