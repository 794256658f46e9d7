"""Run: a checkpoint on the held-out tiles of a dataset, to scores.jsonl."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.batch import collate
from geomeld.core.errors import DatasetError
from geomeld.dataset import Dataset
from geomeld.dataset.files import write_atomically
from geomeld.evaluate.probe import NO_CLASS, as_metrics, dominant_class, linear_probe, majority, mean_spectrum
from geomeld.evaluate.retrieval import chance_at, recall_at, same_caption
from geomeld.loader import Split, read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.weights import WEIGHTS, load_model

SCORES = "scores.jsonl"
LABELS = "esa_worldcover"
"""Product whose dominant class the probe predicts."""
KS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Row:
    """One number."""

    task: str
    metric: str
    value: float
    baseline: float
    """Chance, or what a method without the model reaches; the number means nothing without it."""
    baseline_name: str
    n: int
    """Held-out tiles or queries."""
    checkpoint: str
    """First 12 digits of the weights' SHA-256."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the model makes of tiles."""

    tile_ids: list[int]
    pooled: NDArray[np.float32]
    """Frozen encoder features (n, width)."""
    images: NDArray[np.float32]
    """Image embeddings of unit length (n, 512)."""
    captions: list[str]


def evaluate(checkpoint: Path, dataset: Dataset, out: Path, split: Split | None = None) -> list[Row]:
    """Retrieval both ways and a linear probe of dominant land cover on the tiles that the checkpoint's own run held out
    (`split` overrides it); rows go to `out`/scores.jsonl.

    Raises CheckpointError for a folder that is no checkpoint, DatasetError where there is nothing to evaluate on.
    """
    model = load_model(checkpoint)
    train, held_out = (split or _split_of(checkpoint)).apply(dataset)
    usable = {t for t in dataset.tile_ids if model.config.input.name in dataset.layers_of(t)}
    train, held_out = [t for t in train if t in usable], [t for t in held_out if t in usable]
    if len(held_out) < 2 or not train:
        raise DatasetError(
            f"{dataset.path} has {len(held_out)} held-out and {len(train)} training tiles with "
            f"{model.config.input.name}, of {len(dataset)}; at least 2 and 1 are needed."
        )
    weights = hashlib.sha256((checkpoint / WEIGHTS).read_bytes()).hexdigest()[:12]
    seen, new = features(model, dataset, train), features(model, dataset, held_out)
    rows = [*_retrieval(model, new, weights), *_probe(dataset, seen, new, weights)]
    if not rows:
        raise DatasetError(
            f"{dataset.path} has neither captions (geomeld caption) nor {MODALITIES[LABELS].title}: nothing to score."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / SCORES, "".join(json.dumps(asdict(r)) + "\n" for r in rows).encode())
    return rows


def _split_of(checkpoint: Path) -> Split:
    from geomeld.core.config import from_json

    try:
        return from_json(Split, json.loads((checkpoint / "run.json").read_text())["config"]["split"])
    except (FileNotFoundError, KeyError, ValueError):
        return Split()


@torch.no_grad()
def features(
    model: GeoMeldFM, dataset: Dataset, tile_ids: Sequence[int], batch_size: int = 32, *, progress: bool = True
) -> Features:
    """Features of tiles; those that cannot be read are left out."""
    spec = model.config.input
    found: list[tuple[list[int], NDArray, NDArray, list[str]]] = []
    starts = range(0, len(tile_ids), batch_size)
    for start in tqdm(starts, desc="features", unit="batch", dynamic_ncols=True, disable=not progress):
        tiles = read_tiles(dataset, tile_ids[start : start + batch_size], [spec], {})
        if not tiles:
            continue
        batch = collate(tiles, [spec], {spec.name: spec})
        tokens = model.encoder(batch.values[spec.name].to(model.log_scale.device))
        found.append(
            (batch.tile_ids, _numpy(model.encoder.pool(tokens)), _numpy(model.project_image(tokens)), batch.captions)
        )
    if not found:
        raise DatasetError(f"None of {len(tile_ids)} tiles of {dataset.path} can be read.")
    return Features(
        [t for ids, *_ in found for t in ids],
        np.concatenate([f[1] for f in found]),
        np.concatenate([f[2] for f in found]),
        [c for *_, captions in found for c in captions],
    )


def _numpy(x: torch.Tensor) -> NDArray[np.float32]:
    return x.float().cpu().numpy()


def _retrieval(model: GeoMeldFM, new: Features, weights: str) -> list[Row]:
    keep = [i for i, c in enumerate(new.captions) if c]
    if model.tokenizer is None or len(keep) < 2:
        return []
    captions = [new.captions[i] for i in keep]
    texts = np.concatenate([_numpy(model.encode_text(captions[i : i + 256])) for i in range(0, len(captions), 256)])
    similarity = new.images[keep] @ texts.T
    rows = []
    for name, relevant in (("own caption", np.eye(len(keep), dtype=bool)), ("same sentence", same_caption(captions))):
        chance = chance_at(relevant, KS)
        for task, matrix in (("image to text", similarity), ("text to image", similarity.T)):
            for k, value in recall_at(matrix, relevant, KS).items():
                rows.append(Row(f"{task}, {name}", f"R@{k}", value, chance[k], "chance", len(keep), weights))
    return rows


def _probe(dataset: Dataset, seen: Features, new: Features, weights: str) -> list[Row]:
    modality = MODALITIES[LABELS]
    reference = next(m for m in MODALITIES.values() if m.composite and m.gsd == 10)

    def labelled(side: Features) -> tuple[NDArray[np.int64], NDArray]:
        tiles = [dataset.read(t, [LABELS, reference.name]) for t in side.tile_ids]
        return np.array([dominant_class(t, modality) for t in tiles]), np.stack(
            [mean_spectrum(t, reference) for t in tiles]
        )

    (train_y, train_spectrum), (test_y, test_spectrum) = labelled(seen), labelled(new)
    a, b = train_y != NO_CLASS, test_y != NO_CLASS
    if not a.any() or not b.any():
        return []
    probe = as_metrics(linear_probe(seen.pooled[a], train_y[a], new.pooled[b], test_y[b]))
    plain = as_metrics(linear_probe(train_spectrum[a], train_y[a], test_spectrum[b], test_y[b]))
    most = as_metrics(majority(train_y[a], test_y[b]))
    task, n = "linear probe, dominant land cover", int(b.sum())
    return [
        Row(task, metric, probe[metric], base[metric], name, n, weights)
        for metric in probe
        for name, base in (("commonest class", most), ("mean spectrum", plain))
    ]
