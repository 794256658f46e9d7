"""Class scores: metrics by hand, and intervals by plain loops over the same draws for whatever is held side by side."""

import numpy as np
import pytest

from geomeld.core.draw import generator
from geomeld.evaluate.class_scores import Share, class_scores

NAMES = ["a", "b", "c", "d"]


def test_metrics_by_hand() -> None:
    found = class_scores(np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2]), NAMES, "x")
    assert {name: share.value for name, share in found.items()} == pytest.approx(
        {
            "accuracy": 0.75, "balanced accuracy": (2 / 3 + 1) / 2, "macro F1": (4 / 5 + 0 + 1) / 3,
            "recall/a": 2 / 3, "recall/c": 1,
        }
    )  # fmt: skip


def test_intervals_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 40)
    given = np.where(rng.random(40) < 0.6, truth, rng.integers(0, 4, 40))
    drawn = {"accuracy": [], "balanced accuracy": [], "recall/b": []}
    for block in range(10):
        for at in generator(0, "bootstrap/x", block).integers(0, 40, (100, 40), dtype=np.int32):
            g, t = given[at], truth[at]
            recall = {c: (g[t == c] == c).mean() for c in np.unique(t)}
            drawn["accuracy"].append((g == t).mean())
            drawn["balanced accuracy"].append(np.mean(list(recall.values())))
            drawn["recall/b"].append(recall[1])
    found = class_scores(given, truth, NAMES, "x")
    for name, values in drawn.items():
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5)))), name
    assert found == class_scores(given, truth, NAMES, "x")
    assert found != class_scores(given, truth, NAMES, "y")


def test_a_class_of_one_tile_is_judged_by_the_draws_that_hold_it() -> None:
    truth, given = np.array([0] * 19 + [3]), np.zeros(20, np.int64)
    missed = class_scores(given, truth, NAMES, "x")
    assert missed["recall/d"] == Share(0.0)
    assert 0.8 < missed["accuracy"].low < 0.95 < missed["accuracy"].high
    # Where every draw agrees, no interval claims certainty: not of one tile, and not of twenty that are all right.
    assert class_scores(truth, truth, NAMES, "x") == dict.fromkeys(
        ("accuracy", "balanced accuracy", "macro F1", "recall/a", "recall/d"), Share(1.0)
    )
