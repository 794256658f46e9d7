"""Building tiles from the simulated Earth, and captioning them: tiles per second."""

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

TILES = 48


def main() -> None:
    """Print tiles per second of a build on 2 processes (photographs off and on) and of captions on one core."""
    places = [(lon, lat, BIOMES[b]) for lon, lat, b in stratified_places(0, TILES)]
    anchors = sampled_anchors(places, "simulated")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {TILES} biome-stratified tiles")
    with tempfile.TemporaryDirectory() as folder:
        build(anchors[:2], SimulatedSource(), Path(folder) / "warm", BuildConfig(shard_size=1), workers=2)
        for naip in (False, True):
            out = Path(folder) / f"naip-{naip}"
            start = time.perf_counter()
            manifest = build(anchors, SimulatedSource(), out, BuildConfig(shard_size=8, naip=naip), workers=2)
            seconds = time.perf_counter() - start
            print(f"  build, photographs {'on ' if naip else 'off'}: {manifest.tiles / seconds:6.2f} tiles/s")
        caption_dataset(Path(folder) / "warm")
        start = time.perf_counter()
        summary = caption_dataset(Path(folder) / "naip-False")
        print(f"  captions, all in:       {summary.tiles / (time.perf_counter() - start):6.1f} tiles/s")


if __name__ == "__main__":
    main()
