"""Robustness: what is left of a score when images are disturbed in the ways of one table."""

import datetime as dt
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from geomeld.core.draw import draw_words, generator
from geomeld.core.errors import DatasetError, UsageError
from geomeld.core.modality import Modality
from geomeld.core.tile import Layer
from geomeld.dataset import Dataset
from geomeld.evaluate.bootstrap import bounds, drawn_sums
from geomeld.evaluate.class_scores import Share
from geomeld.evaluate.disturbance import DISTURBANCES, Change, Disturbance, Picture
from geomeld.evaluate.encoder import Encoder, padded
from geomeld.evaluate.kept import Arrays, advance_kept, once
from geomeld.evaluate.neighbours import nearest_class
from geomeld.evaluate.probe import NO_CLASS, ReadOut, commonest_class, dominant_classes, linear_classes
from geomeld.evaluate.score import Score
from geomeld.evaluate.truth import earth_of
from geomeld.figures.heat_map import heat_map
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.sources.simulated import SimulatedSource

if TYPE_CHECKING:
    from geomeld.evaluate.tiles import Sides

LABELS = "esa_worldcover"
TASK = "dominant land cover"
CLEAN = "as they are"
UNDISTURBED = Disturbance(CLEAN, "nothing is done", {"": lambda picture, _: picture})
VERSION = 1
"""Counted up when what is done to images, or features, change: what another version kept is not used."""
FOLDER = "disturbed"
"""Of a cache."""
BATCH = 32
"""Images that an eye sees at a time; always as many, so that features do not depend on what was kept."""
MOST_TILES = 400
"""Held-out tiles that are disturbed, at most, drawn by key; every level costs a pass over them."""
NEIGHBOURS = 10
SEASONS = {"3 months later": 91, "6 months later": 182, "9 months later": 273}

Classes = NDArray[np.int64]
Network = Callable[[Tensor], Tensor]
"""z-scored images (B, bands, H, W) to features (B, width)."""


# --- read-outs, fitted on clean images ---


def neighbours_read_out(features: NDArray[np.float32], labels: Classes) -> ReadOut:
    """The commonest class of the nearest features by cosine; of classes that tie, the lowest."""
    return lambda new: nearest_class(features, labels, new, NEIGHBOURS)


READ_OUTS: Mapping[str, Callable[[NDArray[np.float32], Classes], ReadOut]] = {
    "linear probe": linear_classes,
    "kNN": neighbours_read_out,
}


# --- images ---


@dataclass(frozen=True)
class Eye:
    """What sees the images: a network and the bands and statistics (reflectance x 10000) it was trained with."""

    network: Network
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, encoder: Encoder) -> "Eye":
        """Of any encoder. Raises UsageError for one whose pretraining statistics are not known."""
        if not encoder.mean:
            raise UsageError(f"{encoder.title} comes without the statistics of its pretraining data; give it some.")
        device = next(encoder.parameters(), torch.empty(0)).device
        return cls(lambda x: encoder(x.to(device)), encoder.bands, encoder.mean, encoder.std)

    @classmethod
    def of_model(cls, model: GeoMeldFM) -> "Eye":
        """Of a whole GeoMeld-FM."""
        spec, device = model.config.input, model.log_scale.device
        network: Network = lambda x: model.features(padded(x.to(device), model.config.patch))  # noqa: E731
        return cls(network, spec.bands, spec.mean, spec.std)

    @torch.no_grad()
    def features(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """(n, width); a band or pixel that is missing is 0, the mean."""
        parts = [pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH)]
        return np.concatenate([self.network(self._scores(part)).float().cpu().numpy() for part in parts])

    def _scores(self, pictures: Sequence[Picture]) -> Tensor:
        out = np.zeros((len(pictures), len(self.bands), *pictures[0].values.shape[1:]), np.float32)
        for picture, into in zip(pictures, out, strict=True):
            for i, band in enumerate(self.bands):
                if band in picture.bands:
                    at = picture.bands.index(band)
                    scaled = (picture.values[at] - self.mean[i]) / self.std[i]
                    into[i] = np.where(picture.valid[at] & np.isfinite(scaled), scaled, 0.0)
        return torch.from_numpy(out)


def pictures_of(
    dataset: Dataset, tile_ids: Sequence[int], modality: Modality, skipped: dict[int, str] | None = None
) -> list[Picture]:
    """The optical images of tiles; those that cannot be read go to `skipped` with the reason, or are raised as
    CorruptFile where there is no such dict."""
    tiles = read_tiles(dataset, tile_ids, [modality], skipped)
    found = [(t.tile_id, t.layers[modality.name]) for t in tiles if modality.name in t.layers]
    return [_picture(tile_id, layer) for tile_id, layer in found]


def _picture(tile_id: int, layer: Layer) -> Picture:
    return Picture(tile_id, layer.values.astype(np.float32), layer.valid, layer.bands)


