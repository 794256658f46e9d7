"""Heat map: what is left of a score under each disturbance, from weak to strong."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

LOWEST = 0.0
"""Share of the undisturbed score that is drawn in the darkest colour."""


def heat_map(
    rows: Mapping[str, Sequence[tuple[str, float]]], undisturbed: Mapping[str, float] | float, title: str = ""
) -> Figure:
    """One row per name with its (level, score) cells from left to right; colours are shares of the row's `undisturbed`
    score, numbers the scores themselves. Rows may be of different length; a score that is NaN is left blank."""
    columns = max((len(cells) for cells in rows.values()), default=1)
    beside = undisturbed if isinstance(undisturbed, Mapping) else dict.fromkeys(rows, undisturbed)
    shares = np.full((len(rows), columns), np.nan)
    figure = Figure(figsize=(2.2 + 1.35 * columns, 1.1 + 0.55 * len(rows)), dpi=110, layout="constrained")
    axis = figure.subplots()
    for i, (name, cells) in enumerate(rows.items()):
        for j, (level, score) in enumerate(cells):
            shares[i, j] = score / beside[name] if beside[name] else np.nan
            if np.isfinite(score):
                dark = shares[i, j] < 0.6 if np.isfinite(shares[i, j]) else False
                axis.text(
                    j, i, f"{score:.2f}\n{level}", ha="center", va="center", fontsize=6.5,
                    color="white" if dark else "black",
                )  # fmt: skip
    shown = axis.imshow(np.ma.masked_invalid(shares), cmap="viridis", vmin=LOWEST, vmax=1.0, aspect="auto")
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.set_xticks([])
    for side in axis.spines.values():
        side.set_visible(False)
    figure.colorbar(shown, ax=axis, label="share of the undisturbed score", shrink=0.8)
    if title:
        axis.set_title(title, fontsize=9)
    return figure
