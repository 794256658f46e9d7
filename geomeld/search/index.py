"""Index: embeddings of a dataset's tiles in one folder, searched exactly by matrix product."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.batch import collate
from geomeld.core.errors import CheckpointError, DatasetError, UsageError
from geomeld.dataset import Dataset
from geomeld.dataset.files import atomic, write_atomically
from geomeld.loader import read_tiles
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.weights import WEIGHTS, load_model

META, TILES, VECTORS = "meta.json", "tiles.parquet", "embeddings.npy"


@dataclass(frozen=True, slots=True)
class Hit:
    """One found tile."""

    rank: int
    score: float
    """Cosine similarity, -1..1."""
    tile_id: int
    lon: float
    lat: float
    date: str
    caption: str


@dataclass(frozen=True, slots=True)
class Index:
    """An opened index."""

    path: Path
    meta: dict[str, Any]
    vectors: NDArray[np.float32]
    """(tiles, 512), unit length."""
    tiles: list[dict[str, Any]]

    def nearest(self, query: NDArray[np.float32], top: int = 5) -> list[Hit]:
        """The `top` tiles nearest to a query vector of unit length; ties go to the lower position."""
        scores = self.vectors @ query.astype(np.float32)
        order = np.argsort(-scores, kind="stable")[:top]
        return [Hit(rank + 1, float(scores[i]), **self.tiles[i]) for rank, i in enumerate(order)]

    def vector_of(self, tile_id: int) -> NDArray[np.float32]:
        """The embedding of a tile of the index. Raises UsageError for one that it does not hold."""
        for i, tile in enumerate(self.tiles):
            if tile["tile_id"] == tile_id:
                return self.vectors[i]
        raise UsageError(f"Tile {tile_id} is not in the index {self.path}.")

    def encode(self, text: str, model_path: Path | None = None) -> NDArray[np.float32]:
        """A text as a query vector, by the model that made the index. Raises DatasetError for another model."""
        folder = model_path or self.path.resolve() / self.meta["model"]
        known = weights_hash(folder)
        if not known:
            raise CheckpointError(
                f"There is no checkpoint {folder}, which made {self.path}; say where it is now with --model."
            )
        if known != self.meta["weights"]:
            raise DatasetError(f"{self.path} was made by another model than {folder}; embed the tiles again.")
        return load_model(folder).encode_text([text])[0].numpy()


def weights_hash(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's weights; empty where there are none (loading them says why)."""
    file = checkpoint / WEIGHTS
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def embed(dataset: Dataset, checkpoint: Path, out: Path, batch_size: int = 32) -> Index:
    """Embed every tile of a dataset into the folder `out`, which appears when it is complete.

    A tile without the model's input layer is left out and counted. Raises CheckpointError, DatasetError.
    """
    _check_free(out)
    model = load_model(checkpoint)
    vectors, rows, skipped = _embedded(model, dataset, batch_size)
    if not rows:
        why = next(iter(skipped.values()), "there are none")
        raise DatasetError(f"None of the {len(dataset)} tiles of {dataset.path} could be embedded: {why}.")
    meta = {
        # Relative to the index: a folder of runs can be moved or sent as a whole.
        "model": os.path.relpath(checkpoint.resolve(), out.resolve()),
        "weights": weights_hash(checkpoint),
        "dataset": dataset.address or os.path.relpath(dataset.path.resolve(), out.resolve()),
        "tiles": len(rows),
        "left_out": len(skipped),
        "dimensions": int(vectors.shape[1]),
    }
    part = out.with_name(f"{out.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with atomic(part / VECTORS) as file:
        np.save(file, vectors)
    with atomic(part / TILES) as file:
        pq.write_table(pa.Table.from_pylist(rows), file)
    write_atomically(part / META, (json.dumps(meta, indent=1) + "\n").encode())
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)
    return Index(out, meta, vectors, rows)


def _check_free(out: Path) -> None:
    """Refuse a folder with anything but an index in it: the new index takes its place."""
    if out.exists() and not (out.is_dir() and {p.name for p in out.iterdir()} <= {META, TILES, VECTORS}):
        raise DatasetError(f"{out} exists and is no index; give another folder.")


@torch.no_grad()
def _embedded(
    model: GeoMeldFM, dataset: Dataset, batch_size: int
) -> tuple[NDArray[np.float32], list[dict[str, Any]], dict[int, str]]:
    spec = model.config.input
    skipped: dict[int, str] = {t: f"no {spec.name}" for t in dataset.tile_ids if spec.name not in dataset.layers_of(t)}
    ids = [t for t in dataset.tile_ids if t not in skipped]
    found: list[NDArray[np.float32]] = []
    rows: list[dict[str, Any]] = []
    for start in tqdm(range(0, len(ids), batch_size), desc="embed", unit="batch", dynamic_ncols=True):
        tiles = read_tiles(dataset, ids[start : start + batch_size], [spec], skipped)
        skipped |= {t.tile_id: f"no valid {spec.name} pixel" for t in tiles if not t.layers[spec.name].valid.any()}
        tiles = [t for t in tiles if t.tile_id not in skipped]
        if not tiles:
            continue
        batch = collate(tiles, [spec], {spec.name: spec})
        found.append(model.project_image(model.encoder(batch.values[spec.name])).numpy())
        for tile in tiles:
            date = str(tile.metadata.get("acquisition_date", ""))
            rows.append(
                {
                    "tile_id": tile.tile_id,
                    "lon": tile.anchor.lon,
                    "lat": tile.anchor.lat,
                    "date": date,
                    "caption": tile.caption or "",
                }
            )
    empty = np.zeros((0, model.config.embedding), np.float32)
    return (np.concatenate(found) if found else empty), rows, skipped


def open_index(path: Path) -> Index:
    """Open an index. Raises DatasetError for a folder that is none, or whose parts do not fit."""
    try:
        meta = json.loads((path / META).read_text())
        vectors = np.load(path / VECTORS, allow_pickle=False)
        tiles = pq.read_table(path / TILES).to_pylist()
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} is no index that `geomeld embed` wrote: {error}.") from None
    if not isinstance(meta, dict) or not {"model", "weights"} <= set(meta):
        raise DatasetError(f"{path / META} is damaged. Embed the tiles again.")
    if not len(vectors) == len(tiles) == meta.get("tiles"):
        raise DatasetError(f"{path} is damaged: {len(vectors)} vectors, {len(tiles)} tiles. Embed the tiles again.")
    return Index(path, meta, vectors, tiles)
