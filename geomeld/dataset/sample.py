"""A tile as the HDF5 bytes of one shard member, in the published layout, and back."""

import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import AnchorError, CorruptFile
from geomeld.core.grid import Grid
from geomeld.core.modality import Categorical, Modality
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.modalities import MODALITIES

METADATA = "metadata"
"""Key of the scalar JSON document."""

LIBRARY = ("earliest", "v110")
"""Versions of the HDF5 format that are written: fixed ones keep the bytes the same."""

SHIFTED, RAW = "shifted", "raw"
"""How class labels of a product that counts from 0 are stored: label + 1 with 0 for no data, or the raw label."""

CAPTION_KEYS = ("caption", "captions")
"""Keys under which published files may carry a caption; the first is the one written."""


def encode(tile: Tile, modalities: Mapping[str, Modality] = MODALITIES) -> bytes:
    """The tile as an HDF5 file: an array per layer, contiguous and uncompressed, and `metadata`.

    The same tile gives the same bytes.
    """
    buffer = io.BytesIO()
    # Arrays lie contiguous so that readers can map them by offset.
    with h5py.File(buffer, "w", libver=LIBRARY, track_order=False) as file:
        for name, modality in modalities.items():
            layer = tile.layers.get(name)
            if layer is not None:
                file.create_dataset(name, data=modality.with_no_data(layer.values, layer.valid), track_times=False)
        put_metadata(file, metadata_of(tile, modalities))
    return buffer.getvalue()


def put_metadata(file: h5py.File, metadata: Mapping[str, Any]) -> None:
    """Write the metadata document as a scalar of fixed length, which lies in the file as it is and can be mapped."""
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False)
    file.create_dataset(METADATA, data=np.bytes_(text.encode("utf-8")), track_times=False)


def metadata_of(tile: Tile, modalities: Mapping[str, Modality] = MODALITIES) -> dict[str, Any]:
    """The metadata document of a tile: its own entries, the published fields that follow from it, and what is needed to
    read anchor, grid and layers back."""
    anchor, grid = tile.anchor, tile.grid
    reference = next((x for n, x in tile.layers.items() if n in modalities and x.acquired), None)
    facts = {
        "tile_id": anchor.tile_id,
        "lat": anchor.lat,
        "long": anchor.lon,
        "acquisition_date": (reference.acquired[0].date() if reference else anchor.reference_date).isoformat(),
        "file_type_naip": any(m.gsd < 10 for n, m in modalities.items() if n in tile.layers),
        "band_names": {n: list(x.bands) for n, x in tile.layers.items()},
        "dynamic_world_encoding": SHIFTED,
        "anchor": {
            "reference_date": anchor.reference_date.isoformat(),
            "source": anchor.source,
            "source_key": anchor.source_key,
            "biome": anchor.biome,
        },
        "grid": {"epsg": grid.epsg, "left": grid.left, "top": grid.top, "gsd": grid.gsd, "size": grid.size},
        "layers": {n: _provenance(x) for n, x in tile.layers.items()},
    }
    return {**tile.metadata, **facts}


def _provenance(layer: Layer) -> dict[str, Any]:
    return {
        "product": layer.product,
        "acquired": [t.isoformat() for t in layer.acquired],
        "scenes": list(layer.scenes),
    }


