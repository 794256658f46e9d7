"""Jobs: every encoder on every task by every protocol, normalisation and seed that fit, each computed once."""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from geomeld.core.errors import CheckpointError, DatasetError, TrainingError, UsageError
from geomeld.evaluate.bootstrap import intervals
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.floor import FLOOR, best_constant
from geomeld.evaluate.images import Statistics, images_for, scale_for
from geomeld.evaluate.menu import Opener
from geomeld.evaluate.metrics import main_metric, scores_of
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.protocols import PIXELS, Protocol, TrainedProtocol
from geomeld.evaluate.results import ENDING, Described, LeftOut, Results, code, keep_part
from geomeld.evaluate.score import Score, write_scores
from geomeld.evaluate.task import SPLITS, Task


@dataclass(frozen=True)
class Asked:
    """What is to be evaluated."""

    encoders: Mapping[str, Encoder]
    """By what they were opened with."""
    tasks: Mapping[str, Opener]
    protocols: Sequence[Protocol]
    scales: tuple[Statistics, ...] = ()
    """Without any, those that each protocol takes by itself, as far as the encoder and the task have them."""
    seeds: int = 1
    device: str = "cpu"


@dataclass(frozen=True)
class Job:
    """One outcome to have."""

    spec: str
    """What the encoder is opened by."""
    encoder: Encoder
    task: Task
    protocol: Protocol
    scale: Statistics
    seed: int

    def path(self, results: Results) -> Path:
        """Where its outcome lies, or will."""
        data = self.task.fingerprint()
        return results.outcome_path(
            self.task.name, self.encoder.identity, data, self.protocol.name, self.scale, self.seed
        )

    def is_done(self, results: Results) -> bool:
        """Whether both its outcome and the scores of it are kept."""
        path = self.path(results)
        return path.exists() and path.with_suffix(ENDING).exists()

    def left_out(self, why: str) -> LeftOut:
        """That it was not done, for its set is broken, or what it trained."""
        return LeftOut(self.encoder.title, self.task.name, self.protocol.name, self.scale, why, broken=True)

    def __str__(self) -> str:
        seed = f", seed {self.seed}" if self.seed else ""
        return f"{self.task.name}: {self.encoder.title}, {self.protocol.name}, {self.scale} statistics{seed}"


def run_tasks(asked: Asked, results: Results, *, alone: bool = True) -> list[LeftOut]:
    """Compute every outcome that is asked for and is not there yet, and its scores; the folder is held by the caller.

    What does not fit, and what is broken, is left out and given back with its reason: a set of which one image cannot
    be read costs no other set, a training that diverges or weights that are damaged no other outcome. Raises UsageError
    where nothing fits and nothing else is asked for (`alone`), and what else protocols raise. An interrupted run goes
    on where it stopped.
    """
    jobs, left_out = plan(asked)
    if alone and not jobs and not any(each.broken for each in left_out):
        reasons = dict.fromkeys(f"{each.encoder} on {each.task}: {each.why}" for each in left_out)
        raise UsageError("Nothing that is asked for fits together.\n  " + "\n  ".join(reasons))
    if asked.seeds > 1 and jobs and not any(job.seed for job in jobs):
        raise UsageError(f"--seeds {asked.seeds}: none of what is asked for draws anything; leave it out.")
    results.describe([described(spec, encoder) for spec, encoder in asked.encoders.items()])
    broken: dict[str, str] = {}
    for job in announced(jobs, results, broken):
        try:
            fresh = partial(open_encoder, job.spec, job.encoder.bands)
            scores = outcome_scores(job.task, outcome_of(job, fresh, asked.device, results))
        except DatasetError as error:
            broken[job.task.name] = str(error)
            continue
        except (TrainingError, CheckpointError) as error:
            left_out.append(job.left_out(str(error)))
            continue
        keep_part(job.path(results).with_suffix(ENDING), scores)
        results.keep_card(job.task)
        write_scores(results.folder, results.scores())
    lost = [job for job in jobs if job.task.name in broken and not job.is_done(results)]
    return list(dict.fromkeys([*left_out, *(job.left_out(broken[job.task.name]) for job in lost)]))


def described(spec: str, encoder: Encoder) -> Described:
    """How tables name an encoder."""
    count = sum(p.numel() for p in encoder.parameters())
    return Described(encoder.identity, encoder.title, spec, encoder.bands, encoder.width, count)


