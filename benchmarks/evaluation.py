"""Frozen evaluation: features of 120 px tiles and the share of reading, the probe's sweep, neighbours, bootstrap."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from geomeld.evaluate.bootstrap import intervals
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.features import BATCH, features_of
from geomeld.evaluate.frozen import NEIGHBOURS, TEMPERATURES, best_fit
from geomeld.evaluate.geobench import SETS, open_set
from geomeld.evaluate.images import images_for
from geomeld.evaluate.logistic import sweep
from geomeld.evaluate.metrics import main_score
from geomeld.evaluate.neighbours import votes
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import TaskKind
from geomeld.testing.geobench import write_set

WIDTH = 320


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tiles(images: int) -> None:
    """Features of m-bigearthnet as its files are, with atto: all of it, and reading and network each alone."""
    record, rng = SETS["m-bigearthnet"], np.random.default_rng(0)
    shape, label = (record.size, record.size), rng.integers(0, 2, record.classes)
    made = [({b: rng.integers(0, 5000, shape).astype(np.int16) for b in record.bands}, label) for _ in range(images)]
    encoder = open_encoder("random:atto")
    with tempfile.TemporaryDirectory() as folder:
        task = open_set(write_set(Path(folder), record.name, {"train": made}), encoder.bands)
        scale = task.own_scale()
        source = images_for(encoder, task, "train", scale)
        batches = [np.arange(at, min(at + BATCH, images)) for at in range(0, images, BATCH)]
        ready = [source.read(at)[0] for at in batches]
        alone = min(seconds(lambda: [source.read(at) for at in batches]) for _ in range(3))
        with torch.inference_mode():
            network = min(seconds(lambda: [encoder(batch) for batch in ready]) for _ in range(3))
        whole = min(seconds(lambda: features_of(encoder, task, "train", scale, progress=False)) for _ in range(3))
    print(f"features, {images} tiles: {images / whole:.0f} tiles/s; the network alone {images / network:.0f}")
    print(f"  reading alone takes {alone / whole:.0%} of that time; waiting for it adds {whole / network - 1:.0%}")


def features(rows: int, classes: int, *, several: bool) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features whose spread falls as that of pretrained ones does, and labels that they tell in part."""
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    told = hidden[:, :classes] + rng.normal(size=(rows, classes))
    values = (hidden * np.logspace(0, -2, WIDTH)) @ np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    return values.astype(np.float32), (told > 2).astype(np.int64) if several else told.argmax(1)


def read_outs(rows: int, kind: TaskKind, classes: int) -> None:
    """Sweep and neighbours over features that are cached, and intervals of as many predictions."""
    several = kind is TaskKind.MULTILABEL
    values, labels = features(rows + 1000, classes, several=several)
    known, y, held_out, truth = values[:rows], labels[:rows], values[rows:], labels[rows:]

    def choose() -> object:
        return best_fit(sweep(known, y, classes), lambda model: main_score(kind, model(held_out), truth, classes))

    def near() -> object:
        return votes(known, y, held_out, classes, [(k, t) for k in NEIGHBOURS for t in TEMPERATURES])

    print(f"{kind.value}, {rows} x {WIDTH}, {classes} classes")
    print(f"  probe with its sweep {seconds(choose):7.1f} s")
    print(f"  every penalty        {seconds(lambda: list(sweep(known, y, classes))):7.1f} s")
    print(f"  neighbours of 1000   {seconds(near):7.1f} s")
    _, model = next(sweep(known, y, classes, [1e-3]))
    names = tuple(map(str, range(rows)))
    told = Outcome("none", "probe", "none", "0", "0", "own", 0, names, model(known), y)
    print(f"  1000 draws           {seconds(lambda: intervals(_Named(kind, classes), told)):7.1f} s")


class _Named:
    """All that metrics ask of a task."""

    name, class_names = "none", ()

    def __init__(self, kind: TaskKind, classes: int) -> None:
        self.kind, self.classes = kind, classes

    def fingerprint(self) -> str:
        return "0"


def main() -> None:
    """Print all of it; sizes are those of GEO-Bench's larger sets unless others are given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512, help="images to make features of")
    parser.add_argument("--rows", type=int, default=20_000, help="features that read-outs learn from")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tiles(given.images)
    read_outs(given.rows, TaskKind.MULTILABEL, 43)
    read_outs(given.rows, TaskKind.MULTICLASS, 17)


if __name__ == "__main__":
    main()
