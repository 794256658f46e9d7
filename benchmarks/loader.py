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

TILES, BATCH, ROUND, ROUNDS, WANTED = 64, 32, 128, 12, 4000
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


def best(works: dict[str, Callable[[], int]]) -> dict[str, tuple[float, float]]:
    """(samples per second, samples per second of processor time) of each, the best of several rounds in turn: one busy
    moment of the machine meets all of them alike. Pages are warm; the time of other processes is not in the second."""
    found = dict.fromkeys(works, (0.0, 0.0))
    for _ in range(ROUNDS):
        for name, work in works.items():
            wall, busy = time.perf_counter(), time.process_time()
            samples = work()
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            found[name] = max(found[name][0], samples / wall), max(found[name][1], samples / max(busy, 1e-9))
    return found


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


def in_threads(dataset: Dataset, workers: int) -> Callable[[], int]:
    """As the loader does it."""
    source, steps = loader(dataset, workers), ROUND // BATCH
    return lambda: sum(len(batch) for batch in source.batches(0, steps))


def in_processes(dataset: Dataset, workers: int) -> Callable[[], int]:
    """The same batches made by processes, which hand them over in shared memory; starting them is not counted."""
    how = {"num_workers": workers, "multiprocessing_context": "forkserver", "persistent_workers": True}
    steps = _Batches(loader(dataset, 0), ROUND // BATCH)
    batches = DataLoader(steps, batch_size=None, collate_fn=_as_it_is, **how)  # type: ignore[arg-type]
    sum(len(batch) for batch in batches)
    return lambda: sum(len(batch) for batch in batches)


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
            works = {"bare read": bare(source), "here": in_threads(source, 0)}
            works |= {f"{n} threads": in_threads(source, n) for n in (1, 2)}
            works |= {f"{n} processes": in_processes(source, n) for n in (1, 2)}
            found = best(works)
            floor, one = found["bare read"][1], found["here"][1]
            print(f"{form}: {size / 1e6:.2f} MB per sample")
            print(f"  bare read (floor)   {floor:6.0f} samples per second of a core, {floor * size / 1e9:.2f} GB/s")
            print(f"  decoded, augmented  {one:6.0f} samples per second of a core, {one / floor:.2f} of the floor")
            for name in list(works)[2:]:
                wall = found[name][0]
                print(f"  {name:18}  {wall:6.0f} samples/s, {wall / found['here'][0]:.2f}x the caller's thread")
            print(f"  {WANTED} samples/s (computed): {WANTED / one:.1f} workers, {WANTED * size / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
