"""FakeSource: every modality from fake layers, with switches for what can go wrong."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shapely.geometry import Polygon

from geomeld.core.errors import AuthError, CorruptAsset, TransientError
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
    withheld: int = 0
    """Every read of a tile in the northern hemisphere fails so many times before it succeeds; in each process, for each
    `name`."""
    refused_north_of: float = 91.0
    """Radar north of this latitude is refused, always."""
    odd_north_of: float = 91.0
    """Reading a tile north of this latitude raises what no source should."""

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
        self._fail(modality, scenes[0], grid)
        layer = fake_layer(modality, grid, int(grid.left) * 100_000 + int(grid.top) % 100_000)
        times = tuple(s.acquired for s in scenes if s.acquired)
        return Layer(layer.values, layer.valid, layer.bands, times, "fake", tuple(s.scene_id for s in scenes))

    def features(self, grid: Grid) -> list[Feature] | None:
        """No map."""
        return None

    def _fail(self, modality: Modality, scene: Scene, grid: Grid) -> None:
        what, lat = f"{scene.scene_id} of {modality.name}", grid.centre[1]
        if lat < self.corrupt_south_of:
            raise CorruptAsset(f"{what} is truncated")
        if lat > self.odd_north_of:
            raise ValueError("odd")
        if lat > self.refused_north_of and modality.name == "sentinel1":
            raise AuthError(f"{what} was refused")
        if lat > 0 and self.withheld:
            key = f"{what} {grid} for {self.name}"
            _failed[key] += 1
            if _failed[key] <= self.withheld:
                raise TransientError(f"{what} did not come")


_failed: Counter[str] = Counter()
"""How often each read of this process was asked for while reads were withheld."""
