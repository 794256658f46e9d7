"""Zero-shot: classes that nobody trained for, told by the nearest of the texts that describe them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from geomeld.core.errors import UsageError
from geomeld.core.modality import Categorical, Modality
from geomeld.evaluate.class_scores import Share, class_scores
from geomeld.evaluate.encoder import padded
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.probe import NO_CLASS, dominant_classes
from geomeld.evaluate.score import Score
from geomeld.evaluate.task import Task, TaskKind
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM

if TYPE_CHECKING:
    from geomeld.evaluate.tiles import Sides

PROTOCOL = "zero-shot, prompt ensemble"

TEMPLATES = (
    "A flat stretch of land, for the most part {}.",
    "A rolling landscape, for the most part {}.",
    "Mostly {} across the area.",
    "Across level ground there is mostly {}.",
    "Most of the ground lies under {}.",
    "The place is dominated by {}.",
    "An expanse of {}.",
    "A satellite image of {}.",
)
"""Sentences as this project's captions have them, and the usual one of pictures; {} is one of a class's phrases."""

PHRASES: Mapping[str, tuple[str, ...]] = {
    # WorldCover
    "Tree cover": ("dense forest", "woodland", "tall trees", "wooded land"),
    "Shrubland": ("shrubland", "scrub", "thickets", "shrubby ground"),
    "Grassland": ("grassland", "grass", "meadows", "dried grasses"),
    "Cropland": ("cropland", "crop fields", "farmland", "cultivated fields"),
    "Built-up": ("built-up land", "settled land", "buildings", "urban land"),
    "Bare / sparse vegetation": ("bare ground", "barren land", "unvegetated surfaces", "bare rock and sand"),
    "Snow and ice": ("snow and ice", "snow", "ice", "snow-covered ground"),
    "Permanent water bodies": ("open water", "water", "a lake", "the sea"),
    "Herbaceous wetland": ("wetland", "marshes", "swamps", "boggy ground"),
    "Mangroves": ("mangroves", "mangrove woodland", "mangrove trees", "mangrove forest"),
    "Moss and lichen": ("moss and lichen", "mosses", "lichens", "tundra"),
    # Dynamic World
    "Water": ("open water", "water", "a lake", "the sea"),
    "Trees": ("dense forest", "woodland", "tall trees", "wooded land"),
    "Grass": ("grassland", "grass", "meadows", "dried grasses"),
    "Flooded vegetation": ("flooded vegetation", "wetland", "marshes", "mangroves"),
    "Crops": ("cropland", "crop fields", "farmland", "cultivated fields"),
    "Shrub and scrub": ("shrubland", "scrub", "thickets", "shrubby ground"),
    "Built": ("built-up land", "settled land", "buildings", "urban land"),
    "Bare": ("bare ground", "barren land", "unvegetated surfaces", "bare rock and sand"),
    # Local climate zones, in the order of So2Sat's classes
    "Compact high-rise": ("high-rise buildings close together", "a dense city of high-rise buildings"),
    "Compact mid-rise": ("city blocks close together", "dense urban land with buildings of a few floors"),
    "Compact low-rise": ("low buildings close together", "dense settled land with low houses"),
    "Open high-rise": ("high-rise buildings among trees and grass", "high-rise buildings far apart"),
    "Open mid-rise": ("buildings of a few floors among trees and grass", "buildings of a few floors far apart"),
    "Open low-rise": ("houses with gardens", "low houses among trees and grass"),
    "Lightweight low-rise": ("small huts close together", "light shelters close together on bare soil"),
    "Large low-rise": ("large low halls and warehouses", "large low buildings and paved ground"),
    "Sparsely built": ("scattered houses in open country", "a few farm houses among fields"),
    "Heavy industry": ("industrial plants", "factories and storage tanks"),
    "Dense trees": ("dense forest", "dense woodland"),
    "Scattered trees": ("scattered trees", "open woodland on grassland"),
    "Bush, scrub": ("scrub", "shrubland"),
    "Low plants": ("grassland and crop fields", "low vegetation"),
    "Bare rock or paved": ("bare rock", "paved ground"),
    "Bare soil or sand": ("bare soil", "sand"),
    "Water bodies": ("open water", "water"),
}
"""What a class is called in captions, by its name in its product."""

OTHERWISE = {  # So2Sat's own spellings, in letters
    "compactmiddlerise": "Compact mid-rise",
    "openmiddlerise": "Open mid-rise",
    "lowplantscover": "Low plants",
    "bushorscrub": "Bush, scrub",
}


def phrases_of(classes: Sequence[str]) -> list[tuple[str, ...]]:
    """The phrases of each class. Raises UsageError for classes that PHRASES does not describe."""
    known = {_letters(name): words for name, words in PHRASES.items()} | {k: PHRASES[v] for k, v in OTHERWISE.items()}
    if unknown := [name for name in classes if _letters(name) not in known]:
        raise UsageError(
            f"Nothing is known of {', '.join(map(repr, unknown))}, and so no text can describe it; zero-shot needs "
            "every class in geomeld.evaluate.zero_shot.PHRASES."
        )
    return [known[_letters(name)] for name in classes]


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalpha())


@torch.no_grad()
def class_vectors(model: GeoMeldFM, phrases: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """(classes, d) of unit length: the mean embedding of all of a class's phrases in all TEMPLATES."""
    means = []
    for words in phrases:
        texts = [template.format(word) for word in words for template in TEMPLATES]
        mean = model.encode_text(texts).float().mean(dim=0)
        means.append(torch.nn.functional.normalize(mean, dim=0).cpu().numpy())
    return np.stack(means)


