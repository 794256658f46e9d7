"""Jobs: whose statistics are taken where nobody says, what is told of those that cannot be had, and what goes wrong
costs nothing else."""

from collections.abc import Sequence

import numpy as np
import pytest

from geomeld.core.errors import UsageError
from geomeld.evaluate import jobs
from geomeld.evaluate.jobs import Asked, plan, run_tasks
from geomeld.evaluate.protocols import PROTOCOLS
from geomeld.evaluate.results import Results
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Sample
from geomeld.testing.toy_evaluation import ToyEncoder, ToyTask

NAMES = ("paper linear probe", "mmearth fine-tuning", "knn", "lbfgs probe", "segmentation probe")


class InNoKnownUnit(ToyTask):
    name = "unknown"

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        raise UsageError("unknown holds values in no known unit.")

    def fingerprint(self) -> str:
        return "unknown".ljust(12, "0")


class OfNobodyKnowsWhat(ToyEncoder):
    """Other weights, and statistics of their pretraining that nobody knows."""

    title, identity = "bare", "ba9876543210"

    def __init__(self) -> None:
        super().__init__()
        self.mean = self.std = ()


def planned(scales: tuple = (), names: Sequence[str] = NAMES):
    encoders = {"toy": ToyEncoder(), "bare": OfNobodyKnowsWhat()}
    tasks = {"toy": lambda encoder: ToyTask(), "unknown": lambda encoder: InNoKnownUnit()}
    jobs, left_out = plan(Asked(encoders, tasks, [PROTOCOLS[name] for name in names], scales))
    by_pretraining = {(j.encoder.title, j.task.name, j.protocol.name) for j in jobs if j.scale == "pretraining"}
    by_own = {(j.encoder.title, j.task.name, j.protocol.name) for j in jobs if j.scale == "own"}
    return by_own, by_pretraining, [(e.encoder, e.task, e.protocol, e.scale) for e in left_out]


EVERYWHERE = {(who, task, name) for who in ("toy", "bare") for task in ("toy", "unknown") for name in NAMES[:4]}


def test_frozen_read_outs_take_both_statistics_and_protocols_that_train_the_sets_own() -> None:
    own, pretraining, left_out = planned()
    assert own == EVERYWHERE
    assert pretraining == {("toy", "toy", "knn"), ("toy", "toy", "lbfgs probe")}
    assert left_out == [("toy", "unknown", "knn, lbfgs probe", "pretraining")]  # once, and nothing of "bare"


@pytest.mark.parametrize("scales", [("own",), ("pretraining",), ("own", "pretraining")], ids="+".join)
def test_statistics_that_are_asked_for_are_taken_by_all_or_told_of(scales) -> None:
    own, pretraining, left_out = planned(scales)
    free = [name for name in NAMES[:4] if name != "mmearth fine-tuning"]
    scripted = {each for each in EVERYWHERE if each[2] == "mmearth fine-tuning"}  # the set's own, always
    assert own == (EVERYWHERE if "own" in scales else scripted)
    assert pretraining == ({("toy", "toy", name) for name in free} if "pretraining" in scales else set())
    told = ", ".join(free), "pretraining"
    every = [("bare", "toy", *told), ("toy", "unknown", *told), ("bare", "unknown", *told)]
    assert left_out == (every if "pretraining" in scales else [])


def test_protocols_of_another_kind_are_told_of_once_whatever_the_statistics() -> None:
    _, _, left_out = planned(names=("segmentation probe", "paper U-Net"))
    assert {(protocol, scale) for _, _, protocol, scale in left_out} == {
        ("segmentation probe", "all"), ("paper U-Net", "all"),
    }  # fmt: skip
    assert len(left_out) == 2 * 4


class Gap(ToyTask):
    """A set of which one image of the test has a pixel that is not a number, until it is mended."""

    name, mended = "gap", False

    def sample(self, name: str) -> Sample:
        found = super().sample(name)
        if name == "test-1" and not self.mended:
            found.values[0, 0, 0] = np.nan
        return found

    def fingerprint(self) -> str:
        return "gap".ljust(12, "0")


class Damaged(ToyEncoder):
    title, identity = "damaged", "dead76543210"

    def __init__(self) -> None:
        super().__init__()
        self.stem.weight.data *= np.nan


def test_a_broken_set_and_damaged_weights_cost_nothing_else_and_leave_nothing(monkeypatch, tmp_path) -> None:
    encoders, task, results = {"damaged": Damaged(), "toy": ToyEncoder()}, Gap(), Results(tmp_path)
    monkeypatch.setattr(jobs, "open_encoder", lambda spec, bands: encoders[spec])
    trained = PROTOCOLS["paper fine-tuning"].lasting(1)
    asked = Asked(encoders, {"gap": lambda _: task, "toy": lambda _: ToyTask()}, [trained, PROTOCOLS["knn"]], ("own",))
    lost = {(each.encoder, each.task, each.protocol): each.why for each in run_tasks(asked, results)}
    names = ("knn", trained.name)
    assert set(lost) == {(e, t, p) for e in encoders for t in ("gap", "toy") for p in names} - {
        ("toy", "toy", name) for name in names
    }
    assert "weights are damaged" in lost["damaged", "toy", "knn"]
    assert "the training diverged" in lost["damaged", "toy", trained.name]
    assert all("gap: test-1 holds values that are not finite" in lost["toy", "gap", name] for name in names)
    kept = {path.parent.name for path in tmp_path.glob("outcomes/*/*.npz")}
    assert kept == {"toy"}
    task.mended = True
    assert {each.encoder for each in run_tasks(asked, results)} == {"damaged"}
    assert {(s.encoder, s.task, s.protocol) for s in results.scores()} == {
        ("toy", t, name) for t in ("gap", "toy") for name in names
    }  # fmt: skip
