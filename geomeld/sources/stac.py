"""StacSource: scenes and pixels from any STAC catalogue, on disk or on the web, behind the Source protocol."""

import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.warp import transform
from rasterio.windows import Window
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import CorruptAsset, MissingProduct, SourceError, TransientError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Resampling, Timing
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.sources.catalogue import acquired_of, content, footprint_of, items, open_catalogue, turned
from geomeld.sources.combine import ORBIT_SUFFIX, View, combined, decoded
from geomeld.sources.profiles import PROFILES, SCL_UNUSABLE, Profile, bands_of, offset_of
from geomeld.sources.source import Feature, Scene
from geomeld.sources.warp import Native, native_onto, onto, slope_degrees

MAP = "map"
"""Relation under which a catalogue links to its map extract."""

PASSING = ("HTTP response code: 5", "HTTP response code: 429", "timed out", "Timeout", "Could not resolve host")
"""What GDAL says of failures that trying again may cure."""

HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}
"""GDAL settings for files on the web: no folder listings, bounded waiting."""


@dataclass(frozen=True, slots=True)
class StacSource:
    """A STAC catalogue as a source of scenes, pixels and, where it links to a map extract, map features."""

    href: str
    """Path or http(s) address of the root: a static catalog.json, or an API."""
    osm: str | None = None
    """GeoParquet file of map features (columns feature_id, tags as JSON, geometry in degrees) instead of the one that
    the catalogue links to."""
    name: str = "stac"

    def modalities(self) -> frozenset[str]:
        """Modalities with a collection in the catalogue.

        Raises MissingProduct without one for the reference modality, SourceError where there is no catalogue.
        """
        there = open_catalogue(self.href).collections
        served = frozenset(n for n, p in PROFILES.items() if p.collection_of(there))
        for name, modality in MODALITIES.items():
            if modality.timing is Timing.REFERENCE and name not in served:
                wanted = " or ".join(PROFILES[name].collections)
                raise MissingProduct(
                    f"{self.href} holds no {modality.title} collection ({wanted}); it holds "
                    f"{', '.join(sorted(there)) or 'no collections'}."
                )
        return served

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Scenes of `modality` that touch `grid`, acquired in [start, end), sorted by (acquired, scene_id)."""
        if modality.name not in self.modalities():
            return []
        profile = PROFILES[modality.name]
        collections = open_catalogue(self.href).collections
        collection = profile.collection_of(collections)
        assert collection is not None
        dated = modality.timing is not Timing.STATIC
        outline = Polygon(grid.footprint())
        found = items(self.href, collection, outline, *((start, end) if dated else (None, None)))
        title = collections[collection].title or f"{profile.title} ({collection})"
        made = [_scene(i, profile, dated, title, outline) for i in found if _of_year(i, profile)]
        touching = [s for s in made if s.footprint.intersects(outline)]
        return sorted(touching, key=lambda s: (s.acquired or start, s.scene_id))

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the scenes on `grid.at(modality.gsd)`; None where none of them holds any.

        Raises CorruptAsset for a file that cannot be decoded, TransientError for a server that fails, SourceError for a
        file that is not there.
        """
        target = grid.at(modality.gsd)
        return combined(modality, scenes, target, lambda scene: _view(modality, scene, target))

    def features(self, grid: Grid) -> list[Feature] | None:
        """Map features that intersect the grid, sorted by feature_id; None where there is no map extract."""
        extract = self.osm or open_catalogue(self.href).linked(MAP)
        if extract is None:
            return None
        known, tree = _map(extract)
        outline = Polygon(grid.footprint())
        hits = tree.query(outline, predicate="intersects")
        return sorted((known[int(i)] for i in hits), key=lambda f: f.feature_id)

    def clear_share(self, scene: Scene, grid: Grid) -> float | None:
        """Share of the tile's pixels that a scene's own classification calls usable (no cloud, shadow or missing data),
        0..1; None for scenes without a classification."""
        name = _first(PROFILES[scene.modality].classification, scene.properties["assets"])
        if name is None:
            return None
        with _opened(scene, name) as dataset:
            codes, valid = onto(dataset, [1], grid.at(20.0), Resampling.NEAREST, _nodata(dataset, 0))
        return float((valid & ~np.isin(codes, SCL_UNUSABLE)).mean())


def _scene(item: pystac.Item, profile: Profile, dated: bool, title: str, outline: BaseGeometry) -> Scene:
    given = item.properties
    baseline = given.get("s2:processing_baseline")
    wanted = {n for names in profile.assets.values() for n in names} | set(profile.classification)
    hrefs = {k: a.get_absolute_href() for k, a in item.assets.items() if k in wanted}
    properties: dict[str, Any] = {"collection": item.collection_id or "", "assets": hrefs}
    if profile.baselines:
        properties |= {"baseline": baseline, "offset": offset_of(given)}
    remarks = (f"baseline {baseline}" if baseline and profile.baselines else "", profile.note)
    cloud = given.get("eo:cloud_cover")
    return Scene(
        scene_id=item.id,
        modality=profile.modality,
        footprint=_near(footprint_of(item), outline),
        acquired=acquired_of(item) if dated else None,
        cloud_cover=None if cloud is None else float(cloud),
        orbit=given.get("sat:orbit_state") if given.get("sat:orbit_state") in ORBIT_SUFFIX else None,
        epsg=_epsg(given),
        product=", ".join([title, *(r for r in remarks if r and r not in title)]),
        properties=properties,
    )


def _epsg(given: Mapping[str, Any]) -> int | None:
    code = str(given.get("proj:code") or given.get("proj:epsg") or "").rpartition(":")[2]
    return int(code) if code.isdigit() else None


