"""Intervals equal those of plain loops over redrawn images; the same images are drawn for every encoder."""

import numpy as np
import pytest
from test_metrics import Named, case, outcome

from geomeld.core.draw import generator
from geomeld.evaluate.bootstrap import intervals, resampled
from geomeld.evaluate.metrics import scores_of
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import TaskKind


def redrawn(given: Outcome, chosen) -> Outcome:
    return outcome(given.predicted[chosen], given.truth[chosen])


@pytest.mark.parametrize("kind", TaskKind)
def test_draws_equal_scores_of_redrawn_images(kind):
    # A class that only few images hold: some draws lack it.
    task, given = Named(kind), case(kind, (2, 2), 3, n=12)
    given.truth[0] = 2 if kind is not TaskKind.MULTILABEL else 1
    found = resampled(task, given, seed=5, draws=130)
    images = np.concatenate(
        [
            generator(5, "bootstrap/000000000000", block).integers(0, 12, (k, 12), dtype=np.int32)
            for block, k in ((0, 100), (1, 30))
        ]
    )
    for draw, chosen in enumerate(images):
        expected = scores_of(task, redrawn(given, chosen))
        got = {name: values[draw] for name, values in found.items() if np.isfinite(values[draw])}
        assert got == pytest.approx(expected)
    bounds = intervals(task, given, seed=5, draws=130)
    for name, (low, high) in bounds.items():
        defined = np.sort(found[name][np.isfinite(found[name])])
        assert (low, high) == pytest.approx(tuple(np.quantile(defined, [0.025, 0.975])))
    assert len({np.isfinite(values).sum() for values in found.values()}) > 1


def test_an_interval_holds_the_truth_as_often_as_it_says():
    # Accuracy of a guess that is right 3 times in 4, on 200 images; 19 of 20 intervals are to hold 0.75.
    rng, task, held = np.random.default_rng(0), Named(TaskKind.MULTICLASS, 2, ()), 0
    for _ in range(200):
        right = rng.random(200) < 0.75
        given = outcome(np.stack([right, ~right], 1).astype(np.float32), np.zeros(200, int))
        low, high = intervals(task, given, ["overall accuracy"], draws=300)["overall accuracy"]
        held += low <= 0.75 <= high
    assert 180 <= held <= 197


def test_draws_are_the_same_for_all_encoders_and_others_for_another_seed():
    task = Named(TaskKind.MULTICLASS)
    given = case(TaskKind.MULTICLASS, (None, None), 1)
    again = resampled(task, given, ["macro F1"], draws=50)
    assert list(again) == ["macro F1"]
    np.testing.assert_array_equal(again["macro F1"], resampled(task, given, draws=50)["macro F1"])
    assert (again["macro F1"] != resampled(task, given, seed=1, draws=50)["macro F1"]).any()
    # A second guess that is right where the first is wrong: paired draws add up to one.
    wrong = outcome(
        np.eye(6, dtype=np.float32)[(given.truth + (given.predicted.argmax(1) == given.truth)) % 6], given.truth
    )
    a, b = (resampled(task, x, ["overall accuracy"], draws=50)["overall accuracy"] for x in (given, wrong))
    np.testing.assert_allclose(a + b, 1)


def test_no_interval_where_nothing_is_defined():
    empty = outcome(np.full((4, 6), -1, np.float32), np.zeros((4, 6), int))
    found = resampled(Named(TaskKind.MULTILABEL), empty, draws=20)
    assert [name for name, values in found.items() if np.isfinite(values).any()] == ["micro F1"]
    assert intervals(Named(TaskKind.MULTILABEL), empty, draws=20) == {}  # 0 in every draw


@pytest.mark.parametrize("kind", TaskKind, ids=lambda kind: kind.name)
def test_no_interval_where_every_draw_agrees(kind):
    task, one = Named(kind), case(kind, (None, None), 0, n=1)
    assert intervals(task, one, draws=20) == {}  # of one image, right or wrong
    truth = case(kind, (None, None), 0, n=3).truth
    sure = np.eye(6, dtype=np.float32)[truth] if kind is TaskKind.MULTICLASS else truth
    right = outcome(sure * 2.0 - 1 if kind is TaskKind.MULTILABEL else sure, truth)
    assert set(scores_of(task, right).values()) == {1.0}
    assert intervals(task, right, draws=200) == {}
