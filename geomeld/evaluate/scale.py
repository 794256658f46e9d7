"""Scale: the mean and deviation per band that images are normalised by, in the unit of the images as they are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import UsageError


@dataclass(frozen=True)
class Scale:
    """Normalisation of a choice of bands."""

    bands: tuple[str, ...]
    mean: NDArray[np.float32]
    """(bands,); NaN for a band that the set lacks."""
    std: NDArray[np.float32]
    """(bands,), > 0 or NaN."""
    source: str
    """Whose statistics: "own" or "pretraining"; stands beside every score."""

    @classmethod
    def of_pretraining(cls, bands: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> "Scale":
        """By the statistics of what an encoder was trained on, in reflectance x 10000, one per band. Raises UsageError
        where they are not as many."""
        if not len(bands) == len(mean) == len(std):
            raise UsageError(f"{len(bands)} bands need as many means and deviations; got {len(mean)} and {len(std)}.")
        return cls(tuple(bands), np.asarray(mean, np.float32), np.asarray(std, np.float32), "pretraining")

    def __call__(self, values: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """z-scores of (..., bands, rows, columns), and 0, which is the mean, in bands that are not `valid` (bands,)."""
        scaled = (values - self.mean[:, None, None]) / self.std[:, None, None]
        if valid is not None and not valid.all():
            scaled[..., ~valid, :, :] = 0.0
        return scaled
