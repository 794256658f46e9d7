"""Frozen: read-outs of an encoder that is never trained; validation chooses their settings, then the test is read."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geomeld.core.errors import UsageError
from geomeld.evaluate.encoder import Encoder, cropped, padded
from geomeld.evaluate.features import See, features_of, passed, pixels_of
from geomeld.evaluate.logistic import Linear, sweep
from geomeld.evaluate.metrics import main_score
from geomeld.evaluate.neighbours import votes
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Task, TaskKind

KNN, PROBE, PIXEL_PROBE = "knn", "lbfgs probe", "segmentation probe"
"""Names of the protocols."""

NEIGHBOURS = (1, 5, 10, 20, 50, 100)
TEMPERATURES = (inf, 0.2, 0.07, 0.02)
"""Of a vote, by cosine; infinite where all neighbours count alike."""
PATIENCE = 2
"""Penalties with a lower validation score than the best so far, after which weaker ones are not tried."""
PIXELS, PIXELS_EACH = 40_000, 256
"""Most training pixels of the segmentation probe, and most of one image."""

Model = TypeVar("Model")


def knn(
    encoder: Encoder, task: Task, scale: Scale, seed: int = 0, cache: Path | None = None, *, progress: bool = True
) -> Outcome:
    """k nearest neighbours by cosine among the training images; validation chooses k and the temperature of votes.

    A label of several is given where its share of the votes is above one half. Raises UsageError for a task of pixels,
    and what `features_of` raises.
    """
    _only(task, KNN, TaskKind.MULTICLASS, TaskKind.MULTILABEL)
    known, labels = features_of(encoder, task, "train", scale, cache, progress=progress)
    held_out, truth = features_of(encoder, task, "valid", scale, cache, progress=progress)
    settings = [(k, t) for k in NEIGHBOURS if k <= len(known) for t in TEMPERATURES]
    tried = votes(known, labels, held_out, task.classes, settings)
    half = np.float32(0.5 if task.kind is TaskKind.MULTILABEL else 0)
    scores = [main_score(task.kind, share - half, truth, task.classes) for share in tried]
    best = int(np.argmax(scores))
    test, truth = features_of(encoder, task, "test", scale, cache, progress=progress)
    (share,) = votes(known, labels, test, task.classes, settings[best : best + 1])
    k, temperature = settings[best]
    chosen = {"k": k, "temperature": None if temperature == inf else temperature, "valid": scores[best]}
    return _outcome(encoder, task, scale, seed, KNN, share - half, truth, chosen)


def lbfgs_probe(
    encoder: Encoder, task: Task, scale: Scale, seed: int = 0, cache: Path | None = None, *, progress: bool = True
) -> Outcome:
    """Logistic regression on standardised features, to its optimum; validation chooses the penalty.

    Raises UsageError for a task of pixels, and what `features_of` raises.
    """
    _only(task, PROBE, TaskKind.MULTICLASS, TaskKind.MULTILABEL)
    values, labels = features_of(encoder, task, "train", scale, cache, progress=progress)
    held_out, truth = features_of(encoder, task, "valid", scale, cache, progress=progress)
    penalty, model, score = best_fit(
        sweep(values, labels, task.classes),
        lambda model: main_score(task.kind, model(held_out), truth, task.classes),
    )
    test, truth = features_of(encoder, task, "test", scale, cache, progress=progress)
    return _outcome(encoder, task, scale, seed, PROBE, model(test), truth, {"penalty": penalty, "valid": score})


def segmentation_probe(
    encoder: Encoder, task: Task, scale: Scale, seed: int = 0, cache: Path | None = None, *, progress: bool = True
) -> Outcome:
    """Logistic regression of a pixel's class on all of the encoder's maps, enlarged bilinearly.

    It learns from pixels that `seed` draws, as many of each image, and validation chooses the penalty on pixels drawn
    likewise. Raises UsageError for a task of images, and what `features_of` raises.
    """
    _only(task, PIXEL_PROBE, TaskKind.SEGMENTATION)

    def drawn(split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        each = min(PIXELS_EACH, task.size**2, max(1, PIXELS // max(1, len(task.names[split]))))
        return pixels_of(encoder, task, split, scale, each, seed, cache, progress=progress)

    (values, labels), (held_out, truth) = drawn("train"), drawn("valid")

    def judge(model: Linear) -> float:
        # One image that holds all pixels: the Jaccard index is of all of them together in any case.
        given = model(held_out).argmax(1)
        return main_score(task.kind, given[None], truth[None], task.classes)

    penalty, model, score = best_fit(sweep(values, labels, task.classes), judge)
    predicted, truth = passed(encoder, task, "test", scale, _segmenter(encoder, model), progress=progress)
    chosen = {"penalty": penalty, "valid": score, "pixels": len(values)}
    return _outcome(encoder, task, scale, seed, PIXEL_PROBE, predicted.astype(np.uint8), truth.astype(np.uint8), chosen)


def enlarged(model: Linear, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Scores (B, classes, rows, columns) of a linear model of maps (B, C_i, h_i, w_i) enlarged bilinearly to `size`.

    Enlarging and weighing are both linear: weighed first, there is far less to enlarge.
    """
    weights = torch.from_numpy(model.weight).to(maps[0]).split([m.shape[1] for m in maps], dim=1)
    small = [torch.einsum("kc,bchw->bkhw", w, m) for w, m in zip(weights, maps, strict=True)]
    scores = sum(F.interpolate(s, size, mode="bilinear", align_corners=False) for s in small)
    return scores + torch.from_numpy(model.bias).to(maps[0])[:, None, None]


def _segmenter(encoder: Encoder, model: Linear) -> See:
    def classes(images: Tensor, _: Sequence[str]) -> Tensor:
        whole = padded(images, encoder.multiple)
        scores = enlarged(model, encoder.pyramid(whole), (whole.shape[-2], whole.shape[-1]))
        scores = cropped(scores, (images.shape[-2], images.shape[-1]))
        return scores.argmax(1).where(torch.isfinite(scores).all(1), torch.nan)  # which `passed` refuses

    return classes


def best_fit(fits: Iterable[tuple[float, Model]], judge: Callable[[Model], float]) -> tuple[float, Model, float]:
    """(penalty, model, score) of the best of models that come from the simplest on; the simplest of those that tie."""
    best: tuple[float, Model, float] | None = None
    waited = 0
    for penalty, model in fits:
        score = judge(model)
        if best is None or score > best[2]:
            best, waited = (penalty, model, score), 0
        elif score < best[2]:  # not where it is the same: strong penalties all answer the commonest class
            waited += 1
        if waited == PATIENCE:
            break
    assert best is not None
    return best


def _only(task: Task, protocol: str, *kinds: TaskKind) -> None:
    if task.kind not in kinds:
        raise UsageError(
            f"{protocol!r} is for {' or '.join(k.value for k in kinds)}; {task.name} has {task.kind.value}. Choose "
            f"{PIXEL_PROBE if task.kind is TaskKind.SEGMENTATION else PROBE!r}."
        )


def _outcome(
    encoder: Encoder, task: Task, scale: Scale, seed: int, protocol: str, predicted: NDArray, truth: NDArray,
    chosen: dict[str, Any],
) -> Outcome:  # fmt: skip
    return Outcome(
        task.name, protocol, encoder.title, encoder.identity, task.fingerprint(), scale.source, seed,
        tuple(task.names["test"]), predicted, truth, chosen,
    )  # fmt: skip
