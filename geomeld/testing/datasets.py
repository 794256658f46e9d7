"""Small datasets of fake tiles."""

from pathlib import Path

from geomeld.dataset import Dataset, write_dataset
from geomeld.testing.tiles import fake_tile


def tiny_dataset(path: str | Path, n: int = 8, *, shard_size: int = 4, captions: bool = False) -> Dataset:
    """A dataset of `n` fake tiles at `path`, a pure function of its arguments."""
    tiles = [fake_tile(i + 1, lon=-120.0 + 7.3 * i % 290, lat=-30.0 + 4.1 * i % 100) for i in range(n)]
    if captions:
        for i, tile in enumerate(tiles):
            tile.metadata["caption"] = CAPTIONS[i % len(CAPTIONS)]  # type: ignore[index]
    return write_dataset(path, tiles, source="fake", shard_size=shard_size)


CAPTIONS = (
    "Green fields stretch across the hilly area, with dense wooded patches and a few small buildings visible",
    "A large lake fills the east, surrounded by patches of grassland and scattered trees",
    "Bare ground covers most of the flat land, crossed by a narrow river in the south",
    "Dense forest covers the steep slopes, with a few clearings near the valley",
)
