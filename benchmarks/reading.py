"""Random tile reads from a shard: by byte offset, by h5py on the member's bytes, and bare reads of the same bytes."""

import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from geomeld.dataset import Dataset
from geomeld.testing import tiny_dataset

TILES, READS, ROUNDS = 48, 300, 3


def best(read: Callable[[int], object], ids: list[int]) -> float:
    """Tiles per second of the best of three rounds, pages warm."""
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for tile_id in ids:
            read(tile_id)
        rates.append(len(ids) / (time.perf_counter() - start))
    return max(rates)


def main() -> None:
    """Print tiles per second and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = tiny_dataset(Path(folder) / "d", TILES, shard_size=TILES)
        rng = np.random.default_rng(0)
        ids = [int(i) for i in rng.choice(dataset.tile_ids, READS)]
        handle = os.open(dataset.shards[0], os.O_RDONLY)

        def by_h5py(tile_id: int) -> object:
            member = dataset._find(tile_id)[1]
            data = os.pread(handle, member.size, member.offset)
            with h5py.File(io.BytesIO(data), "r") as file:
                return {name: file[name][()] for name in file}

        def bare(tile_id: int) -> object:
            member = dataset._find(tile_id)[1]
            return os.pread(handle, member.size, member.offset)

        def arrays(tile_id: int) -> object:
            shard, member = dataset._find(tile_id)
            return [Dataset._array(dataset, shard, member, a) for n, a in member.arrays.items() if n != "metadata"]

        rows = {
            "bare reads (floor)": best(bare, ids),
            "arrays by offset": best(arrays, ids),
            "h5py on BytesIO, arrays": best(by_h5py, ids),
            "whole tile with masks": best(lambda i: dataset[i], ids),
        }
        os.close(handle)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {READS} random reads of 1.63 MB")
    for name, rate in rows.items():
        print(f"  {name:26} {rate:8.0f} tiles/s")
    print(f"  ratio arrays by offset / h5py: {rows['arrays by offset'] / rows['h5py on BytesIO, arrays']:.1f}x")


if __name__ == "__main__":
    main()
