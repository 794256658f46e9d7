"""Embedding map: tiles as points of a plane, coloured by land cover."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from geomeld.core.modality import Categorical


def embedding_map(
    points: NDArray[np.floating], labels: Sequence[int] | NDArray, kind: Categorical, title: str = ""
) -> Figure:
    """Points (n, 2) in the colours of their classes (indices; those outside the classes are grey), commonest class
    first in the legend with its number of tiles."""
    labels = np.asarray(labels)
    figure = Figure(figsize=(7.2, 5.0), dpi=110, layout="constrained")
    axis = figure.subplots()
    known = np.bincount(labels[labels >= 0], minlength=len(kind.classes))
    without = (labels < 0) | (labels >= len(kind.classes))
    if without.any():
        axis.plot(*points[without].T, ".", color="#c8c8c8", markersize=4, label=f"unknown ({without.sum()})")
    for c in np.argsort(-known[: len(kind.classes)], kind="stable"):
        if known[c]:
            at, land = labels == c, kind.classes[c]
            axis.plot(
                *points[at].T, "o", color=land.colour, markersize=4.5, markeredgecolor="#333333",
                markeredgewidth=0.25, label=f"{land.name} ({known[c]})",
            )  # fmt: skip
    axis.set_xticks([])
    axis.set_yticks([])
    if len(points):
        figure.legend(fontsize=7, loc="outside right upper", frameon=False)
    if title:
        axis.set_title(title, fontsize=9)
    return figure
