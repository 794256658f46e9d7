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
from geomeld.core.errors import CheckpointError
from geomeld.evaluate.encoder import Encoder, padded
from geomeld.evaluate.images import ahead, images_for
from geomeld.evaluate.kept import Arrays, once
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Task

VERSION = 2
"""Counted up when features change: what another version kept is not used."""
FOLDER = "features"
"""Of a cache."""
BATCH = 32
"""Images that the encoder sees at a time; always as many, so that features do not depend on who asked."""

See = Callable[[Tensor, Sequence[str]], Tensor]
"""Images (B, bands, H, W) and their names to values (n, ...)."""
Ask = Callable[[Tensor, Sequence[str]], Tensor]
"""Labels (B, ...) and the names of their images to the labels (n, ...) of those values."""


def features_of(
    encoder: Encoder, task: Task, split: str, scale: Scale, cache: Path | None = None, *, progress: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features (n, width) of the images of a split, and their labels (n,) or (n, classes).

    They are kept in the folder `cache` under the encoder's identity, the task's images and the scale, and computed
    once; labels under the task's fingerprint. Raises UsageError where the task lacks bands that the encoder needs,
    CorruptFile for an image that cannot be read, CheckpointError for weights that make features that are not finite.
    """
    return _once(cache, "features", encoder, task, split, scale, lambda images, _: encoder(images), progress=progress)


def pixels_of(
    encoder: Encoder, task: Task, split: str, scale: Scale, each: int, seed: int = 0, cache: Path | None = None,
    *, progress: bool = True,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:  # fmt: skip
    """All of the encoder's maps (n * each, sum of its widths) at `each` pixels of every image of a split, drawn by
    `seed`, and the labels (n * each,) there. Maps are enlarged bilinearly. Kept, and raises, as `features_of`."""

    def places(names: Sequence[str]) -> Tensor:
        return torch.stack([_places(seed, split, name, task.size**2, each) for name in names])

    def see(images: Tensor, names: Sequence[str]) -> Tensor:
        whole, at = padded(images, encoder.multiple), places(names)
        size = (whole.shape[-2], whole.shape[-1])
        return sampled(encoder.pyramid(whole), size, at // task.size, at % task.size).flatten(0, 1)

    def ask(labels: Tensor, names: Sequence[str]) -> Tensor:
        return labels.flatten(1).gather(1, places(names)).flatten()

    what = f"{each} pixels each, seed {seed}"
    return _once(cache, what, encoder, task, split, scale, see, ask, progress=progress)


def sampled(maps: Sequence[Tensor], size: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (B, C_i, h_i, w_i) of an image of `size`, enlarged bilinearly to it, at pixels (B, k): (B, k, sum of C_i).

    The same as enlarging them whole with `torch.nn.functional.interpolate`, without doing so.
    """
    at = torch.stack([(columns + 0.5) / size[1], (rows + 0.5) / size[0]], dim=-1) * 2 - 1
    at = at[:, None].to(maps[0])
    found = [F.grid_sample(m, at, mode="bilinear", padding_mode="border", align_corners=False) for m in maps]
    return torch.cat(found, dim=1)[:, :, 0].transpose(1, 2)


def as_they_are(labels: Tensor, names: Sequence[str]) -> Tensor:
    """A label for each image."""
    return labels


@torch.inference_mode()
def passed(
    encoder: Encoder, task: Task, split: str, scale: Scale, see: See, ask: Ask = as_they_are, *, progress: bool = True
) -> tuple[NDArray, NDArray]:
    """What `see` gives for every batch of a split, in order, and what `ask` gives for its labels, while a thread reads
    the next ones; progress on stderr.

    Raises as `features_of`.
    """
    encoder.eval()
    source, names = images_for(encoder, task, split, scale), task.names[split]
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    batches = [np.arange(at, min(at + BATCH, len(names))) for at in range(0, len(names), BATCH)]
    values, asked = [], []
    title = f"{task.name}, {split}"
    with tqdm(total=len(names), desc=title, unit="tile", dynamic_ncols=True, disable=not progress) as bar:
        for at, (images, labels) in zip(batches, ahead(source, batches), strict=True):
            called = [names[i] for i in at]
            seen = see(images.to(device), called)
            if not torch.isfinite(seen).all():
                raise _not_finite(encoder, task)
            values.append(seen.cpu().numpy())
            asked.append(ask(labels, called).numpy())
            bar.update(len(at))
    return np.concatenate(values), np.concatenate(asked)


def _once(
    cache: Path | None, what: str, encoder: Encoder, task: Task, split: str, scale: Scale, see: See,
    ask: Ask = as_they_are, *, progress: bool,
) -> tuple[NDArray, NDArray]:  # fmt: skip
    """What `passed` gives, values and labels kept apart: those of the images, and what one task asks of them."""
    read: list[NDArray] = []  # labels that came with the images

    def values() -> Arrays:
        made, labels = passed(encoder, task, split, scale, see, ask, progress=progress)
        read.append(labels)
        return {"values": made}

    def labels() -> Arrays:
        return {"labels": read[0] if read else _labels(task, split, ask)}

    folder, names = None if cache is None else cache / FOLDER, sha256("\0".join(task.names[split]).encode()).hexdigest()
    numbers = sha256(scale.mean.tobytes() + scale.std.tobytes()).hexdigest()
    network = [encoder.identity, encoder.bands, task.bands, scale.source, scale.bands, numbers]
    said = [VERSION, what, split, names]
    found = once(folder, f"{task.images}-{split}", json.dumps([*said, task.images, *network]), values)["values"]
    asked = once(folder, f"{task.name}-{split}-labels", json.dumps([*said, task.name, task.fingerprint()]), labels)
    return found, asked["labels"]


def _labels(task: Task, split: str, ask: Ask) -> NDArray:
    """What `ask` gives for the labels of a split, without an encoder."""
    names = task.names[split]
    parts = (names[at : at + BATCH] for at in range(0, len(names), BATCH))
    return np.concatenate([ask(torch.from_numpy(_read(task, part)), part).numpy() for part in parts])


def _read(task: Task, names: Sequence[str]) -> NDArray[np.int64]:
    return np.stack([task.sample(name).label for name in names])


def _places(seed: int, split: str, name: str, pixels: int, each: int) -> Tensor:
    """Pixels of one image, (each,), none twice as long as there are enough."""
    rng = generator(seed, f"evaluate/pixels/{split}", name)
    return torch.from_numpy(rng.choice(pixels, each, replace=each > pixels, shuffle=False).astype(np.int64))


def _not_finite(encoder: Encoder, task: Task) -> CheckpointError:
    return CheckpointError(
        f"{encoder.title} makes features of {task.name} that are not finite, of pixels that are: its weights are "
        "damaged. Get them again."
    )
