"""Metrics equal those of scikit-learn and torchmetrics, on random cases with classes absent from either side."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm

from geomeld.core.errors import CorruptFile, DatasetError, TrainingError
from geomeld.evaluate.metrics import class_labels, confusion, main_metric, main_score, scores_of
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import TaskKind

C = 6
ABSENT = {"all there": (None, None), "from truth": (2, None), "from predictions": (None, 2), "from both": (2, 2)}


@dataclass(frozen=True)
class Named:
    """All that metrics ask of a task."""

    kind: TaskKind
    classes: int = C
    class_names: tuple[str, ...] = ("a", "b", "c", "d", "e", "f")
    name: str = "m-none"

    def fingerprint(self) -> str:
        return "0" * 12


def outcome(predicted, truth) -> Outcome:
    names = tuple(f"id_{i}" for i in range(len(truth)))
    return Outcome("m-none", "knn", "none", "0", "0", "own", 0, names, predicted, truth)


def case(kind: TaskKind, absent: tuple, seed: int, n: int = 60) -> Outcome:
    """Random truth and predictions that agree half the time, with ties, and without one class on either side."""
    rng = np.random.default_rng(seed)
    no_truth, no_guess = absent
    if kind is TaskKind.MULTILABEL:
        truth = rng.integers(0, 2, (n, C))
        scores = np.round(rng.normal(size=(n, C)) + truth - 0.5, 1).astype(np.float32)
        if no_truth is not None:
            truth[:, no_truth] = 0
        if no_guess is not None:
            scores[:, no_guess] = -np.abs(scores[:, no_guess])
        return outcome(scores, truth)
    shape = (n,) if kind is TaskKind.MULTICLASS else (n, 5, 7)
    truth = rng.integers(0, C, shape)
    guess = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, C, shape))
    truth[truth == no_truth] = 0
    guess[guess == no_guess] = 1
    if kind is TaskKind.SEGMENTATION:
        return outcome(guess.astype(np.uint8), truth.astype(np.uint8))
    return outcome(np.eye(C, dtype=np.float32)[guess] + 0.1, truth)


def cases(kind: TaskKind):
    return [pytest.param(case(kind, a, seed), id=f"{name}-{seed}") for name, a in ABSENT.items() for seed in range(3)]


@pytest.mark.parametrize("given", cases(TaskKind.MULTICLASS))
def test_one_class_per_image(given):
    guess, truth = given.predicted.argmax(1), given.truth
    found = scores_of(Named(TaskKind.MULTICLASS), given)
    a, b = torch.tensor(guess), torch.tensor(truth)
    assert found["overall accuracy"] == pytest.approx(float(tm.multiclass_accuracy(a, b, C, average="micro")))
    assert found["balanced accuracy"] == pytest.approx(
        sk.recall_score(truth, guess, average="macro", labels=np.unique(truth))
    )
    assert found["macro F1"] == pytest.approx(float(tm.multiclass_f1_score(a, b, C)))
    each = sk.f1_score(truth, guess, average=None, labels=range(C), zero_division=np.nan)
    for name, value in zip("abcdef", each, strict=True):
        assert found.get(f"F1/{name}", np.nan) == pytest.approx(value, nan_ok=True)
    np.testing.assert_array_equal(
        confusion(Named(TaskKind.MULTICLASS), given),
        sk.confusion_matrix(truth, guess, labels=range(C), normalize="true"),
    )


@pytest.mark.parametrize("given", cases(TaskKind.MULTILABEL))
def test_several_labels_per_image(given):
    truth, logits = given.truth, torch.tensor(given.predicted)
    found = scores_of(Named(TaskKind.MULTILABEL), given)
    sure = torch.sigmoid(logits)  # by hand: torchmetrics applies it only where a score lies outside 0..1
    assert found["micro F1"] == pytest.approx(
        float(tm.multilabel_f1_score(sure, torch.tensor(truth), C, average="micro"))
    )
    labels = given.predicted > 0
    assert found["macro F1"] == pytest.approx(sk.f1_score(truth, labels, average="macro", zero_division=np.nan))
    held = truth.any(0)
    each = sk.average_precision_score(truth[:, held], given.predicted[:, held], average=None)
    assert found["mAP"] == pytest.approx(np.mean(each))
    assert [f"AP/{n}" in found for n in "abcdef"] == held.tolist()
    for i, n in enumerate("abcdef"):
        if held[i]:
            expected = float(tm.binary_average_precision(sure[:, i].double(), torch.tensor(truth[:, i])))
            assert found[f"AP/{n}"] == pytest.approx(expected)
    together = confusion(Named(TaskKind.MULTILABEL), given)
    recalls = sk.recall_score(truth, labels, average=None, zero_division=0)
    np.testing.assert_allclose(np.diag(together), recalls)
    having = [labels[i] for i in range(len(truth)) if truth[i, 1]]
    wrongly = [labels[i, 4] and not truth[i, 4] for i in range(len(truth)) if truth[i, 1]]
    assert together[1, 4] == pytest.approx(sum(wrongly) / max(len(having), 1))
    perfect = replace(given, predicted=np.where(truth > 0, 1.0, -1.0))
    np.testing.assert_array_equal(confusion(Named(TaskKind.MULTILABEL), perfect), np.diag(held.astype(float)))


@pytest.mark.parametrize("given", cases(TaskKind.SEGMENTATION))
def test_pixels(given):
    found = scores_of(Named(TaskKind.SEGMENTATION), given)
    guess, truth = given.predicted.ravel().astype(int), given.truth.ravel().astype(int)
    assert found["macro Jaccard"] == pytest.approx(
        float(tm.multiclass_jaccard_index(torch.tensor(guess), torch.tensor(truth), C))
    )
    held = np.union1d(guess, truth)
    each = dict(zip(held, sk.jaccard_score(truth, guess, average=None, labels=held), strict=True))
    assert found["macro Jaccard"] == pytest.approx(np.mean(list(each.values())))
    assert {n: found[f"IoU/{'abcdef'[n]}"] for n in each} == pytest.approx(each)
    assert sum(k.startswith("IoU/") for k in found) == len(held)
    assert found["pixel accuracy"] == pytest.approx(sk.accuracy_score(truth, guess))
    np.testing.assert_array_equal(
        confusion(Named(TaskKind.SEGMENTATION), given),
        sk.confusion_matrix(truth, guess, labels=range(C), normalize="true"),
    )


@pytest.mark.parametrize("kind", TaskKind)
def test_the_main_metric_comes_first_and_is_what_validation_compares(kind):
    given = case(kind, (None, 2), 7)
    found = scores_of(Named(kind), given)
    first, value = next(iter(found.items()))
    assert first == main_metric(kind)
    assert main_score(kind, given.predicted, given.truth, C) == value
    assert all(0 <= v <= 1 for v in found.values())


def test_what_ties_is_ranked_together_and_a_score_of_zero_is_no_label():
    truth = np.zeros((4, C), int)
    truth[0] = 1
    flat = outcome(np.zeros((4, C), np.float32), truth)
    found = scores_of(Named(TaskKind.MULTILABEL), flat)
    assert found["mAP"] == 0.25  # not 1: the positive stands first by chance
    assert found["micro F1"] == 0
    nothing = outcome(np.full((4, C), -1, np.float32), np.zeros((4, C), int))
    assert scores_of(Named(TaskKind.MULTILABEL), nothing) == {"micro F1": 0.0}


def test_classes_without_names_of_their_own_go_by_number():
    assert class_labels(Named(TaskKind.MULTICLASS, class_names=())) == ["0", "1", "2", "3", "4", "5"]
    assert class_labels(Named(TaskKind.MULTICLASS, 3, ("x", "y", "x"))) == ["x (0)", "y", "x (2)"]


def test_what_cannot_be_scored_is_said():
    task, given = Named(TaskKind.MULTICLASS), case(TaskKind.MULTICLASS, (None, None), 0)
    with pytest.raises(DatasetError, match="m-none has no test images"):
        scores_of(task, outcome(given.predicted[:0], given.truth[:0]))
    with pytest.raises(
        DatasetError, match=r"knn predicted \(60, 6\) for labels \(60,\) of m-none, which has 5 classes"
    ):
        scores_of(replace(task, classes=5), given)
    with pytest.raises(TrainingError, match=r"knn of none on m-none predicted numbers that are not finite"):
        scores_of(task, outcome(np.where(given.predicted > 1, np.nan, 0), given.truth))


def test_predictions_that_are_not_finite_are_neither_kept_nor_taken_from_what_is_kept(tmp_path):
    given, path = case(TaskKind.MULTICLASS, (None, None), 0), tmp_path / "outcome.npz"
    for bad in (np.nan, np.inf):
        with pytest.raises(TrainingError, match="not finite"):
            outcome(np.where(given.predicted > 1, bad, 0), given.truth).save(path)
        assert not path.exists()
    given.save(path)
    with np.load(path) as held:
        np.savez(path, **(dict(held) | {"predicted": given.predicted * np.nan}))
    with pytest.raises(CorruptFile, match=r"outcome.npz holds predictions that are not finite; remove it"):
        Outcome.load(path)
