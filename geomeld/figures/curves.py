"""Training curves: one small chart per named term."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

COLUMNS = 4


def loss_curves(steps: Sequence[int], terms: Mapping[str, Sequence[float]]) -> Figure:
    """One chart per term, raw values light and a running median over 5 % of the steps dark."""
    rows = -(-len(terms) // COLUMNS)
    figure = Figure(figsize=(2.7 * COLUMNS, 1.9 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis, (name, values) in zip(axes, terms.items(), strict=False):
        axis.plot(steps, values, color="#9db8d2", linewidth=0.8)
        axis.plot(steps, running_median(values), color="#1f4e79", linewidth=1.4)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.grid(color="#dddddd", linewidth=0.4)
    for axis in axes[len(terms) :]:
        axis.set_axis_off()
    return figure


def running_median(values: Sequence[float]) -> np.ndarray:
    """Median over a centred window of 5 % of the series (at least 3 values)."""
    series = np.asarray(values, dtype=float)
    half = max(1, len(series) // 40)
    return np.array([np.nanmedian(series[max(0, i - half) : i + half + 1]) for i in range(len(series))])
