"""Signals of simulated tiles on one core: milliseconds per tile of each, and geomorphons of larger rasters."""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.core.tile import Tile
from geomeld.dataset import open_dataset
from geomeld.signals import MEASURED, measure
from geomeld.signals.geomorphons import geomorphons, intensity_and_range
from geomeld.signals.land_cover import concept_map, land_cover
from geomeld.signals.radar import radar
from geomeld.signals.spectral import spectral
from geomeld.signals.terrain import FLAT, GSD, SEARCH, SKIP, terrain
from geomeld.signals.water import consensus
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.landscape import BIOMES, stratified_places


def main() -> None:
    """Print one JSON object. "measure" is everything that a caption is held against, of layers already read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=24, help="tiles to simulate")
    parser.add_argument("--repeat", type=int, default=5, help="runs; the fastest counts")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tiles = simulated(options.tiles)
    classes = {t.tile_id: concept_map(t)[0] for t in tiles}  # type: ignore[index]
    signals: dict[str, Callable[[Tile], object]] = {
        "land cover": lambda t: land_cover(t, concept_map(t)),
        "spectral": lambda t: spectral(t.layers["sentinel2"], classes[t.tile_id]),
        "radar": lambda t: radar(t.layers["sentinel1"]),
        "water": consensus,
        "terrain": lambda t: terrain(t.layers["aster"], t.grid),
        "measure": measure,
    }
    print(json.dumps({
        "hardware": f"{cpu()}, {os.cpu_count()} cores, one used",
        "tiles": len(tiles),
        "ms_per_tile": {
            name: milliseconds(lambda of=of: [of(t) for t in tiles], options.repeat, len(tiles))  # type: ignore[misc]
            for name, of in signals.items()
        },
        "ms_per_raster": rasters(options.repeat),
    }, indent=2))  # fmt: skip


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def simulated(count: int) -> list[Tile]:
    """Tiles of biome-stratified places of the simulated Earth with the layers that are measured."""
    places = [(lon, lat, BIOMES[b]) for lon, lat, b in stratified_places(0, count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset"
        build(sampled_anchors(places, "simulated"), SimulatedSource(), path, BuildConfig(naip=False))
        dataset = open_dataset(path)
        return [dataset.read(i, MEASURED) for i in dataset.tile_ids]


def rasters(repeat: int) -> dict[str, float]:
    """Geomorphons of a tile's 30 m grid and of a larger one, as terrain asks for them and in their other modes."""
    modes: dict[str, Callable[..., object]] = {
        "anglev1": geomorphons,
        "anglev2": partial(geomorphons, comparison="anglev2"),
        "anglev2_distance": partial(geomorphons, comparison="anglev2_distance"),
        "extended": partial(geomorphons, extended=True),
        "intensity and range": intensity_and_range,
    }
    found = {}
    for side in (43, 512):
        rough = np.random.default_rng(0).normal(size=(side, side)).cumsum(0).cumsum(1)
        for name, mode in modes.items():
            work = partial(mode, rough, GSD, search=SEARCH, skip=SKIP, flat=FLAT)
            found[f"{side} x {side}, {name}"] = milliseconds(work, repeat)
    return found


def milliseconds(work: Callable[[], object], repeat: int, per: int = 1) -> float:
    """Milliseconds that some work takes, the fastest of `repeat`, over `per` things done in it."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return round(1000 * best / per, 2)


if __name__ == "__main__":
    main()