# --- a task's images ---


def zero_shot(model: GeoMeldFM, task: Task, title: str, identity: str, batch_size: int = 32) -> Outcome:
    """Cosines of the test images of a task to the texts of its classes; nothing of training or validation is read.

    `title` and `identity`: the model's, as in every outcome. Images are normalised by the model's own statistics, so
    the task's unit must be known. Raises UsageError for tasks of another kind and for classes that are not described.
    """
    if task.kind is not TaskKind.MULTICLASS:
        raise UsageError(f"{task.name} asks for {task.kind.value}; zero-shot tells one class per image.")
    task.pretraining_scale(*_statistics(model, task.bands))  # raises for images in no known unit
    if len(task.class_names) != task.classes:
        raise UsageError(f"{task.name} does not say what its {task.classes} classes are called.")
    vectors = class_vectors(model, phrases_of(task.class_names))
    scores, truth = [], []
    for images, labels in _test_images(task, batch_size, model.config.patch):
        embedded = model.encode_image(images, task.bands).float().cpu().numpy()
        scores.append(embedded @ vectors.T)
        truth.extend(labels)
    return Outcome(
        task.name, PROTOCOL, title, identity, task.fingerprint(), "pretraining", 0, task.names["test"],
        np.concatenate(scores), np.array(truth), {"templates": len(TEMPLATES)},
    )  # fmt: skip


def _statistics(model: GeoMeldFM, bands: Sequence[str]) -> tuple[list[float], list[float]]:
    spec = model.config.input
    if strangers := [b for b in bands if b not in spec.bands]:
        raise UsageError(f"The model knows no band {', '.join(strangers)}; its bands are {', '.join(spec.bands)}.")
    at = [spec.bands.index(b) for b in bands]
    return [spec.mean[i] for i in at], [spec.std[i] for i in at]


def _test_images(task: Task, batch_size: int, multiple: int) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Reflectance x 10000 (B, bands, H, W), NaN in bands that an image lacks, and labels."""
    names = task.names["test"]
    for start in range(0, len(names), batch_size):
        samples = [task.sample(name) for name in names[start : start + batch_size]]
        pixels = [np.where(s.valid[:, None, None], s.values, np.float32(np.nan)) for s in samples]
        yield padded(torch.from_numpy(np.stack(pixels)), multiple), [int(s.label) for s in samples]


# --- the dominant land cover of tiles ---


def zero_shot_scores(tiles: "Sides") -> list[Score]:
    """Accuracy, balanced accuracy and recall per class of the dominant class of held-out tiles, for every product of
    classes that is described and that tiles have, beside chance and the commonest class; none where no text side was
    trained."""
    if not tiles.reads_text:
        return []
    scores = []
    for modality in MODALITIES.values():
        if isinstance(modality.kind, Categorical):
            names = [c.name for c in modality.kind.classes]
            scores += _land_cover(tiles, modality, names) if all(name in PHRASES for name in names) else []
    return scores


def _land_cover(tiles: "Sides", modality: Modality, names: Sequence[str]) -> list[Score]:
    have = [i for i, t in enumerate(tiles.new.tile_ids) if modality.name in tiles.dataset.layers_of(t)]
    truth = dominant_classes(tiles.dataset, [tiles.new.tile_ids[i] for i in have], modality, tiles.skipped)
    at = np.array(have, np.int64)[truth != NO_CLASS]
    truth = truth[truth != NO_CLASS]
    if not len(truth):
        return []
    given = (tiles.new.images[at] @ class_vectors(tiles.model, phrases_of(names)).T).argmax(axis=1)
    task = f"{modality.title}, dominant class"
    found = class_scores(given, truth, names, tiles.data)
    found.pop("macro F1")  # what chance has of it depends on how common each class is
    most = class_scores(np.full_like(truth, np.bincount(truth).argmax()), truth, names, tiles.data)["accuracy"]
    floors = {"chance": Share(1 / len(names)), "commonest class": most}
    return [
        tiles.share(task, PROTOCOL, metric, share, len(truth), name, floor)
        for metric, share in found.items()
        for name, floor in floors.items()
        if metric == "accuracy" or name == "chance"
    ]
