"""The geomeld evaluator: the contrastive heads of a checkpoint that `geomeld pretrain` wrote."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.caption.evaluators.contrast import Contrast, Pair, Vectors, prove
from geomeld.core.errors import CheckpointError, MissingExtra
from geomeld.dataset import Dataset


class OwnModel:
    """GeoMeld-FM looking at the tiles of a dataset."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        """Raises CheckpointError for a folder that is no checkpoint, or one that was trained without captions;
        MissingExtra without torch."""
        try:
            from geomeld.models.weights import WEIGHTS, load_model
        except ImportError:
            raise MissingExtra(
                "The geomeld evaluator needs torch; install it with: pip install 'geomeld[train]'"
            ) from None
        self._model = load_model(folder)
        if self._model.tokenizer is None:
            raise CheckpointError(f"{folder} was trained without captions: it cannot compare texts with pictures.")
        self._dataset = dataset
        self._weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:12]
        self._seen = lru_cache(maxsize=1024)(self._look)

    def identity(self) -> dict[str, Any]:
        """Hash of the weights."""
        return {"backend": "geomeld", "weights": self._weights}

    def image(self, tile_id: int) -> Vectors | None:
        """(d,) of a tile's Sentinel-2 pixels; None for a tile without."""
        return self._seen(tile_id)

    def _look(self, tile_id: int) -> Vectors | None:
        from geomeld.batch import collate

        spec = self._model.config.input
        tile = self._dataset.read(tile_id, [spec.name])
        if spec.name not in tile.layers or not tile.layers[spec.name].valid.any():
            return None
        values = collate([tile], [spec], {spec.name: spec}).values[spec.name]
        return self._model.project_image(self._model.encoder(values)).detach().numpy()[0]

    def texts(self, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """((n, d), never cut: captions are far shorter than the model's window)."""
        return self._model.encode_text(list(texts)).numpy(), np.zeros(len(texts), bool)


def open_model(folder: str, dataset: Dataset, pairs: Sequence[Pair]) -> Contrast:
    """The evaluator of a checkpoint folder, proved on `pairs`."""
    model = OwnModel(Path(folder), dataset)
    return Contrast(model, prove(model, pairs))
