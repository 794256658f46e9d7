"""Ablation: variants of a pretraining, several seeds of each, on the same tasks and the same test images."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.core.draw import generator
from geomeld.core.pool import in_order
from geomeld.dataset import Dataset
from geomeld.evaluate.bootstrap import bounds, resampled
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.jobs import Job, outcome_of, outcome_scores
from geomeld.evaluate.kept import Arrays, once
from geomeld.evaluate.metrics import main_metric, scores_of
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.protocols import Protocol
from geomeld.evaluate.ranking import rank_pairs
from geomeld.evaluate.results import ENDING, Results, code, keep_part
from geomeld.evaluate.retrieval import pairs_of
from geomeld.evaluate.score import Score, write_scores
from geomeld.evaluate.task import Task, TaskKind
from geomeld.evaluate.tiles import Sides, features, fingerprint_of
from geomeld.models.threads import one_thread
from geomeld.models.weights import load_model

DRAWS = 1000
"""Of test images, for every interval."""
WITHIN = 5
"""Captions or tiles among which the right one is looked for (the paper's R@5)."""
WAYS = ("image to text", "text to image")
RETRIEVAL = "retrieval"
VERSION = 1
"""Counted up when what is kept of retrieval changes: what another version kept is not used."""


@dataclass(frozen=True)
class Contender:
    """One encoder of the table."""

    variant: str
    """Its row."""
    seed: int
    open: Callable[[], Encoder]
    """Opens it anew; can be pickled."""
    checkpoint: Path | None = None
    """Folder of the whole model, for retrieval; None where there is no text side."""

    @property
    def title(self) -> str:
        """How scores name it."""
        return f"{self.variant}, seed {self.seed}"


@dataclass(frozen=True)
class Column:
    """One task by one metric."""

    task: str
    protocol: str
    metric: str
    n: int
    """Test images or queries."""


@dataclass(frozen=True)
class Measured:
    """A contender in a column."""

    value: float
    """0..1."""
    draws: NDArray[np.float64]
    """(DRAWS,): the value on test images drawn with replacement; draw i has the same images for every contender."""


Measurements = Mapping[Column, Mapping[str, Sequence[Measured]]]
"""Column -> variant -> its seeds."""


@dataclass(frozen=True)
class Contest:
    """What all contenders are put through."""

    tasks: Mapping[str, Task]
    protocols: Mapping[TaskKind, Protocol]
    """The one for each kind of task."""
    dataset: Dataset
    """Of retrieval."""
    held_out: Sequence[int]
    """Tiles of it, among which those with a text side find captions."""
    results: Results
    device: str = "cpu"

    def measure(self, contender: Contender) -> dict[Column, Measured]:
        """A contender in every column that it can be in; outcomes that are kept are not computed again.

        Raises what protocols raise.
        """
        with one_thread() if self.device == "cpu" else nullcontext():
            encoder = contender.open()
            found = dict(self._on_task(contender, encoder, task) for task in self.tasks.values())
            return found | _retrieval(contender, encoder, self)

    def _on_task(self, contender: Contender, encoder: Encoder, task: Task) -> tuple[Column, Measured]:
        job = Job(contender.title, encoder, task, self.protocols[task.kind], "own", contender.seed)
        outcome = outcome_of(job, contender.open, self.device, self.results, progress=False)
        if not job.is_done(self.results):
            scores = outcome_scores(task, outcome)
            path = job.path(self.results).with_suffix(ENDING)
            keep_part(path, [replace(score, encoder=contender.title) for score in scores])
        return _measured(task, outcome)


def measure(contenders: Sequence[Contender], contest: Contest, workers: int = 1) -> Measurements:
    """Every contender on every task by the protocol of its kind, and in retrieval where it has a text side. What is in
    the folder of results already is not computed again; scores.jsonl is written.

    `workers`: contenders side by side, each in a process of its own. Raises what protocols raise.
    """
    found: dict[Column, dict[str, list[Measured]]] = {}
    each = in_order(contest.measure, contenders, min(workers, len(contenders)), preload=(__name__,))
    with tqdm(
        zip(contenders, each, strict=True), "read out", len(contenders), unit="encoder", dynamic_ncols=True
    ) as bar:
        for contender, measured in bar:
            for column, value in measured.items():
                found.setdefault(column, {}).setdefault(contender.variant, []).append(value)
            write_scores(contest.results.folder, contest.results.scores())
    return found


def _measured(task: Task, outcome: Outcome) -> tuple[Column, Measured]:
    metric = main_metric(task.kind)
    column = Column(task.name, outcome.protocol, metric, len(outcome.truth))
    draws = resampled(task, outcome, [metric], draws=DRAWS)[metric]
    return column, Measured(scores_of(task, outcome)[metric], draws)


def _retrieval(contender: Contender, encoder: Encoder, contest: Contest) -> dict[Column, Measured]:
    """Recall both ways, any tile with the same sentence counted as right; empty without a text side or captions."""
    if contender.checkpoint is None:
        return {}
    data = fingerprint_of(contest.dataset)
    name, folder = f"{encoder.identity}-{data}-{len(contest.held_out)}", contest.results.folder / RETRIEVAL
    hits = once(folder, name, json.dumps([VERSION, name]), partial(_hits, contender, encoder, contest))
    found: dict[Column, Measured] = {}
    scores = []
    for way in (w for w in WAYS if w in hits):
        each, chance = hits[way], float(hits[f"{way}, chance"])
        protocol = f"retrieval, any of the same sentence right, chance {100 * chance:.1f} %"
        column = Column(way, protocol, f"R@{WITHIN}", len(each))
        rng = generator(0, f"bootstrap/{data}", f"retrieval {len(each)}")
        drawn = rng.integers(0, len(each), (DRAWS, len(each)), dtype=np.int32)
        found[column] = Measured(float(each.mean()), each[drawn].mean(axis=1))
        scores.append(_score(contender, encoder, column, found[column], data, chance))
    keep_part(folder / f"{name}{ENDING}", scores)
    return found


def _score(
    contender: Contender, encoder: Encoder, column: Column, measured: Measured, data: str, chance: float
) -> Score:
    low, high = bounds(measured.draws) or (None, None)
    return Score(
        column.task, column.protocol, column.metric, measured.value, low, high, contender.seed, column.n,
        contender.title, encoder.identity, data, baseline=chance, baseline_name="chance", commit=code(),
    )  # fmt: skip


def _hits(contender: Contender, encoder: Encoder, contest: Contest) -> Arrays:
    """(queries,) whether a right answer is among the first WITHIN, 0..1 where scores tie, both ways; and what a random
    order would reach, without shape."""
    assert contender.checkpoint is not None
    model = load_model(contender.checkpoint, contest.device)
    data, new = fingerprint_of(contest.dataset), features(model, contest.dataset, contest.held_out, progress=False)
    pairs = pairs_of(Sides(model, contest.dataset, new, new, contender.title, encoder.identity, data))
    if pairs is None:
        return {}
    ranks = rank_pairs(pairs.images, pairs.texts, pairs.group)
    both = dict(zip(WAYS, (ranks.a_to_group, ranks.b_to_group), strict=True))
    chances = {f"{way}, chance": np.array(each.chance(WITHIN)) for way, each in both.items()}
    return {way: each.hits(WITHIN) for way, each in both.items()} | chances
