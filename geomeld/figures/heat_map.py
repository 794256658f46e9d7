"""Heat map: what is left of a score under each disturbance, from weak to strong."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def heat_map(
    rows: Mapping[str, Sequence[tuple[str, float, float]]],
    ends: tuple[str, str] = ("nothing", "all"),
    title: str = "",
) -> Figure:
    """One row per name with its (level, score, what is left) cells from left to right: scores are written, what is left
    is the colour, from 0, nothing, or less to 1, all, or more; `ends` names these two. Rows may be of different length;
    a cell of which nobody knows what is left (NaN) has no colour, a score that is NaN is not written."""
    columns = max((len(cells) for cells in rows.values()), default=1)
    left = np.full((len(rows), columns), np.nan)
    figure = Figure(figsize=(2.9 + 1.35 * columns, 1.3 + 0.55 * len(rows)), dpi=110, layout="constrained")
    axis = figure.subplots()
    for i, cells in enumerate(rows.values()):
        for j, (level, score, share) in enumerate(cells):
            left[i, j] = share
            if np.isfinite(score):
                color = "white" if share < 0.6 else "black"
                axis.text(j, i, f"{score:.2f}\n{level}", ha="center", va="center", fontsize=6.5, color=color)
    shown = axis.imshow(np.ma.masked_invalid(left), cmap="viridis", vmin=0.0, vmax=1.0, aspect="auto")
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.set_xticks([])
    for side in axis.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(shown, ax=axis, shrink=0.8)
    nothing, everything = ends
    bar.set_ticks([0, 0.5, 1], labels=[f"{nothing}\nor worse", "half way", f"{everything}\nor better"], fontsize=7)
    if title:
        axis.set_title(title, fontsize=9)
    return figure
