"""Features: what a frozen encoder makes of a task's images, computed once and kept."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from geomeld.core.draw import generator
from geomeld.core.errors import CorruptFile
from geomeld.evaluate.encoder import Encoder, padded
from geomeld.evaluate.images import ahead, images_for
from geomeld.evaluate.kept import Arrays, once
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Task

VERSION = 1
"""Counted up when features change: what another version kept is not used."""
FOLDER = "features"
"""Of a cache."""
BATCH = 32
"""Images that the encoder sees at a time; always as many, so that features do not depend on who asked."""

Made = tuple[NDArray, NDArray]
"""Values (n, ...) float32, and a label for each."""
Make = Callable[[Tensor, Tensor, Sequence[str]], tuple[Tensor, Tensor]]
"""Images (B, bands, H, W), their labels and names to values and labels."""


def features_of(
    encoder: Encoder, task: Task, split: str, scale: Scale, cache: Path | None = None, *, progress: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (n, width) of the images of a split, and their labels (n,) or (n, classes).

    They are kept in the folder `cache` under the encoder's identity, the task's fingerprint and the scale, and computed
    once. Raises UsageError where the task lacks bands that the encoder needs, CorruptFile for an image that cannot be
    read or gives features that are not finite.
    """

    def make(images: Tensor, labels: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        return encoder(images), labels

    return _once(cache, "features", encoder, task, split, scale, make, progress=progress)


def pixels_of(
    encoder: Encoder, task: Task, split: str, scale: Scale, each: int, seed: int = 0, cache: Path | None = None,
    *, progress: bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:  # fmt: skip
    """All of the encoder's maps (n * each, sum of its widths) at `each` pixels of every image of a split, drawn by
    `seed`, and the labels (n * each,) there. Maps are enlarged bilinearly. Kept, and raises, as `features_of`."""

    def make(images: Tensor, labels: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        places = torch.stack([_places(seed, split, name, labels.shape[-1] * labels.shape[-2], each) for name in names])
        whole = padded(images, encoder.multiple)
        rows, columns = places // labels.shape[-1], places % labels.shape[-1]
        values = sampled(encoder.pyramid(whole), (whole.shape[-2], whole.shape[-1]), rows, columns)
        return values.flatten(0, 1), labels.flatten(1).gather(1, places).flatten()

    return _once(cache, f"{each} pixels each, seed {seed}", encoder, task, split, scale, make, progress=progress)


def sampled(maps: Sequence[Tensor], size: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (B, C_i, h_i, w_i) of an image of `size`, enlarged bilinearly to it, at pixels (B, k): (B, k, sum of C_i).

    The same as enlarging them whole with `torch.nn.functional.interpolate`, without doing so.
    """
    at = torch.stack([(columns + 0.5) / size[1], (rows + 0.5) / size[0]], dim=-1) * 2 - 1
    at = at[:, None].to(maps[0])
    found = [F.grid_sample(m, at, mode="bilinear", padding_mode="border", align_corners=False) for m in maps]
    return torch.cat(found, dim=1)[:, :, 0].transpose(1, 2)


@torch.inference_mode()
def passed(
    encoder: Encoder, task: Task, split: str, scale: Scale, make: Make, title: str, *, progress: bool = True
) -> Made:
    """What `make` gives for every batch of a split, in order, while a thread reads the next ones; progress on stderr.

    Raises as `features_of`.
    """
    encoder.eval()
    source, names = images_for(encoder, task, split, scale), task.names[split]
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    batches = [np.arange(at, min(at + BATCH, len(names))) for at in range(0, len(names), BATCH)]
    values, labels = [], []
    with tqdm(total=len(names), desc=title, unit="tile", dynamic_ncols=True, disable=not progress) as bar:
        for at, (images, wanted) in zip(batches, ahead(source, batches), strict=True):
            called = [names[i] for i in at]
            made, there = make(images.to(device), wanted, called)
            if not torch.isfinite(made).all():
                raise _not_finite(encoder, task, images, called)
            values.append(made.cpu().numpy())
            labels.append(there.numpy())
            bar.update(len(at))
    return np.concatenate(values), np.concatenate(labels)


def _once(
    cache: Path | None, what: str, encoder: Encoder, task: Task, split: str, scale: Scale, make: Make, *, progress: bool
) -> Made:
    def arrays() -> Arrays:
        values, labels = passed(encoder, task, split, scale, make, f"{task.name}, {split}", progress=progress)
        return {"values": values, "labels": labels}

    folder = None if cache is None else cache / FOLDER
    found = once(folder, f"{task.name}-{split}", _said(what, encoder, task, split, scale), arrays)
    return found["values"], found["labels"]


def _said(what: str, encoder: Encoder, task: Task, split: str, scale: Scale) -> str:
    """All that values depend on."""
    numbers = sha256(scale.mean.tobytes() + scale.std.tobytes()).hexdigest()[:16]
    names = sha256("\0".join(task.names[split]).encode()).hexdigest()[:16]
    data = [task.name, task.fingerprint(), split, names, task.bands]
    return json.dumps([VERSION, what, encoder.identity, encoder.bands, *data, scale.source, scale.bands, numbers])


def _places(seed: int, split: str, name: str, pixels: int, each: int) -> Tensor:
    """Pixels of one image, (each,), none twice as long as there are enough."""
    rng = generator(seed, f"evaluate/pixels/{split}", name)
    return torch.from_numpy(rng.choice(pixels, each, replace=each > pixels, shuffle=False).astype(np.int64))


def _not_finite(encoder: Encoder, task: Task, images: Tensor, names: Sequence[str]) -> CorruptFile:
    bad = [name for name, image in zip(names, images, strict=True) if not torch.isfinite(image).all()]
    where = f"the pixels of {bad[0]} are not all numbers" if bad else "the pixels are, so its weights are damaged"
    return CorruptFile(
        f"{encoder.title} makes features of {task.name} that are not finite: {where}. Get the "
        f"{'images' if bad else 'weights'} again."
    )
