"""Recall@k against plain loops, and the probe against what it must reach."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geomeld.evaluate.probe import commonest_class, linear_classes
from geomeld.evaluate.retrieval import chance_at, recall_at, same_caption


def test_recall_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.standard_normal((30, 30))
    captions = [f"caption {k % 20}" for k in range(30)]
    for relevant in (np.eye(30, dtype=bool), same_caption(captions)):
        for k, value in recall_at(similarity, relevant, (1, 5, 10)).items():
            hits = 0
            for query in range(30):
                order = sorted(range(30), key=lambda item: -similarity[query][item])
                hits += any(relevant[query][item] for item in order[:k])
            assert value == pytest.approx(hits / 30)


def test_ties_count_by_expectation_and_chance_is_a_tie_of_all() -> None:
    flat, own = np.zeros((10, 10)), np.eye(10, dtype=bool)
    assert recall_at(flat, own, (1, 5)) == pytest.approx({1: 0.1, 5: 0.5})
    assert recall_at(flat, own, (1, 5)) == pytest.approx(chance_at(own, (1, 5)))
    with pytest.raises(ValueError, match="relevant"):
        recall_at(flat, np.zeros((10, 10), bool), (1,))


def test_captions_are_the_same_apart_from_case_and_spaces() -> None:
    assert same_caption(["A lake.", "a  lake.", "A sea."]).tolist() == [
        [True, True, False],
        [True, True, False],
        [False, False, True],
    ]


@pytest.mark.parametrize(("classes", "width", "rows"), [(2, 5, 40), (4, 30, 300), (7, 320, 150)])
def test_the_linear_classifier_is_scikit_learns(classes: int, width: int, rows: int) -> None:
    rng = np.random.default_rng(classes)
    features = (rng.normal(size=(rows + 500, width)) * np.logspace(0, -2, width) + 3).astype(np.float32)
    told = (features - features.mean(0))[:, :classes] / features[:, :classes].std(0)
    told += rng.normal(size=told.shape)
    labels = told.argmax(1) * 2 + 1  # even classes are missing
    theirs = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=10_000))
    theirs.fit(features[:rows].astype(float), labels[:rows])
    given = linear_classes(features[:rows], labels[:rows])(features[rows:])
    assert (given != theirs.predict(features[rows:].astype(float))).sum() <= 1  # one on the border may fall either way


def test_of_one_class_that_class_is_given() -> None:
    features = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert linear_classes(features, np.full(9, 3))(features).tolist() == [3] * 9


def test_the_probe_separates_what_is_separable_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    features = np.eye(3)[labels] * 4 + rng.standard_normal((300, 3))
    assert (linear_classes(features[:200], labels[:200])(features[200:]) == labels[200:]).mean() > 0.9
    noise = rng.standard_normal((300, 3))
    assert (linear_classes(noise[:200], labels[:200])(noise[200:]) == labels[200:]).mean() < 0.55
    assert commonest_class(np.array([4, 0, 4, 1]))(noise).tolist() == [4] * 300
