"""Reading GEO-Bench samples: this reader, bare h5py, and one opening of the file per band."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from geomeld.evaluate.geobench import SETS, open_set
from geomeld.testing.geobench import write_set

SAMPLES, ROUNDS = 20, 5


def seconds(read: Callable[[str], object], names: list[str]) -> float:
    """Processor seconds per sample of one pass."""
    start = time.process_time()
    for name in names:
        read(name)
    return (time.process_time() - start) / len(names)


def main() -> None:
    """Print milliseconds per sample of m-bigearthnet and ratios, best of several rounds in turn."""
    record = SETS["m-bigearthnet"]
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, record.classes)
    shape = (record.size, record.size)
    made = [({b: rng.integers(0, 5000, shape).astype(np.int16) for b in record.bands}, label) for _ in range(SAMPLES)]
    with tempfile.TemporaryDirectory() as folder:
        opened = open_set(write_set(Path(folder), record.name, {"train": made}))
        names = list(opened.names["train"])

        def bare(name: str) -> object:
            with h5py.File(opened.path / f"{name}.hdf5", "r") as file:
                return np.stack([file[band][()] for band in record.bands]).astype(np.float32)

        def whole(name: str) -> object:
            with h5py.File(opened.path / f"{name}.hdf5", "r") as file:
                return {band: file[band][()] for band in file}, file.attrs["pickle"]

        def per_band(name: str) -> object:
            return np.stack([whole(name)[0][band] for band in record.bands]), whole(name)[1]

        readers = {"this reader, label and all": opened.sample, "bare h5py": bare, "whole sample per band": per_band}
        best = {k: min(seconds(r, names) for _ in range(ROUNDS)) for k, r in readers.items()}
    for k, s in best.items():
        print(f"  {k:28} {s * 1e3:7.2f} ms   {s / best['bare h5py']:5.2f}x bare h5py")
    print(f"  once per band / this reader: {best['whole sample per band'] / best['this reader, label and all']:.1f}x")


if __name__ == "__main__":
    main()
