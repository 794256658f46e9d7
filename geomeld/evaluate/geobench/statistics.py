"""Statistics: a set's own, or those of an encoder, as the scale its images are normalised by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from geomeld.core.errors import CorruptFile, UsageError
from geomeld.evaluate.geobench.sets import BenchmarkSet
from geomeld.evaluate.scale import Scale

LARGEST_REFLECTANCE = 100.0
"""Statistics above it are not of reflectances (0..about 3) but of 10000 times those."""


def own_scale(record: BenchmarkSet, stats: dict[str, Any], bands: Sequence[str], origin: dict[str, str]) -> Scale:
    """By the set's band_stats.json. `origin`: band asked for -> the set's band that is read for it; others are lacking.

    Raises CorruptFile where the file lacks a band or says nonsense of it.
    """
    mean, std = np.full((2, len(bands)), np.nan, np.float32)
    unit = record.unit or 1.0
    by_band = {record.bands[name]: s for name, s in stats.items() if name in record.bands}
    for i, band in enumerate(bands):
        if band not in origin:
            continue
        try:
            said = by_band[origin[band]]
            m, s, most = float(said["mean"]), float(said["std"]), float(said["max"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(
                f"band_stats.json of {record.name} says nothing of {band} ({error}); fetch the set again."
            ) from None
        # Values are reflectances, and copies of the set have been seen whose statistics were already times 10000.
        factor = 1.0 if unit != 1.0 and most > LARGEST_REFLECTANCE else unit
        if not (np.isfinite([m, s]).all() and s > 0):
            raise CorruptFile(
                f"band_stats.json of {record.name} says mean {m}, std {s} of {band}; fetch the set again."
            )
        mean[i], std[i] = m * factor, s * factor
    return Scale(tuple(bands), mean, std, "own")


def pretraining_scale(record: BenchmarkSet, bands: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> Scale:
    """By the statistics of what an encoder was trained on, in reflectance x 10000, one per band.

    Raises UsageError for a set whose values are in no known unit: they would be put on it blindly.
    """
    if record.unit is None:
        raise UsageError(
            f"{record.name} holds values in no known unit, on which statistics of other data mean nothing; "
            "normalise it by its own."
        )
    return Scale.of_pretraining(bands, mean, std)