def season_of(dataset: Dataset, modality: Modality) -> Disturbance:
    """The same places on other dates, a quarter to three quarters of a year later, seen anew by the simulated Earth.

    Raises UsageError for a dataset of real places, of which there is no other image at hand.
    """
    source = SimulatedSource(earth_of(dataset))

    def later(days: int) -> Change:
        return lambda picture, _: _seen_on_another_date(dataset, source, modality, picture, days)

    about = "the same place on another date, as the simulated Earth shows it"
    return Disturbance("season", about, {name: later(days) for name, days in SEASONS.items()})


def _seen_on_another_date(
    dataset: Dataset, source: SimulatedSource, modality: Modality, picture: Picture, days: int
) -> Picture | None:
    tile = dataset.read(picture.tile_id, [modality.name])
    then = tile.layers[modality.name].acquired[0] + dt.timedelta(days=days)
    reach = dt.timedelta(days=30)
    scenes = source.scenes(modality, tile.grid, then - reach, then + reach)
    clear = [s for s in scenes if s.acquired and (s.cloud_cover or 0) <= 30]
    for scene in sorted(clear, key=lambda s: abs(s.acquired - then) if s.acquired else reach):
        if (source.clear_share(scene, tile.grid) or 0) >= 0.9:
            layer = source.read(modality, [scene], tile.grid)
            return None if layer is None else _picture(picture.tile_id, layer)
    return None


# --- the table ---


@dataclass(frozen=True, slots=True)
class Cell:
    """The accuracy of one read-out on tiles disturbed in one way, and what it is held against on the same tiles."""

    read_out: str
    disturbance: str
    level: str
    accuracy: Share
    undisturbed: Share
    """Of the same read-out on the tiles as they are."""
    commonest: Share
    """Of always giving the commonest class of the tiles that the read-out was fitted on."""
    n: int

    @property
    def left(self) -> float:
        """What is left of the lead over the commonest class that there was undisturbed: 1 is all of it, 0 and less
        nothing; NaN where there was none."""
        lead = self.undisturbed.value - self.commonest.value
        return (self.accuracy.value - self.commonest.value) / lead if lead > 0 else np.nan


@dataclass
class Table:
    """All cells, and what could not be done, with the reason."""

    cells: list[Cell] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def robustness(
    eye: Eye,
    pictures: Sequence[Picture],
    labels: Classes,
    read_outs: Mapping[str, ReadOut],
    floor: ReadOut,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
    seed: int = 0,
    *,
    cache: Path | None = None,
    key: str = "",
    progress: bool = True,
) -> Table:
    """Accuracy of each read-out against each disturbance at each level, beside its accuracy on the same images as
    they are and that of the `floor`, e.g. `probe.commonest_class` of the labels that the read-outs were fitted on; with
    intervals over the same draws of images. `labels` (n,) of the `pictures`; what is drawn of a disturbance depends on
    seed, disturbance, level and tile alone.

    In the folder `cache`, where one is given, what the eye sees is kept level by level under `key`, which stands for
    its network and the pictures: an interrupted table goes on. Progress is shown on stderr.
    """
    table, right = Table(), dict[str, NDArray[np.bool_]]()
    levels = [(d.name, level, change) for d in (UNDISTURBED, *disturbances) for level, change in d.levels.items()]
    with tqdm(
        total=len(levels) * len(pictures), desc="robustness", unit="tile", dynamic_ncols=True, disable=not progress
    ) as bar:
        for done, (name, level, change) in enumerate(levels, 1):
            what = ", ".join(filter(None, (name, level)))
            bar.set_postfix_str(what)
            said = json.dumps([VERSION, key, eye.bands, eye.mean, eye.std, what, seed, [p.tile_id for p in pictures]])
            make = partial(_seen, eye, pictures, change, seed, f"{name}|{level}", bar)
            seen = once(None if cache is None else cache / FOLDER, "disturbed", said, make)
            advance_kept(bar, done * len(pictures) - bar.n)
            at, features = seen["at"], seen["features"]
            if not len(at):
                table.left_out[what] = "it could be done to none of the tiles"
                continue
            for read_out, read in read_outs.items():
                hit = read(features) == labels[at]
                clean = right.setdefault(read_out, hit)  # the first level: nothing is done, to all of them
                accuracy, before, least = _shares([hit, clean[at], floor(features) == labels[at]], seed)
                table.cells.append(Cell(read_out, name, level, accuracy, before, least, len(at)))
    return table


def _seen(eye: Eye, pictures: Sequence[Picture], change: Change, seed: int, stream: str, bar: tqdm) -> Arrays:
    """ "at" (n,): which pictures could be changed so; "features" (n, width): what the eye makes of them then."""
    at, parts = list[int](), list[NDArray[np.float32]]()
    for start in range(0, len(pictures), BATCH):
        part = pictures[start : start + BATCH]
        changed = [change(p, generator(seed, stream, p.tile_id)) for p in part]
        at += [start + i for i, p in enumerate(changed) if p is not None]
        if there := [p for p in changed if p is not None]:
            parts.append(eye.features(there))
        bar.update(len(part))
    return {"at": np.array(at, np.int64), "features": np.concatenate(parts or [np.empty((0, 0), np.float32)])}


