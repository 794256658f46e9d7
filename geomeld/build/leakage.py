"""Leakage: which tiles come too near to places that models are evaluated on, and a split that keeps its distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from shapely.geometry import Polygon

from geomeld.build.anchors.exclusion import too_near
from geomeld.build.anchors.overlap import STAYS, thin
from geomeld.build.anchors.regions import Floats
from geomeld.core.draw import draw_words, unit
from geomeld.core.errors import UsageError
from geomeld.core.grid import Grid
from geomeld.dataset.files import atomic

SPLITS = ("train", "held-out", "buffer", "leak")
"""What a tile may be used for; `buffer` and `leak` are for nothing."""


@dataclass(frozen=True)
class Audit:
    """One entry per tile, in the order of the dataset."""

    tile_id: NDArray[np.int64]
    overlap_group: NDArray[np.int64]
    """Tiles chained by common ground have one number, the identifier of one of them."""
    near: NDArray[np.bool_]
    """Whether the tile itself lies within the buffer of an evaluation place."""
    split: NDArray[np.str_]
    """One of SPLITS."""

    def counts(self) -> dict[str, int]:
        """Tiles per split."""
        return {name: int((self.split == name).sum()) for name in SPLITS}


def audit(
    tile_ids: Sequence[int],
    lon: Floats,
    lat: Floats,
    footprints: geopandas.GeoSeries,
    *,
    buffer_m: float = 1280.0,
    held_out: float = 0.1,
    seed: int = 0,
) -> Audit:
    """Hold tiles against the footprints of evaluation data (polygons in degrees), and split the rest.

    A tile within `buffer_m` metres of a footprint leaks, and with it every tile that is chained to it by common ground.
    Of the others whole groups are held out by keyed draw, and what lies within `buffer_m` of a held-out tile is
    trained on by nobody. Raises UsageError for a buffer below 0 or a share outside 0..1.
    """
    if buffer_m < 0:
        raise UsageError(f"The buffer is {buffer_m} m; it is 0 or more.")
    if not 0 <= held_out <= 1:
        raise UsageError(f"held_out is {held_out}; it is a share between 0 and 1.")
    ids = np.array(tile_ids, np.int64)
    near = too_near(lon, lat, footprints, buffer_m)
    group = _groups(lon, lat)
    leaks = np.isin(group, group[near])
    drawn = {g: unit(draw_words(seed, "split-group", int(ids[g]))[0]) < held_out for g in np.unique(group)}
    held = np.array([drawn[g] for g in group], bool) & ~leaks
    train = ~leaks & ~held
    beside = np.zeros(len(ids), bool)
    if held.any() and train.any():
        beside[train] = too_near(lon[train], lat[train], _footprints(lon[held], lat[held]), buffer_m)
    split = np.select([leaks, held, beside], ["leak", "held-out", "buffer"], "train")
    return Audit(ids, ids[group], near, split)


def write_audit(path: Path, found: Audit) -> None:
    """Write an audit as Parquet: tile_id, overlap_group, near, split."""
    columns = {name: getattr(found, name) for name in ("tile_id", "overlap_group", "near", "split")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        pq.write_table(pa.table(columns), file)


def _footprints(lon: Floats, lat: Floats) -> geopandas.GeoSeries:
    grids = (Grid.centred_on(float(x), float(y)) for x, y in zip(lon, lat, strict=True))
    return geopandas.GeoSeries([Polygon(grid.footprint()) for grid in grids])


def _groups(lon: Floats, lat: Floats) -> NDArray[np.int64]:
    """Position of one tile of its group for every tile. Of places given twice the second belongs to the first."""
    n = len(lon)
    found = thin(lon, lat, np.arange(n), np.zeros(n, np.int16), np.ones(1, bool))
    owner = np.where(found.blocked_by == STAYS, np.arange(n), found.blocked_by)
    return found.group[owner].astype(np.int64)
