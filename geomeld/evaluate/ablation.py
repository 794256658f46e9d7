"""Ablation: variants of a pretraining, several seeds of each, on the same tasks and the same test images."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import generator
from geomeld.dataset import Dataset
from geomeld.evaluate.bootstrap import resampled
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.jobs import Job, announced, outcome_scores
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
    encoder: Encoder
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


class Trial(Job):
    """A contender on a task; it goes by the contender's title."""

    def __str__(self) -> str:
        return f"{self.task.name}: {self.spec}, {self.protocol.name}"


Measurements = Mapping[Column, Mapping[str, Sequence[Measured]]]
"""Column -> variant -> its seeds."""


def measure(
    contenders: Sequence[Contender],
    tasks: Mapping[str, Task],
    protocols: Mapping[TaskKind, Protocol],
    dataset: Dataset,
    held_out: Sequence[int],
    results: Results,
    device: str = "cpu",
) -> Measurements:
    """Every contender on every task by the protocol of its kind, and retrieval on the `held_out` tiles of `dataset` for
    contenders with a text side. What is in the folder already is not computed again; scores.jsonl is written.

    Raises what protocols raise.
    """
    found: dict[Column, dict[str, list[Measured]]] = {}
    jobs = {
        (name, contender.title): Trial(
            contender.title, contender.encoder, task, protocols[task.kind], "own", contender.seed
        )
        for contender in contenders
        for name, task in tasks.items()
    }
    for job in announced(list(jobs.values()), results):
        scores = outcome_scores(job.task, _outcome(job, results, device))
        keep_part(job.path(results).with_suffix(ENDING), [replace(s, encoder=job.spec) for s in scores])
        write_scores(results.folder, results.scores())
    for contender in contenders:
        for name, task in tasks.items():
            column, measured = _measured(task, Outcome.load(jobs[name, contender.title].path(results)))
            found.setdefault(column, {}).setdefault(contender.variant, []).append(measured)
    for contender in contenders:
        for column, measured in _retrieval(contender, dataset, held_out, results, device).items():
            found.setdefault(column, {}).setdefault(contender.variant, []).append(measured)
    write_scores(results.folder, results.scores())
    return found


def _outcome(job: Job, results: Results, device: str) -> Outcome:
    """The outcome of a job: the one that is kept, else computed now and kept."""
    path = job.path(results)
    if path.exists():
        return Outcome.load(path)
    factory = partial(deepcopy, job.encoder)
    outcome = job.protocol.run(factory, job.task, job.seed, results.cache, device, statistics=job.scale, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    outcome.save(path)
    return outcome


def _measured(task: Task, outcome: Outcome) -> tuple[Column, Measured]:
    metric = main_metric(task.kind)
    column = Column(task.name, outcome.protocol, metric, len(outcome.truth))
    draws = resampled(task, outcome, [metric], draws=DRAWS)[metric]
    return column, Measured(scores_of(task, outcome)[metric], draws)


def _retrieval(
    contender: Contender, dataset: Dataset, held_out: Sequence[int], results: Results, device: str
) -> dict[Column, Measured]:
    """Recall both ways, any tile with the same sentence counted as right; empty without a text side or captions."""
    if contender.checkpoint is None:
        return {}
    data = fingerprint_of(dataset)
    name, folder = f"{contender.encoder.identity}-{data}-{len(held_out)}", results.folder / RETRIEVAL
    hits = once(folder, name, json.dumps([VERSION, name]), partial(_hits, contender, dataset, held_out, device))
    found: dict[Column, Measured] = {}
    scores = []
    for way in (w for w in WAYS if w in hits):
        each, chance = hits[way], float(hits[f"{way}, chance"])
        protocol = f"retrieval, any of the same sentence right, chance {100 * chance:.1f} %"
        column = Column(way, protocol, f"R@{WITHIN}", len(each))
        rng = generator(0, f"bootstrap/{data}", f"retrieval {len(each)}")
        drawn = rng.integers(0, len(each), (DRAWS, len(each)), dtype=np.int32)
        found[column] = Measured(float(each.mean()), each[drawn].mean(axis=1))
        scores.append(_score(contender, column, found[column], data, chance))
    keep_part(folder / f"{name}{ENDING}", scores)
    return found


def _score(contender: Contender, column: Column, measured: Measured, data: str, chance: float) -> Score:
    low, high = (float(v) for v in np.percentile(measured.draws, (2.5, 97.5)))
    return Score(
        column.task, column.protocol, column.metric, measured.value, low, high, contender.seed, column.n,
        contender.title, contender.encoder.identity, data, baseline=chance, baseline_name="chance", commit=code(),
    )  # fmt: skip


def _hits(contender: Contender, dataset: Dataset, held_out: Sequence[int], device: str) -> Arrays:
    """(queries,) whether a right answer is among the first WITHIN, 0..1 where scores tie, both ways; and what a random
    order would reach, without shape."""
    assert contender.checkpoint is not None
    model = load_model(contender.checkpoint, device)
    new = features(model, dataset, held_out, progress=False)
    pairs = pairs_of(
        Sides(model, dataset, new, new, contender.title, contender.encoder.identity, fingerprint_of(dataset))
    )
    if pairs is None:
        return {}
    ranks = rank_pairs(pairs.images, pairs.texts, pairs.group)
    both = dict(zip(WAYS, (ranks.a_to_group, ranks.b_to_group), strict=True))
    chances = {f"{way}, chance": np.array(each.chance(WITHIN)) for way, each in both.items()}
    return {way: each.hits(WITHIN) for way, each in both.items()} | chances
