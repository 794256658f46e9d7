"""The truth of the simulated Earth, for evaluation and tests only: no stage of the pipeline may look in here."""

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

__all__ = ["BIOMES", "Landscape", "MapObject", "is_land", "objects_on", "sample", "stratified_places", "truth"]


def truth(seed: int, grid: Grid) -> Landscape:
    """The latent landscape at the pixel centres of a grid."""
    return sample(seed, *grid.lonlat())


def objects_on(seed: int, grid: Grid) -> list[MapObject]:
    """Every object that touches a grid, mapped by volunteers or not."""
    corners = grid.footprint()
    lons, lats = [c[0] for c in corners], [c[1] for c in corners]
    return objects(seed, min(lons), min(lats), max(lons), max(lats))
