"""Readiness: whether a dataset has what a run will ask of it: tiles, captions, layers, bands that vary, statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geomeld.core.errors import DatasetError
from geomeld.core.modality import Continuous, Modality
from geomeld.dataset import BandStatistics, Dataset
from geomeld.dataset.statistics import ClassCounts, load_statistics, statistics_of
from geomeld.modalities import MODALITIES
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.start import find_tiles, input_name

LOOKED_AT = 64
"""Training tiles whose pixels are read, evenly spread over the dataset."""
SEVERAL_STD, SCALE = 2.0, 20.0
"""How far the mean of the tiles looked at may lie from the stored mean, in stored standard deviations, and by what
factor their standard deviations may differ, before the stored statistics are called wrong."""

Figures = BandStatistics | ClassCounts


@dataclass(frozen=True, slots=True)
class LayerReadiness:
    """One layer of the run."""

    name: str
    tiles: int
    """Training tiles that have it."""
    valid: float
    """Share of valid pixels in the tiles looked at that have it, 0..1, all bands together."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found."""

    tiles: int
    train: int
    held_out: int
    captions: int
    """Training tiles that have one."""
    distinct_captions: int
    layers: tuple[LayerReadiness, ...]
    """The input and the targets."""
    errors: tuple[str, ...]
    """What keeps the run from starting."""
    warnings: tuple[str, ...]
    """What it would start with, and should not without a second look."""

    @property
    def can_run(self) -> bool:
        """Whether nothing keeps the run from starting."""
        return not self.errors

    def text(self) -> str:
        """For a person to read."""
        lines = [
            f"dataset     {self.tiles} tiles: {self.train} to train on, {self.held_out} held out",
            f"captions    {self.captions} of {self.train} training tiles, {self.distinct_captions} distinct",
        ]
        for layer in self.layers:
            share = f"{layer.tiles / self.train:.0%}" if self.train else "none"
            lines.append(f"  {layer.name:<16} on {share:>4} of training tiles, {layer.valid:.1%} of its pixels valid")
        lines += [f"error: {text}" for text in self.errors]
        lines += [f"warning: {text}" for text in self.warnings]
        if not self.errors and not self.warnings:
            lines.append("nothing is wrong with it")
        return "\n".join(lines)


