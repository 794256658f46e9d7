"""Streetmap: the simulated, incomplete OpenStreetMap."""

from hashlib import blake2b

import numpy as np
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.grid import Grid
from geomeld.sources.simulated import landscape
from geomeld.sources.simulated.objects import DIGITS
from geomeld.sources.source import Feature


def features(seed: int, grid: Grid) -> list[Feature]:
    """What volunteers have drawn of a tile, sorted by identifier; outdated objects are among it."""
    outline = Polygon(grid.footprint())
    found = {}
    for thing in landscape.objects(seed, *outline.bounds):
        if thing.mapped and thing.geometry.intersects(outline):
            name = _name(thing.geometry)
            found[name] = Feature(name, thing.geometry, dict(thing.tags))
    return [found[name] for name in sorted(found)]


def _name(shape: BaseGeometry) -> str:
    """An identifier that follows from where a thing is; the same from either side of the antimeridian."""
    lon, lat = np.rint(shapely.get_coordinates(shape) * 10**DIGITS).astype(np.int64).T
    where = np.stack([lon % (360 * 10**DIGITS), lat])
    number = int.from_bytes(blake2b(where.tobytes(), digest_size=5).digest(), "little")
    return f"{'node' if shape.geom_type == 'Point' else 'way'}/{number}"