def decode(data: bytes, names: Iterable[str] | None = None, modalities: Mapping[str, Modality] = MODALITIES) -> Tile:
    """Read the bytes of a member in any published variant; `names` limits which layers are read.

    Raises CorruptFile where the bytes are no HDF5 sample.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            metadata = parse_metadata(file[METADATA][()])
            wanted = [n for n in modalities if n in file and (names is None or n in set(names))]
            arrays = {n: file[n][()] for n in wanted}
    except (OSError, KeyError, ValueError) as error:
        raise CorruptFile(f"The sample is no readable HDF5 file of a tile: {error}.") from None
    return assemble(arrays, metadata, modalities)


def parse_metadata(stored: Any) -> dict[str, Any]:
    """The metadata document from bytes, str, or a NumPy scalar of either. Raises ValueError for anything else."""
    if isinstance(stored, np.ndarray | np.generic):
        stored = stored.item()
    metadata = json.loads(stored)
    if not isinstance(metadata, dict):
        raise ValueError("metadata is no JSON object")
    return metadata


def assemble(
    arrays: Mapping[str, NDArray], metadata: Mapping[str, Any], modalities: Mapping[str, Modality] = MODALITIES
) -> Tile:
    """A tile from stored arrays and metadata; here, and only here, no-data values become masks.

    The arrays are taken over: the tile's layers are made in their place. Raises CorruptFile for metadata or arrays of
    which no tile can be made.
    """
    try:
        return tile_of({n: _layer(modalities[n], stored, metadata) for n, stored in arrays.items()}, metadata)
    except (AnchorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"The sample is no tile ({type(error).__name__}: {error}).") from None


def tile_of(layers: Mapping[str, Layer], metadata: Mapping[str, Any]) -> Tile:
    """A tile from its layers; anchor, grid and caption are in the metadata."""
    return Tile(anchor_of(metadata), grid_of(metadata), layers, _with_caption(metadata))


def layer_of(
    name: str, values: NDArray, valid: NDArray[np.bool_], bands: tuple[str, ...], metadata: Mapping[str, Any]
) -> Layer:
    """A layer from its pixels; product, times and scenes are in the metadata."""
    own = metadata.get("layers", {}).get(name, {})
    acquired = tuple(dt.datetime.fromisoformat(t) for t in own.get("acquired", ()))
    return Layer(values, valid, bands, acquired, own.get("product", ""), tuple(own.get("scenes", ())))


def anchor_of(metadata: Mapping[str, Any]) -> Anchor:
    """The anchor, from our own entries or from the published fields alone."""
    own = metadata.get("anchor", {})
    date = own.get("reference_date") or metadata.get("acquisition_date") or "1970-01-01"
    return Anchor(
        tile_id=int(metadata["tile_id"]),
        lon=float(metadata["long"]),
        lat=float(metadata["lat"]),
        reference_date=dt.date.fromisoformat(str(date)[:10]),
        source=own.get("source", "published"),
        source_key=own.get("source_key", str(metadata["tile_id"])),
        biome=own.get("biome", ""),
    )


def grid_of(metadata: Mapping[str, Any]) -> Grid:
    """The grid, as stored, or the one that the coordinate implies."""
    stored = metadata.get("grid")
    if stored is None:
        return Grid.centred_on(float(metadata["long"]), float(metadata["lat"]))
    return Grid(stored["epsg"], stored["left"], stored["top"], stored["gsd"], stored["size"])


def _layer(modality: Modality, stored: NDArray, metadata: Mapping[str, Any]) -> Layer:
    if stored.ndim == 2:
        stored = stored[None]
    bands = band_names(modality, stored.shape[0], metadata)
    if isinstance(modality.kind, Categorical) and is_raw(modality.kind, stored, metadata):
        stored = stored.astype(np.uint8) + np.uint8(1)
    valid = modality.mark_valid(stored)
    if not valid.all():
        # Bits times 0 or 1: as good for NaN, and several times faster than a masked copy where gaps are scattered.
        bits = stored.view(f"i{stored.itemsize}")
        np.multiply(bits, valid, out=bits)
    values = stored.astype(modality.dtype, copy=False)
    if bands != modality.bands:
        values, valid, bands = _in_table_order(modality, values, valid, bands)
    return layer_of(modality.name, values, valid, bands, metadata)


def band_names(modality: Modality, count: int, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the stored bands: as the metadata says, else by their number.

    A published tile with a 1 m photograph holds the primary sensor without the bands of its natural-colour composite.
    """
    named = tuple(metadata.get("band_names", {}).get(modality.name, ()))
    if len(named) == count:
        return named
    if count == len(modality.bands):
        return modality.bands
    rest = tuple(b for b in modality.bands if b not in modality.composite)
    if count == len(rest):
        return rest
    raise CorruptFile(
        f"{modality.name} has {count} bands and no band_names that fit; {len(modality.bands)} were expected "
        f"({', '.join(modality.bands)})."
    )


def _in_table_order(
    modality: Modality, values: NDArray, valid: NDArray[np.bool_], bands: Sequence[str]
) -> tuple[NDArray, NDArray[np.bool_], tuple[str, ...]]:
    """All bands of the table, by name; those that are not stored are invalid, unknown ones are left out."""
    whole = np.zeros((len(modality.bands), *values.shape[1:]), values.dtype)
    known = np.zeros(whole.shape, bool)
    for i, band in enumerate(modality.bands):
        if band in bands:
            j = bands.index(band)
            whole[i], known[i] = values[j], valid[j]
    return whole, known, modality.bands


def is_raw(kind: Categorical, stored: NDArray, metadata: Mapping[str, Any]) -> bool:
    """Whether labels of a product that counts from 1 are stored as the raw 0..n-1.

    The metadata decides; without it, the highest code n can only be shifted, and a layer with neither that code nor a
    single 0 is read as shifted too. What is left (codes 0..n-1 with zeros) is read as raw: published files of both
    kinds exist, and a tile of zeros and few other labels is far likelier to show water than holes.
    """
    if not kind.counts_from_one:
        return False
    said = metadata.get("dynamic_world_encoding")
    if said in (SHIFTED, RAW):
        return said == RAW
    return stored.max() < len(kind.classes) and bool((stored == 0).any())


def _with_caption(metadata: Mapping[str, Any]) -> dict[str, Any]:
    found = next((metadata[k] for k in CAPTION_KEYS if metadata.get(k)), None)
    if found is None:
        return dict(metadata)
    return {**metadata, "caption": found[0] if isinstance(found, list) else found}
