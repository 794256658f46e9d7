"""Captions of simulated tiles on one core: tiles per second, all in and stage by stage."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.caption.config import CaptionConfig
from geomeld.caption.graph import caption_chunk, caption_graph
from geomeld.caption.table import Row, append_rows, table_writer
from geomeld.core.config import to_json
from geomeld.dataset import Dataset, open_dataset, update_metadata
from geomeld.signals import MEASURED, measure
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.landscape import BIOMES, stratified_places


def main() -> None:
    """Print one JSON object. "all in" is the command as a user runs it, start of the interpreter included."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "dataset", nargs="?", type=Path, help="an existing dataset, which is copied (default: simulate one)"
    )
    parser.add_argument("--tiles", type=int, default=160, help="tiles to simulate")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the fastest counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = options.dataset or simulated(Path(folder) / "dataset", options.tiles)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        runs = [stages(dataset, Path(folder) / "copy") for _ in range(options.repeat)]
    tiles = len(open_dataset(dataset)) if options.dataset else options.tiles
    seconds = {name: min(run[name] for run in runs) for name in runs[0]}
    print(json.dumps({
        "hardware": f"{cpu()}, {os.cpu_count()} cores, one used",
        "tiles": tiles,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "tiles_per_second": {name: round(tiles / value, 1) for name, value in seconds.items() if name != "start-up"},
    }, indent=2))  # fmt: skip


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def simulated(path: Path, tiles: int) -> Path:
    """A dataset of biome-stratified places of the simulated Earth, photographs included."""
    places = [(lon, lat, BIOMES[b]) for lon, lat, b in stratified_places(0, tiles)]
    build(sampled_anchors(places, "simulated"), SimulatedSource(), path, BuildConfig(), workers=os.cpu_count() or 1)
    return path


def stages(dataset: Path, copy: Path) -> dict[str, float]:
    """Seconds of the whole command, and of each of its stages done alone."""
    fresh(dataset, copy)
    seconds = {"all in": timed(lambda: command(copy))}
    seconds["start-up"] = timed(lambda: command(copy))  # all captions are there: nothing but start and the look
    tiles = open_dataset(fresh(dataset, copy))
    graph, signals, records = caption_graph(), [], []
    seconds["signals"] = timed(lambda: signals.extend(measured(tiles, i) for i in tiles.tile_ids))
    chunks = [signals[i : i + CaptionConfig.chunk] for i in range(0, len(signals), CaptionConfig.chunk)]
    seconds["graph"] = timed(
        lambda: [records.extend(caption_chunk(graph, c, CaptionConfig())["records"]) for c in chunks]
    )
    seconds["writing"] = timed(lambda: write(copy, records, signals))
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured(tiles: Dataset, tile_id: int) -> dict:
    """The signals of a tile, read from its shard."""
    return to_json(measure(tiles.read(tile_id, MEASURED), tiles.layers_of(tile_id)))


def fresh(dataset: Path, copy: Path) -> Path:
    """A copy of a dataset without captions."""
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("captions.parquet", ".captions*", ".lock"))


def command(dataset: Path) -> None:
    """`geomeld caption`, as a process of its own."""
    single = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "geomeld", "caption", str(dataset)], check=True, capture_output=True, env=single
    )


def write(dataset: Path, records: list[dict], signals: list[dict]) -> None:
    """Captions into a table and into the shards."""
    with (dataset / "captions.parquet").open("wb") as file, table_writer(file) as table:
        append_rows(table, [Row(r["tile_id"], s, r, None) for r, s in zip(records, signals, strict=True)])
    update_metadata(dataset, {r["tile_id"]: {"caption": r["text"]} for r in records})


if __name__ == "__main__":
    main()
