"""Check: a dataset held against the contract; every violation is listed, not the first."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from geomeld.core.errors import CorruptFile, DatasetError, GeoMeldError
from geomeld.core.grid import SNAP_METRES, TILE_METRES, Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Tile
from geomeld.dataset import manifest as manifests
from geomeld.dataset.dataset import Dataset, checksum_of, damage_of, located, tiles_of
from geomeld.dataset.index import Shard
from geomeld.dataset.variants import is_published
from geomeld.modalities import MODALITIES

WINDOW = dt.timedelta(days=15, hours=1)
"""Other sensors lie within 15 days of the reference scene (paper 3.4)."""
REQUIRED = ("tile_id", "lat", "long", "acquisition_date", "band_names", "file_type_naip")
"""Metadata fields that every published sample has."""


def check(path: Path, modalities: Mapping[str, Modality] = MODALITIES) -> list[str]:
    """Every violation in a dataset, as sentences that name shard and tile; empty where there is none.

    Raises DatasetError where the folder is no dataset at all.
    """
    folder, shards = located(path)
    found = list(_check_files(folder, shards, _is_published(path)))
    seen: dict[int, str] = {}
    for shard in shards:
        try:
            tile_ids = tiles_of(shard)
        except CorruptFile:
            continue  # reported with the files
        for tile_id in tile_ids:
            if tile_id in seen:
                found.append(f"{shard.name}: tile {tile_id} is also in {seen[tile_id]}")
            seen[tile_id] = shard.name
    try:
        dataset = Dataset(path, modalities)
    except GeoMeldError as error:
        return [*found, str(error)] if str(error) not in " ".join(found) else found
    found += dataset.damaged.values()
    for tile_id in dataset.tile_ids:
        where = f"{dataset.shard_of(tile_id).name}: tile {tile_id}"
        try:
            found += [f"{where}: {problem}" for problem in tile_problems(dataset[tile_id], modalities)]
        except GeoMeldError as error:
            found.append(f"{where}: {error}")
        except (ValueError, KeyError, TypeError) as error:
            found.append(f"{where}: cannot be read ({type(error).__name__}: {error})")
    return found


def _is_published(path: Path) -> bool:
    """Whether somebody else wrote the shards; a dataset that cannot be opened is nobody's."""
    try:
        return is_published(Dataset(path))
    except GeoMeldError:
        return False


def _check_files(folder: Path, shards: Sequence[Shard], published: bool) -> Iterator[str]:
    """Violations of the files; published shards come without a manifest, which is none (see `variants`)."""
    listed = {}
    try:
        listed = {s.name: s for s in manifests.load_manifest(folder).shards}
    except DatasetError as error:
        if not published:
            yield f"manifest: {error}"
    for name in sorted(set(listed) - {s.name for s in shards}):
        yield f"{name}: is in the manifest and not in the folder"
    for shard in shards:
        problem = damage_of(shard)
        if problem:
            yield f"{shard.name}: {problem}"
        elif listed and shard.name not in listed:
            yield f"{shard.name}: is not in the manifest"
        elif listed and checksum_of(shard) not in ("", listed[shard.name].sha256):
            yield f"{shard.name}: its bytes are not those of the manifest (sha256)"


def tile_problems(tile: Tile, modalities: Mapping[str, Modality] = MODALITIES) -> Iterator[str]:
    """Violations of one tile."""
    for field in REQUIRED:
        if field not in tile.metadata:
            yield f"metadata has no {field}"
    yield from _grid_problems(tile)
    for name, layer in tile.layers.items():
        modality = modalities[name]
        if layer.values.shape != modality.shape(tile.grid.metres):
            yield f"{name} has shape {layer.values.shape}, not {modality.shape(tile.grid.metres)}"
        if layer.values.dtype != np.dtype(modality.dtype):
            yield f"{name} has dtype {layer.values.dtype}, not {modality.dtype}"
        if not layer.valid.any():
            yield f"{name} has no valid pixel"
    yield from _time_problems(tile, modalities)
    cloud = tile.metadata.get("cloud_cover")
    if cloud is not None and cloud >= 10:
        yield f"cloud cover of the scene is {cloud} %, not under 10 %"


def _grid_problems(tile: Tile) -> Iterator[str]:
    grid = tile.grid
    if grid.metres != TILE_METRES:
        yield f"the grid is {grid.metres} m wide, not {TILE_METRES}"
    if grid.left % SNAP_METRES or grid.top % SNAP_METRES:
        yield f"the grid's origin {grid.left}, {grid.top} is no multiple of {SNAP_METRES:g} m"
    expected = Grid.centred_on(tile.anchor.lon, tile.anchor.lat, grid.gsd)
    if expected.epsg != grid.epsg:
        yield f"the grid is in EPSG:{grid.epsg}, its anchor in EPSG:{expected.epsg}"
    elif abs(expected.left - grid.left) > SNAP_METRES / 2 or abs(expected.top - grid.top) > SNAP_METRES / 2:
        yield "the grid is not centred on its anchor"


def _time_problems(tile: Tile, modalities: Mapping[str, Modality]) -> Iterator[str]:
    reference = next(
        (x.acquired[0] for n, x in tile.layers.items() if modalities[n].timing is Timing.REFERENCE and x.acquired), None
    )
    if reference is None:
        return
    for name, layer in tile.layers.items():
        if modalities[name].timing in (Timing.NEAREST, Timing.MODE):
            for time in layer.acquired:
                if abs(time - reference) > WINDOW:
                    yield f"{name} was acquired on {time.date()}, more than 15 days from {reference.date()}"
