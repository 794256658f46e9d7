"""Mosaic: a global product that is a grid of files, in a folder, on the web, or fetched from there once."""

import datetime as dt
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geomeld.core.errors import ConfigError, CorruptAsset, MissingAsset, MissingProduct, SourceError, UsageError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality
from geomeld.core.tile import Layer
from geomeld.sources.asset import look
from geomeld.sources.download import Kept, exists
from geomeld.sources.source import Feature, Scene
from geomeld.sources.tiling import TILINGS, Square, Tiling
from geomeld.sources.warp import Native, native_onto, part_of, slope_onto
from geomeld.sources.web import is_remote

PUBLIC, KEPT = "public", "kept"
"""Words for places: the provider's own address; files fetched whole and kept."""

SAO_TOME = (6.6, 0.2)
"""A place on land where every product has a file: an address without it is the wrong one."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One such product as a source; a tile that touches several files is put together before it is resampled."""

    product: str
    """Name in `TILINGS`."""
    place: str
    """A folder; an http(s) address that files are read from by ranges; "public" for the provider's own; "kept" or
    "kept:ADDRESS" for files that are fetched whole and kept in the cache."""

    def __post_init__(self) -> None:
        """Raises UsageError for a product that nobody knows, or one that has no public address."""
        if self.product not in TILINGS:
            raise UsageError(f"There is no product {self.product!r}; there are {', '.join(sorted(TILINGS))}.")
        if self.place in (PUBLIC, KEPT) and not self._tiling.address:
            raise UsageError(f"{self._tiling.title} has no public address here; give the folder that holds its files.")

    @property
    def name(self) -> str:
        """Short name, kept in the manifest."""
        return self.product

    def modalities(self) -> frozenset[str]:
        """The one that it serves.

        Raises MissingProduct where the place holds none of its files, ConfigError where a token is wanting.
        """
        _checked(self)
        return frozenset([self._tiling.modality])

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """The files that a tile touches; of a folder those that are there, since over the sea there are none."""
        if modality.name not in self.modalities():
            return []
        found = ((square, self._files(square)) for square in self._tiling.squares(grid))
        return sorted((self._scene(s, files) for s, files in found if files), key=lambda s: s.scene_id)

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the files on `grid.at(modality.gsd)`; None where there are none.

        Raises MissingAsset for a file of a folder that has gone since, CorruptAsset for one that cannot be decoded or
        lies elsewhere than its name says, TransientError and AuthError for a server.
        """
        target = grid.at(modality.gsd)
        shape = (len(modality.bands), *target.shape)
        values, valid = np.zeros(shape, dtype=modality.dtype), np.zeros(shape, dtype=bool)
        used: set[str] = set()
        for band in self._tiling.files:
            parts = {s.scene_id: p for s in scenes if (p := self._part(s, band, target)) is not None}
            used |= parts.keys()
            slopes = [slope for slope, origin in self._tiling.derived.items() if origin == band]
            for whole in joined(list(parts.values())):
                _put(modality, band, native_onto(whole, target, modality.resampling), values, valid)
                for slope in slopes:
                    _put(modality, slope, slope_onto(whole, target, modality.resampling), values, valid)
        if not used:
            return None
        return Layer(values, valid, modality.bands, product=self._tiling.title, scenes=tuple(sorted(used)))

    def features(self, grid: Grid) -> list[Feature] | None:
        """No map."""
        return None

    @property
    def _tiling(self) -> Tiling:
        return TILINGS[self.product]

    @property
    def _kept(self) -> bool:
        return self.place.partition(":")[0] == KEPT or (self.place == PUBLIC and self._tiling.whole)

    @property
    def _address(self) -> str:
        """Where the files are, without a slash at its end."""
        given = self.place.removeprefix(f"{KEPT}:")
        return (self._tiling.address if given in (PUBLIC, KEPT) else given).rstrip("/")

    def _files(self, square: Square) -> dict[str, str]:
        """File names by band; empty where the folder has none of them.

        Raises MissingAsset where some bands have a file and others do not.
        """
        names = {band: self._tiling.names_of(square, band) for band in self._tiling.files}
        if is_remote(self._address):
            return {band: forms[0] for band, forms in names.items()}
        folder = Path(self._address)
        there = {b: f for b, forms in names.items() if (f := next((n for n in forms if (folder / n).exists()), None))}
        if there and len(there) < len(names):
            absent = next(forms[0] for band, forms in names.items() if band not in there)
            raise MissingAsset(f"{absent} is not in {folder}, but {next(iter(there.values()))} is; fetch it too.")
        return there

    def _scene(self, square: Square, files: Mapping[str, str]) -> Scene:
        name = next(iter(files.values())).partition(".")[0]
        tiling = self._tiling
        properties = {"files": dict(files), "square": [square.west, square.south]}
        return Scene(name, tiling.modality, square.footprint, epsg=4326, product=tiling.title, properties=properties)

    def _part(self, scene: Scene, band: str, target: Grid) -> Native | None:
        """What a file holds of a tile, rows from the north; None where it does not reach it or does not exist."""
        href = f"{self._address}/{scene.properties['files'][band]}"
        west, south = scene.properties["square"]
        square = Square(west, south, self._tiling.side)
        title = f"{self._tiling.title} {scene.scene_id}"

        def work(dataset: rasterio.DatasetReader) -> Native | None:
            _check_place(dataset, square)
            nodata = self._tiling.nodata if dataset.nodata is None else float(dataset.nodata)
            return part_of(dataset, 1, target, nodata)

        try:
            part = self._fetched(href, title, work) if self._kept else look(href, title, work)
        except MissingAsset:
            if is_remote(href):
                return None  # a file of the sea
            raise
        return part and _from_north(part)

    def _fetched(self, href: str, title: str, work: Callable[[rasterio.DatasetReader], Native | None]) -> Native | None:
        kept = Kept(cache_folder() / "mosaics" / self.product, self._tiling.token)
        path = kept.file(href)
        try:
            return look(str(path), title, work)
        except CorruptAsset:
            if not kept.damaged(path):
                raise
            return look(str(kept.file(href)), title, work)


def cache_folder() -> Path:
    """Where files are kept that can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geomeld"


