"""Series: several pretraining runs, one after the other; what is finished is not run again, what was begun goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from geomeld.batch import Batch
from geomeld.dataset import Dataset
from geomeld.models.weights import WEIGHTS
from geomeld.pretrain.claim import RUN, claim
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.loop import pretrain
from geomeld.pretrain.start import find_tiles
from geomeld.pretrain.state import TrainingState


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


def run_all(runs: Sequence[Run], dataset: Dataset, device: str = "auto") -> None:
    """Pretrain what is not finished, with one bar over all runs on stderr.

    Raises CheckpointError, before anything is trained, for a folder with another configuration or other tiles than its
    run's, and what `pretrain` raises. After Ctrl-C the same call goes on at the exact step.
    """
    steps = {}
    for run in runs:
        tiles = find_tiles(run.config, dataset)
        if (run.out / RUN).exists() or run.is_finished:
            claim(run.out, run.config, dataset, tiles)
        count = len(tiles.train)
        steps[run.name] = run.config.epochs * max(1, count // min(run.config.batch_size, count))
    missing = [run for run in runs if not run.is_finished]
    done = sum(steps[run.name] for run in runs if run.is_finished)
    with tqdm(total=sum(steps.values()), initial=done, unit="step", dynamic_ncols=True, disable=not missing) as bar:
        for run in missing:
            bar.set_description(f"{run.name} ({runs.index(run) + 1} of {len(runs)})")
            pretrain(run.config, dataset, run.out, device=device, watch=_Bar(bar))


@dataclass(frozen=True)
class _Bar:
    """A watch that moves a bar over all runs."""

    bar: tqdm

    def start(self, run: TrainingState, steps: int, held_out: Sequence[int]) -> None:
        """Count the steps of an earlier call, which say nothing about this one's speed."""
        self.bar.initial += run.step
        self.bar.update(run.step)

    def step(self, step: int, row: Mapping[str, float], batch: Batch) -> None:
        """Move on."""
        self.bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
        self.bar.update()

    def close(self) -> None:
        """The bar is closed by who opened it."""
