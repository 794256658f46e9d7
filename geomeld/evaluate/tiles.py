"""Tiles: a checkpoint on the held-out tiles of a dataset: its features, and a probe of land cover on them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.batch import collate
from geomeld.core.errors import DatasetError
from geomeld.core.modality import Categorical
from geomeld.dataset import Dataset
from geomeld.evaluate.class_scores import Share, class_scores
from geomeld.evaluate.features import BATCH, FOLDER, VERSION
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.kept import Arrays, advance_kept, once
from geomeld.evaluate.origin import Origin, held_out_of, origin_of, title_of, why_no_text
from geomeld.evaluate.probe import (
    NO_CLASS,
    commonest_class,
    dominant_class,
    linear_classes,
    mean_spectrum,
    one_by_one,
)
from geomeld.evaluate.results import code
from geomeld.evaluate.score import Score
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.weights import WEIGHTS, load_model

LABELS = "esa_worldcover"
"""Product whose dominant class the probe predicts."""
PART = 64 * BATCH
"""Tiles whose features are kept together: what an interrupted pass loses at most."""
ARRAYS = ("tile_ids", "pooled", "images")
"""What is kept of them. Captions are not: they may change where weights and pixels do not."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the model makes of tiles."""

    tile_ids: list[int]
    pooled: NDArray[np.float32]
    """Frozen encoder features (n, width)."""
    images: NDArray[np.float32]
    """Image embeddings of unit length (n, 512)."""
    captions: list[str]


@dataclass(frozen=True)
class Sides:
    """A checkpoint and its features of the tiles that it was trained on and of those that it has not seen."""

    model: GeoMeldFM
    dataset: Dataset
    seen: Features
    new: Features
    encoder: str
    """Its title."""
    checkpoint: str
    """First 12 digits of the weights' SHA-256."""
    data: str
    """Fingerprint of the dataset: of its pixels, whatever is tested on which."""
    origin: Origin = field(default_factory=Origin)
    asked: tuple[Sequence[int], Sequence[int]] = ((), ())
    """Training and held-out tiles, with those that cannot be read as far as it is known where they belong."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Tiles that cannot be read, or not whole, with the reason: what the dataset left out, and what was met since."""
    held_out: str = ""
    """What the tiles of `new` are, in words; stands beside every number."""
    tested: str = ""
    """Fingerprint of the dataset and of which of its tiles are learned from and tested on; identifies every number."""

    @cached_property
    def land_cover(self) -> "LandCover | None":
        """What a probe says of the dominant land cover of held-out tiles; None where no tile has the product."""
        return _land_cover(self)

    def unread(self) -> list[str]:
        """How many tiles of which side cannot be read whole, e.g. "3 of 24 held-out tiles"; empty where all can."""
        train, held_out = ([t for t in side if t in self.skipped] for side in self.asked)
        elsewhere = len(self.skipped) - len(train) - len(held_out)
        return [
            *([f"{len(held_out)} of {len(self.asked[1])} held-out tiles"] if held_out else []),
            *([f"{len(train)} of {len(self.asked[0])} training tiles"] if train else []),
            *([f"{elsewhere} tile{'s' * (elsewhere != 1)} that may or may not be held out"] if elsewhere else []),
        ]

    def first_unread(self) -> str:
        """Why the first of these cannot be read, held-out ones first."""
        return next(self.skipped[t] for t in [*self.asked[1], *self.asked[0], *self.skipped] if t in self.skipped)

    @property
    def reads_text(self) -> bool:
        """Whether its text side was trained."""
        return not why_no_text(self.model, self.origin)

    def share(self, task: str, protocol: str, metric: str, share: Share, n: int, name: str, floor: Share) -> Score:
        """A share of these tiles with its interval, beside the `floor` of that `name` with its own."""
        score = self.score(task, protocol, metric, share.value, n, (name, floor.value))
        return replace(score, low=share.low, high=share.high, baseline_low=floor.low, baseline_high=floor.high)

    def score(
        self, task: str, protocol: str, metric: str, value: float, n: int, floor: tuple[str, float] = ("", np.nan)
    ) -> Score:
        """A number of these tiles; `floor` is the name and value of what it is held against."""
        name, baseline = floor
        return Score(
            task, protocol, metric, value, None, None, 0, n, self.encoder, self.checkpoint, self.tested,
            baseline=float(baseline) if name else None, baseline_name=name, commit=code(), held_out=self.held_out,
        )  # fmt: skip


