"""Training curves: one small chart per named number of a log."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 4
POINTS = 1000
"""Points that a curve is drawn with at most; each is then a mean over neighbouring rows."""


def curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """One chart per name in the rows but "step", raw values light and a running median over 5 % of them dark.

    A name need not be in every row: its curve goes through the rows that have it.
    """
    names = list(dict.fromkeys(name for row in rows for name in row if name != "step"))
    height = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2.7 * COLUMNS, 1.9 * height), dpi=110, layout="constrained")
    axes = figure.subplots(height, COLUMNS, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        steps, values = thinned([(row["step"], row[name]) for row in rows if name in row])
        mark = "." if len(steps) < 2 else ""
        axis.plot(steps, values, color="#9db8d2", linewidth=0.8, marker=mark)
        axis.plot(steps, running_median(values), color="#1f4e79", linewidth=1.4)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.grid(color="#dddddd", linewidth=0.4)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return figure


def thinned(series: Sequence[tuple[float, float]], points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) as at most `points` means over neighbours."""
    size = -(-len(series) // points)
    parts = [np.mean(series[i : i + size], axis=0) for i in range(0, len(series), size)]
    steps, values = np.array(parts, dtype=float).T
    return steps, values


def running_median(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Median over a centred window of 5 % of the series (at least 3 values)."""
    series = np.asarray(values, dtype=float)
    half = max(1, len(series) // 40)
    return np.array([np.median(series[max(0, i - half) : i + half + 1]) for i in range(len(series))])
