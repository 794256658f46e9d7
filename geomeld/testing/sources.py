"""FakeSource: every modality from fake layers, with switches for what can go wrong."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from shapely.geometry import Polygon

from geomeld.core.errors import CorruptAsset
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.sources import Feature, Scene
from geomeld.testing.tiles import fake_layer


@dataclass(frozen=True, slots=True)
class FakeSource:
    """A source without an Earth: one scene a day, pixels by position alone."""

    name: str = "fake"
    serves: frozenset[str] = frozenset(set(MODALITIES) - {"naip"})
    corrupt_south_of: float = -91.0
    """Reading a tile south of this latitude raises CorruptAsset."""
    empty_north_of: float = 91.0
    """There are no scenes north of this latitude."""

    def modalities(self) -> frozenset[str]:
        """What it was told to serve."""
        return self.serves

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """A scene every five days that covers the tile and more; one file for products without a date."""
        lat = grid.centre[1]
        if lat > self.empty_north_of:
            return []
        around = Polygon(grid.padded(5000).footprint())
        if modality.timing is Timing.STATIC:
            return [Scene("file", modality.name, around, product="fake")]
        first = start.date().toordinal() // 5 + 1
        days = [dt.date.fromordinal(5 * k) for k in range(first, end.date().toordinal() // 5 + 1)]
        return [
            Scene(
                f"{d:%Y%m%d}", modality.name, around, dt.datetime.combine(d, dt.time(10), dt.UTC), 1.0, product="fake"
            )
            for d in days
        ]

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """Smooth random pixels that belong to the place."""
        if grid.centre[1] < self.corrupt_south_of:
            raise CorruptAsset(f"{scenes[0].scene_id} of {modality.name} is truncated")
        layer = fake_layer(modality, grid, int(grid.left) * 100_000 + int(grid.top) % 100_000)
        times = tuple(s.acquired for s in scenes if s.acquired)
        return Layer(layer.values, layer.valid, layer.bands, times, "fake", tuple(s.scene_id for s in scenes))

    def features(self, grid: Grid) -> list[Feature] | None:
        """No map."""
        return None
