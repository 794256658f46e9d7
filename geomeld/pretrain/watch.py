"""Watch: what a person sees of a run: a progress line, trackers, pictures, scores on held-out tiles, and run.html."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imsave
from numpy.typing import NDArray
from torch import distributed
from tqdm import tqdm

from geomeld.batch import Batch
from geomeld.core.config import to_json
from geomeld.core.errors import ConfigError
from geomeld.dataset import Dataset
from geomeld.dataset.files import atomic, write_atomically
from geomeld.figures.reconstructions import reconstruction_figure
from geomeld.figures.run_page import RunView, summary_of, write_run_page
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.held_out import losses_on, reconstructions
from geomeld.pretrain.progress import Meter, Pace
from geomeld.pretrain.state import TrainingState
from geomeld.pretrain.trackers import Tracker, TrackerName, open_tracker

PAGE = "run.html"
PACE = "pace.jsonl"
SCORES = "held_out.jsonl"
PICTURES = "pictures"

PAGE_SECONDS = 60.0
"""The page is written anew at most this often while the run goes on."""
SHOWN, SCORED = 2, 256
"""Held-out tiles in a picture, and in a score, at most."""
LOOKED_AT = 1000
"""Tiles whose metadata the page sums up, at most."""

Evaluation = Callable[[GeoMeldFM, Sequence[int]], Mapping[str, float]]
"""Scores of a model on held-out tiles by name; handed in, because stages do not know each other."""


@dataclass(frozen=True)
class WatchConfig:
    """How a run is watched; never changes what it computes."""

    trackers: tuple[TrackerName, ...] = ("tensorboard",)
    """Where numbers go besides log.jsonl and run.html: tensorboard, wandb, trackio (extras of these names)."""
    picture_every: int = 500
    """Steps between pictures of reconstructions; 0 draws one at the end only."""
    evaluate_every: int = 0
    """Steps between evaluations on held-out tiles (losses, kNN of land cover, retrieval); 0 leaves them out."""

    def __post_init__(self) -> None:
        for name in ("picture_every", "evaluate_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"watch.{name} is {getattr(self, name)}; give 0 or more steps.")


class Watch:
    """Looks on while `pretrain` runs, on rank 0. A run that goes on drops what was seen of steps that it repeats."""

    def __init__(
        self,
        watch: WatchConfig,
        config: PretrainConfig,
        dataset: Dataset,
        out: Path,
        evaluate: Evaluation | None = None,
    ) -> None:
        """`out` is the checkpoint's folder; `evaluate` adds scores to the losses on held-out tiles."""
        self._watch, self._config, self._dataset, self._out, self._evaluate = watch, config, dataset, out, evaluate
        self._meter = Meter()
        self._trackers: list[Tracker] = []

    def start(self, run: TrainingState, steps: int, held_out: Sequence[int]) -> None:
        """Open trackers and the progress line. Raises MissingExtra or UsageError for a tracker that there is not."""
        self._run, self._steps, self._held_out = run, steps, list(held_out)
        stored = to_json(self._config)
        names = dict.fromkeys(self._watch.trackers)
        self._trackers = [open_tracker(name, self._out, stored, run.step) for name in names]
        self._pace, self._scores = (_Rows(self._out / name, run.step) for name in (PACE, SCORES))
        (self._out / PICTURES).mkdir(exist_ok=True)
        for step, path in self._pictures():
            if step > run.step:
                path.unlink()
        self._bar = tqdm(total=steps, initial=run.step, desc="pretrain", unit="step", dynamic_ncols=True)
        self._page_at = time.monotonic()

    def step(self, step: int, row: Mapping[str, float], batch: Batch) -> None:
        """Show one step: its row of the log, with "seconds" of the whole step and "waited" for its batch."""
        ranks = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
        pace = self._meter.add(len(batch) * ranks, row["seconds"], row["waited"])
        shown = {f"speed/{n}": v for n, v in to_json(pace).items()}
        self._pace.append({"step": step, **to_json(pace)})
        self._numbers(step, {n: v for n, v in row.items() if n not in ("step", "seconds", "waited")} | shown)
        self._bar.set_postfix_str(_line(row["loss"], pace), refresh=False)
        self._bar.update()
        done = step + 1
        if _due(done, self._watch.evaluate_every) or (self._watch.evaluate_every and done == self._steps):
            self._score(step)
        if _due(done, self._watch.picture_every) or done == self._steps:
            self._picture(step)
        if time.monotonic() - self._page_at > PAGE_SECONDS:
            self._write_page(f"running: {done} of {self._steps} steps")

    def close(self) -> None:
        """Write the page and close the trackers."""
        whole = self._run.step >= self._steps
        self._bar.close()
        with suppress(*(() if whole else (OSError,))):  # an error that ends the run matters more than its page
            self._write_page(f"{'finished' if whole else 'stopped'} after {self._run.step} of {self._steps} steps")
        for tracker in self._trackers:
            tracker.close()

    def _numbers(self, step: int, values: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.numbers(step, values)

    def _score(self, step: int) -> None:
        tiles, model = self._held_out[:SCORED], self._run.model
        if not tiles:
            return
        was_training = model.training
        losses = losses_on(self._run.learner.eval(), self._dataset, tiles, self._config)
        scores = {f"held out/{n}": v for n, v in losses.items()}
        if self._evaluate is not None:
            scores |= self._evaluate(model, tiles)
        model.train(was_training)
        self._scores.append({"step": step, **scores})
        self._numbers(step, scores)

    def _picture(self, step: int) -> None:
        tiles, model = (self._held_out or self._dataset.tile_ids)[:SHOWN], self._run.model
        was_training = model.training
        examples = reconstructions(self._run.learner.eval(), self._dataset, tiles, self._config)
        model.train(was_training)
        if not examples:
            return
        canvas = FigureCanvasAgg(reconstruction_figure(examples))
        canvas.draw()
        pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        with atomic(self._out / PICTURES / f"step-{step + 1:07d}.png") as file:
            imsave(file, pixels, format="png")
        for tracker in self._trackers:
            tracker.picture(step, "reconstructions", pixels)

    def _pictures(self) -> list[tuple[int, Path]]:
        found = sorted((self._out / PICTURES).glob("step-*.png"))
        return [(int(path.stem.removeprefix("step-")), path) for path in found]

    def _write_page(self, state: str) -> None:
        self._page_at = time.monotonic()
        view = RunView(
            name=f"Run {self._out.resolve().name}",
            state=state,
            log=self._run.log,
            pace=self._pace.rows,
            scores=self._scores.rows,
            pictures=self._pictures(),
            data=self._facts,
            config=to_json(self._config),
        )
        write_run_page(view, self._out / PAGE)

    @cached_property
    def _facts(self) -> dict[str, Any]:
        dataset, tiles = self._dataset, self._dataset.tile_ids
        layers = Counter(name for tile_id in tiles for name in dataset.layers_of(tile_id))
        titles = {m.title: layers[name] for name, m in dataset.modalities.items()}
        looked_at = tiles[:: -(-len(tiles) // LOOKED_AT)]
        facts = summary_of([dataset.metadata(t) for t in looked_at], len(tiles), titles)
        return {"dataset": str(dataset.path), **facts, "held out": len(self._held_out)}


class _Rows:
    """A file of JSON lines that grows with every row; rows of steps from `start` on are dropped when it is opened."""

    def __init__(self, path: Path, start: int) -> None:
        known = path.read_text().splitlines() if path.exists() else []
        self.rows: list[Mapping[str, float]] = [row for row in map(_parsed, known) if row and row["step"] < start]
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in self.rows).encode())
        self._path = path

    def append(self, row: Mapping[str, float]) -> None:
        self.rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _parsed(line: str) -> dict[str, float]:
    """A row; empty for a line that a killed process left half written."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _line(loss: float, pace: Pace) -> str:
    return (
        f"loss={loss:.3f}, {pace.samples_per_second:.1f} tiles/s, {pace.waiting:.0%} waiting for data, "
        f"{pace.memory:.1f} GiB"
    )
