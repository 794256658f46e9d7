"""Export: pieces of the simulated Earth as a static STAC catalogue of cloud-optimised GeoTIFFs with a map extract."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from rasterio.io import MemoryFile
from tqdm import tqdm

from geomeld.core.errors import UsageError
from geomeld.core.grid import Grid
from geomeld.core.modality import Timing
from geomeld.core.tile import Anchor
from geomeld.dataset.files import PARTIAL, write_atomically
from geomeld.modalities import MODALITIES
from geomeld.sources.osm_file import pyosmium
from geomeld.sources.simulated.extract import write_pbf
from geomeld.sources.simulated.items import item_of, write_catalogue
from geomeld.sources.simulated.products import PRODUCTS, render
from geomeld.sources.simulated.raster import Raster, Window, window_around
from geomeld.sources.simulated.source import SimulatedSource
from geomeld.sources.source import Scene
from geomeld.sources.warp import Native

MARGIN_METRES = 300.0
"""How far the written pixels reach beyond a tile."""

MAP_FILE = "map.osm.pbf"

MARKER = ".piece.json"
"""File that says which piece a folder holds, or is about to."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which scenes around a place's date are written; by default those that a build with its defaults can pick."""

    days: int = 45
    """Sentinel-2 within this many days of the reference date, and of every photograph's date."""
    window_days: int = 15
    """Sentinel-1 and Dynamic World within this many days of any of these."""
    max_cloud: float = 10.0
    """Sentinel-2 scenes with less cloud than this, percent."""
    clear_share: float = 0.9
    """A tile with no scene that shows this share of it gets the scenes of other years too."""
    years: tuple[int, int] = (2017, 2022)
    """Years of the photographs, and the other years."""


@dataclass
class Job:
    """One scene and the tiles whose pixels are wanted of it."""

    scene: Scene
    grids: list[Grid] = field(default_factory=list)


def export(anchors: Sequence[Anchor], out: Path, *, seed: int = 0, reach: Reach = Reach()) -> dict[str, int]:
    """Write the native pixels around the anchors and what the map knows of them; returns the number of items by
    collection.

    `out` gets catalog.json (last, so that a catalogue is complete where there is one), a folder per collection and
    map.osm.pbf. Run again after any interruption, it ends in the same bytes. Raises UsageError without anchors or where
    `out` is a file or holds anything else, and MissingExtra without pyosmium.
    """
    if not anchors:
        raise UsageError("There are no places to export; give an anchors file with rows, or a number of places.")
    if out.is_file():
        raise UsageError(f"{out} is a file; give a folder for the catalogue.")
    pyosmium()  # before hours of rendering rather than after
    _claim(out, {"seed": seed, "reach": asdict(reach), "places": [str(a) for a in anchors]})
    source = SimulatedSource(seed)
    grids = [Grid.centred_on(a.lon, a.lat) for a in anchors]
    jobs: dict[tuple[str, str], Job] = {}
    for anchor, grid in zip(anchors, grids, strict=True):
        for scene in wanted(source, anchor.reference_date, grid, reach):
            jobs.setdefault((scene.modality, scene.scene_id), Job(scene)).grids.append(grid)
    items: dict[str, list[pystac.Item]] = {name: [] for name in PRODUCTS}
    for modality, scene_id in tqdm(sorted(jobs), desc="scenes", unit="scene", disable=None):
        items[modality] += _written(seed, jobs[modality, scene_id], out)
    _write_map(source, grids, out / MAP_FILE)
    write_catalogue(items, out, seed, MAP_FILE)
    return {PRODUCTS[name].collection: len(found) for name, found in items.items() if found}


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Take an empty folder, or one that an earlier run began; what that run left half-written goes."""
    marker, text = out / MARKER, json.dumps(identity)
    if not marker.exists() and out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; give a new folder for the catalogue.")
    if marker.exists() and marker.read_text() != text:
        raise UsageError(f"{out} holds another piece (other places, days or seed); give a new folder, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(marker, text.encode())
    for left_over in out.rglob(f"*{PARTIAL}*"):
        left_over.unlink()


def wanted(source: SimulatedSource, date: dt.date, grid: Grid, reach: Reach = Reach()) -> list[Scene]:
    """Every scene that a build of this tile can choose."""
    of_timing = {t: [m for n, m in MODALITIES.items() if m.timing is t and n in PRODUCTS] for t in Timing}
    ever = dt.datetime(reach.years[0], 1, 1, tzinfo=dt.UTC), dt.datetime(reach.years[1] + 1, 1, 1, tzinfo=dt.UTC)
    found = [s for m in (*of_timing[Timing.ANCHOR], *of_timing[Timing.STATIC]) for s in source.scenes(m, grid, *ever)]
    dates = {date} | {s.acquired.date() for s in found if s.acquired}
    clear: dict[str, Scene] = {}
    for modality in of_timing[Timing.REFERENCE]:
        for middle in (dt.datetime.combine(d, dt.time(12), dt.UTC) for d in sorted(dates)):
            near = _clear(source, modality.name, grid, middle, reach.days, reach)
            if not any((source.clear_share(s, grid) or 0.0) >= reach.clear_share for s in near):
                for year in range(reach.years[0], reach.years[1] + 1):
                    moved = middle.replace(year=year, day=min(middle.day, 28))
                    near += _clear(source, modality.name, grid, moved, reach.window_days, reach)
            clear |= {s.scene_id: s for s in near}
    around: dict[str, Scene] = {}
    half = dt.timedelta(days=reach.window_days)
    for moment in sorted({s.acquired for s in clear.values() if s.acquired}):
        for modality in (*of_timing[Timing.NEAREST], *of_timing[Timing.MODE]):
            around |= {s.scene_id: s for s in source.scenes(modality, grid, moment - half, moment + half)}
    return [*found, *clear.values(), *around.values()]


def _clear(source: SimulatedSource, name: str, grid: Grid, middle: dt.datetime, days: int, reach: Reach) -> list[Scene]:
    half = dt.timedelta(days=days)
    scenes = source.scenes(MODALITIES[name], grid, middle - half, middle + half)
    return [s for s in scenes if s.cloud_cover is None or s.cloud_cover < reach.max_cloud]


def _written(seed: int, job: Job, out: Path) -> Iterator[pystac.Item]:
    """Write one scene's files, an item per group of tiles whose windows meet."""
    product = PRODUCTS[job.scene.modality]
    rasters = product.rasters_of(job.scene)
    for number, group in enumerate(_groups(job.scene, rasters[0], job.grids)):
        name = job.scene.scene_id + (f"-{number + 1}" if number else "")
        folder = out / product.collection / name
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for raster in rasters:
            windows = [w for g in group if (w := _window(job.scene, raster, g))]
            native = render(seed, job.scene.modality, job.scene, raster, _around(windows))
            files.append((raster, native))
            for asset in dict.fromkeys(raster.assets):
                bands = [i for i, a in enumerate(raster.assets) if a == asset]
                _write_cog(folder / f"{asset}.tif", native, bands)
        yield item_of(job.scene, name, files)