def _near(footprint: BaseGeometry, outline: BaseGeometry) -> BaseGeometry:
    """A footprint moved by whole turns to where the tile is; one that is cut at the antimeridian is joined there."""
    west, _, east, _ = footprint.bounds
    if east - west > 180.0:
        return shapely.union_all(turned(footprint)).intersection(outline.buffer(3.0))
    turns = round((outline.centroid.x - footprint.centroid.x) / 360.0)
    return shapely.affinity.translate(footprint, 360.0 * turns) if turns else footprint


def _of_year(item: pystac.Item, profile: Profile) -> bool:
    acquired = acquired_of(item)
    return profile.year is None or acquired is None or acquired.year == profile.year


def _view(modality: Modality, scene: Scene, target: Grid) -> View:
    """(values, valid) of all bands of one scene on the target grid; bands that it lacks are invalid."""
    profile = PROFILES[modality.name]
    shape = (len(modality.bands), *target.shape)
    values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    for plain, band in bands_of(profile, modality, ORBIT_SUFFIX[scene.orbit]).items():
        name = _first(profile.assets[plain], scene.properties["assets"])
        if name is None:
            continue
        i = modality.bands.index(band)
        with _opened(scene, name) as dataset:
            if dataset.count < profile.position(plain):
                raise CorruptAsset(f"{_what(scene, name)} has {dataset.count} bands; {band} should be one of them.")
            nodata = _nodata(dataset, profile.nodata)
            seen, at = onto(dataset, [profile.position(plain)], target, modality.resampling, nodata)
            values[i], valid[i] = seen[0], at[0]
            for slope, origin in profile.derived.items():
                if origin == plain:
                    j = modality.bands.index(slope)
                    native = _native(dataset, target, nodata)
                    if native is not None:
                        steep, at = native_onto(slope_degrees(native), target, modality.resampling)
                        values[j], valid[j] = steep[0], at[0]
    return decoded(values, valid, modality, scene), valid


def _native(dataset: rasterio.DatasetReader, target: Grid, nodata: float | None) -> Native | None:
    """The part of a one-band file around a tile, with the margin that its slope needs; None where they do not meet."""
    epsg = dataset.crs.to_epsg()
    if epsg is None:
        return None
    columns, rows = _edges(dataset, target)
    first = int(np.floor(columns.min())) - 3, int(np.floor(rows.min())) - 3
    last = int(np.ceil(columns.max())) + 3, int(np.ceil(rows.max())) + 3
    west, north = max(first[0], 0), max(first[1], 0)
    width, height = min(last[0], dataset.width) - west, min(last[1], dataset.height) - north
    if width <= 0 or height <= 0:
        return None
    part = Window(west, north, width, height)
    return Native(dataset.read([1], window=part), dataset.window_transform(part), int(epsg), nodata)


def _edges(dataset: rasterio.DatasetReader, target: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(columns, rows) of a file, in fractions of a pixel, along the edges of a tile; across the antimeridian too."""
    t = np.linspace(0, target.metres, 9)
    east = target.left + np.concatenate([t, t, np.zeros(9), np.full(9, target.metres)])
    north = target.top - np.concatenate([np.zeros(9), np.full(9, target.metres), t, t])
    x, y = (np.array(v) for v in transform(f"EPSG:{target.epsg}", dataset.crs, east, north))
    if dataset.crs.is_geographic:
        middle = (dataset.bounds.left + dataset.bounds.right) / 2
        x += 360.0 * np.round((middle - x) / 360.0)
    columns, rows = ~dataset.transform @ (x, y)
    return columns, rows


@contextmanager
def _opened(scene: Scene, name: str) -> Iterator[rasterio.DatasetReader]:
    """An asset opened for reading; failures to open or to decode it come out as this project's errors."""
    href = scene.properties["assets"][name]
    try:
        with rasterio.Env(**HTTP), rasterio.open(href) as dataset:
            if dataset.crs is None:
                raise CorruptAsset(f"{_what(scene, name)} has no projection: {href}.")
            yield dataset
    except RasterioError as error:
        told = " ".join(str(e) for e in (error, error.__cause__) if e is not None)
        if any(word in told for word in PASSING):
            raise TransientError(f"{_what(scene, name)} did not come: {told}. Try again later.") from error
        if "://" not in href and not Path(href).exists():
            raise SourceError(f"{_what(scene, name)} is not there: {href}.") from error
        raise CorruptAsset(f"{_what(scene, name)} cannot be decoded ({href}): {told}.") from error


def _what(scene: Scene, asset: str) -> str:
    return f"Asset {asset} of {scene.modality} item {scene.scene_id}"


def _nodata(dataset: rasterio.DatasetReader, default: float | None) -> float | None:
    return default if dataset.nodata is None else float(dataset.nodata)


def _first(names: Sequence[str], there: Mapping[str, str]) -> str | None:
    return next((n for n in names if n in there), None)


@lru_cache(maxsize=4)
def _map(href: str) -> tuple[list[Feature], shapely.STRtree]:
    """All features of a map extract and a tree of their shapes."""
    import geopandas

    data = io.BytesIO(content(href))
    try:
        frame = geopandas.read_parquet(data)
        known = [
            Feature(str(name), shape, {str(k): str(v) for k, v in json.loads(tags).items()})
            for name, tags, shape in zip(frame["feature_id"], frame["tags"], frame.geometry, strict=True)
        ]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SourceError(
            f"The map extract {href} cannot be read: {error}. It is a GeoParquet file with the columns feature_id, "
            "tags (JSON) and geometry (degrees)."
        ) from error
    return known, shapely.STRtree([f.geometry for f in known])