def readiness_of(config: PretrainConfig, dataset: Dataset) -> Readiness:
    """Look at every tile's index entry and caption, and at the pixels of some; nothing is written."""
    errors, warnings = [], []
    try:
        tiles = find_tiles(config, dataset)
        train, held_out = tiles.train, tiles.held_out
    except DatasetError as error:
        errors.append(str(error))
        train, held_out = config.split.apply(dataset)
    captions = [c for t in train if (c := dataset.metadata(t).get("caption"))]
    names = list(dict.fromkeys((input_name(), *config.targets)))
    looked_at = train[:: max(1, len(train) // LOOKED_AT)][:LOOKED_AT]
    seen = statistics_of(dataset, dataset.modalities, looked_at) if looked_at else {}
    have = {n: [t for t in train if n in dataset.layers_of(t)] for n in names}
    layers = tuple(
        LayerReadiness(n, len(have[n]), _valid(MODALITIES[n], seen.get(n), len(set(have[n]) & set(looked_at))))
        for n in names
    )
    warnings += _about_sizes(config, train, held_out)
    if config.contrast is not None and 0 < len(captions) < len(train):
        warnings.append(
            f"{len(train) - len(captions)} training tiles have no caption and take no part in the contrast."
        )
    for layer in layers:
        warnings += _about_layer(layer, seen.get(layer.name), len(train))
    stored = load_statistics(dataset.path, dataset.modalities)
    if stored is None:
        warnings.append("There is no statistics.json; `geomeld stats` writes it, else the run's start computes it.")
    else:
        warnings += [text for n in names for text in _about_statistics(MODALITIES[n], stored.get(n), seen.get(n))]
    return Readiness(
        len(dataset),
        len(train),
        len(held_out),
        len(captions),
        len(set(captions)),
        layers,
        tuple(errors),
        tuple(warnings),
    )


def _valid(modality: Modality, figures: Figures | None, tiles: int) -> float:
    pixels = tiles * int(np.prod(modality.shape()))
    if figures is None or not pixels:
        return 0.0
    return sum(figures.count if isinstance(figures, BandStatistics) else figures.counts) / pixels


def _about_sizes(config: PretrainConfig, train: Sequence[int], held_out: Sequence[int]) -> list[str]:
    found = []
    if train and config.batch_size > len(train):
        found.append(
            f"A step takes {config.batch_size} tiles and there are {len(train)}: every step takes all of them."
        )
    if not held_out:
        found.append("No tile is held out (--split.held-out, --split.by tile): nothing will tell learning from memory.")
    elif len(held_out) > len(train):
        found.append(f"More tiles are held out ({len(held_out)}) than trained on ({len(train)}); see --split.held-out.")
    return found


def _about_layer(layer: LayerReadiness, figures: Figures | None, train: int) -> list[str]:
    modality = MODALITIES[layer.name]
    if not layer.tiles:
        return [f"No training tile has {layer.name}: its decoder would learn nothing (leave it out of --targets)."]
    if figures is None:
        return []
    found = [] if layer.tiles == train else [f"{train - layer.tiles} training tiles have no {layer.name}."]
    if isinstance(figures, BandStatistics):
        empty = [b for b, n in zip(modality.bands, figures.count, strict=True) if not n]
        still = [b for b, n, s in zip(modality.bands, figures.count, figures.std, strict=True) if n and s == 0]
        if empty:
            found.append(f"{layer.name}: no valid pixel in {', '.join(empty)}.")
        if still:
            found.append(f"{layer.name}: {', '.join(still)} never varies; is it filled with one value?")
    elif sum(n > 0 for n in figures.counts) < 2:
        found.append(f"{layer.name}: one class or none in the tiles looked at.")
    return found


def _about_statistics(modality: Modality, stored: Figures | None, seen: Figures | None) -> list[str]:
    if not isinstance(modality.kind, Continuous) or seen is None:
        return []
    if not isinstance(stored, BandStatistics) or not isinstance(seen, BandStatistics):
        return [f"statistics.json says nothing about {modality.name}; remove it, and `geomeld stats` writes it anew."]
    wrong = [b for i, b in enumerate(modality.bands) if _differ(stored, seen, i)]
    if not wrong:
        return []
    return [
        f"statistics.json does not fit {modality.name} {', '.join(wrong)}: its z-scores would lie far from 0 and 1; "
        "remove it, and `geomeld stats` writes it anew."
    ]


def _differ(stored: BandStatistics, seen: BandStatistics, band: int) -> bool:
    if not seen.count[band]:
        return False
    if not stored.count[band] or not stored.std[band] > 0:
        return seen.std[band] > 0
    far = abs(seen.mean[band] - stored.mean[band]) > SEVERAL_STD * stored.std[band]
    ratio = seen.std[band] / stored.std[band]
    return far or ratio > SCALE or 0 < ratio < 1 / SCALE


class Unwritten:
    """A dataset that stores no statistics: where it has none, those of some of its tiles stand in for this once."""

    def __init__(self, dataset: Dataset) -> None:
        """Reads the tiles that statistics are taken from, if any."""
        self._dataset = dataset
        stored = load_statistics(dataset.path, dataset.modalities)
        tiles = dataset.tile_ids
        self._statistics: Mapping[str, Figures] = (
            statistics_of(dataset, dataset.modalities, tiles[:: max(1, len(tiles) // LOOKED_AT)][:LOOKED_AT])
            if stored is None
            else stored
        )

    def statistics(self) -> Mapping[str, Figures]:
        """As stored, or of some tiles."""
        return self._statistics

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)
