"""In-loop scores: a model that is still training, on held-out tiles; kNN of land cover and retrieval of captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geomeld.dataset import Dataset
from geomeld.evaluate.neighbours import nearest_class
from geomeld.evaluate.probe import NO_CLASS, dominant_class
from geomeld.evaluate.retrieval import recall_at, same_caption
from geomeld.evaluate.tiles import LABELS, Features, features
from geomeld.loader import Split
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM

NEIGHBOURS = 10
REFERENCE_TILES = 1000
"""Training tiles that neighbours are looked for among, at most; evenly spread over the dataset."""


@dataclass
class InLoop:
    """Scores by name for (model, held-out tiles); labels are read once."""

    dataset: Dataset
    split: Split
    _labels: dict[int, int] = field(default_factory=dict)

    def __call__(self, model: GeoMeldFM, held_out: Sequence[int]) -> dict[str, float]:
        """ "kNN/land cover" and the commonest class beside it; "retrieval/image to text R@5" and the other way round
        where at least two tiles have captions. 0..1."""
        new = features(model, self.dataset, held_out, progress=False)
        return self._land_cover(model, new) | _retrieval(model, new)

    @cached_property
    def _reference(self) -> list[int]:
        train, _ = self.split.apply(self.dataset)
        return train[:: max(1, -(-len(train) // REFERENCE_TILES))]

    def _land_cover(self, model: GeoMeldFM, new: Features) -> dict[str, float]:
        usable = [t for t in self._reference if model.config.input.name in self.dataset.layers_of(t)]
        if not usable:
            return {}
        known = features(model, self.dataset, usable, progress=False)
        known_labels, labels = self._labels_of(known.tile_ids), self._labels_of(new.tile_ids)
        a, b = known_labels != NO_CLASS, labels != NO_CLASS
        if not a.any() or not b.any():
            return {}
        guessed = nearest_class(known.pooled[a], known_labels[a], new.pooled[b], NEIGHBOURS)
        commonest = np.bincount(known_labels[a]).argmax()
        return {
            "kNN/land cover": float((guessed == labels[b]).mean()),
            "kNN/commonest class": float((commonest == labels[b]).mean()),
        }

    def _labels_of(self, tile_ids: Sequence[int]) -> NDArray[np.int64]:
        for tile_id in tile_ids:
            if tile_id not in self._labels:
                self._labels[tile_id] = dominant_class(self.dataset.read(tile_id, [LABELS]), MODALITIES[LABELS])
        return np.array([self._labels[t] for t in tile_ids])


def _retrieval(model: GeoMeldFM, new: Features) -> dict[str, float]:
    keep = [i for i, caption in enumerate(new.captions) if caption]
    if model.tokenizer is None or len(keep) < 2:
        return {}
    captions = [new.captions[i] for i in keep]
    similarity = new.images[keep] @ model.encode_text(captions).float().cpu().numpy().T
    relevant = same_caption(captions)
    return {
        "retrieval/image to text R@5": recall_at(similarity, relevant, [5])[5],
        "retrieval/text to image R@5": recall_at(similarity.T, relevant, [5])[5],
    }
