"""The truth of the simulated Earth, for evaluation and tests only: no stage of the pipeline may look in here."""

import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import Grid
from geomeld.sources.simulated.landscape import (
    BIOMES,
    Landscape,
    MapObject,
    is_land,
    objects,
    sample,
    stratified_places,
)
from geomeld.sources.simulated.surface import FALLOW, WINTER, husbandry

__all__ = [
    "BIOMES",
    "FIELD_USES",
    "Landscape",
    "MapObject",
    "field_use",
    "is_land",
    "objects_on",
    "sample",
    "stratified_places",
    "truth",
]

FIELD_USES = ("no field", "meadow", "fallow", "summer crop", "winter crop or ley")
"""What becomes of a piece of ground in a year, in order of `field_use`."""


def truth(seed: int, grid: Grid) -> Landscape:
    """The latent landscape at the pixel centres of a grid."""
    return sample(seed, *grid.lonlat())


def objects_on(seed: int, grid: Grid) -> list[MapObject]:
    """Every object that touches a grid, mapped by volunteers or not."""
    corners = grid.footprint()
    lons, lats = [c[0] for c in corners], [c[1] for c in corners]
    return objects(seed, min(lons), min(lats), max(lons), max(lats))


def field_use(land: Landscape) -> NDArray[np.uint8]:
    """Index into FIELD_USES of every point: what its parcel is used for, whatever can be seen of it on a day."""
    first, _ = husbandry(land.parcel)
    grown = np.select([first < FALLOW, first > WINTER], [2, 4], 3)
    return np.where(land.parcel == 0, 0, np.where(land.land_cover == 40, grown, 1)).astype(np.uint8)
