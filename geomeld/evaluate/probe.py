"""Probe: how well a linear classifier on frozen features tells a tile's dominant land cover, beside two baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Categorical, Modality
from geomeld.core.tile import Tile
from geomeld.evaluate.logistic import sweep
from geomeld.evaluate.metrics import averages, tallies
from geomeld.evaluate.task import TaskKind

NO_CLASS = -1
"""Label of a tile without a valid pixel of the product."""
ReadOut = Callable[[NDArray], NDArray[np.int64]]
"""Features (n, d) to classes (n,)."""


@dataclass(frozen=True, slots=True)
class ProbeScores:
    """Scores of one classifier on held-out tiles, each 0..1."""

    accuracy: float
    balanced_accuracy: float
    """Mean recall over the classes that the held-out tiles hold."""
    macro_f1: float
    """Mean F1 over the classes that the held-out tiles or the predictions hold."""


def dominant_class(tile: Tile, modality: Modality) -> int:
    """Class index of most valid pixels (the lower index of two that tie), NO_CLASS without a valid pixel."""
    layer = tile.layers.get(modality.name)
    if layer is None or not layer.valid.any() or not isinstance(modality.kind, Categorical):
        return NO_CLASS
    indices = modality.kind.index_of(layer.values[layer.valid])
    counts = np.bincount(indices[indices >= 0], minlength=len(modality.kind.classes))
    return int(counts.argmax()) if counts.any() else NO_CLASS


def mean_spectrum(tile: Tile, modality: Modality) -> NDArray[np.float64]:
    """Mean and standard deviation per band over valid pixels, 0 for a band without any: what a probe of the input
    itself would see, without a network."""
    layer = tile.layers.get(modality.name)
    features = np.zeros((2, len(modality.bands)))
    for i, band in enumerate(modality.bands):
        if layer is not None and band in layer.bands:
            values, valid = layer.band(band)
            if valid.any():
                features[:, i] = values[valid].mean(), values[valid].std()
    return features.ravel()


def linear_classes(features: NDArray, labels: NDArray[np.int64]) -> ReadOut:
    """Logistic regression (L2, C = 1, standardised features) fitted on `features` (n, d) and `labels` (n,).

    With one class among the labels it gives that class. For a probe whose penalty is chosen see `frozen.lbfgs_probe`.
    """
    _, model = next(sweep(features, labels, int(labels.max()) + 1, [1 / len(features)]))
    return lambda new: model(new).argmax(1)


def linear_probe(
    train: NDArray, train_labels: NDArray[np.int64], test: NDArray, test_labels: NDArray[np.int64]
) -> ProbeScores:
    """Scores on `test` (m, d) of `linear_classes` of `train` (n, d)."""
    return _scores(test_labels, linear_classes(train, train_labels)(test))


def majority(train_labels: NDArray[np.int64], test_labels: NDArray[np.int64]) -> ProbeScores:
    """Scores of always answering the commonest training class."""
    return _scores(test_labels, np.full_like(test_labels, np.bincount(train_labels).argmax()))


def _scores(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> ProbeScores:
    classes = int(max(truth.max(), predicted.max())) + 1
    counts = tallies(TaskKind.MULTICLASS, np.eye(classes)[predicted], truth, classes).sum(0)
    found = averages(TaskKind.MULTICLASS, counts, [""] * classes)
    return ProbeScores(*(float(found[name]) for name in ("overall accuracy", "balanced accuracy", "macro F1")))


def as_metrics(scores: ProbeScores) -> Mapping[str, float]:
    """The scores by the names they carry in scores.jsonl."""
    return {
        "accuracy": scores.accuracy,
        "balanced accuracy": scores.balanced_accuracy,
        "macro F1": scores.macro_f1,
    }
