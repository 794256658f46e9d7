"""One tile as a panel: every modality side by side, missing ones said to be missing."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geomeld.core.modality import Modality
from geomeld.core.tile import Layer, Tile
from geomeld.figures.pictures import band_picture, picture
from geomeld.modalities import MODALITIES

COLUMNS = 4


def tile_panel(tile: Tile, *, title: str | None = None) -> Figure:
    """A figure with one picture per modality of the table, in table order; a second one for layers whose later bands
    say something else (descending passes, slope, standard deviation).

    The caption, where there is one, stands below the title.
    """
    pictures = [view for name, modality in MODALITIES.items() for view in _views(name, modality, tile.layers.get(name))]
    rows = -(-len(pictures) // COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 2.9 * rows + 0.9), dpi=110, layout="constrained")
    figure.suptitle(title or _heading(tile), fontsize=10)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis, (label, image) in zip(axes, pictures, strict=False):
        _draw(axis, label, image)
    for axis in axes[len(pictures) :]:
        axis.set_axis_off()
    return figure


def _views(name: str, modality: Modality, layer: Layer | None) -> list[tuple[str, np.ndarray | None]]:
    if layer is None:
        return [(f"{modality.title}\nnot available", None)]
    date = f"\n{layer.acquired[0]:%Y-%m-%d}" if layer.acquired else ""
    if modality.composite and set(modality.composite) <= set(layer.bands):
        return [(modality.title + date, picture(modality, layer))]
    if modality.is_categorical:
        return [(modality.title + date, picture(modality, layer))]
    shown = [i for i in range(len(layer.bands)) if layer.valid[i].any()][:: max(1, len(layer.bands) // 2)][:2]
    if not shown:
        return [(f"{modality.title}\nno valid pixel", None)]
    return [
        (f"{modality.title}\n{layer.bands[i]}, {layer.values[i][layer.valid[i]].mean():.4g} on average",
         band_picture(layer.values[i], layer.valid[i], "gray" if modality.linear_power else "viridis"))
        for i in shown
    ]  # fmt: skip


def _draw(axis: Axes, label: str, image: np.ndarray | None) -> None:
    axis.set_title(label, fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
    if image is None:
        axis.set_facecolor("#e6e6ea")
    else:
        axis.imshow(image, interpolation="nearest")


def _heading(tile: Tile) -> str:
    lon, lat = tile.anchor.lon, tile.anchor.lat
    place = f"{abs(lat):.4f} {'N' if lat >= 0 else 'S'}, {abs(lon):.4f} {'E' if lon >= 0 else 'W'}"
    first = f"Tile {tile.tile_id}   {place}   {tile.metadata.get('acquisition_date', '')}"
    return first + ("\n" + "\n".join(textwrap.wrap(tile.caption, 110)) if tile.caption else "")
