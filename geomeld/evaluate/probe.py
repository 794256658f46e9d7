"""Probe: a linear classifier of tiles' dominant land cover by frozen features, and what it is held against."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Categorical, Modality
from geomeld.core.tile import Tile
from geomeld.evaluate.logistic import sweep

NO_CLASS = -1
"""Label of a tile without a valid pixel of the product."""
ReadOut = Callable[[NDArray], NDArray[np.int64]]
"""Features (n, d) to classes (n,)."""


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


def commonest_class(labels: NDArray[np.int64]) -> ReadOut:
    """Always the commonest of `labels` (n,); of classes that tie, the lowest."""
    return lambda new: np.full(len(new), np.bincount(labels).argmax())
