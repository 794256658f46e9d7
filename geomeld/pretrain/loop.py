"""The training loop: load, forward, backward, step, teacher, once in a while save; resumable at the exact step."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm

from geomeld.batch import Batch
from geomeld.core.errors import CheckpointError
from geomeld.dataset import Dataset
from geomeld.dataset.files import atomic
from geomeld.loader import Loader
from geomeld.models.choice import note_choice
from geomeld.models.weights import save_checkpoint
from geomeld.pretrain.claim import RUN, claim
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.ema import update_teacher
from geomeld.pretrain.faults import check_finite
from geomeld.pretrain.held_out import losses_on, reconstructions
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.optim import learning_rate, make_optimizer, set_rate
from geomeld.pretrain.ranks import Ranks, ranks
from geomeld.pretrain.run_log import LOG, Append, run_log
from geomeld.pretrain.start import Tiles, find_tiles, make_learner, make_loader
from geomeld.pretrain.state import TrainingState
from geomeld.pretrain.states import States
from geomeld.pretrain.step import Step
from geomeld.pretrain.stop import Stop, stopping

__all__ = ["BEST", "EXAMPLES", "LOG", "RUN", "STATES", "Summary", "Watch", "pretrain"]

EXAMPLES = "reconstructions.npz"
STATES = "states"
"""Folder of the saved training states."""
BEST = "best"
"""Folder of the model that did best on held-out tiles."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done."""

    steps: int
    tiles: int
    """Training tiles."""
    held_out: int
    loss: float
    """Of the last step."""
    held_out_loss: Mapping[str, float]
    """"loss" and every term, mean over held-out tiles; empty without any."""
    samples_per_second: float
    """Tiles per second of this call; 0 where nothing was left to do."""
    parameters: int
    skipped: int
    """Tiles that could not be read."""


class Watch(Protocol):
    """Who looks on while a run goes on (geomeld.pretrain.watch has one); in a run of several ranks, on rank 0 only."""

    def start(self, run: TrainingState, steps: int, held_out: Sequence[int]) -> None:
        """Called once, after the resume: `run.step` of `steps` steps are done, their rows are in `run.log`."""

    def step(self, step: int, row: Mapping[str, float], batch: Batch) -> None:
        """Called after each step with its row of the log, and two times in seconds that are not logged: "seconds" of
        the whole step and "waited" for its batch."""

    def close(self) -> None:
        """Called at the end, however the run ends."""


def pretrain(
    config: PretrainConfig, dataset: Dataset, out: Path, *, device: str = "auto", watch: Watch | None = None
) -> Summary:
    """Train GeoMeld-FM on a dataset into the checkpoint folder `out`; a run that was interrupted goes on at the exact
    step, with the same losses on a CPU. Under torchrun it is one rank of a run, and only rank 0 writes.

    SIGTERM and the first Ctrl-C save the state after the step and raise Terminated and KeyboardInterrupt.
    Raises DatasetError without usable tiles or captions that the recipe needs, CheckpointError where `out` holds a run
    with another configuration or on other tiles, TrainingError for a loss or gradient that is not finite, and on all
    ranks where one of them fails.
    """
    with ranks(device) as group, stopping() as stop:
        with group.together():
            tiles = find_tiles(config, dataset)
            learner = make_learner(config, dataset, tiles.captions, group.device)
            loader = make_loader(config, dataset, learner.model, tiles.train, group)
            if group.first:
                claim(out, config, dataset, tiles)
        state = TrainingState(learner, make_optimizer(learner, config.optim))
        return _Run(config, dataset, out, group, stop, tiles, loader, state, watch if group.first else None).run()


