"""Variants: in which of the published forms a dataset is stored, in sentences that say how each is read."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Categorical, Modality
from geomeld.dataset import manifest as manifests
from geomeld.dataset.dataset import Dataset
from geomeld.dataset.index import load_index
from geomeld.dataset.members import HDF5, Array, Member
from geomeld.dataset.packed import PACKED
from geomeld.dataset.sample import CAPTION_KEYS, RAW, SHIFTED, is_raw
from geomeld.modalities import MODALITIES

LAYOUT = ("grid", "layers", "anchor")
"""Metadata that this project adds: where the pixels lie, and what they were read from."""


def deviations(dataset: Dataset, modalities: Mapping[str, Modality] = MODALITIES) -> list[str]:
    """How the dataset differs from what `geomeld build` writes, without being wrong: one sentence each, commonest
    first, with the number of tiles; empty for a dataset of `geomeld build`."""
    met: Counter[str] = Counter()
    for shard in dataset.shards:
        if shard.suffix == PACKED:
            continue  # written by this project alone
        for member in load_index(shard).members:
            if not member.problem:
                metadata = dataset.metadata(member.tile_id)
                met.update(_of_member(member, metadata, modalities, shard if isinstance(shard, Path) else None))
    notes = [f"{n} of {len(dataset)} tiles: {text}" for text, n in met.most_common()]
    if is_published(dataset):
        notes.insert(0, "no manifest: published shards come without one, so a lost shard cannot be noticed")
    return notes


def is_published(dataset: Dataset) -> bool:
    """Whether the shards were written by somebody else: no manifest, and metadata without this project's additions."""
    if (dataset.path / manifests.NAME).exists() or not len(dataset):
        return False
    return not any(field in dataset.metadata(dataset.tile_ids[0]) for field in LAYOUT)


def _of_member(
    member: Member, metadata: Mapping[str, Any], modalities: Mapping[str, Modality], shard: Path | None
) -> Iterator[str]:
    if member.form != HDF5:
        yield "arrays are .npy members beside a .json, not one .h5; read alike"
    elif any(a.offset is None for n, a in member.arrays.items() if n in modalities):
        yield "arrays are chunked or compressed; read through HDF5, several times slower than by offset"
    if not any(field in metadata for field in LAYOUT):
        yield (
            "metadata have the published fields alone; the grid follows from the coordinate (its origin snapped to "
            "20 m), products and dates of the other sensors are unknown"
        )
    for name, array in member.arrays.items():
        if name in modalities:
            yield from _of_array(modalities[name], array, metadata, shard)
    if not metadata.get(CAPTION_KEYS[0]) and any(metadata.get(k) for k in CAPTION_KEYS[1:]):
        yield "the caption is under `captions`; read as `caption`"


def _of_array(modality: Modality, array: Array, metadata: Mapping[str, Any], shard: Path | None) -> Iterator[str]:
    bands = array.shape[0] if len(array.shape) == 3 else 1
    named = tuple(metadata.get("band_names", {}).get(modality.name, ()))
    if bands < len(modality.bands):
        left = named if len(named) == bands else tuple(b for b in modality.bands if b not in modality.composite)
        lacking = " ".join(b for b in modality.bands if b not in left)
        yield f"{modality.name} has {bands} bands, without {lacking}; those are read as invalid"
    elif len(named) == bands and named != modality.bands and set(named) == set(modality.bands):
        yield f"{modality.name} has its bands in another order ({' '.join(named)}); read by name"
    if len(array.shape) == 2:
        yield f"{modality.name} is flat, without an axis of bands; read as one band"
    if np.dtype(array.dtype) != np.dtype(modality.dtype):
        yield f"{modality.name} is stored as {np.dtype(array.dtype).name}, not {modality.dtype}; converted"
    if isinstance(modality.kind, Categorical) and modality.kind.counts_from_one:
        said = metadata.get("dynamic_world_encoding")
        if said not in (SHIFTED, RAW) and shard is not None and array.offset is not None:
            raw = is_raw(modality.kind, _stored(shard, array), metadata)
            yield f"{modality.name}: nothing says how labels are coded; by their values " + (
                "raw (0 is the first class)" if raw else "shifted by one (0 is no data)"
            )
        elif said == RAW:
            yield f"{modality.name}: labels are raw (0 is the first class); read as label + 1"


def _stored(shard: Path, array: Array) -> NDArray:
    with shard.open("rb") as file:
        file.seek(array.offset or 0)
        return np.frombuffer(file.read(array.nbytes), array.dtype)