def plan(asked: Asked) -> tuple[list[Job], list[LeftOut]]:
    """(what is to be done, what does not fit), task by task and encoder by encoder, so that features that are made are
    used at once. Protocols for another kind of task are worth a word only where none is for this kind."""
    jobs: dict[tuple[str, str, str, str, int], Job] = {}
    left_out = []
    for name, opener in asked.tasks.items():
        for spec, encoder in asked.encoders.items():
            try:
                task = opener(encoder)
                for split in SPLITS:
                    images_for(encoder, task, split, task.own_scale())
            except UsageError as error:
                left_out.append(LeftOut(encoder.title, name, "all", "all", str(error)))
                continue
            except DatasetError as error:
                left_out.append(LeftOut(encoder.title, name, "all", "all", str(error), broken=True))
                continue
            fitting = [protocol for protocol in asked.protocols if task.kind in protocol.kinds]
            unfit: dict[tuple[str, str], list[str]] = defaultdict(list)
            for protocol in fitting or asked.protocols:
                for scale in _scales(protocol, asked.scales, encoder):
                    if why := _unfit(protocol, encoder, task, scale):
                        unfit[why].append(protocol.name)
                        continue
                    for seed in range(_seeds(protocol, asked.seeds)):
                        key = (encoder.identity, task.fingerprint(), protocol.name, scale, seed)
                        jobs.setdefault(key, Job(spec, encoder, task, protocol, scale, seed))
            left_out += [
                LeftOut(encoder.title, name, ", ".join(dict.fromkeys(which)), scale, why)
                for (scale, why), which in unfit.items()
            ]
    return list(jobs.values()), left_out


def _scales(protocol: Protocol, asked: Sequence[Statistics], encoder: Encoder) -> list[Statistics]:
    """Those that are asked for; else the protocol's own choice, but for those of a pretraining that nobody knows."""
    if asked:
        return list(dict.fromkeys(map(protocol.statistics_used, asked)))
    return [scale for scale in protocol.statistics if scale == "own" or encoder.mean]


def _unfit(protocol: Protocol, encoder: Encoder, task: Task, scale: Statistics) -> tuple[str, str] | None:
    """(statistics that it is true of, why) where they do not fit together."""
    try:
        protocol.check(task)
    except UsageError as error:
        return "all", str(error)
    try:
        scale_for(encoder, task, scale)
    except UsageError as error:
        return scale, str(error)
    return None


def _seeds(protocol: Protocol, asked: int) -> int:
    """One where nothing is drawn: the read-outs of features that lie there."""
    return asked if isinstance(protocol, TrainedProtocol) or protocol.kinds >= PIXELS else 1


def announced(jobs: Sequence[Job], results: Results, broken: Container[str] = ()) -> Iterator[Job]:
    """The jobs that are still to be done, each told of on stderr with the time that the rest will take. Those on tasks
    that are `broken` when their turn comes are passed over."""
    missing = [job for job in jobs if not job.is_done(results)]
    if len(missing) < len(jobs):
        print(f"{len(jobs) - len(missing)} of {len(jobs)} are there already", file=sys.stderr)
    took: dict[str, list[float]] = defaultdict(list)
    for i, job in enumerate(missing):
        if job.task.name in broken:
            continue
        left = _seconds_left(missing[i:], took)
        print(f"[{i + 1}/{len(missing)}] {job}{left}", file=sys.stderr)
        began = time.perf_counter()
        yield job
        took[job.protocol.name].append(time.perf_counter() - began)


def _seconds_left(jobs: Sequence[Job], took: Mapping[str, Sequence[float]]) -> str:
    """By what jobs of the same protocol took, else by what any took."""
    every = [seconds for each in took.values() for seconds in each]
    if not every:
        return ""
    expected = [took.get(job.protocol.name) or every for job in jobs]
    seconds = sum(sum(each) / len(each) for each in expected)
    return f"  (about {seconds / 60:.0f} min left)" if seconds >= 90 else f"  (about {seconds:.0f} s left)"


def outcome_of(
    job: Job, fresh: Callable[[], Encoder], device: str, results: Results, *, progress: bool = True
) -> Outcome:
    """The outcome of a job: the one that is kept, else computed now on an encoder that `fresh` opens, and kept."""
    path = job.path(results)
    if path.exists():
        return Outcome.load(path)
    outcome = job.protocol.run(
        fresh, job.task, job.seed, results.cache, device, statistics=job.scale, progress=progress
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    outcome.save(path)
    return outcome


def outcome_scores(task: Task, outcome: Outcome) -> list[Score]:
    """Every metric of an outcome with its interval over test images; the main one beside the best constant answer."""
    found = scores_of(task, outcome)
    bounds = intervals(task, outcome)
    floor = {main_metric(task.kind): best_constant(task.kind, outcome.truth)}
    low, high = ({m: bounds[m][side] if m in bounds else None for m in found} for side in (0, 1))
    return [
        Score(
            outcome.task, outcome.protocol, metric, value, low[metric], high[metric], outcome.seed,
            len(outcome.truth), outcome.encoder, outcome.identity, outcome.data, outcome.scale,
            floor.get(metric), FLOOR if metric in floor else "", commit=code(),
            held_out=getattr(task, "held_out", ""),
        )
        for metric, value in found.items()
    ]  # fmt: skip
