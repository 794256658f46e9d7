"""Reconstructions: what was measured beside what a model makes of hidden patches, in every target modality."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from geomeld.core.tile import Layer
from geomeld.figures.pictures import picture
from geomeld.modalities import MODALITIES


def reconstruction_figure(examples: Mapping[str, np.ndarray], tiles: int = 2) -> Figure:
    """Per tile and target: the measurement and the prediction, visible patches as measured, hidden ones predicted."""
    names = [n for n in MODALITIES if f"{n}/predicted" in examples]
    count = min(tiles, len(examples["tile_ids"]))
    figure = Figure(figsize=(1.9 * (len(names) + 1), 4.1 * count), dpi=100, layout="constrained")
    axes = figure.subplots(2 * count, len(names) + 1, squeeze=False)
    for k in range(count):
        hidden = examples["hidden"][k]
        for column, name in enumerate(names, start=1):
            truth, guess = _pair(examples, name, k)
            # Visible patches were never a target: what the model says there means nothing, so the measurement is shown.
            guess = np.where(hidden[..., None], guess, truth)
            axes[2 * k][column].imshow(truth)
            axes[2 * k + 1][column].imshow(guess)
            axes[2 * k][column].set_title(MODALITIES[name].title, fontsize=7)
            axes[2 * k + 1][column].set_title("predicted", fontsize=7)
        seen = np.where(hidden[..., None], 0.5, _pair(examples, names[0], k)[0])
        axes[2 * k][0].imshow(seen)
        axes[2 * k][0].set_title("what the encoder sees", fontsize=7)
        axes[2 * k + 1][0].set_visible(False)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _pair(examples: Mapping[str, np.ndarray], name: str, k: int) -> tuple[np.ndarray, np.ndarray]:
    modality = MODALITIES[name]
    truth, valid, guess = (examples[f"{name}/{part}"][k] for part in ("target", "valid", "predicted"))
    dtype = np.dtype(modality.dtype)
    if dtype.kind in "iu":  # a guess may leave the range of what is stored
        guess = guess.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    # One stretch for both pictures: pixels of the two are put side by side before they are coloured.
    both = Layer(
        np.concatenate([truth, guess], axis=2).astype(dtype),
        np.concatenate([valid, np.broadcast_to(valid.any(axis=(1, 2), keepdims=True), valid.shape)], axis=2),
        modality.bands,
    )
    shown = picture(modality, both)
    return shown[:, : truth.shape[2]], shown[:, truth.shape[2] :]
