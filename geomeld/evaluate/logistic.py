"""Logistic regression: linear models of cached features for a row of penalties, each starting where the last ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""Of the squared weights, beside the mean loss; from the simplest model to the one that fits the training closest."""
NEVER = -1e4
"""Score of a class that no training image has."""


@dataclass(frozen=True)
class Linear:
    """Scores of classes, linear in features."""

    weight: NDArray[np.float64]
    """(classes, width), on features as they come, not standardised."""
    bias: NDArray[np.float64]
    """(classes,)."""

    def __call__(self, values: NDArray) -> NDArray[np.float32]:
        """Features (n, width) to scores (n, classes): log-odds of each class, or their differences where one is."""
        return (values @ self.weight.T.astype(values.dtype) + self.bias.astype(values.dtype)).astype(np.float32)


def sweep(
    values: NDArray,
    labels: NDArray[np.int64],
    classes: int,
    penalties: Sequence[float] = PENALTIES,
    *,
    iterations: int = 300,
    tolerance: float = 3e-5,
) -> Iterator[tuple[float, Linear]]:
    """(penalty, model) for each of `penalties` in turn; nothing is computed before it is asked for.

    `values`: features (n, width), standardised here; `labels`: (n,) one class of each, or (n, classes) zeros and ones.
    A model minimises penalty x |weights|² / 2 + the mean over images of cross-entropy, or of the sum of each class's
    binary cross-entropy; biases are free. That is scikit-learn's LogisticRegression at C = 1 / (penalty x n).
    `tolerance`: largest slope that is left, in coordinates in which the loss is curved by at most 1.
    """
    n = len(values)
    several = labels.ndim == 2
    mean, std = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    std[std <= 1e-7 * np.abs(mean) + 1e-12] = 1.0
    turned, axes, spread = _turned(torch.from_numpy(((values - mean) / std).astype(values.dtype)))
    counts = labels.sum(0) if several else np.bincount(labels, minlength=classes)
    open_classes = np.flatnonzero((counts > 0) & (counts < n))
    target = labels[:, open_classes] if several else labels[:, None] == open_classes
    loss = _Loss(turned, torch.from_numpy(target).to(turned), several=several)
    odds = np.log((counts + 0.5) / (n - counts + 0.5)) if several else np.where(counts > 0, 0.0, NEVER)
    found = np.zeros((len(spread) + 1, len(open_classes)))
    for penalty in penalties:
        # The loss is curved by at most a quarter of the features' spread, along its axes. In units of that root all
        # directions look alike, and L-BFGS needs tens of steps where it needs thousands on features as they come.
        units = 1 / np.sqrt(np.append(spread / 4 + penalty, 0.25))[:, None]
        if len(open_classes):
            result = minimize(
                loss, (found / units).ravel(), (units, penalty), jac=True, method="L-BFGS-B",
                options={"maxiter": iterations, "gtol": tolerance, "ftol": 1e-12, "maxcor": 20},
            )  # fmt: skip
            found = result.x.reshape(found.shape) * units
        weight, bias = np.zeros((classes, len(spread))), odds.copy()
        weight[open_classes], bias[open_classes] = (axes @ found[:-1]).T / std, found[-1]
        yield penalty, Linear(weight, bias - weight @ mean)


def _turned(values: Tensor) -> tuple[Tensor, NDArray[np.float64], NDArray[np.float64]]:
    """Features along their principal axes, (n, width); the axes as columns, and the mean square along each."""
    spread, axes = torch.linalg.eigh((values.T @ values).double() / len(values))
    return values @ axes.to(values), axes.numpy(), spread.clamp(min=0).numpy()


@dataclass(frozen=True)
class _Loss:
    """Mean loss and its slope, for L-BFGS."""

    values: Tensor
    """(n, width)."""
    target: Tensor
    """(n, classes) of 0 and 1."""
    several: bool

    def __call__(self, flat: NDArray, units: NDArray, penalty: float) -> tuple[float, NDArray]:
        """At the weights and biases `flat` (width + 1, classes), counted in `units` (width + 1, 1)."""
        held = flat.reshape(-1, self.target.shape[1]) * units
        scores = torch.addmm(torch.from_numpy(held[-1]).to(self.values), self.values, self._given(held[:-1]))
        if self.several:
            losses = F.binary_cross_entropy_with_logits(scores, self.target, reduction="none")
            rest = scores.sigmoid_().sub_(self.target)
        else:
            logs = F.log_softmax(scores, dim=1)
            losses = -(logs * self.target)
            rest = logs.exp_().sub_(self.target)
        n = len(self.values)
        slope = np.empty_like(held)
        slope[:-1] = (self.values.T @ rest).double().numpy() / n + penalty * held[:-1]
        slope[-1] = rest.sum(0, dtype=torch.float64).numpy() / n
        value = float(losses.sum(dtype=torch.float64)) / n + penalty / 2 * float((held[:-1] ** 2).sum())
        return value, (slope * units).ravel()

    def _given(self, weights: NDArray) -> Tensor:
        return torch.from_numpy(weights).to(self.values)
