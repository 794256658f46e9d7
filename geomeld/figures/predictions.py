"""Predictions: figures per class, confusion matrices, labelled pictures and learning curves of an evaluation."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from geomeld.figures.pictures import RGB

Curve = Sequence[Mapping[str, float]]
NAMED = 45
"""Classes that are still written out beside a matrix or a bar."""


def class_bars(by_encoder: Mapping[str, Mapping[str, float]], metric: str) -> Figure:
    """A dot per encoder and class, in the order of the classes; 0..1. A class that an encoder has no figure of has no
    dot. Encoders stand below one another in the row of their class, so that none hides another."""
    classes = list(dict.fromkeys(name for values in by_encoder.values() for name in values))
    apart = 0.7 / max(len(by_encoder), 1)
    row_height = max(0.22, 0.09 * len(by_encoder))
    figure = Figure(figsize=(8, 1.0 + row_height * len(classes)), dpi=110, layout="constrained")
    axis = figure.subplots()
    for k, (colour, (encoder, values)) in enumerate(zip(_colours(len(by_encoder)), by_encoder.items(), strict=True)):
        lower = apart * (k - (len(by_encoder) - 1) / 2)
        there = [(values[name], row + lower) for row, name in enumerate(classes) if name in values]
        axis.plot(*zip(*there, strict=True), "o", color=colour, label=encoder, markersize=4)
    axis.set_yticks(range(len(classes)), [_short(name, 46) for name in classes], fontsize=7)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel(metric, fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", color="#dddddd", linewidth=0.5)
    for row in range(1, len(classes)):
        axis.axhline(row - 0.5, color="#dddddd", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return figure


def confusion_matrices(matrices: Mapping[str, NDArray[np.float64]], classes: Sequence[str]) -> Figure:
    """One square per encoder: shares (0..1) of each true class (row) by the class it was given (column)."""
    side = min(5.2, 2.2 + 0.1 * len(classes))
    figure = Figure(figsize=(side * len(matrices) + 1.2, side + 1.2), dpi=110, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(matrices), sharey=True))
    for axis, (encoder, matrix) in zip(axes, matrices.items(), strict=True):
        shown = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        axis.set_title(_short(encoder, 40), fontsize=8)
        axis.set_xlabel("given", fontsize=7)
        if len(classes) <= NAMED:
            axis.set_xticks(range(len(classes)), [_short(c, 16) for c in classes], fontsize=5, rotation=90)
            axis.set_yticks(range(len(classes)), [_short(c, 22) for c in classes], fontsize=5)
    axes[0].set_ylabel("true", fontsize=7)
    figure.colorbar(shown, ax=axes, shrink=0.6).ax.tick_params(labelsize=6)
    return figure


def class_maps(pictures: Sequence[RGB], maps: Mapping[str, NDArray[np.uint8]], classes: Sequence[str]) -> Figure:
    """A row per test image: the picture, then each of `maps` (images, rows, columns), the truth first."""
    rows, columns = len(pictures), 1 + len(maps)
    figure = Figure(figsize=(1.9 * columns + 1.6, 1.95 * rows + 0.3), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    palette = class_palette(len(classes))
    for i, picture in enumerate(pictures):
        shown = {"image": picture} | {name: palette[stack[i]] for name, stack in maps.items()}
        for axis, (name, image) in zip(axes[i], shown.items(), strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            if i == 0:
                axis.set_title(_short(name, 26), fontsize=7)
    present = sorted({int(c) for stack in maps.values() for c in np.unique(stack)})
    handles = [Patch(color=palette[c], label=_short(classes[c], 26)) for c in present]
    figure.legend(handles=handles, fontsize=6, loc="outside right upper", frameon=False)
    return figure


def learning_curves(curves: Mapping[str, Curve], metric: str) -> Figure:
    """Training loss and validation score by epoch, a line per run."""
    figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    axes = figure.subplots(1, 2)
    for colour, (name, curve) in zip(_colours(len(curves)), curves.items(), strict=True):
        for axis, key in zip(axes, ("loss", "valid"), strict=True):
            there = [(row["epoch"], row[key]) for row in curve if key in row]
            if there:
                mark = "." if len(there) < 3 else ""
                axis.plot(*zip(*there, strict=True), color=colour, label=name, linewidth=1.3, marker=mark)
    for axis, title in zip(axes, ("training loss", f"{metric} on validation"), strict=True):
        axis.set_title(title, fontsize=8)
        axis.set_xlabel("epoch", fontsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.tick_params(labelsize=7)
        axis.grid(color="#dddddd", linewidth=0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=6, loc="outside lower center", ncols=2, frameon=False)
    return figure


def class_palette(count: int) -> NDArray[np.float64]:
    """(count, 3) colours of classes, told apart as well as that many can be."""
    if count <= 20:
        return colormaps["tab20"](np.arange(count))[:, :3]
    return colormaps["gist_rainbow"](np.linspace(0, 1, count))[:, :3]


def _colours(count: int) -> NDArray[np.float64]:
    return np.array([colormaps["tab10"](i % 10) for i in range(count)])


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