@dataclass(frozen=True)
class _Run:
    """A run on its way."""

    config: PretrainConfig
    dataset: Dataset
    out: Path
    ranks: Ranks
    stop: Stop
    tiles: Tiles
    loader: Loader
    state: TrainingState
    watch: Watch | None

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.config.epochs * self.loader.steps_per_epoch

    @property
    def states(self) -> States:
        """The saved states."""
        return States(self.out / STATES, self.config.keep)

    def run(self) -> Summary:
        """Go on where the folder stands, to the end."""
        self._resume()
        state, began, done = self.state, time.perf_counter(), 0
        with self._log() as append, self._watched(), self._progress() as bar:
            for batch, waited in self._batches():
                at = time.perf_counter()
                row = self._step(batch)
                asked = self.ranks.largest(self.stop.signal or 0)
                due = state.step % self.config.save_every == 0 or state.step == self.steps
                if due:
                    self._look_for_best(row)
                append(row)
                if due or asked:
                    self._save()
                if self.watch is not None:
                    spent = waited + time.perf_counter() - at
                    self.watch.step(state.step - 1, {**row, "seconds": spent, "waited": waited}, batch)
                done += len(self.loader.global_ids(state.step - 1))
                bar.set_postfix(loss=f"{row['loss']:.3f}", tiles_per_s=f"{done / (time.perf_counter() - began):.1f}")
                bar.update()
                if asked:
                    self.stop.obey(asked, state.step)
        return self._finish(done / (time.perf_counter() - began))

    def _resume(self) -> None:
        with self.ranks.together():
            saved = self.states.newest() if self.ranks.first else None
        saved = self.ranks.share(saved)
        if saved is not None:
            try:
                self.state.load(saved)
            except (RuntimeError, ValueError, KeyError) as error:
                first = "; ".join(line.strip() for line in str(error).splitlines()[:2])
                raise CheckpointError(
                    f"The states in {self.states.folder} are of another model ({first}). Give another folder, or "
                    "delete that one to start at step 0."
                ) from None

    def _batches(self) -> Iterator[tuple[Batch, float]]:
        """Every batch with the seconds that were waited for it; all ranks have theirs, or all end."""
        batches = iter(self.loader.batches(self.state.step, self.steps))
        while True:
            began = time.perf_counter()
            with self.ranks.together():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch, time.perf_counter() - began

    def _step(self, batch: Batch) -> dict[str, float]:
        """One step of the optimiser and the teacher; its row of the log, the same on all ranks."""
        config, state, learner = self.config, self.state, self.state.learner
        rate = learning_rate(config.optim.for_batch(config.batch_size), state.step, self.steps)
        set_rate(state.optimizer, rate)
        state.optimizer.zero_grad(set_to_none=True)
        masked = self._masked(batch)
        step = self._how(math.ceil(len(batch) / config.accumulate))
        row = {"step": state.step, "lr": rate, **step.gradient(learner, masked)}
        norm = torch.nn.utils.get_total_norm([p.grad for p in learner.parameters() if p.grad is not None])
        row["grad_norm"] = float(norm)
        check_finite(step, learner, masked, row)
        if config.optim.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(learner.parameters(), config.optim.clip, norm)
        state.optimizer.step()
        if learner.teacher is not None and config.jepa is not None:
            update_teacher(learner.teacher, learner.model.encoder, config.jepa.momentum(state.step, self.steps))
        state.log.append(row)
        state.step += 1
        return row

    def _masked(self, batch: Batch) -> MaskedBatch:
        model, step = self.state.model.config, self.state.step
        epoch = step // self.loader.steps_per_epoch
        ratio, seed = self.config.mask_ratio, self.config.seed
        return MaskedBatch.draw(batch, model.input.name, model.patch, epoch, ratio=ratio, seed=seed, step=step)

    def _how(self, part_size: int | None = None) -> Step:
        bf16 = self.config.bf16 and self.ranks.device.type == "cuda"
        return Step(self.config.objectives, self.ranks, part_size, bf16)

    def _held_out_losses(self, tile_ids: Sequence[int]) -> dict[str, float]:
        with self.ranks.together():
            return losses_on(self.state.learner, self.dataset, tile_ids, self.config, self._how())

    def _look_for_best(self, row: dict[str, float]) -> None:
        """Note the loss on held-out tiles, and keep the model if it is the lowest so far."""
        tile_ids = self.tiles.held_out[: self.config.best_of]
        losses = self._held_out_losses(tile_ids) if tile_ids else {}
        if not losses:
            return
        row["held_out"] = losses["loss"]
        with self.ranks.together():
            if self.ranks.first:
                note_choice(self.out / BEST, tile_ids)  # before there are weights that an evaluation could read
        if self.state.best is None or losses["loss"] < self.state.best:
            self.state.best = losses["loss"]
            with self.ranks.together():
                if self.ranks.first:
                    save_checkpoint(self.state.model, self.out / BEST)

    def _save(self) -> None:
        with self.ranks.together():
            if self.ranks.first:
                self.states.save(self.state.step, self.state.to_dict())

    def _finish(self, speed: float) -> Summary:
        state, tiles = self.state, self.tiles
        held_out_loss = self._held_out_losses(tiles.held_out)
        with self.ranks.together():
            if self.ranks.first:
                shown = (tiles.held_out or tiles.train)[:4]
                with atomic(self.out / EXAMPLES) as file:
                    np.savez_compressed(file, **reconstructions(state.learner, self.dataset, shown, self.config))  # type: ignore[arg-type]
                save_checkpoint(state.model, self.out)
        parameters = sum(p.numel() for p in state.model.parameters())
        skipped = sum(self.ranks.collect(len(self.loader.skipped)))
        loss = state.log[-1]["loss"]
        return Summary(
            self.steps, len(tiles.train), len(tiles.held_out), loss, held_out_loss, speed, parameters, skipped
        )

    @contextmanager
    def _log(self) -> Iterator[Append]:
        if not self.ranks.first:
            yield lambda row: None
            return
        with run_log(self.out, self.state.log) as append:
            yield append

    @contextmanager
    def _watched(self) -> Iterator[None]:
        if self.watch is None:
            yield
            return
        self.watch.start(self.state, self.steps, self.tiles.held_out)
        try:
            yield
        finally:
            self.watch.close()

    def _progress(self) -> tqdm:
        """A bar, unless a watch shows how the run goes."""
        silent = self.watch is not None or not self.ranks.first
        step = self.state.step
        return tqdm(total=self.steps, initial=step, desc="pretrain", unit="step", dynamic_ncols=True, disable=silent)
