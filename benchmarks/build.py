"""Building tiles from the simulated Earth, on one process and on two, and captioning them: tiles per second."""

import os
import platform
import tempfile
import time
from pathlib import Path

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.caption.run import caption_dataset
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.landscape import BIOMES, stratified_places

TILES = 120
"""Enough that the start of the processes, some two seconds, does not hide how they share the work."""
REPEATS = 1


def main() -> None:
    """Print tiles per second of builds on 1 and 2 processes (photographs off and on) and of captions on one core."""
    places = [(lon, lat, BIOMES[b]) for lon, lat, b in stratified_places(0, TILES)]
    anchors = sampled_anchors(places, "simulated")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {TILES} biome-stratified tiles")
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):  # what is compiled and imported once
            build(anchors[:2], SimulatedSource(), Path(folder) / f"warm-{workers}", BuildConfig(), workers=workers)
        for naip in (False, True):
            best = {1: float("inf"), 2: float("inf")}
            for repeat in range(REPEATS):
                for workers in best:
                    out = Path(folder) / f"naip-{naip}-{workers}-{repeat}"
                    start = time.perf_counter()
                    build(anchors, SimulatedSource(), out, BuildConfig(shard_size=8, naip=naip), workers=workers)
                    best[workers] = min(best[workers], time.perf_counter() - start)
            rates = ", ".join(f"{TILES / s:5.2f} tiles/s on {workers}" for workers, s in best.items())
            print(f"  build, photographs {'on ' if naip else 'off'}: {rates}; scaling {best[1] / best[2]:.2f}")
        caption_dataset(Path(folder) / "warm-1")
        start = time.perf_counter()
        summary = caption_dataset(Path(folder) / "naip-False-2-0")
        print(f"  captions, all in:       {summary.tiles / (time.perf_counter() - start):6.1f} tiles/s")


if __name__ == "__main__":
    main()
