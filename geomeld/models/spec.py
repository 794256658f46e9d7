"""LayerSpec: what a model must know of one modality, so that a checkpoint stands without the table it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from geomeld.core.errors import ConfigError
from geomeld.core.modality import Categorical, Continuous, Kind, Modality


@dataclass(frozen=True)
class LayerSpec:
    """One input or target layer of a model."""

    name: str
    """Key of the layer in a batch."""
    bands: tuple[str, ...]
    """Band names in the order of the channels."""
    kind: Kind
    """Decides the head and the loss."""
    gsd: float
    """Pixel size, metres."""
    mean: tuple[float, ...] = ()
    """Mean per band in the kind's unit, for z-scores; empty for classes."""
    std: tuple[float, ...] = ()
    """Standard deviation per band, > 0; empty for classes."""

    def __post_init__(self) -> None:
        match self.kind:
            case Continuous():
                if not len(self.mean) == len(self.std) == len(self.bands):
                    raise ConfigError(
                        f"Layer {self.name!r} has {len(self.bands)} bands, {len(self.mean)} means and {len(self.std)} "
                        "standard deviations; give one of each per band."
                    )
                if not all(s > 0 and np.isfinite(s) for s in self.std):
                    raise ConfigError(f"Layer {self.name!r} has a standard deviation that is not above 0: {self.std}.")
            case Categorical():
                if len(self.bands) != 1:
                    raise ConfigError(f"Layer {self.name!r} holds classes in {len(self.bands)} bands; it must be one.")

    @classmethod
    def of(cls, modality: Modality, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Self:
        """The spec of a modality of the table, with its bands' statistics in the modality's unit.

        Without statistics the z-score is the identity. A band that was never measured (statistics that are not
        finite) or never varies gets the identity too, so that no division by zero can follow.
        """
        match modality.kind:
            case Categorical():
                return cls(modality.name, modality.bands, modality.kind, modality.gsd)
            case Continuous():
                n = len(modality.bands)
                means = np.asarray(mean if len(mean) else np.zeros(n), dtype=float)
                stds = np.asarray(std if len(std) else np.ones(n), dtype=float)
                if means.shape == stds.shape:
                    usable = np.isfinite(means) & np.isfinite(stds) & (stds > 0)
                    means, stds = np.where(usable, means, 0.0), np.where(usable, stds, 1.0)
                return cls(modality.name, modality.bands, modality.kind, modality.gsd, _floats(means), _floats(stds))

    @property
    def channels(self) -> int:
        """Numbers predicted per pixel: one per band, or one per class."""
        match self.kind:
            case Continuous():
                return len(self.bands)
            case Categorical(classes):
                return len(classes)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
