"""Probe: a linear classifier of tiles' dominant land cover by frozen features, and what it is held against."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Categorical, Modality
from geomeld.core.tile import Tile
from geomeld.evaluate.logistic import sweep
from geomeld.loader import Readable, read_tiles

NO_CLASS = -1
"""Label of a tile without a valid pixel of the product, or one that cannot be read."""
ReadOut = Callable[[NDArray], NDArray[np.int64]]
"""Features (n, d) to classes (n,)."""


def one_by_one(
    dataset: Readable, tile_ids: Sequence[int], modalities: Sequence[Modality], skipped: dict[int, str]
) -> Iterator[Tile | None]:
    """Tiles with only the layers of `modalities`; None for one of which these cannot be read, with the reason in
    `skipped`."""
    for tile_id in tile_ids:
        found = read_tiles(dataset, [tile_id], modalities, skipped)
        yield found[0] if found else None


def dominant_classes(
    dataset: Readable, tile_ids: Sequence[int], modality: Modality, skipped: dict[int, str]
) -> NDArray[np.int64]:
    """(n,) `dominant_class` of tiles, read one after the other; what cannot be read goes to `skipped`."""
    read = one_by_one(dataset, tile_ids, [modality], skipped)
    return np.array([dominant_class(tile, modality) for tile in read], np.int64)


def dominant_class(tile: Tile | None, modality: Modality) -> int:
    """Class index of most valid pixels (the lower index of two that tie), NO_CLASS without a valid pixel."""
    layer = None if tile is None else tile.layers.get(modality.name)
    if layer is None or not layer.valid.any() or not isinstance(modality.kind, Categorical):
        return NO_CLASS
    indices = modality.kind.index_of(layer.values[layer.valid])
    counts = np.bincount(indices[indices >= 0], minlength=len(modality.kind.classes))
    return int(counts.argmax()) if counts.any() else NO_CLASS


def mean_spectrum(tile: Tile | None, modality: Modality) -> NDArray[np.float64]:
    """Mean and standard deviation per band over valid pixels, 0 for a band without any: what a probe of the input
    itself would see, without a network."""
    layer = None if tile is None else tile.layers.get(modality.name)
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
