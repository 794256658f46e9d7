"""Anchor, Layer and Tile: a place and date, one measured layer, and the aligned layers of one place."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import Grid


def tile_id_of(source: str, source_key: str) -> int:
    """The identifier of an anchor: 63 bits of `blake2b("source|source_key")`, stable under reordering and sharding."""
    digest = blake2b(f"{source}|{source_key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & (2**63 - 1)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place and a date from which one tile is built."""

    tile_id: int
    """63-bit identifier, unique in a dataset."""
    lon: float
    """Degrees east, WGS84."""
    lat: float
    """Degrees north, WGS84."""
    reference_date: dt.date
    """The date that retrieval is centred on (paper 3.4)."""
    source: str = "custom"
    """Where the coordinate comes from, e.g. "custom", "mmearth", "skyscript"."""
    source_key: str = ""
    """The coordinate's own key in that source."""
    biome: str = ""
    """Name of the biome, empty where unknown."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One modality on a tile's grid; missing pixels are a mask, never a value."""

    values: NDArray
    """(bands, rows, columns) in the modality's unit or class codes; arbitrary, but finite, where not valid."""
    valid: NDArray[np.bool_]
    """Same shape as `values`: where there is a measurement."""
    bands: tuple[str, ...]
    """Names of the bands in this layer, in order."""
    acquired: tuple[dt.datetime, ...] = ()
    """Acquisition times of the scenes used, UTC; empty for products without a date."""
    product: str = ""
    """Which product of which provider was read, e.g. "sentinel-1-rtc gamma0, linear power to dB"."""
    scenes: tuple[str, ...] = ()
    """Identifiers of the scenes used."""

    def __post_init__(self) -> None:
        if self.values.shape != self.valid.shape or self.values.ndim != 3:
            raise ValueError(
                f"Layer values {self.values.shape} and valid {self.valid.shape} must both be (bands, rows, columns)."
            )
        if self.values.shape[0] != len(self.bands):
            raise ValueError(
                f"Layer has {self.values.shape[0]} bands of values and {len(self.bands)} band names {self.bands}."
            )

    def band(self, name: str) -> tuple[NDArray, NDArray[np.bool_]]:
        """(values, valid) of one band, each (rows, columns). Raises KeyError with the bands there are."""
        if name not in self.bands:
            raise KeyError(f"No band {name!r} in this layer; it has {', '.join(self.bands)}.")
        i = self.bands.index(name)
        return self.values[i], self.valid[i]


@dataclass(frozen=True, slots=True)
class Tile:
    """The aligned layers of one anchor."""

    anchor: Anchor
    grid: Grid
    """The 10 m grid; a layer of another GSD lies on `grid.at(gsd)`."""
    layers: Mapping[str, Layer] = field(default_factory=dict)
    """Layers by modality name; a modality that could not be had is absent."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The sample's JSON metadata in the published form, with this project's additions."""

    @property
    def tile_id(self) -> int:
        """The anchor's identifier."""
        return self.anchor.tile_id

    @property
    def caption(self) -> str | None:
        """The verified caption, or None before captioning."""
        return self.metadata.get("caption")
