"""Loader: shards to batches, where every batch is a pure function of its step, so a run resumes exactly."""

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from geomeld.batch import WHOLE, Batch, LayerType, Norm, Tokenizer, View, collate
from geomeld.core.draw import below, draw_words, unit
from geomeld.core.errors import ConfigError, CorruptFile, DatasetError
from geomeld.core.tile import Tile

DIRECTIONS = re.compile(
    r"\b(?:north|south|east|west)(?:[- ]?(?:east|west))?(?:ern|ward|wards|erly)?\b"
    r"|\b(?:left|right|top|bottom|upper|lower)(?:most)?\b",
    re.IGNORECASE,
)
"""Words that a flip or a rotation would make untrue."""


class Readable(Protocol):
    """What a loader needs of a dataset."""

    @property
    def tile_ids(self) -> Sequence[int]:
        """Every tile, in index order."""

    @property
    def damaged(self) -> Mapping[int, str]:
        """Tiles that were left out because they cannot be read, with the reason."""

    def read(self, tile_id: int, names: Sequence[str] | None = None) -> Tile:
        """One tile with only the named layers."""

    def metadata(self, tile_id: int) -> Mapping[str, Any]:
        """One tile's metadata, with "lat" and "long"."""


@dataclass(frozen=True, slots=True)
class Split:
    """Which tiles are held out of training, by keyed hash: adding tiles moves no other tile across."""

    held_out: float = 0.1
    """Share of the draws that are held out, 0..1."""
    by: Literal["cell", "tile"] = "cell"
    """What is drawn: whole 1-degree cells, so that no held-out tile has a training neighbour whose climate, soil or
    very pixels it shares, or single tiles (for datasets that lie within a few cells)."""
    seed: int = 0
    """Seed of the draw; apart from the run's seed, so that runs can be compared on the same held-out tiles."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out <= 1:
            raise ConfigError(f"split.held_out is {self.held_out}; it is a share between 0 and 1.")

    def __str__(self) -> str:
        drawn = "1-degree cells" if self.by == "cell" else "tiles"
        return f"{100 * self.held_out:g} % of {drawn}" + (f", seed {self.seed}" if self.seed else "")

    def holds_out(self, tile_id: int, lon: float, lat: float) -> bool:
        """Whether a tile at (lon, lat) degrees is held out of training."""
        key = str(tile_id) if self.by == "tile" else f"{math.floor(lon)},{math.floor(lat)}"
        return unit(draw_words(self.seed, f"split-{self.by}", key)[0]) < self.held_out

    def apply(self, dataset: Readable) -> tuple[list[int], list[int]]:
        """(training, held-out) tile ids in index order."""
        sides: tuple[list[int], list[int]] = ([], [])
        for tile_id in dataset.tile_ids:
            place = {"long": 0.0, "lat": 0.0} if self.by == "tile" else dataset.metadata(tile_id)
            sides[self.holds_out(tile_id, float(place["long"]), float(place["lat"]))].append(tile_id)
        return sides


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done to training tiles; the same to every layer of a tile."""

    crop: int | None = None
    """Side of a random square crop in 10 m pixels, a multiple of the patch size; None takes the whole tile."""
    flips: bool = False
    """Flips and quarter turns. Tiles whose caption names a direction are left as they lie. They also turn the look
    direction of radar and the sun's, which is why they are off by default."""

    def view(self, tile: Tile, seed: int, epoch: int) -> View:
        """The view of one tile in one epoch."""
        place, turn = draw_words(seed, f"augment-{epoch}", tile.tile_id)
        view = WHOLE
        if self.crop is not None:
            view = crop_view(tile, self.crop, place)
        if self.flips and not DIRECTIONS.search(tile.caption or ""):
            eighth = below(turn, 8)
            view = View(view.west, view.north, view.metres, turns=eighth % 4, mirrored=eighth >= 4)
        return view


