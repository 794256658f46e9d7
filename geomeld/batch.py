"""Batch: tiles as normalised tensors with their masks, driven by each modality's Kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geomeld.core.modality import Categorical, Continuous, Kind
from geomeld.core.tile import Tile

Tokenizer = Callable[[list[str]], Tensor]
"""Captions to token ids, int64 (B, L), padded to one length."""


class LayerType(Protocol):
    """What must be known of a layer: an entry of the modality table or a model's own LayerSpec."""

    @property
    def name(self) -> str:
        """Key in tiles and batches."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in channel order."""

    @property
    def kind(self) -> Kind:
        """Measurements or classes."""

    @property
    def gsd(self) -> float:
        """Pixel size, metres."""


class Norm(Protocol):
    """Statistics that make z-scores (a LayerSpec holds them)."""

    @property
    def mean(self) -> Sequence[float]:
        """Means per band in the layer's unit."""

    @property
    def std(self) -> Sequence[float]:
        """Standard deviations per band, above 0."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Aligned tensors of B tiles."""

    tile_ids: list[int]
    values: dict[str, Tensor]
    """Per modality (B, bands, rows, columns): continuous float32, z-scored per band; categorical int64 class indices.
    Zero where invalid."""
    valid: dict[str, Tensor]
    """Bool, the shapes of `values`: where there is a measurement."""
    captions: list[str]
    """One per tile, "" where a tile has none."""
    tokens: Tensor | None
    """The captions as int64 (B, L), None without a tokenizer."""

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.tile_ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device; from page-locked memory (`pinned`) the copies do not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "Batch":
        """The same batch in page-locked memory. Needs a GPU."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            self.tile_ids,
            {name: change(v) for name, v in self.values.items()},
            {name: change(v) for name, v in self.valid.items()},
            self.captions,
            None if self.tokens is None else change(self.tokens),
        )

    def part(self, start: int, stop: int) -> "Batch":
        """The tiles start..stop-1 as a batch of their own (views, no copies)."""
        return Batch(
            self.tile_ids[start:stop],
            {name: v[start:stop] for name, v in self.values.items()},
            {name: v[start:stop] for name, v in self.valid.items()},
            self.captions[start:stop],
            None if self.tokens is None else self.tokens[start:stop],
        )


@dataclass(frozen=True, slots=True)
class View:
    """Which square of a tile is seen and how it is turned: the same for every layer, whatever its GSD."""

    west: float = 0.0
    """Metres from the tile's west edge."""
    north: float = 0.0
    """Metres from the tile's north edge."""
    metres: float | None = None
    """Side of the square; None sees the whole tile."""
    turns: int = 0
    """Quarter turns anticlockwise."""
    mirrored: bool = False
    """East and west exchanged, before the turns."""

    def apply(self, array: NDArray, gsd: float) -> NDArray:
        """The seen part of an array (bands, rows, columns) whose pixels measure `gsd` metres."""
        if self.metres is not None:
            row, column, side = round(self.north / gsd), round(self.west / gsd), round(self.metres / gsd)
            array = array[:, row : row + side, column : column + side]
        if self.mirrored:
            array = array[:, :, ::-1]
        return np.rot90(array, self.turns, axes=(1, 2)) if self.turns % 4 else array


WHOLE = View()
"""The whole tile as it lies."""


def collate(
    tiles: Sequence[Tile],
    modalities: Sequence[LayerType],
    norms: Mapping[str, Norm],
    tokenizer: Tokenizer | None = None,
    views: Sequence[View] | None = None,
) -> Batch:
    """Tiles as one batch of the given modalities; only these are touched, so a 1 m layer costs nothing unless asked.

    Bands are placed by name: a band or a whole layer that a tile lacks is zero with `valid` False. `norms` holds the
    statistics of every continuous modality by name. Raises KeyError when one has none, ValueError for tiles of
    different sizes.
    """
    views = views or [WHOLE] * len(tiles)
    values, valid = {}, {}
    for modality in modalities:
        pairs = [_arrays(tile, modality, norms, view) for tile, view in zip(tiles, views, strict=True)]
        values[modality.name] = torch.from_numpy(np.stack([v for v, _ in pairs]))
        valid[modality.name] = torch.from_numpy(np.stack([m for _, m in pairs]))
    captions = [tile.caption or "" for tile in tiles]
    tokens = None if tokenizer is None else tokenizer(captions)
    return Batch([tile.tile_id for tile in tiles], values, valid, captions, tokens)


def _arrays(
    tile: Tile, modality: LayerType, norms: Mapping[str, Norm], view: View
) -> tuple[NDArray, NDArray[np.bool_]]:
    stored, valid = (view.apply(a, modality.gsd) for a in _in_band_order(tile, modality))
    match modality.kind:
        case Continuous():
            values = normalise(stored, norms[modality.name])
        case Categorical() as kind:
            values = kind.index_of(stored)  # type: ignore[assignment]
            valid = valid & (values >= 0)
    return np.where(valid, values, values.dtype.type(0)), np.ascontiguousarray(valid)


def _in_band_order(tile: Tile, modality: LayerType) -> tuple[NDArray, NDArray[np.bool_]]:
    layer = tile.layers.get(modality.name)
    if layer is not None and layer.bands == modality.bands:
        return layer.values, layer.valid
    shape = (len(modality.bands), *tile.grid.at(modality.gsd).shape)
    values, valid = np.zeros(shape, np.uint8 if layer is None else layer.values.dtype), np.zeros(shape, dtype=bool)
    for i, band in enumerate(modality.bands):
        if layer is not None and band in layer.bands:
            values[i], valid[i] = layer.band(band)
    return values, valid


def normalise(values: NDArray, norm: Norm) -> NDArray[np.float32]:
    """Z-scores of (bands, rows, columns), float32."""
    mean, std = (np.asarray(v, dtype=np.float32)[:, None, None] for v in (norm.mean, norm.std))
    return (values.astype(np.float32) - mean) / std