def _window(scene: Scene, raster: Raster, grid: Grid) -> Window | None:
    return window_around(scene, raster, grid.padded(MARGIN_METRES))


def _groups(scene: Scene, raster: Raster, grids: Sequence[Grid]) -> list[list[Grid]]:
    """Tiles whose windows meet, together: two files of one scene must not show the same ground twice."""
    groups: list[tuple[Window, list[Grid]]] = []
    for grid in grids:
        window = _window(scene, raster, grid)
        if window is None:
            continue
        members = [grid]
        while hit := next((g for g in groups if _meet(g[0], window)), None):
            groups.remove(hit)
            window, members = _around([hit[0], window]), hit[1] + members
        groups.append((window, members))
    return [members for _, members in groups]


def _meet(a: Window, b: Window) -> bool:
    across = a.column < b.column + b.columns and b.column < a.column + a.columns
    return across and a.row < b.row + b.rows and b.row < a.row + a.rows


def _around(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all."""
    column, row = min(w.column for w in windows), min(w.row for w in windows)
    right, bottom = max(w.column + w.columns for w in windows), max(w.row + w.rows for w in windows)
    return Window(column, row, right - column, bottom - row)


def _write_cog(path: Path, native: Native, bands: Sequence[int]) -> None:
    values = native.values[bands]
    profile = {
        "driver": "COG",
        "count": len(bands),
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
        "crs": f"EPSG:{native.epsg}",
        "transform": native.transform,
        "nodata": native.nodata,
        "compress": "deflate",
        "blocksize": 256,
        "overviews": "AUTO",
        "overview_resampling": "nearest",
    }
    # In memory first: GDAL does not say why a write to a disk failed.
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(values)
        write_atomically(path, memory.getbuffer())


def _write_map(source: SimulatedSource, grids: Sequence[Grid], path: Path) -> None:
    """Everything that the map knows of the tiles, in the format of OpenStreetMap."""
    known = {f.feature_id: f for g in grids for f in source.features(g)}
    corners = np.array([g.footprint() for g in grids]).reshape(-1, 2)
    write_pbf(path, known.values(), (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()))
