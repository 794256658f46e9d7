"""Writing shards from samples that wait on the disk, beside a plain copy of the same bytes; both synced."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from geomeld.build import spool
from geomeld.build.attempt import Outcome
from geomeld.build.ledger import Ledger
from geomeld.build.units import write_unit
from geomeld.dataset.files import sync_folder
from geomeld.dataset.sample import encode
from geomeld.testing import fake_tile

TILES = 192
PER_SHARD = 64
REPEATS = 5


def main() -> None:
    """Print MB/s of both, and how they compare: the fastest of several runs in turns."""
    data = [encode(fake_tile(k)) for k in range(1, 9)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        _, written = timed(folder / "warm", write, data)
        ours, copies = [], []
        for k in range(REPEATS):
            ours.append(timed(folder / f"ours-{k}", write, data)[0])
            copies.append(timed(folder / f"copy-{k}", copy, folder / "warm")[0])
    size = written / 1e6
    print(f"{size:.0f} MB in {TILES} tiles of {size / TILES:.2f} MB, {PER_SHARD} to a shard; {REPEATS} runs in turns")
    print(f"  samples to shards, with checksum, index and ledger: {size / min(ours):7.0f} MB/s")
    print(f"  plain copy of the shards:                           {size / min(copies):7.0f} MB/s")
    pairs = ", ".join(f"{c / o:.2f}" for o, c in zip(ours, copies, strict=True))
    print(f"  ratio {min(copies) / min(ours):.2f} (in pairs: {pairs})")


def timed(out: Path, work: Callable[[Path, list[bytes] | Path], float], given: list[bytes] | Path) -> tuple[float, int]:
    """(seconds of the part that counts, bytes that were written to shards)."""
    out.mkdir()
    seconds = work(out, given)
    size = sum(p.stat().st_size for p in out.glob("*.tar"))
    if out.name != "warm":
        shutil.rmtree(out)
    return seconds, size


def write(out: Path, data: list[bytes]) -> float:
    """As a build does once the samples of a shard are there; they are taken away meanwhile, and perhaps still after."""
    os.sync()
    with Ledger(out / "ledger.sqlite", "benchmark") as ledger:
        for k in range(TILES):
            sample = spool.put(out / "tiles", k, k, data[k % len(data)], False)
            ledger.record(k // PER_SHARD, Outcome(k, k, sample))
        with ThreadPoolExecutor(1) as sweeper:
            start = time.perf_counter()
            for unit in range(TILES // PER_SHARD):
                write_unit(out, unit, ledger, np.arange(TILES), out / "tiles", sweeper, verify=False)
            return time.perf_counter() - start


def copy(out: Path, source: Path) -> float:
    """The shards alone, each synced under its name."""
    os.sync()
    start = time.perf_counter()
    for shard in sorted(source.glob("*.tar")):
        target = out / shard.name
        shutil.copyfile(shard, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
        sync_folder(out)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