def fingerprint_of(dataset: Dataset) -> str:
    """First 12 digits of a SHA-256 over the ids of the tiles and the names and sizes of their shards."""
    shards = [(s.name, s.stat().st_size) if isinstance(s, Path) else str(s) for s in dataset.shards]
    return hashlib.sha256(json.dumps([shards, dataset.tile_ids]).encode()).hexdigest()[:12]


def sides(
    checkpoint: Path,
    dataset: Dataset,
    held_out: HeldOut | None = None,
    cache: Path | None = None,
    device: str | torch.device = "cpu",
) -> Sides:
    """Features of a checkpoint on the tiles that its own run was trained on and on those that it may be tested on
    (`origin.held_out_of`), made on `device` and kept in the folder `cache` part by part, so that an interrupted pass
    goes on.

    Raises CheckpointError for a folder that is no checkpoint, UsageError where nobody tells what was held out or chosen
    by, DatasetError where there is nothing to evaluate on.
    """
    model, origin = load_model(checkpoint, device), origin_of(checkpoint)
    held_out = held_out_of(checkpoint, held_out)
    parts, split = held_out.parts(dataset, model.config.input.name), held_out.split
    if len(parts.test) < 2 or not parts.seen:
        bad = len(dataset.damaged)
        more = f" {bad} more cannot be read; what is wrong is told by: geomeld check {dataset.path}" if bad else ""
        raise DatasetError(
            f"{dataset.path} has {len(parts.test)} held-out tiles to be tested on and {len(parts.seen)} training tiles "
            f"with {model.config.input.name}, of {len(dataset)}; at least 2 and 1 are needed.{parts.remedy}{more}"
        )
    weights = hashlib.sha256((checkpoint / WEIGHTS).read_bytes()).hexdigest()[:12]
    data = fingerprint_of(dataset)
    tested = hashlib.sha256(json.dumps([data, parts.seen, parts.test]).encode()).hexdigest()[:12]
    skipped, key = dict(dataset.damaged), f"{weights} on {data}"
    seen, new = (
        features(model, dataset, side, cache=cache, key=key, skipped=skipped) for side in (parts.seen, parts.test)
    )
    # Where a tile lies stands inside it: by cells, nobody knows on which side one lies that cannot be read.
    known = (t for t in dataset.damaged if split.by == "tile" and t not in held_out.chosen_by)
    lost = {t: split.holds_out(t, 0.0, 0.0) for t in known}
    asked = ([*parts.seen, *(t for t in lost if not lost[t])], [*parts.test, *(t for t in lost if lost[t])])
    title = title_of(model, origin)
    return Sides(model, dataset, seen, new, title, weights, data, origin, asked, skipped, str(parts), tested)


def features(
    model: GeoMeldFM,
    dataset: Dataset,
    tile_ids: Sequence[int],
    batch_size: int = BATCH,
    *,
    cache: Path | None = None,
    key: str = "",
    skipped: dict[int, str] | None = None,
    progress: bool = True,
) -> Features:
    """Features of tiles, made where the model is; those that cannot be read are left out, and go to `skipped` with the
    reason.

    In the folder `cache`, where one is given, they are kept part by part under `key`, which stands for the weights and
    the data; tiles that were left out are looked at again, for they may have been mended. Raises DatasetError where no
    tile can be read.
    """
    skipped = {} if skipped is None else skipped
    folder, found = None if cache is None else cache / FOLDER, list[Arrays]()
    with tqdm(total=len(tile_ids), desc="features", unit="tile", dynamic_ncols=True, disable=not progress) as bar:
        for start in range(0, len(tile_ids), PART):
            part = list(tile_ids[start : start + PART])
            said = [VERSION, key, model.config.input.name, batch_size, part]
            make = partial(_passed, model, dataset, part, batch_size, bar)
            arrays = once(folder, "tiles", json.dumps(said), make)
            lost = set(part) - set(arrays["tile_ids"].tolist())
            mended = [t for t in part if t in lost and read_tiles(dataset, [t], [model.config.input], skipped)]
            found.append(once(folder, "tiles", json.dumps([*said, mended]), make) if mended else arrays)
            advance_kept(bar, start + len(part) - bar.n)
    if not any(len(arrays["tile_ids"]) for arrays in found):
        first = next(iter(skipped.values()), "there are none")
        raise DatasetError(
            f"None of {len(tile_ids)} tiles of {dataset.path} can be read (first: {first}). What is wrong with each is "
            f"told by: geomeld check {dataset.path}"
        )
    ids, pooled, images = (np.concatenate([arrays[name] for arrays in found]) for name in ARRAYS)
    captions = [dataset.read(tile_id, []).caption or "" for tile_id in ids.tolist()]
    return Features(ids.tolist(), pooled, images, captions)


