"""GEO-Bench v2: small sets in tortilla files as the benchmark's tools lay them out, of any pixels or simulated ones."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geomeld.evaluate.geobench_v2.sets import SETS_V2
from geomeld.evaluate.task import SIMULATED_MARK, TaskKind
from geomeld.sources.simulated.truth import stratified_places
from geomeld.testing.geobench import simulated_pixels

BLOWN_UP = 304
"""Rows and columns to which the benchmark's tools blow images up that are smaller."""
DATA = 200
"""Where the first file begins; zeros stand between the header and it."""


def tortilla(files: Sequence[tuple[bytes, Mapping[str, Any]]], parts: int = 1) -> bytes:
    """The bytes of a tortilla: (content, columns) of each file; "tortilla:id" must be among the columns."""
    offset, rows = DATA, []
    for content, columns in files:
        rows.append({**columns, "tortilla:offset": offset, "tortilla:length": len(content)})
        offset += len(content)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd", use_dictionary=False)
    table = sink.getvalue()
    header = b"#y" + b"".join(n.to_bytes(8, "little") for n in (offset, len(table), parts))
    return header.ljust(DATA, b"\0") + b"".join(content for content, _ in files) + table


def geotiff(values: NDArray) -> bytes:
    """The bytes of a GeoTIFF of (bands, rows, columns) that tells no place."""
    profile = {"driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile() as memory:
            with rasterio.open(memory, "w", dtype=values.dtype, **profile) as image:
                image.write(values)
            return memory.read()


def write_set_v2(
    root: Path, name: str, samples: Mapping[str, Sequence[tuple[NDArray, Any]]], parts: int = 1
) -> list[Path]:
    """One set below `root`: (image in the bands of the set, label) for train, validation and test.

    Files of other sensors that come before the image are there and hold nothing of use. Returns the files.
    """
    record, packed = SETS_V2[name], list[tuple[bytes, dict[str, Any]]]()
    root.mkdir(parents=True, exist_ok=True)
    for split, made in samples.items():
        for image, label in made:
            told: dict[str, Any] = {"tortilla:data_split": split, "tortilla:file_format": "GTiff"}
            told |= {record.label: label} if record.label else {}
            held = [geotiff(np.full((1, 2, 2), 7, np.int16))] * record.image + [geotiff(image)]
            held += [geotiff(np.asarray(label)[None])] if record.mask is not None else []
            inner = tortilla([(content, {"tortilla:id": str(i), **told}) for i, content in enumerate(held)])
            told["tortilla:file_format"] = "TORTILLA"
            packed.append((inner, {"tortilla:id": f"sample_{len(packed)}", **told}))
    if parts == 1:
        paths = [root / f"geobench_{name}.tortilla"]
    else:
        paths = [root / f"geobench_{name}.{i:04}.part.tortilla" for i in range(parts)]
    for i, path in enumerate(paths):
        path.write_bytes(tortilla(packed[i::parts], parts))
    return paths


def simulated_set_v2(
    root: Path, name: str, counts: tuple[int, int, int] = (4, 2, 2), size: int = 32, seed: int = 0
) -> Path:
    """A set in the form of a benchmark set with the simulated Earth's pixels: Sentinel-2 as it was seen, labels from
    the WorldCover of the place. `size`: of an image, where the set has none of its own. A pure function of its
    arguments."""
    record, made = SETS_V2[name], []
    size = record.pixels or size
    for lon, lat, _ in stratified_places(seed, sum(counts)):
        optical, cover = simulated_pixels(seed, lon, lat, size)
        zeros = np.zeros((size, size))
        planes = np.stack([optical.get(band, zeros) for band in record.bands])
        image = (planes / 1e4).astype(np.float32) if record.unit == 1e4 else planes.astype(np.int16)
        present = np.unique(cover % len(record.class_names)).tolist()
        label: Any = (cover % len(record.class_names)).astype(np.int16)
        if record.kind is TaskKind.MULTILABEL:
            label = [record.class_names[c] for c in present]
        elif record.kind is TaskKind.MULTICLASS:
            label = int(np.bincount(cover.ravel()).argmax() % len(record.class_names))
        if record.pixels:
            image = _blown_up(image)
        made.append((np.concatenate([image, np.zeros_like(image[: record.beyond])]), label))
    train, valid, _ = counts
    splits = {"train": made[:train], "validation": made[train : train + valid], "test": made[train + valid :]}
    (path,) = write_set_v2(root, name, splits)
    path.with_suffix(f".{SIMULATED_MARK}").write_text(json.dumps({"earth": seed}))
    return path


def _blown_up(image: NDArray) -> NDArray:
    """As GDAL does when a small array is written into a large GeoTIFF: by nearest neighbour."""
    at = np.arange(BLOWN_UP) * image.shape[-1] // BLOWN_UP
    return image[:, at][:, :, at]
