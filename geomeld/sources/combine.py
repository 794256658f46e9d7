"""Combine: what the single scenes of a modality show, put together into one layer."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Layer
from geomeld.sources.source import Scene

ORBIT_SUFFIX = {"ascending": "_asc", "descending": "_desc", None: ""}
"""What a scene's orbit direction adds to the names of its bands."""

View = tuple[NDArray, NDArray[np.bool_]]
"""(values, valid) of one scene, both (bands, rows, columns), in the modality's unit."""


def combined(modality: Modality, scenes: Sequence[Scene], target: Grid, view: Callable[[Scene], View]) -> Layer | None:
    """The layer of several scenes: earlier ones win where both are valid; for `Timing.MODE` the most frequent class.

    None where no scene shows anything.
    """
    shape = (len(modality.bands), *target.shape)
    values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    views, used = [], []
    for scene in scenes:
        seen, at = view(scene)
        if not at.any():
            continue
        used.append(scene)
        if modality.timing is Timing.MODE:
            views.append(np.where(at, seen, 0).astype(np.uint8))
            continue
        new = at & ~valid
        values[new], valid = seen[new], valid | at
    if views:
        labels = most_frequent(np.stack(views))
        values, valid = labels.astype(np.float32), labels > 0
    if not used:
        return None
    if modality.is_categorical or np.issubdtype(np.dtype(modality.dtype), np.integer):
        values = np.round(values).astype(modality.dtype)
    return Layer(
        values=values,
        valid=valid,
        bands=modality.bands,
        acquired=tuple(s.acquired for s in used if s.acquired is not None),
        product=used[0].product,
        scenes=tuple(s.scene_id for s in used),
    )


def decoded(values: NDArray, valid: NDArray[np.bool_], modality: Modality, scene: Scene) -> NDArray:
    """Stored codes in the modality's unit: offset taken off once with a floor of 1, power turned into decibels."""
    if modality.linear_power:
        return (10 * np.log10(np.maximum(values, 1e-6), where=valid, out=np.zeros_like(values))).astype(np.float32)
    offset = scene.properties.get("offset")
    if offset is None:
        return values
    return np.where(valid, np.maximum(values + np.float32(offset), 1), values).astype(np.float32)


def most_frequent(views: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The most frequent class of each pixel over (scenes, bands, rows, columns); a tie goes to the earliest scene that
    shows one of the tied classes; 0 where none is valid."""
    best = np.zeros(views.shape[1:], dtype=np.int32)
    counts = [(views == code).sum(axis=0) for code in range(views.max() + 1)]
    best = np.max(counts[1:], axis=0) if len(counts) > 1 else best
    count_of = np.stack(counts)
    out = np.zeros(views.shape[1:], dtype=np.uint8)
    for view in views[::-1]:
        own = np.take_along_axis(count_of, view[None].astype(np.int64), axis=0)[0]
        out = np.where((view > 0) & (own == best), view, out)
    return out
