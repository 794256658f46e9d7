"""Images: a tile as the picture that a model is shown: fixed stretch, north up, the same bytes every time."""

import base64
import hashlib
import io
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Continuous, Modality
from geomeld.core.tile import Layer, Tile
from geomeld.modalities import MODALITIES

GAMMA = 1 / 1.4
"""Exponent of the fixed stretch (captions study 1.2): a stretch per tile would turn water green and snow grey."""
MISSING = 221
"""Grey level of pixels without a measurement."""
LEAST_VALID = 0.5
"""Share of valid pixels under which a tile has no picture worth showing."""
JPEG_QUALITY = 90

SHOWN = tuple(sorted((m for m in MODALITIES.values() if m.composite), key=lambda m: m.gsd))
"""Modalities with a natural-colour composite, finest first."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture of a tile."""

    data: bytes
    mime: str
    modality: str
    """What it was made of."""
    digest: str
    """Hash of its pixels before they were encoded: no codec's version changes it."""

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"


def picture_of(tile: Tile, side: int = 448) -> Picture | None:
    """Natural colour of the finest modality that has it, `side` x `side` pixels; None where none is half valid.

    What is reduced is sent as JPEG (photographs), what is enlarged as PNG (128 Sentinel-2 pixels).
    """
    for modality in SHOWN:
        layer = tile.layers.get(modality.name)
        pixels = None if layer is None else _pixels(modality, layer)
        if pixels is not None:
            return _encoded(pixels, modality.name, side)
    return None


def _pixels(modality: Modality, layer: Layer) -> NDArray[np.uint8] | None:
    """(rows, columns, 3); None where the layer lacks a band of the composite or half of its pixels."""
    if not set(modality.composite) <= set(layer.bands):
        return None
    planes, valids = zip(*(layer.band(name) for name in modality.composite), strict=True)
    valid = np.logical_and.reduce(valids)
    if valid.mean() < LEAST_VALID:
        return None
    assert isinstance(modality.kind, Continuous)
    shown = np.stack([_stretched(plane, *modality.kind.display) for plane in planes], axis=-1)
    if not valid.all():
        shown[~valid] = MISSING
    return shown


def _stretched(values: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    if np.issubdtype(values.dtype, np.integer):  # a photograph has 256 values and millions of pixels
        return _stretched(np.arange(int(high) + 1, dtype=np.float32), low, high).take(values, mode="clip")
    shares = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
    # Rounded to 8 bits: the last bit of the power is not the same on every machine.
    return np.rint(255 * shares ** np.float32(GAMMA)).astype(np.uint8)


def _encoded(pixels: NDArray[np.uint8], modality: str, side: int) -> Picture:
    from PIL import Image

    reduced = pixels.shape[0] > side
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    digest = hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
    file = io.BytesIO()
    if reduced:
        image.save(file, "JPEG", quality=JPEG_QUALITY)
    else:
        image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return Picture(file.getvalue(), f"image/{'jpeg' if reduced else 'png'}", modality, digest)