def crop_view(tile: Tile, side: int, word: int | None = None) -> View:
    """A square of `side` pixels: where the 64-bit `word` puts it, or in the middle of the tile without one."""
    free = tile.grid.size - side
    if free < 0:
        raise DatasetError(f"Tile {tile.tile_id} has {tile.grid.size} pixels a side; it cannot be cropped to {side}.")
    row, column = (
        (free // 2, free // 2) if word is None else (below(word, free + 1), below((word << 32) % 2**64, free + 1))
    )
    gsd = tile.grid.gsd
    return View(west=column * gsd, north=row * gsd, metres=side * gsd)


@dataclass
class Loader:
    """Batches of training tiles: what a step holds follows from (seed, step) alone, never from workers, ranks or
    restarts. Each of several ranks loads its own part; the parts in rank order are the batch that one process loads.
    """

    dataset: Readable
    tile_ids: Sequence[int]
    modalities: Sequence[LayerType]
    norms: Mapping[str, Norm]
    batch_size: int
    """Tiles of a step over all ranks."""
    tokenizer: Tokenizer | None = None
    seed: int = 0
    augment: Augment = Augment()
    workers: int = 2
    """Threads that read ahead; 0 reads in the caller's thread."""
    rank: int = 0
    """Which part of every batch this loader reads, 0..ranks-1."""
    ranks: int = 1
    """Loaders that share the batches, one per process of a run."""
    strict: bool = False
    """A tile that cannot be read ends the run instead of being skipped."""
    pin: bool = False
    """Put batches into page-locked memory, from which copies to a GPU overlap with its work."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Tiles of this rank that could not be read, with the reason; on rank 0 also those that the dataset left out."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ConfigError(f"Loader rank {self.rank} of {self.ranks}; ranks count from 0.")
        if not self.tile_ids:
            raise DatasetError("There are no tiles to load; is the dataset empty, or the share held out too large?")
        tiles = min(self.batch_size, len(self.tile_ids))
        if tiles < self.ranks:
            raise ConfigError(
                f"A batch of {tiles} tiles cannot be shared by {self.ranks} ranks; give a larger batch_size or more "
                "tiles, or start fewer processes."
            )
        if self.rank == 0:
            self.skipped.update(self.dataset.damaged)
        self._orders: dict[int, list[int]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass; the tiles left over differ from epoch to epoch."""
        return max(1, len(self.tile_ids) // self.batch_size)

    def order(self, epoch: int) -> list[int]:
        """The tile ids in the order of one epoch."""
        if epoch not in self._orders:
            ranked = sorted(self.tile_ids, key=lambda tile_id: draw_words(self.seed, f"order-{epoch}", tile_id))
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1} | {epoch: ranked}
        return self._orders[epoch]

    def global_ids(self, step: int) -> list[int]:
        """The tiles of a step (counted from 0 over all epochs), of all ranks."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return self.order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]

    def ids(self, step: int) -> list[int]:
        """This rank's tiles of a step: a run of the global batch, as long as the others' give or take one."""
        whole = self.global_ids(step)
        return whole[self.rank * len(whole) // self.ranks : (self.rank + 1) * len(whole) // self.ranks]

    def batch(self, step: int) -> Batch:
        """This rank's part of the batch of a step; tiles that cannot be read are left out and noted in `skipped`.

        Raises DatasetError when none of them can be read, CorruptFile for the first one if `strict`.
        """
        tiles = read_tiles(self.dataset, self.ids(step), self.modalities, None if self.strict else self.skipped)
        if not tiles:
            raise DatasetError(f"No tile of step {step} can be read: {next(iter(self.skipped.values()))}")
        epoch = step // self.steps_per_epoch
        views = [self.augment.view(tile, self.seed, epoch) for tile in tiles]
        return collate(tiles, self.modalities, self.norms, self.tokenizer, views, pinned=self.pin)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps start..stop-1, read ahead by `workers` threads."""
        if self.workers == 0:
            yield from map(self.batch, range(start, stop))
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            ahead: deque[Future[Batch]] = deque()
            try:
                for step in range(start, stop):
                    ahead.append(pool.submit(self.batch, step))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()


def read_tiles(
    dataset: Readable, tile_ids: Sequence[int], modalities: Sequence[LayerType], skipped: dict[int, str] | None
) -> list[Tile]:
    """The tiles with only the layers of `modalities`; those that are damaged go to `skipped` with the reason, or are
    raised as CorruptFile where there is no such dict."""
    names = [modality.name for modality in modalities]
    tiles = []
    for tile_id in tile_ids:
        try:
            tiles.append(_of_full_size(dataset.read(tile_id, names), modalities))
        except CorruptFile as error:
            if skipped is None:
                raise
            skipped[tile_id] = str(error)
    return tiles


def _of_full_size(tile: Tile, modalities: Sequence[LayerType]) -> Tile:
    """The tile. Raises CorruptFile where a layer does not cover its grid: no batch could hold it."""
    for modality in modalities:
        layer, side = tile.layers.get(modality.name), round(tile.grid.metres / modality.gsd)
        if layer is not None and layer.values.shape[1:] != (side, side):
            raise CorruptFile(
                f"Tile {tile.tile_id}: {modality.name} has shape {layer.values.shape}, not {side} pixels."
            )
    return tile
