"""The dataset report: where, when, land cover, valid shares, time differences, statistics and pictures on one page."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geomeld.core.errors import CorruptFile, GeoMeldError
from geomeld.core.grid import check_lonlat
from geomeld.core.modality import Categorical, Modality, Timing
from geomeld.core.tile import Tile
from geomeld.dataset import BandStatistics, Dataset
from geomeld.dataset.statistics import ClassCounts
from geomeld.figures.maps import day_bars, density_map, land_cover_bars, month_bars, season_bars
from geomeld.figures.page import Page, escape, image
from geomeld.figures.panels import tile_panel
from geomeld.figures.pictures import picture
from geomeld.modalities import MODALITIES

PANELS, THUMBNAILS = 3, 48
"""Tiles shown whole, and as small pictures; spread evenly over the dataset."""
MOST_NAMED = 100
"""Tiles that are named among those left out."""


def write_stats_page(dataset: Dataset, out: Path, leakage: Mapping[str, int] | None = None) -> Path:
    """Write the report of a dataset to `out` (one offline HTML file) and return its path.

    Tiles whose metadata are nonsense are named and left out. `leakage` is the tiles per split of an audit.
    """
    facts, strange = _facts(dataset)
    name = dataset.address or dataset.path.name
    page = Page(f"Dataset {name}", f"{len(dataset)} tiles of 1280 m, as they lie in the shards.")
    if strange:
        page.section("Left out", f"{len(strange)} tiles whose metadata make no sense, or that cannot be read.")
        page.table(("tile", "why"), list(strange.items())[:MOST_NAMED])
    if facts:
        page.section("Where")
        page.figure(density_map([f.lon for f in facts], [f.lat for f in facts]), "Tiles per cell of one degree.")
        page.section("When")
        months = [f.date.month for f in facts]
        page.figure(month_bars(months), "Month of the reference acquisition.")
        page.figure(season_bars(months, [f.lat for f in facts]), "Season there.")
        if days := _days(facts):
            page.figure(day_bars(days), "Acquisitions of the other sensors, in days after the reference.")
    known = [f.tile_id for f in facts]
    _land_cover(page, dataset, known)
    _layers(page, dataset, facts)
    if leakage is not None:
        page.section("Leakage", "Tiles by what they may be used for, given the footprints of evaluation data.")
        page.table(("split", "tiles"), list(leakage.items()))
    page.section("Tiles")
    page.cards(_contact_sheet(dataset, _spread(known, THUMBNAILS)))
    for tile in _readable(dataset, _spread(known, PANELS)):
        page.figure(tile_panel(tile))
    return page.write(out)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report needs of one tile's metadata."""

    tile_id: int
    lon: float
    lat: float
    date: dt.date
    products: Mapping[str, str]
    """By modality."""
    times: Mapping[str, tuple[dt.datetime, ...]]
    """Acquisitions by modality."""