def _shares(hits: Sequence[NDArray[np.bool_]], seed: int) -> list[Share]:
    """Of the images that are hit, for each of `hits` (n,), over the same draws."""
    each = np.stack(hits, axis=1)
    drawn = drawn_sums(each, "robustness", seed) / len(each)
    return [Share(float(h.mean()), *(bounds(d) or (None, None))) for h, d in zip(hits, drawn.T, strict=True)]


def robustness_on(tiles: "Sides", cache: Path | None = None, seed: int = 0) -> Table:
    """The table of a checkpoint: read-outs of the dominant land cover, fitted on training tiles as they are, on
    held-out tiles that are disturbed. What is kept in `cache` is not computed again. Raises DatasetError where no tile
    has the product of land cover."""
    modality, dataset = MODALITIES[tiles.model.config.input.name], tiles.dataset
    known = _labels(tiles, tiles.seen.tile_ids)
    if not (known != NO_CLASS).any():
        raise DatasetError(f"{dataset.path} has no {MODALITIES[LABELS].title}: there is no land cover to read out.")
    fit = known != NO_CLASS
    read_outs = {name: make(tiles.seen.pooled[fit], known[fit]) for name, make in READ_OUTS.items()}
    drawn = sorted(tiles.new.tile_ids, key=lambda t: draw_words(seed, "robustness-tiles", t))[:MOST_TILES]
    labels = dict(zip(drawn, _labels(tiles, drawn).tolist(), strict=True))
    pictures = [p for p in pictures_of(dataset, drawn, modality, tiles.skipped) if labels[p.tile_id] != NO_CLASS]
    if not pictures:
        raise DatasetError(f"No held-out tile of {dataset.path} has {MODALITIES[LABELS].title}.")
    disturbances, left_out = list(DISTURBANCES), {}
    try:
        disturbances.append(season_of(dataset, modality))
    except (UsageError, DatasetError) as error:  # of real places, or published shards without a manifest
        left_out["season"] = str(error)
    truth = np.array([labels[p.tile_id] for p in pictures], np.int64)
    key, floor = f"{tiles.checkpoint} on {tiles.data}", commonest_class(known[fit])
    table = robustness(
        Eye.of_model(tiles.model), pictures, truth, read_outs, floor, disturbances, seed, cache=cache, key=key
    )
    table.left_out |= left_out
    return table


def _labels(tiles: "Sides", tile_ids: Sequence[int]) -> Classes:
    return dominant_classes(tiles.dataset, tile_ids, MODALITIES[LABELS], tiles.skipped)


# --- scores ---


def robustness_cells(tiles: "Sides", cache: Path | None = None) -> list[Cell]:
    """The table of `robustness_on`; none where nothing tells the land cover. What could not be done is said on
    stderr."""
    try:
        table = robustness_on(tiles, cache)
    except DatasetError as error:
        table = Table(left_out={"the table": str(error)})
    for what, why in table.left_out.items():
        print(f"robustness: {what} is left out: {why}", file=sys.stderr)
    return table.cells


def robustness_scores(tiles: "Sides", cells: Sequence[Cell]) -> list[Score]:
    """The table as scores, each beside the same read-out on the same tiles as they are and beside their commonest
    class."""
    found = []
    for cell in cells:
        metric = f"accuracy, {cell.disturbance}" + (f": {cell.level}" if cell.level else "")
        beside = {"undisturbed": cell.undisturbed, "commonest class": cell.commonest}
        if cell.disturbance == CLEAN:
            del beside["undisturbed"]  # itself
        found += [
            tiles.share(TASK, f"robustness, {cell.read_out}", metric, cell.accuracy, cell.n, name, floor)
            for name, floor in beside.items()
        ]
    return found


def heat_maps(cells: Sequence[Cell]) -> dict[str, Figure]:
    """A picture per read-out: a row per disturbance, coloured by what is `left`."""
    maps = {}
    for clean in (cell for cell in cells if cell.disturbance == CLEAN):
        rows: dict[str, list[tuple[str, float, float]]] = {}
        for cell in cells:
            if cell.read_out == clean.read_out and cell.disturbance != CLEAN:
                rows.setdefault(cell.disturbance, []).append((cell.level, cell.accuracy.value, cell.left))
        title = f"undisturbed {clean.accuracy.value:.2f}, commonest class {clean.commonest.value:.2f}"
        maps[clean.read_out] = heat_map(rows, ("commonest class", "undisturbed"), f"{clean.read_out}: {title}")
    return maps
