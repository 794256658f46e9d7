"""SimulatedSource: the simulated Earth behind the Source protocol."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon

from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Resampling
from geomeld.core.tile import Layer
from geomeld.sources.combine import ORBIT_SUFFIX, View, combined, decoded
from geomeld.sources.simulated import scenes as made
from geomeld.sources.simulated import streetmap
from geomeld.sources.simulated.nature import key_of
from geomeld.sources.simulated.optical import SCL_UNUSABLE
from geomeld.sources.simulated.products import PRODUCTS, render
from geomeld.sources.simulated.raster import Raster, window_around
from geomeld.sources.source import Feature, Scene
from geomeld.sources.warp import native_onto, slope_onto

DATED = {
    "sentinel2": made.sentinel2,
    "sentinel1": made.sentinel1,
    "dynamic_world": made.dynamic_world,
    "naip": made.naip,
}
"""Products with acquisitions, and how these are planned."""


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """Every product of one simulated Earth, any place and date, without a network.

    What it serves is a pure function of the seed: neither the order of calls nor the process matters.
    """

    seed: int = 0
    name: str = "simulated"

    def __post_init__(self) -> None:
        """Raises ConfigError for a seed out of range."""
        key_of(self.seed)

    def modalities(self) -> frozenset[str]:
        """All modalities of `PRODUCTS`."""
        return frozenset(PRODUCTS)

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Scenes of `modality` that touch `grid`, acquired in [start, end), sorted by (acquired, scene_id)."""
        if modality.name not in PRODUCTS:
            return []
        plan = DATED.get(modality.name)
        found = plan(self.seed, grid, start, end) if plan else made.files(PRODUCTS[modality.name], grid)
        outline = Polygon(grid.footprint())
        touching = [s for s in found if s.footprint.intersects(outline)]
        return sorted(touching, key=lambda s: (s.acquired or start, s.scene_id))

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the scenes on `grid.at(modality.gsd)`; None where none of them holds any."""
        target = grid.at(modality.gsd)
        return combined(modality, scenes, target, lambda scene: self._view(modality, scene, target))

    def features(self, grid: Grid) -> list[Feature]:
        """What the simulated OpenStreetMap knows of the tile, sorted by feature_id."""
        return streetmap.features(self.seed, grid)

    def map_product(self) -> str:
        """What the map features come from."""
        return "simulated map"

    def clear_share(self, scene: Scene, grid: Grid) -> float | None:
        """Share of the tile's pixels that a Sentinel-2 scene's own classification calls usable (no cloud, shadow or
        missing data), 0..1; None for scenes without a classification."""
        product = PRODUCTS[scene.modality]
        raster = next((r for r in product.rasters if r.bands == ("SCL",)), None)
        window = raster and window_around(scene, raster, grid)
        if not raster or not window:
            return None
        native = render(self.seed, scene.modality, scene, raster, window)
        codes, valid = native_onto(native, grid.at(20.0), Resampling.NEAREST)
        return float((valid & ~np.isin(codes, SCL_UNUSABLE)).mean())

    def _view(self, modality: Modality, scene: Scene, target: Grid) -> View:
        """(values, valid) of all bands of one scene on the target grid; bands that it lacks are invalid."""
        product = PRODUCTS[modality.name]
        shape = (len(modality.bands), *target.shape)
        values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
        suffix = ORBIT_SUFFIX[scene.orbit]
        for raster in product.rasters_of(scene):
            names = [band + suffix for band in raster.bands]
            if not set(names) & set(modality.bands):
                continue
            for band, (seen, at) in self._bands(modality, scene, raster, target, names).items():
                if band in modality.bands:
                    i = modality.bands.index(band)
                    values[i], valid[i] = seen, at
        return decoded(values, valid, modality, scene), valid

    def _bands(
        self, modality: Modality, scene: Scene, raster: Raster, target: Grid, names: list[str]
    ) -> dict[str, tuple[NDArray, NDArray[np.bool_]]]:
        """Every band that comes from one raster, warped to the target grid and not yet decoded."""
        window = window_around(scene, raster, target)
        if window is None:
            return {}
        native = render(self.seed, modality.name, scene, raster, window)
        seen, at = native_onto(native, target, modality.resampling)
        found = {name: (seen[i], at[i]) for i, name in enumerate(names)}
        for band, origin in PRODUCTS[modality.name].derived.items():
            if origin in names:
                steep, steep_at = slope_onto(native, target, modality.resampling)
                found[band] = (steep[0], steep_at[0])
        return found
