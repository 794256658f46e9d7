"""OpenStreetMap: the map features around a tile, from an extract of OpenStreetMap data or a GeoParquet file."""

import fcntl
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import CorruptAsset, SourceError
from geomeld.core.grid import Grid
from geomeld.sources.map_file import load
from geomeld.sources.map_rows import MapRows
from geomeld.sources.osm_file import OsmFile, pyosmium
from geomeld.sources.source import Feature
from geomeld.sources.web import content

KEPT_FROM = 16 * 2**20
"""Bytes from which the rows of an extract are kept on disk. A smaller one is read by every process for itself: a second
for 2 MB."""

FORMAT = 2
"""Of the rows on disk; rows of another format are made again."""


@dataclass(frozen=True, slots=True)
class OpenStreetMap:
    """Map features of one file, read when first asked and kept for the life of the process."""

    href: str
    """Path or http(s) address of an extract (.osm.pbf, .osm, .osm.bz2) or of a GeoParquet file with the columns
    feature_id, tags (JSON) and geometry (degrees)."""

    def features(self, where: Grid | BaseGeometry) -> list[Feature] | None:
        """Features that intersect a tile, or an outline in degrees, sorted by feature_id, in its longitudes; None where
        the file holds no map of it: the whole outline must lie in the box that the file's header states.

        Raises MissingExtra without pyosmium, SourceError for a file that is not there, CorruptAsset for a damaged one.
        """
        outline = Polygon(where.footprint()) if isinstance(where, Grid) else where
        rows = rows_of(self.href)
        if not rows.knows(outline):
            return None
        return sorted(rows.around(outline), key=lambda f: f.feature_id)

    def join(self, grids: Sequence[Grid]) -> list[list[Feature] | None]:
        """The same for many tiles in one pass over the map."""
        rows = rows_of(self.href)
        outlines = [Polygon(grid.footprint()) for grid in grids]
        known = [rows.knows(outline) for outline in outlines]
        found = iter(rows.join([o for o, there in zip(outlines, known, strict=True) if there]))
        return [next(found) if there else None for there in known]

    @property
    def product(self) -> str:
        """What this is a map of, and of when."""
        moment = rows_of(self.href).about.snapshot
        return f"OpenStreetMap, snapshot {moment}" if moment else "OpenStreetMap, date unknown"

    @property
    def skipped(self) -> int:
        """Objects with tags of KEYS whose shape could not be made: broken outlines, parts outside the file."""
        return rows_of(self.href).about.skipped


@lru_cache(maxsize=4)
def rows_of(href: str) -> MapRows:
    """All features of a file. Raises as `OpenStreetMap.features`."""
    if "://" in href:
        return _from_bytes(href, content(href))
    path = Path(href)
    if not path.is_file():
        raise SourceError(f"The map extract {href} is not there; check the path.")
    return _kept(path) if path.stat().st_size >= KEPT_FROM else _from_file(path)


def _from_bytes(href: str, data: bytes) -> MapRows:
    if href.endswith("parquet"):
        return load(href, data)
    return _from_osm(href, pyosmium().io.FileBuffer(data, Path(href).name.partition(".")[2]))


def _from_file(path: Path) -> MapRows:
    if path.suffix == ".parquet":
        return load(str(path), path.read_bytes())
    return _from_osm(str(path), pyosmium().io.File(str(path)))


def _from_osm(href: str, file: Any) -> MapRows:
    try:
        return OsmFile(pyosmium()).rows(file)
    except RuntimeError as error:
        raise CorruptAsset(
            f"The map extract {href} cannot be read: {error}. It may be cut short or no OpenStreetMap file; "
            "download it again."
        ) from error


def _kept(path: Path) -> MapRows:
    """The rows of a large extract, made once per machine and state of the file, then shared by all processes."""
    state = path.stat()
    name = _digest(str(path.resolve()))
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geomeld" / "maps"
    rows = folder / f"{name}-{_digest(f'{state.st_size} {state.st_mtime_ns} {FORMAT}')}.arrow"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{name}.lock").open("w")
    except OSError:  # nowhere to keep them: every process reads for itself
        return _from_file(path)
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return MapRows.load(rows)
        except (OSError, pa.ArrowInvalid):  # not there yet, or damaged
            made = _from_file(path)
        for old in folder.glob(f"{name}-*"):
            old.unlink()
        made.save(rows)
        return MapRows.load(rows)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
