"""The dataset report: density map, land cover, months, statistics and panels of a dataset on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geomeld.core.modality import Categorical
from geomeld.dataset import BandStatistics, Dataset
from geomeld.figures.maps import density_map, land_cover_bars, month_bars
from geomeld.figures.page import Page, definitions
from geomeld.figures.panels import tile_panel
from geomeld.modalities import MODALITIES

PANELS = 3
"""Tiles shown whole; spread evenly over the dataset."""


def write_stats_page(dataset: Dataset, out: Path) -> Path:
    """Write the report of a dataset to `out` (one offline HTML file) and return its path."""
    facts = [dataset.metadata(tile_id) for tile_id in dataset.tile_ids]
    page = Page(f"Dataset {dataset.path.name}", f"{len(dataset)} tiles of 1280 m, as they lie in the shards.")
    page.section("Where")
    page.figure(density_map([f["long"] for f in facts], [f["lat"] for f in facts]), "Tiles per cell of one degree.")
    page.section("When")
    page.figure(month_bars([int(f["acquisition_date"][5:7]) for f in facts]), "Month of the Sentinel-2 acquisition.")
    _land_cover(page, dataset)
    _layers(page, dataset, facts)
    page.section("Tiles")
    for tile_id in dataset.tile_ids[:: max(1, len(dataset) // PANELS)][:PANELS]:
        page.figure(tile_panel(dataset[tile_id]))
    return page.write(out)


def land_cover_shares(dataset: Dataset, name: str) -> dict[str, np.ndarray]:
    """Shares of a categorical modality in percent per class: of valid pixels, of tiles by their dominant class, of
    tiles that have the class among their first three (the paper's figure 1b)."""
    kind = MODALITIES[name].kind
    assert isinstance(kind, Categorical)
    pixels, top1, top3 = (np.zeros(len(kind.classes)) for _ in range(3))
    tiles = 0
    for tile_id in dataset.tile_ids:
        layer = dataset.read(tile_id, [name]).layers.get(name)
        if layer is None or not layer.valid.any():
            continue
        counts = np.bincount(kind.index_of(layer.values[layer.valid]), minlength=len(kind.classes))
        order = np.argsort(-counts, kind="stable")
        pixels += counts
        top1[order[0]] += 1
        top3[[k for k in order[:3] if counts[k]]] += 1
        tiles += 1
    return {
        "pixels": 100 * pixels / max(pixels.sum(), 1),
        "dominant class of a tile": 100 * top1 / max(tiles, 1),
        "among a tile's first three": 100 * top3 / max(tiles, 1),
    }


def _land_cover(page: Page, dataset: Dataset) -> None:
    statistics = dataset.statistics()
    for name, modality in MODALITIES.items():
        if not isinstance(modality.kind, Categorical) or name not in statistics:
            continue
        page.section(modality.title)
        shares = {label: list(map(float, values)) for label, values in land_cover_shares(dataset, name).items()}
        page.figure(land_cover_bars(modality.kind, shares), "Share of classes, percent.")


def _layers(page: Page, dataset: Dataset, facts: Sequence[Mapping[str, Any]]) -> None:
    page.section("Layers", "How many tiles hold each modality, and which products it was read from.")
    rows = []
    for name, modality in MODALITIES.items():
        layers = [f["layers"][name] for f in facts if name in f.get("layers", {})]
        products = sorted({layer.get("product", "") for layer in layers})
        rows.append((modality.title, len(layers), "; ".join(products)))
    page.table(("modality", "tiles", "products"), rows)
    page.section("Bands", "Over valid pixels only.")
    for name, statistics in dataset.statistics().items():
        modality = MODALITIES[name]
        if not isinstance(statistics, BandStatistics):
            continue
        unit = "" if isinstance(modality.kind, Categorical) else modality.kind.unit
        page.add(f"<h3>{modality.title}, {unit}</h3>")
        page.table(
            ("band", "mean", "standard deviation", "minimum", "maximum", "valid pixels"),
            [
                (band, float(statistics.mean[i]), float(statistics.std[i]), float(statistics.min[i]),
                 float(statistics.max[i]), int(statistics.count[i]))
                for i, band in enumerate(modality.bands)
            ],
        )  # fmt: skip
    page.section("Manifest")
    page.add(definitions({"path": dataset.path.name, "tiles": len(dataset)}))
