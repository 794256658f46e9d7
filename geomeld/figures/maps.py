"""Maps and bars of a dataset: density of tiles, land cover, months (the paper's figures 1 and 4 for any dataset)."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from geomeld.core.modality import Categorical

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def density_map(
    lons: Sequence[float], lats: Sequence[float], *, land: np.ndarray | None = None, cell: float = 1.0
) -> Figure:
    """Number of tiles per cell of `cell` degrees on an equirectangular map.

    `land` is an optional (rows, columns) boolean picture of the world's land, north up, drawn underneath.
    """
    figure = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    axis = figure.subplots()
    if land is not None:
        axis.imshow(
            np.where(land[..., None], (0.90, 0.89, 0.86), (0.82, 0.88, 0.94)), extent=(-180, 180, -90, 90), zorder=0
        )
    # Cells of one degree are invisible on a small map when there are few tiles: draw points over the cells.
    counts, _, _ = np.histogram2d(lats, lons, bins=(np.arange(-90, 90 + cell, cell), np.arange(-180, 180 + cell, cell)))
    shown = np.ma.masked_equal(counts, 0)
    if counts.max() > 0:
        image = axis.pcolormesh(
            np.arange(-180, 180 + cell, cell), np.arange(-90, 90 + cell, cell), shown,
            norm=LogNorm(1, max(2, counts.max())), cmap="viridis", zorder=2,
        )  # fmt: skip
        figure.colorbar(image, ax=axis, label=f"tiles per {cell:g} x {cell:g} degree cell", shrink=0.8)
    if len(lons) <= 5000:
        axis.plot(lons, lats, ".", color="#b3261e", markersize=4, zorder=3)
    axis.set(xlim=(-180, 180), ylim=(-90, 90), xlabel="longitude", ylabel="latitude", aspect="equal")
    axis.set_xticks(range(-180, 181, 60))
    axis.set_yticks(range(-90, 91, 30))
    axis.grid(color="#999999", linewidth=0.3)
    return figure


def land_cover_bars(kind: Categorical, shares: Mapping[str, Sequence[float]]) -> Figure:
    """Horizontal bars of class shares in percent; one group per entry of `shares` (e.g. pixels, top-1, top-3)."""
    names = [c.name for c in kind.classes]
    figure = Figure(figsize=(7.5, 0.34 * len(names) + 1.1), dpi=110, layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(shares)
    for k, (label, values) in enumerate(shares.items()):
        position = np.arange(len(names)) + (k - (len(shares) - 1) / 2) * height
        colours = [c.colour for c in kind.classes] if k == 0 else "none"
        bars = axis.barh(position, values, height, label=label, color=colours, edgecolor="#444444", linewidth=0.6,
                         hatch=("", "///", "...")[k % 3])  # fmt: skip
        axis.bar_label(bars, fmt="%.1f", fontsize=6, padding=2)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("percent")
    if len(shares) > 1:
        axis.legend(fontsize=7)
    return figure


def month_bars(months: Sequence[int]) -> Figure:
    """Number of tiles per month of acquisition (1..12)."""
    counts = Counter(months)
    figure = Figure(figsize=(7.5, 2.4), dpi=110, layout="constrained")
    axis = figure.subplots()
    bars = axis.bar(range(12), [counts.get(m, 0) for m in range(1, 13)], color="#3b6ea5")
    axis.bar_label(bars, fontsize=7)
    axis.set_xticks(range(12), MONTHS)
    axis.set_ylabel("tiles")
    return figure


def season_bars(months: Sequence[int], lats: Sequence[float]) -> Figure:
    """Number of tiles per season of acquisition; within 23.5 degrees of the equator there is none."""
    names = ("winter", "spring", "summer", "autumn", "tropics")
    counts = Counter(_season(m, lat) for m, lat in zip(months, lats, strict=True))
    figure = Figure(figsize=(5.0, 2.4), dpi=110, layout="constrained")
    axis = figure.subplots()
    colours = ("#7fa7c9", "#8fbf7f", "#e0b44c", "#b5764a", "#5c9c8f")
    bars = axis.bar(range(len(names)), [counts.get(n, 0) for n in names], color=colours)
    axis.bar_label(bars, fontsize=7)
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel("tiles")
    return figure


def _season(month: int, lat: float) -> str:
    if abs(lat) <= 23.5:
        return "tropics"
    north = ("winter", "spring", "summer", "autumn")[month % 12 // 3]
    opposite = {"winter": "summer", "summer": "winter", "spring": "autumn", "autumn": "spring"}
    return north if lat > 0 else opposite[north]


def day_bars(days: Mapping[str, Sequence[float]]) -> Figure:
    """Histograms of days from the reference acquisition, one per modality."""
    figure = Figure(figsize=(7.5, 1.3 * len(days) + 0.6), dpi=110, layout="constrained")
    axes = figure.subplots(len(days), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, values) in zip(axes, days.items(), strict=True):
        axis.hist(values, bins=np.arange(-15.5, 16.5), color="#3b6ea5")
        axis.set_ylabel(name, fontsize=7)
    axes[-1].set_xlabel("days after the reference acquisition")
    return figure
