"""Floor: what the best answer that never looks at the image would score; a number means nothing without it."""

import numpy as np
from numpy.typing import NDArray

from geomeld.evaluate.task import TaskKind

FLOOR = "best constant answer"


def best_constant(kind: TaskKind, truth: NDArray) -> float:
    """The highest main metric, 0..1, of one answer given to every test image, chosen with the truth in hand.

    `truth`: (n,) classes: overall accuracy; (n, classes) zeros and ones: micro F1; (n, rows, columns): macro Jaccard,
    classes absent from answer and truth left out.
    """
    match kind:
        case TaskKind.MULTICLASS:
            return float(np.bincount(truth).max() / len(truth))
        case TaskKind.MULTILABEL:
            # Labels are worth naming from the commonest on; the best set is a beginning of that order.
            right = np.cumsum(np.sort(truth.sum(axis=0))[::-1])
            named = len(truth) * np.arange(1, truth.shape[1] + 1)
            return float((2 * right / (named + truth.sum())).max())
        case TaskKind.SEGMENTATION:
            shares = np.bincount(truth.ravel()) / truth.size
            return float(shares.max() / (shares > 0).sum())
