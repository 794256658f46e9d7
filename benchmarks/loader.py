"""Training batches from HDF5 shards and from the packed form: samples per second and worker against a bare read."""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Steps

from geomeld.batch import Batch
from geomeld.dataset import BandStatistics, Dataset, open_dataset, write_dataset
from geomeld.dataset.packing import pack
from geomeld.loader import Augment, Loader
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.spec import LayerSpec
from geomeld.testing import fake_tile

TILES, BATCH, ROUNDS, WANTED = 64, 32, 5, 4000
FINE = ("B2", "B3", "B4", "B8")
COARSE = ("B1", "B9")


def tile_of_sensors(number: int):  # type: ignore[no-untyped-def]
    """A fake tile with the numbers that a build gives: 10 m bands whole, 20 m bands in sixteenths (bilinear), no HH and
    HV, everything valid."""
    tile = fake_tile(number)
    layers = {n: replace(x, valid=np.ones_like(x.valid)) for n, x in tile.layers.items()}
    optical, radar = layers["sentinel2"], layers["sentinel1"]
    step = np.array([1.0 if b in FINE else 0.0 if b in COARSE else 1 / 16 for b in optical.bands])[:, None, None]
    rounded = np.where(step > 0, np.round(optical.values / np.maximum(step, 1 / 16)) * step, optical.values)
    layers["sentinel2"] = replace(optical, values=rounded.astype(np.float32))
    seen = np.array([b.startswith("V") for b in radar.bands])[:, None, None]
    layers["sentinel1"] = replace(radar, valid=radar.valid & seen)
    return replace(tile, layers=layers)


def rate(work: Callable[[], int]) -> float:
    """Samples per second of the best of several rounds, pages warm."""
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        samples = work()
        rates.append(samples / (time.perf_counter() - start))
    return max(rates)


def loader(dataset: Dataset, workers: int) -> Loader:
    """What pretraining uses: the six targets, cropped and turned."""
    known = dataset.statistics()
    specs = []
    for name in TARGETS:
        found = known[name]
        moments = (found.mean, found.std) if isinstance(found, BandStatistics) else ((), ())
        specs.append(LayerSpec.of(MODALITIES[name], *(np.nan_to_num(m, nan=1.0).tolist() for m in moments)))
    how = Augment(crop=112, flips=True)
    return Loader(dataset, dataset.tile_ids, specs, {s.name: s for s in specs}, BATCH, augment=how, workers=workers)


def spans(dataset: Dataset, tile_id: int) -> list[tuple[int, int]]:
    """The places of the wanted pixels."""
    return dataset._find(tile_id).spans(tile_id, TARGETS)


def bare(dataset: Dataset) -> Callable[[], int]:
    """The same bytes into memory, and nothing done with them."""
    handles = {shard.name: os.open(str(shard), os.O_RDONLY) for shard in dataset.shards}
    wanted = [(handles[dataset.shard_of(t).name], span) for t in dataset.tile_ids for span in spans(dataset, t)]

    def work() -> int:
        for handle, (offset, size) in wanted:
            os.preadv(handle, [np.empty(size, np.uint8).data], offset)
        return len(dataset)

    return work


class _Batches(Steps):  # type: ignore[type-arg]
    def __init__(self, source: Loader, steps: int) -> None:
        self.source, self.steps = source, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        return self.source.batch(step)


def in_threads(dataset: Dataset, workers: int) -> float:
    """As the loader does it."""
    source, steps = loader(dataset, workers), 6 * TILES // BATCH
    return rate(lambda: sum(len(batch) for batch in source.batches(0, steps)))


def in_processes(dataset: Dataset, workers: int) -> float:
    """The same batches made by processes, which hand them over in shared memory; starting them is not counted."""
    steps = 6 * TILES // BATCH
    how = {"num_workers": workers, "multiprocessing_context": "forkserver", "persistent_workers": True}
    batches = DataLoader(_Batches(loader(dataset, 0), steps), batch_size=None, collate_fn=_as_it_is, **how)  # type: ignore[arg-type]
    sum(len(batch) for batch in batches)
    return rate(lambda: sum(len(batch) for batch in batches))


def _as_it_is(batch: Batch) -> Batch:
    return batch


def main() -> None:
    """Print samples per second, ratios, and the workers that a GPU needs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a dataset of yours, instead of one made up for the occasion")
    given = parser.parse_args().data
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if given is None:
            write_dataset(Path(folder) / "d", map(tile_of_sensors, range(1, TILES + 1)), shard_size=TILES)
        dataset = open_dataset(given or Path(folder) / "d")
        pack(dataset, Path(folder) / "p")
        forms = {"HDF5 shards": dataset, "packed": open_dataset(Path(folder) / "p")}
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {len(dataset)} tiles, pages warm")
        for form, source in forms.items():
            size = sum(length for t in source.tile_ids for _, length in spans(source, t)) / len(source)
            floor, one = rate(bare(source)), in_threads(source, 1)
            rows = {"threads, 2": in_threads(source, 2), "processes, 1": in_processes(source, 1)}
            rows["processes, 2"] = in_processes(source, 2)
            print(f"{form}: {size / 1e6:.2f} MB per sample")
            print(f"  bare read (floor) {floor:8.0f} samples/s {floor * size / 1e9:6.2f} GB/s")
            print(f"  threads, 1        {one:8.0f} samples/s, {one / floor:.2f} of the floor")
            for name, found in rows.items():
                print(f"  {name:17} {found:8.0f} samples/s, {found / one:.2f}x one thread")
            print(
                f"  {WANTED} samples/s (computed): {WANTED / one:.1f} workers, {WANTED * size / 1e9:.1f} GB/s of bytes"
            )


if __name__ == "__main__":
    main()
