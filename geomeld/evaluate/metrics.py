"""Metrics: what the predictions of an outcome are worth, each number defined for classes that do not occur.

A class that neither the truth nor the predictions hold has no F1 and no Jaccard index: it is left out of the mean, and
out of the scores. A class without a positive has no average precision. Recall is over the classes that the truth holds.
"""

from collections import Counter
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.core.errors import DatasetError
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import Task, TaskKind

MAIN = {
    TaskKind.MULTICLASS: "overall accuracy",
    TaskKind.MULTILABEL: "micro F1",
    TaskKind.SEGMENTATION: "macro Jaccard",
}
PRECISION = "mAP"


def main_metric(kind: TaskKind) -> str:
    """The metric that stands in a table, and that validation chooses by."""
    return MAIN[kind]


def scores_of(task: Task, outcome: Outcome) -> dict[str, float]:
    """All scores of an outcome by metric, 0..1, the main one first.

    One class per image: overall accuracy, balanced accuracy (mean recall), macro F1, "F1/CLASS". Several: micro F1 with
    a label given where its score is above 0 (a probability above 0.5), mAP, macro F1, "F1/CLASS", "AP/CLASS". Pixels,
    all test images together: macro Jaccard, pixel accuracy, "IoU/CLASS". What is not defined is left out.

    Raises DatasetError for a test split without images, TrainingError for predictions that are not finite.
    """
    check(task, outcome)
    names = class_labels(task)
    counts = tallies(task.kind, outcome.predicted, outcome.truth, task.classes).sum(0)
    found = averages(task.kind, counts, names)
    if task.kind is TaskKind.MULTILABEL:
        found |= precisions(outcome.predicted, outcome.truth, names)
    return {name: float(found[name]) for name in in_order(task.kind, found) if np.isfinite(found[name])}


def main_score(kind: TaskKind, predicted: NDArray, truth: NDArray, classes: int) -> float:
    """The main metric of predictions in the form of `Outcome.predicted`; what validation compares."""
    counts = tallies(kind, predicted, truth, classes).sum(0)
    return float(averages(kind, counts, [""] * classes)[MAIN[kind]])


def confusion(task: Task, outcome: Outcome) -> NDArray[np.float64]:
    """(classes, classes) in 0..1: of the images or pixels of the row's class, the share that was called the column's;
    0 for a class that does not occur.

    Of several labels per image: of the images with the row's label, the share that was given it (on the diagonal), and
    that was given the column's without having it.
    """
    truth, given = outcome.truth, _given(task.kind, outcome.predicted)
    if task.kind is TaskKind.MULTILABEL:
        has, called = truth.astype(bool), given.astype(bool)
        counts = has.T.astype(np.int64) @ (called & ~has) + np.diag((has & called).sum(0))
        whole = has.sum(0)
    else:
        cells = truth.ravel().astype(np.int64) * task.classes + given.ravel()
        counts = np.bincount(cells, minlength=task.classes**2).reshape(task.classes, task.classes)
        whole = counts.sum(1)
    return counts / np.maximum(whole, 1)[:, None]


def tallies(kind: TaskKind, predicted: NDArray, truth: NDArray, classes: int) -> NDArray[np.int64]:
    """(n, 3, classes) of each image: hits, false alarms and misses of each class, in images or pixels.

    Every metric but mAP is a function of their sum over images.
    """
    given = _given(kind, predicted)
    if kind is TaskKind.MULTILABEL:
        a, b = given.astype(bool), truth.astype(bool)
        return np.stack([a & b, a & ~b, ~a & b], axis=1).astype(np.int64)
    if kind is TaskKind.MULTICLASS:
        a, b = _one_hot(given, classes), _one_hot(truth, classes)
        return np.stack([a & b, a & ~b, ~a & b], axis=1).astype(np.int64)
    counted = np.zeros((len(given), 3, classes), np.int64)
    for row, a, b in zip(counted, given.reshape(len(given), -1), truth.reshape(len(truth), -1), strict=True):
        row[0] = np.bincount(b[a == b], minlength=classes)
        row[1] = np.bincount(a, minlength=classes) - row[0]
        row[2] = np.bincount(b, minlength=classes) - row[0]
    return counted