@torch.no_grad()
def _passed(model: GeoMeldFM, dataset: Dataset, tile_ids: Sequence[int], batch_size: int, bar: tqdm) -> Arrays:
    """The ARRAYS of tiles."""
    spec, device = model.config.input, model.log_scale.device
    none = (np.empty((0, width), np.float32) for width in (model.encoder.width, model.config.embedding))
    rows = [(np.empty(0, np.int64), *none)]
    for start in range(0, len(tile_ids), batch_size):
        asked = tile_ids[start : start + batch_size]
        tiles = read_tiles(dataset, asked, [spec], {})
        if tiles:
            batch = collate(tiles, [spec], {spec.name: spec})
            tokens = model.encoder(batch.values[spec.name].to(device))
            pooled, images = model.encoder.pool(tokens), model.project_image(tokens)
            rows.append((np.array(batch.tile_ids, np.int64), _numpy(pooled), _numpy(images)))
        bar.update(len(asked))
    return {name: np.concatenate(column) for name, column in zip(ARRAYS, zip(*rows, strict=True), strict=True)}


def _numpy(x: torch.Tensor) -> NDArray[np.float32]:
    return x.float().cpu().numpy()


@dataclass(frozen=True)
class LandCover:
    """The dominant land cover of held-out tiles, and what is said of it."""

    classes: tuple[str, ...]
    tile_ids: tuple[int, ...]
    """Held-out tiles that have one."""
    truth: NDArray[np.int64]
    """Their classes, places in `classes`."""
    probe: NDArray[np.int64]
    """Given by a linear probe of the features."""
    floors: Mapping[str, NDArray[np.int64]]
    """Given without them: by name."""


def _land_cover(tiles: Sides) -> LandCover | None:
    modality, dataset = MODALITIES[LABELS], tiles.dataset
    assert isinstance(modality.kind, Categorical)
    reference = next(m for m in MODALITIES.values() if m.composite and m.gsd == 10)

    def labelled(side: Features) -> tuple[NDArray[np.int64], NDArray]:
        read = one_by_one(dataset, side.tile_ids, [modality, reference], tiles.skipped)
        labels, spectra = zip(*((dominant_class(t, modality), mean_spectrum(t, reference)) for t in read), strict=True)
        return np.array(labels), np.stack(spectra)

    (train_y, train_spectrum), (test_y, test_spectrum) = labelled(tiles.seen), labelled(tiles.new)
    a, b = train_y != NO_CLASS, test_y != NO_CLASS
    if not a.any() or not b.any():
        return None
    return LandCover(
        tuple(c.name for c in modality.kind.classes),
        tuple(np.array(tiles.new.tile_ids)[b].tolist()),
        test_y[b],
        linear_classes(tiles.seen.pooled[a], train_y[a])(tiles.new.pooled[b]),
        {
            "commonest class": commonest_class(train_y[a])(test_y[b]),
            "mean spectrum": linear_classes(train_spectrum[a], train_y[a])(test_spectrum[b]),
        },
    )


def probe_scores(tiles: Sides) -> list[Score]:
    """Accuracy, balanced accuracy, macro F1 and recall per class of the dominant land cover by a linear probe, each
    beside the commonest class and beside the same probe on the mean spectrum, all on the same draws of tiles; none
    where no tile has the product."""
    cover = tiles.land_cover
    if cover is None:
        return []
    probe, *floors = (
        class_scores(given, cover.truth, cover.classes, tiles.data) for given in (cover.probe, *cover.floors.values())
    )
    return [
        tiles.share("dominant land cover", "linear probe", metric, share, len(cover.truth), name, floor[metric])
        for metric, share in probe.items()
        for name, floor in zip(cover.floors, floors, strict=True)
    ]