def _facts(dataset: Dataset) -> tuple[list[Facts], dict[int, str]]:
    """(facts of the tiles that can be read, reason by tile for the others)."""
    facts, strange = [], dict(dataset.damaged)
    for tile_id in dataset.tile_ids:
        try:
            facts.append(_fact(tile_id, dataset.metadata(tile_id), dataset.layers_of(tile_id)))
        except (GeoMeldError, ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            strange[tile_id] = f"{type(error).__name__}: {error}"
    return facts, strange


def _fact(tile_id: int, metadata: Mapping[str, Any], names: Sequence[str]) -> Facts:
    lon, lat = float(metadata["long"]), float(metadata["lat"])
    check_lonlat(lon, lat)
    layers = metadata.get("layers", {})
    return Facts(
        tile_id, lon, lat, dt.date.fromisoformat(str(metadata["acquisition_date"])[:10]),
        {n: str(layers.get(n, {}).get("product", "")) for n in names},
        {n: tuple(dt.datetime.fromisoformat(t) for t in layers.get(n, {}).get("acquired", ())) for n in names},
    )  # fmt: skip


def _days(facts: Sequence[Facts]) -> dict[str, list[float]]:
    """Days from the reference acquisition to every other dated one, by modality."""
    reference = next(n for n, m in MODALITIES.items() if m.timing is Timing.REFERENCE)
    found: dict[str, list[float]] = {}
    for fact in facts:
        for name, times in fact.times.items():
            if MODALITIES[name].timing in (Timing.NEAREST, Timing.MODE) and fact.times.get(reference):
                found.setdefault(MODALITIES[name].title, []).extend(
                    (t - fact.times[reference][0]).total_seconds() / 86400 for t in times
                )
    return {title: days for title, days in found.items() if days}


def _readable(dataset: Dataset, tile_ids: Sequence[int], names: Sequence[str] | None = None) -> Iterator[Tile]:
    """The tiles, without those whose pixels are damaged."""
    for tile_id in tile_ids:
        with suppress(CorruptFile):
            yield dataset.read(tile_id, names)


def _spread(tile_ids: Sequence[int], most: int) -> list[int]:
    """At most so many of the tiles, spread evenly."""
    return [tile_ids[i] for i in np.unique(np.linspace(0, len(tile_ids) - 1, most).astype(int))] if tile_ids else []


def _contact_sheet(dataset: Dataset, tile_ids: Sequence[int]) -> Iterator[str]:
    """Natural-colour pictures with their captions."""
    reference = next(m for m in MODALITIES.values() if m.timing is Timing.REFERENCE)
    for tile in _readable(dataset, tile_ids, [reference.name]):
        layer, said = tile.layers.get(reference.name), tile.caption or str(tile.tile_id)
        if layer is not None:
            yield f"{image(picture(reference, layer), said)}<small>{escape(said)}</small>"


def land_cover_shares(dataset: Dataset, name: str, tile_ids: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """Shares of a categorical modality in percent per class: of valid pixels, of tiles by their dominant class, of
    tiles that have the class among their first three (the paper's figure 1b)."""
    kind = MODALITIES[name].kind
    assert isinstance(kind, Categorical)
    pixels, top1, top3 = (np.zeros(len(kind.classes)) for _ in range(3))
    tiles = 0
    for tile in _readable(dataset, dataset.tile_ids if tile_ids is None else tile_ids, [name]):
        layer = tile.layers.get(name)
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


def _land_cover(page: Page, dataset: Dataset, tile_ids: Sequence[int]) -> None:
    statistics = dataset.statistics()
    for name, modality in MODALITIES.items():
        if not isinstance(modality.kind, Categorical) or name not in statistics:
            continue
        page.section(modality.title)
        shares = {
            label: list(map(float, values)) for label, values in land_cover_shares(dataset, name, tile_ids).items()
        }
        page.figure(land_cover_bars(modality.kind, shares), "Share of classes, percent.")


def _layers(page: Page, dataset: Dataset, facts: Sequence[Facts]) -> None:
    page.section("Layers", "How many tiles hold each modality, which products it was read from, and how much is valid.")
    statistics, rows = dataset.statistics(), []
    for name, modality in MODALITIES.items():
        holding = [f for f in facts if name in f.products]
        products = sorted({f.products[name] for f in holding} - {""})
        share = _valid_share(statistics.get(name), modality, len(holding))
        rows.append((modality.title, len(holding), share, "; ".join(products)))
    page.table(("modality", "tiles", "valid pixels, percent", "products"), rows)
    page.section("Bands", "Over valid pixels only.")
    for name, found in statistics.items():
        modality = MODALITIES[name]
        if not isinstance(found, BandStatistics):
            continue
        unit = "" if isinstance(modality.kind, Categorical) else modality.kind.unit
        page.add(f"<h3>{modality.title}, {unit}</h3>")
        page.table(
            ("band", "mean", "standard deviation", "minimum", "maximum", "valid pixels"),
            [
                (band, float(found.mean[i]), float(found.std[i]), float(found.min[i]),
                 float(found.max[i]), int(found.count[i]))
                for i, band in enumerate(modality.bands)
            ],
        )  # fmt: skip


def _valid_share(found: BandStatistics | ClassCounts | None, modality: Modality, tiles: int) -> float:
    """Percent of the pixels of all bands, over the tiles that hold the modality."""
    if found is None or not tiles:
        return 0.0
    pixels = sum(found.count) if isinstance(found, BandStatistics) else sum(found.counts)
    return 100.0 * pixels / (tiles * float(np.prod(modality.shape())))