def averages(kind: TaskKind, counts: NDArray, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Metrics (...) of summed tallies (..., 3, classes); NaN where one is not defined."""
    hits, alarms, misses = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    f1 = _share(2 * hits, 2 * hits + alarms + misses)
    jaccard = _share(hits, hits + alarms + misses)
    recall = _share(hits, hits + misses)
    right = _share(hits.sum(-1), (hits + misses).sum(-1))
    if kind is TaskKind.SEGMENTATION:
        found = {"macro Jaccard": _mean(jaccard), "pixel accuracy": right}
        return found | {f"IoU/{name}": jaccard[..., i] for i, name in enumerate(names)}
    if kind is TaskKind.MULTICLASS:
        found = {"overall accuracy": right, "balanced accuracy": _mean(recall), "macro F1": _mean(f1)}
    else:
        # No label given and none there: 0, as scikit-learn and torchmetrics have it.
        micro = _share(2 * hits.sum(-1), (2 * hits + alarms + misses).sum(-1))
        found = {"micro F1": np.nan_to_num(micro), "macro F1": _mean(f1)}
    return found | {f"F1/{name}": f1[..., i] for i, name in enumerate(names)}


def precisions(
    predicted: NDArray, truth: NDArray, names: list[str], weights: NDArray[np.int64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """mAP and "AP/CLASS" (draws,) of scores (n, classes) where image i counts `weights` (draws, n) times; without
    weights, (), each once. Scores that tie are ranked together; NaN for classes without a positive."""
    once = weights is None
    counted = np.ones((len(truth), 1), np.uint16) if weights is None else weights.T.astype(np.uint16, order="C")
    found = np.stack([_class_precision(s, t, counted) for s, t in zip(predicted.T, truth.T, strict=True)], axis=-1)
    mean = _mean(found)
    if once:
        found, mean = found[0], mean[0]
    return {PRECISION: mean} | {f"AP/{name}": found[..., i] for i, name in enumerate(names)}


def in_order(kind: TaskKind, found: dict[str, Any]) -> list[str]:
    """Names of metrics: the main one first, then those of all classes, then those of one class each."""
    return sorted(found, key=lambda name: (name != MAIN[kind], "/" in name, name.split("/")[0] if "/" in name else ""))


def class_labels(task: Task) -> list[str]:
    """A name for each class: its own where the task tells one of its own for each, else its number."""
    named = task.class_names if len(task.class_names) == task.classes else ()
    twice = {name for name, n in Counter(named).items() if n > 1}
    return [f"{name} ({i})" if name in twice else name for i, name in enumerate(named)] or [
        str(i) for i in range(task.classes)
    ]


def check(task: Task, outcome: Outcome) -> None:
    """Raises DatasetError for an outcome without images, or of another form than the task's, TrainingError for
    predictions that are not finite."""
    images = len(outcome.truth)
    form = (images, task.classes) if task.kind is not TaskKind.SEGMENTATION else outcome.truth.shape
    wanted = (images,) if task.kind is TaskKind.MULTICLASS else form
    if not images:
        raise DatasetError(f"{task.name} has no test images: there is nothing to score.")
    if outcome.predicted.shape != form or outcome.truth.shape != wanted:
        raise DatasetError(
            f"{outcome.protocol} predicted {outcome.predicted.shape} for labels {outcome.truth.shape} of {task.name}, "
            f"which has {task.classes} classes. Remove the stored outcome and evaluate again."
        )
    outcome.check_finite()


def _given(kind: TaskKind, predicted: NDArray) -> NDArray:
    """What was answered: the likeliest class (the first of those that tie), labels above 0, or the class of a pixel."""
    if kind is TaskKind.MULTICLASS:
        return predicted.argmax(-1)
    return predicted > 0 if kind is TaskKind.MULTILABEL else predicted


def _one_hot(labels: NDArray, classes: int) -> NDArray[np.bool_]:
    return labels[:, None] == np.arange(classes)


def _share(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean(values: NDArray) -> NDArray[np.float64]:
    """Over the last axis, of what is defined."""
    there = np.isfinite(values)
    return _share(np.where(there, values, 0).sum(-1), there.sum(-1))


def _class_precision(scores: NDArray, truth: NDArray, counted: NDArray[np.uint16]) -> NDArray[np.float64]:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    return _weighted_precision(order, last, truth[order].astype(np.bool_), counted)


@njit(cache=True, nogil=True)
def _weighted_precision(order: NDArray, last: NDArray, positive: NDArray, counted: NDArray) -> NDArray[np.float64]:
    """Sum over thresholds of precision x gain in recall, (draws,); `counted` (n, draws) says how often an image counts,
    and `last` marks the last of those that tie."""
    draws = counted.shape[1]
    hits, seen, before = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    area = np.zeros(draws)
    gained = False
    for i in range(len(order)):
        # All draws side by side: these loops are done many at a time by the processor.
        row = counted[order[i]]
        for draw in range(draws):
            seen[draw] += row[draw]
        if positive[i]:
            gained = True
            for draw in range(draws):
                hits[draw] += row[draw]
        if last[i] and gained:
            gained = False
            for draw in range(draws):
                area[draw] += (hits[draw] - before[draw]) * hits[draw] / max(seen[draw], 1.0)
                before[draw] = hits[draw]
    return np.where(hits > 0, area / np.maximum(hits, 1.0), np.nan)
