"""Small datasets of fake tiles."""

import math
from dataclasses import replace
from pathlib import Path

from geomeld.dataset import Dataset, write_dataset
from geomeld.dataset.manifest import save_manifest
from geomeld.sources.simulated.truth import BIOMES, stratified_places
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


def farmed_dataset(path: str | Path, n: int, *, earth: int = 7, beside: float | None = None) -> Dataset:
    """Fake tiles with captions at places of the simulated Earth where people farm, in a dataset that says it was built
    there: what is true of the places is known, the pixels are made up. A pure function of its arguments.

    `beside`: every place twice, the second so many metres to the north.
    """
    places = farmed_places(earth, n if beside is None else -(-n // 2))
    if beside is not None:
        degrees = math.degrees(beside / 6_371_000)
        places = [(lon, lat + i * degrees) for lon, lat in places for i in (0, 1)][:n]
    tiles = [fake_tile(i + 1, lon=lon, lat=lat) for i, (lon, lat) in enumerate(places)]
    for i, tile in enumerate(tiles):
        tile.metadata["caption"] = CAPTIONS[i % len(CAPTIONS)]  # type: ignore[index]
    dataset = write_dataset(path, tiles, source="simulated", shard_size=16)
    config = {"source": {"name": "simulated", "seed": earth}}
    save_manifest(dataset.path, replace(dataset.manifest, config=config))
    return dataset


def farmed_places(earth: int, n: int) -> list[tuple[float, float]]:
    """(longitude, latitude) of `n` places in the two biomes that are farmed most, by turns."""
    farmed = [i for i, name in enumerate(BIOMES) if name.startswith(("Temperate Broadleaf", "Temperate Grass"))]
    drawn = stratified_places(earth, len(BIOMES) * -(-n // len(farmed)))
    return [(lon, lat) for lon, lat, biome in drawn if biome in farmed][:n]
