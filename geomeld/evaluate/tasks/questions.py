"""Questions: what may be asked of a tile of the simulated Earth, each with the answer that its truth gives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomeld.core.modality import Categorical
from geomeld.evaluate.task import TaskKind
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated.truth import BIOMES, FIELD_USES, Landscape, field_use

PRESENT = 0.02
"""Share of a tile from which a class of land cover is present in it: 330 of its 16,384 pixels."""
FARMED = 0.05
"""Share of fields from which a tile is asked about fields."""


@dataclass(frozen=True)
class Question:
    """One task's question."""

    name: str
    """Of the task."""
    kind: TaskKind
    class_names: tuple[str, ...]
    answer: Callable[[Landscape], NDArray[np.uint8] | None]
    """The label: () a class, (classes,) zeros and ones, or (rows, columns) a class per pixel; None where it is not
    asked."""
    about: str
    """What the labels are, in a sentence."""


def _land_cover() -> Categorical:
    kind = MODALITIES["esa_worldcover"].kind
    assert isinstance(kind, Categorical)
    return kind


def present_classes(land: Landscape) -> NDArray[np.uint8]:
    """(classes,): 1 for every class of land cover with at least PRESENT of the ground."""
    legend = _land_cover()
    counts = np.bincount(legend.index_of(land.land_cover.ravel()), minlength=len(legend.classes))
    return (counts >= PRESENT * land.land_cover.size).astype(np.uint8)


def commonest_biome(land: Landscape) -> NDArray[np.uint8]:
    """(): index of the biome of most of the ground, the lower one of two that tie."""
    return np.array(np.bincount(land.biome.ravel()).argmax(), np.uint8)


def crops(land: Landscape) -> NDArray[np.uint8] | None:
    """(rows, columns): what every pixel's parcel is used for; None with hardly any fields."""
    return field_use(land) if _is_farmed(land) else None


def boundaries(land: Landscape) -> NDArray[np.uint8] | None:
    """(rows, columns): 0 outside fields, 1 inside of one, 2 on its edge; None with hardly any fields.

    A pixel of a field is on its edge where one of its four neighbours belongs to another field or to none; beyond the
    tile nothing is known, and nothing is an edge.
    """
    if not _is_farmed(land):
        return None
    ringed = np.pad(land.parcel, 1, mode="edge")
    neighbours = (ringed[:-2, 1:-1], ringed[2:, 1:-1], ringed[1:-1, :-2], ringed[1:-1, 2:])
    edge = np.any([n != land.parcel for n in neighbours], axis=0)
    return np.where(land.parcel == 0, 0, 1 + edge).astype(np.uint8)


def _is_farmed(land: Landscape) -> bool:
    return bool((land.parcel > 0).mean() >= FARMED)


QUESTIONS: dict[str, Question] = {
    question.name: question
    for question in (
        Question(
            "simulated land cover",
            TaskKind.MULTILABEL,
            tuple(c.name for c in _land_cover().classes),
            present_classes,
            f"the land cover that truly has {PRESENT:.0%} of a tile or more",
        ),
        Question(
            "simulated climate",
            TaskKind.MULTICLASS,
            BIOMES,
            commonest_biome,
            "the biome that temperature, moisture, relief and the sea make of the place",
        ),
        Question(
            "simulated crops",
            TaskKind.SEGMENTATION,
            FIELD_USES,
            crops,
            f"what each parcel is used for that year, on tiles with {FARMED:.0%} of fields or more",
        ),
        Question(
            "simulated boundaries",
            TaskKind.SEGMENTATION,
            ("no field", "inside a field", "edge of a field"),
            boundaries,
            f"10 m pixels inside and along the edges of parcels, on tiles with {FARMED:.0%} of fields or more",
        ),
    )
}
"""THE TABLE of questions, by name."""
