"""Series: several pretraining runs, some of them side by side; what is finished is not run again, what was begun goes
on."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread

from tqdm import tqdm

from geomeld.batch import Batch
from geomeld.core.errors import Terminated
from geomeld.core.pool import as_they_come
from geomeld.dataset import Dataset
from geomeld.models.threads import one_thread
from geomeld.models.weights import WEIGHTS
from geomeld.pretrain.claim import RUN, claim
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.loop import LOG, pretrain
from geomeld.pretrain.start import find_tiles
from geomeld.pretrain.state import TrainingState

LOOK_EVERY = 1.0
"""Seconds after which the bar looks at the logs again."""


@dataclass(frozen=True)
class Run:
    """One of them."""

    name: str
    config: PretrainConfig
    out: Path
    """Folder of its checkpoint."""

    @property
    def is_finished(self) -> bool:
        """Whether its weights lie there; they are written last."""
        return (self.out / WEIGHTS).exists()

    @property
    def logged(self) -> int:
        """Steps in its log so far."""
        try:
            return (self.out / LOG).read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0


def run_all(runs: Sequence[Run], dataset: Dataset, device: str = "cpu", workers: int = 1) -> None:
    """Pretrain what is not finished, with one bar over all runs on stderr.

    `workers`: runs side by side, each in a process of its own. On a CPU every run has one thread, so that its losses
    are the same however many run beside it.

    Raises CheckpointError, before anything is trained, for a folder with another configuration or other tiles than its
    run's, and what `pretrain` raises. After Ctrl-C the same call goes on at the exact step.
    """
    steps = {run.name: _steps(run, dataset) for run in runs}
    missing = [run for run in runs if not run.is_finished]
    done = len(runs) - len(missing)
    behind = sum(steps[run.name] for run in runs if run.is_finished)
    with _bar(missing, behind, sum(steps.values())) as bar:
        bar.set_description(f"pretrain, {done} of {len(runs)} runs done")
        train = partial(_train, dataset, device)
        for _ in as_they_come(train, missing, min(workers, len(missing)), preload=(__name__,)):
            done += 1
            bar.set_description(f"pretrain, {done} of {len(runs)} runs done")


def _steps(run: Run, dataset: Dataset) -> int:
    """How many it takes; it is made sure that its folder is its own."""
    tiles = find_tiles(run.config, dataset)
    if (run.out / RUN).exists() or run.is_finished:
        claim(run.out, run.config, dataset, tiles)
    count = len(tiles.train)
    return run.config.epochs * max(1, count // min(run.config.batch_size, count))


def _train(dataset: Dataset, device: str, run: Run) -> None:
    try:
        with one_thread() if device == "cpu" else nullcontext():
            pretrain(run.config, dataset, run.out, device=device, watch=_Silent())
    except (KeyboardInterrupt, Terminated):
        if multiprocessing.parent_process() is None:
            raise
        os._exit(1)  # its state is saved; a worker that lived on would take the next run


@contextmanager
def _bar(missing: Sequence[Run], done: int, total: int) -> Iterator[tqdm]:
    """A bar that follows the logs of runs, whichever process writes them; `done` steps are of other runs."""

    def reached() -> int:
        return done + sum(run.logged for run in missing)

    def follow() -> None:
        while not ended.wait(LOOK_EVERY):
            bar.update(reached() - bar.n)

    ended, follower = Event(), Thread(target=follow, daemon=True)
    before = reached()  # steps of an earlier call, which say nothing about this one's speed
    with tqdm(total=total, initial=before, unit="step", dynamic_ncols=True, disable=not missing) as bar:
        follower.start()
        try:
            yield bar
        finally:
            ended.set()
            follower.join()
            bar.update(reached() - bar.n)


class _Silent:
    """A watch that lets the bar over all runs speak."""

    def start(self, run: TrainingState, steps: int, held_out: Sequence[int]) -> None:
        """Nothing."""

    def step(self, step: int, row: Mapping[str, float], batch: Batch) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
