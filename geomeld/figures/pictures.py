"""Layers as colour pictures: natural-colour composites, stretched measurements, class maps and shaded relief."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from geomeld.core.modality import Categorical, Continuous, Modality
from geomeld.core.tile import Layer

MISSING_COLOUR = (0.86, 0.86, 0.88)
"""Where a layer has no valid pixel."""

GAMMA = 1 / 1.4
"""Exponent of the fixed stretch: water stays dark and snow stays white on every tile."""

RGB = NDArray[np.float64]
"""(rows, columns, 3), 0..1."""


def picture(modality: Modality, layer: Layer) -> RGB:
    """The most telling colour picture of a layer, (rows, columns, 3) in 0..1; missing pixels are light grey.

    Composite bands give natural colour by a fixed stretch over the modality's display range, classes their product's
    own colours, any other measurement its first band with valid pixels in a perceptual colour map.
    """
    match modality.kind:
        case Categorical() as kind:
            return class_picture(kind, layer.values[0], layer.valid[0])
        case Continuous() as kind:
            if modality.composite and set(modality.composite) <= set(layer.bands):
                return composite_picture(modality.composite, layer, kind.display)
            with_data = layer.valid.any(axis=(1, 2))
            first = int(np.argmax(with_data))
            return band_picture(layer.values[first], layer.valid[first])


def composite_picture(bands: tuple[str, ...], layer: Layer, display: tuple[float, float]) -> RGB:
    """Three bands as red, green and blue with a fixed stretch and gamma 1/1.4."""
    low, high = display
    planes, valids = zip(*(layer.band(name) for name in bands), strict=True)
    scaled = (np.stack(planes, axis=-1).astype(np.float64) - low) / (high - low)
    shown = np.clip(scaled, 0, 1) ** GAMMA
    return _with_missing(shown, np.logical_and.reduce(valids))


def band_picture(values: NDArray, valid: NDArray[np.bool_], cmap: str = "viridis") -> RGB:
    """One band stretched between its 2nd and 98th percentile."""
    if not valid.any():
        return _with_missing(np.zeros((*values.shape, 3)), valid)
    low, high = np.percentile(values[valid], [2, 98])
    scaled = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)
    return _with_missing(colormaps[cmap](scaled)[..., :3], valid)


def class_picture(kind: Categorical, values: NDArray, valid: NDArray[np.bool_]) -> RGB:
    """Class codes in the product's own map colours."""
    palette = np.array([to_rgb(c.colour) for c in kind.classes])
    return _with_missing(palette[np.maximum(kind.index_of(values.astype(np.uint8)), 0)], valid)


def shaded_relief(elevation: NDArray, valid: NDArray[np.bool_], gsd: float) -> RGB:
    """Elevation in terrain colours under light from the north-west, vertical scale doubled."""
    z = np.where(valid, elevation, np.nanmean(np.where(valid, elevation, np.nan)) if valid.any() else 0.0)
    south, east = np.gradient(z.astype(np.float64) * 2.0, gsd)
    light = (1 + (-east * -0.5 - (-south) * -0.5)) / np.sqrt(1 + east**2 + south**2)
    colour = band_picture(z, valid, cmap="gist_earth")
    return _with_missing(np.clip(colour * np.clip(0.35 + 0.65 * light, 0.15, 1.3)[..., None], 0, 1), valid)


def _with_missing(shown: RGB, valid: NDArray[np.bool_]) -> RGB:
    return np.where(valid[..., None], shown, np.array(MISSING_COLOUR))