def joined(parts: Sequence[Native]) -> list[Native]:
    """Rasters side by side as one, so that a kernel reaches across their edges; a pixel that several hold is that of
    the first. Those whose pixels do not fall on the lattice of the first stay apart, and come after it."""
    if not parts:
        return []
    first, beside, apart = parts[0], [], []
    for part in parts:
        at = _offset(part, first)
        if at is None:
            apart.append(part)
        else:
            beside.append((part, at))
    if len(beside) == 1:
        return [first, *joined(apart)]
    top, left = (min(at[i] for _, at in beside) for i in (0, 1))
    bottom = max(row + part.values.shape[1] for part, (row, _) in beside)
    right = max(column + part.values.shape[2] for part, (_, column) in beside)
    empty = first.nodata if first.nodata is not None else float("nan")
    dtype = np.result_type(first.values, np.float32) if np.isnan(empty) else first.values.dtype
    whole = np.full((1, bottom - top, right - left), empty, dtype)
    for part, (row, column) in reversed(beside):
        rows, columns = part.values.shape[1:]
        window = whole[:, row - top : row - top + rows, column - left : column - left + columns]
        there = part.values != part.nodata if part.nodata is not None else np.ones(part.values.shape, dtype=bool)
        window[there] = part.values[there]
    return [
        replace(first, values=whole, transform=first.transform @ Affine.translation(left, top), nodata=empty),
        *joined(apart),
    ]


def _offset(part: Native, first: Native) -> tuple[int, int] | None:
    """(row, column) of a raster's corner on the lattice of another, whole turns aside; None where it has no place."""
    a, b = part.transform, first.transform
    if part.epsg != first.epsg or abs(a.a / b.a - 1) > 1e-9 or abs(a.e / b.e - 1) > 1e-9:
        return None
    column, row = (a.c - b.c - 360.0 * round((a.c - b.c) / 360.0)) / b.a, (a.f - b.f) / b.e
    if max(abs(column - round(column)), abs(row - round(row))) > 1e-3:
        return None
    return round(row), round(column)


def _put(
    modality: Modality,
    band: str,
    seen: tuple[NDArray, NDArray[np.bool_]],
    values: NDArray,
    valid: NDArray[np.bool_],
) -> None:
    """Fill a band where it has nothing yet."""
    i = modality.bands.index(band)
    new = seen[1][0] & ~valid[i]
    values[i][new] = seen[0][0][new]
    valid[i] |= new


def _from_north(part: Native) -> Native:
    t = part.transform
    if t.e < 0:
        return part
    upright = Affine(t.a, t.b, t.c, t.d, -t.e, t.f + t.e * part.values.shape[1])
    return replace(part, values=part.values[:, ::-1], transform=upright)


def _check_place(dataset: rasterio.DatasetReader, square: Square) -> None:
    """Raises CorruptAsset for a file that does not lie where its name says, a pixel aside."""
    if dataset.crs.to_epsg() != 4326:
        raise CorruptAsset(f"it lies in {dataset.crs}, not in longitudes and latitudes (EPSG:4326) as its product does")
    west, south, east, north = dataset.bounds
    south, north = sorted((south, north))
    x, y = dataset.res
    edges = square.footprint.bounds
    if west < edges[0] - x or south < edges[1] - y or east > edges[2] + x or north > edges[3] + y:
        raise CorruptAsset(
            f"it lies between {west:.4f}, {south:.4f} and {east:.4f}, {north:.4f} (degrees), but its name says "
            f"{edges[0]:g}, {edges[1]:g} to {edges[2]:g}, {edges[3]:g}"
        )


@lru_cache(maxsize=64)
def _checked(mosaic: Mosaic) -> None:
    """Raises MissingProduct unless a place holds files of the product, ConfigError without its token."""
    tiling, address = mosaic._tiling, mosaic._address
    if mosaic._kept and tiling.token and not os.environ.get(tiling.token, "").strip():
        raise ConfigError(
            f"{tiling.title} is behind a login: put a bearer token from {tiling.token_from} into the environment "
            f"variable {tiling.token}, or give the folder that holds its files."
        )
    band = next(iter(tiling.files))
    example = tiling.names_of(tiling.around(*SAO_TOME), band)[0]
    if is_remote(address):
        token = tiling.token if mosaic._kept else ""
        if not exists(f"{address}/{example}", token):
            raise MissingProduct(f"{address} does not hold {example}, so it is not where {tiling.title} is; check it.")
        return
    folder = Path(address)
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder; give the one that holds the files of {tiling.title}.")
    forms = [re.sub(r"(\{.*?\})+", "*", form) for form in tiling.files[band]]
    if not any(True for form in forms for _ in folder.glob(form)):
        held = sorted(p.name for p in folder.iterdir())[:3]
        raise MissingProduct(
            f"{folder} holds no file of {tiling.title}: their names look like {example}. "
            f"It holds {', '.join(held) + ', ...' if held else 'nothing'}."
        )
