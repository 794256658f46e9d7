"""Batch: tiles as normalised tensors with their masks, driven by each modality's Kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from geomeld.core.modality import Categorical, Continuous, Kind
from geomeld.core.tile import Layer, Tile

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

    def bands(self, name: str) -> Tensor:
        """The band mask of a layer, (B, bands) bool: whether a tile has any measurement of a band.

        A band that is not there (B2, B3 and B4 of the published NAIP tiles) is 0 in `values`, the mean, and its pixels
        are not `valid`, so that no loss counts them.
        """
        return self.valid[name].flatten(2).any(dim=2)

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device; copies from page-locked memory do not wait for the device."""
        return Batch(
            self.tile_ids,
            {name: v.to(device, non_blocking=True) for name, v in self.values.items()},
            {name: v.to(device, non_blocking=True) for name, v in self.valid.items()},
            self.captions,
            None if self.tokens is None else self.tokens.to(device, non_blocking=True),
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
    *,
    pinned: bool = False,
) -> Batch:
    """Tiles as one batch of the given modalities; only these are touched, so a 1 m layer costs nothing unless asked.

    Bands are placed by name: a band or a whole layer that a tile lacks is zero with `valid` False. `norms` holds the
    statistics of every continuous modality by name. `pinned` puts the batch into page-locked memory (needs a GPU).
    Raises KeyError when a modality has no statistics, ValueError for tiles of different sizes.
    """
    views = views or [WHOLE] * len(tiles)
    values, valid = {}, {}
    for modality in modalities:
        side = round((views[0].metres or tiles[0].grid.metres) / modality.gsd)
        shape = (len(tiles), len(modality.bands), side, side)
        dtype = torch.float32 if isinstance(modality.kind, Continuous) else torch.int64
        values[modality.name] = out = torch.empty(shape, dtype=dtype, pin_memory=pinned)
        valid[modality.name] = known = torch.empty(shape, dtype=torch.bool, pin_memory=pinned)
        norm = norms[modality.name] if isinstance(modality.kind, Continuous) else None
        for tile, view, o, k in zip(tiles, views, out.numpy(), known.numpy(), strict=True):
            _fill(o, k, tile, modality, norm, view)
    captions = [tile.caption or "" for tile in tiles]
    tokens = None if tokenizer is None else tokenizer(captions)
    tokens = tokens.pin_memory() if pinned and tokens is not None else tokens
    return Batch([tile.tile_id for tile in tiles], values, valid, captions, tokens)


def _fill(
    out: NDArray, known: NDArray[np.bool_], tile: Tile, modality: LayerType, norm: Norm | None, view: View
) -> None:
    """Write one layer of a tile into its places in a batch."""
    layer = tile.layers.get(modality.name)
    if layer is None:
        out.fill(0)
        known.fill(False)
        return
    stored, valid = (view.apply(a, modality.gsd) for a in _in_band_order(layer, modality.bands))
    if stored.shape != out.shape:
        raise ValueError(f"Tile {tile.tile_id}: {modality.name} has shape {stored.shape}, its batch {out.shape}.")
    match modality.kind:
        case Continuous():
            assert norm is not None
            mean, std = (np.asarray(v, dtype=np.float32) for v in (norm.mean, norm.std))
            _z_scores(stored, valid, mean, std, out, known)
        case Categorical() as kind:
            _classes(stored, valid, kind.index_of(_BYTES), out, known)


_BYTES = np.arange(256, dtype=np.uint8)


# Compiled, because NumPy would walk over the pixels a dozen times, and without the interpreter's lock, so that threads
# share the work.
@njit(nogil=True, cache=True, error_model="numpy")
def _z_scores(stored, valid, mean, std, out, known):  # type: ignore[no-untyped-def]
    bands, rows, columns = stored.shape
    for b in range(bands):
        middle, spread = mean[b], std[b]
        for r in range(rows):
            for c in range(columns):
                ok = valid[b, r, c]
                score = (np.float32(stored[b, r, c]) - middle) / spread
                known[b, r, c] = ok
                out[b, r, c] = score if ok else np.float32(0)


@njit(nogil=True, cache=True)
def _classes(stored, valid, index_of, out, known):  # type: ignore[no-untyped-def]
    bands, rows, columns = stored.shape
    for b in range(bands):
        for r in range(rows):
            for c in range(columns):
                index = index_of[stored[b, r, c]]
                ok = valid[b, r, c] and index >= 0
                known[b, r, c] = ok
                out[b, r, c] = index if ok else 0


def _in_band_order(layer: Layer, bands: tuple[str, ...]) -> tuple[NDArray, NDArray[np.bool_]]:
    if layer.bands == bands:
        return layer.values, layer.valid
    shape = (len(bands), *layer.values.shape[1:])
    values, valid = np.zeros(shape, layer.values.dtype), np.zeros(shape, dtype=bool)
    for i, band in enumerate(bands):
        if band in layer.bands:
            values[i], valid[i] = layer.band(band)
    return values, valid
