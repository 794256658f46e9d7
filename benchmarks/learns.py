"""What a short run learns: S2 to radar, elevation, canopy and land cover, beside per-pixel regression (scikit-learn).

On the simulated Earth: mp_mae in small, trained on the training tiles only; both are scored on the hidden pixels of the
same held-out tiles, under the same masks. The model sees Sentinel-2 in the visible 30 % of patches and nothing else.
The first regression sees what the model sees: a hidden pixel has the spectrum of the nearest visible one. The second
sees more: the hidden pixel's own spectrum. Both are ridge (measurements) and logistic regression (classes) on
the 12 bands, fitted on hidden pixels of the training tiles.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geomeld.core.draw import generator
from geomeld.core.modality import Categorical
from geomeld.dataset import Dataset, open_dataset
from geomeld.modalities import MODALITIES
from geomeld.models.encoder import Size
from geomeld.models.weights import load_model
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.held_out import reconstructions
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.loop import pretrain
from geomeld.pretrain.objectives import Reconstruction
from geomeld.pretrain.optim import OptimConfig
from geomeld.pretrain.start import find_tiles, input_name
from geomeld.recipes.pretraining import demo

PER_TILE = 150
"""Hidden pixels of each training tile that the regressions are fitted on."""
Pixels = dict[str, NDArray]
"""Arrays (bands, n) by name, all of the same n pixels."""


@dataclass(frozen=True)
class Options:
    """What is compared."""

    dataset: Path
    """A dataset of the simulated Earth, such as `geomeld build --source simulated:7 --sample 2000 --no-naip` makes."""
    out: Path
    """Folder of the checkpoint; a run that is there is scored as it is."""
    epochs: int = 15
    lr: float = 2e-3
    size: Size = "atto"
    patch: int = 16
    batch_size: int = 4
    decoder_width: int = 192
    decoder_depth: int = 2
    json: bool = False
    """Print JSON lines."""


def main() -> None:
    """Train, fit, compare, print."""
    options = tyro.cli(Options, description=__doc__)
    dataset, config = open_dataset(options.dataset), config_of(options)
    began = time.perf_counter()
    summary = pretrain(config, dataset, options.out, device="cpu")
    print(f"{summary.steps} steps, {time.perf_counter() - began:.0f} s in this call", file=sys.stderr)
    for row in compare(config, dataset, options.out):
        print(json.dumps(row) if options.json else line(row), flush=True)


def config_of(options: Options) -> PretrainConfig:
    """mp_mae, small enough for two cores."""
    return replace(
        demo(),
        objectives=(Reconstruction(),),
        size=options.size,
        patch=options.patch,
        decoder_width=options.decoder_width,
        decoder_depth=options.decoder_depth,
        epochs=options.epochs,
        batch_size=options.batch_size,
        optim=OptimConfig(lr=options.lr, warmup=0.1, clip=1.0),
        save_every=100,
        best_of=0,
    )


def compare(config: PretrainConfig, dataset: Dataset, checkpoint: Path) -> Iterator[dict]:
    """A row per target but the input itself: errors of the model, of both regressions, and of a constant guess."""
    learner = Learner(load_model(checkpoint), teacher=False)
    tiles = find_tiles(config, dataset)
    train = hidden_pixels(learner, dataset, tiles.train, config, few=PER_TILE)
    test = hidden_pixels(learner, dataset, tiles.held_out, config)
    for name in config.targets:
        if name != input_name():
            row = {"target": name, "tiles": len(tiles.train), "held out": len(tiles.held_out)}
            yield row | scores(name, train, test)


def hidden_pixels(
    learner: Learner, dataset: Dataset, tile_ids: Sequence[int], config: PretrainConfig, few: int | None = None
) -> Pixels:
    """What is measured, valid and predicted at the hidden pixels of tiles (bands, n), and two versions of their
    spectra: "own", and "nearest", that of the nearest visible pixel. `few`: pixels of each tile, drawn; None takes
    all."""
    found: list[Pixels] = []
    for first in range(0, len(tile_ids), 16):
        batch = reconstructions(learner, dataset, tile_ids[first : first + 16], config)
        for i, tile_id in enumerate(batch.pop("tile_ids")):
            tile = {key: values[i] for key, values in batch.items()}
            hidden = tile.pop("hidden")
            tile["own"] = np.where(tile[f"{input_name()}/valid"], tile[f"{input_name()}/target"], np.nan)
            tile["nearest"] = from_nearest_visible(tile["own"], hidden)
            at = np.flatnonzero(hidden)
            at = at if few is None else generator(0, "pixels", int(tile_id)).permutation(at)[:few]
            found.append({key: values.reshape(len(values), -1)[:, at] for key, values in tile.items()})
    return {key: np.concatenate([f[key] for f in found], axis=1) for key in found[0]}


def from_nearest_visible(spectra: NDArray, hidden: NDArray[np.bool_]) -> NDArray:
    """Every hidden pixel with the spectrum (bands, H, W) of the visible, wholly valid pixel that is nearest to it."""
    unknown = hidden | np.isnan(spectra).any(axis=0)
    rows, columns = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return spectra[:, rows, columns]


def scores(name: str, train: Pixels, test: Pixels) -> dict[str, float]:
    """Mean over bands of the error of each way of guessing one target."""
    bands = [guesses(name, band, train, test) for band in range(len(MODALITIES[name].bands))]
    measure = accuracies if isinstance(MODALITIES[name].kind, Categorical) else errors
    rows = [measure(*band) for band in bands if band is not None]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} if rows else {}


def guesses(name: str, band: int, train: Pixels, test: Pixels) -> tuple[NDArray, NDArray, dict[str, NDArray]] | None:
    """One band in training, in the held-out tiles, and every way's guess of the latter; None for a band that hardly
    ever is measured."""
    here, there = (side[f"{name}/valid"][band] for side in (train, test))
    y, truth = train[f"{name}/target"][band][here], test[f"{name}/target"][band][there]
    if len(y) < 1000 or len(truth) < 1000:
        return None
    classes = isinstance(MODALITIES[name].kind, Categorical)
    found = {"model": test[f"{name}/predicted"][band][there]}
    for way in ("nearest", "own"):
        x, mean = train[way][:, here].T, np.nanmean(train[way], axis=1)
        regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if classes else Ridge(alpha=1.0))
        regression.fit(_filled(x, mean), y)
        found[f"{way} pixel"] = regression.predict(_filled(test[way][:, there].T, mean))
    values, counts = np.unique(y, return_counts=True)
    found["constant"] = np.full_like(truth, values[counts.argmax()] if classes else np.median(y))
    return y, truth, found


def errors(y: NDArray, truth: NDArray, found: dict[str, NDArray]) -> dict[str, float]:
    """Mean absolute error and root mean square error, in standard deviations of the training pixels."""
    off = {way: (guess - truth) / y.std() for way, guess in found.items()}
    mae = {f"{way} MAE": np.abs(o).mean() for way, o in off.items()}
    return mae | {f"{way} RMSE": np.sqrt((o**2).mean()) for way, o in off.items()}


def accuracies(y: NDArray, truth: NDArray, found: dict[str, NDArray]) -> dict[str, float]:
    """Accuracy, and mean intersection over union over the classes that the held-out tiles hold."""

    def iou(guess: NDArray, c: float) -> float:
        return ((guess == c) & (truth == c)).sum() / ((guess == c) | (truth == c)).sum()

    hits = {f"{way} accuracy": (guess == truth).mean() for way, guess in found.items()}
    return hits | {f"{way} mIoU": np.mean([iou(g, c) for c in np.unique(truth)]) for way, g in found.items()}


def _filled(x: NDArray, mean: NDArray) -> NDArray:
    return np.where(np.isnan(x), mean, x)


def line(row: dict) -> str:
    """A row for people."""
    numbers = {k: v for k, v in row.items() if isinstance(v, float)}
    return f"{row['target']:15}" + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items())


if __name__ == "__main__":
    main()
