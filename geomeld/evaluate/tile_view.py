"""Tile view: what lies behind the scores on held-out tiles: what is taken for what, tiles with truth and answers."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from geomeld.evaluate.results import TileSet
from geomeld.evaluate.tile_answers import TileAnswers
from geomeld.figures.evaluation_page import Example, example_cards
from geomeld.figures.predictions import confusion_matrices

ABOUT = "Dominant land cover, linear probe"
SIDE_BY_SIDE = 3
"""Matrices in one figure."""

Shown = tuple[str, Figure | str]
"""A caption, and a figure or trusted HTML."""


def tile_figures(
    answers: Sequence[TileAnswers], names: Mapping[str, str], tile_sets: Mapping[str, TileSet]
) -> Iterator[Shown]:
    """Per dataset a confusion matrix of every encoder, and a few tiles with what all of them say of these. Encoders are
    in the order of `names`, by identity; those without a name are left out."""
    order = list(names)
    known = sorted((a for a in answers if a.checkpoint in names), key=lambda a: order.index(a.checkpoint))
    for data in dict.fromkeys(a.data for a in known):
        by_encoder = {names[a.checkpoint]: a for a in known if a.data == data}
        where = f"held-out tiles of {tile_sets.get(data, data)}"
        for start in range(0, len(by_encoder), SIDE_BY_SIDE):
            some = dict(list(by_encoder.items())[start : start + SIDE_BY_SIDE])
            yield f"{ABOUT}: shares of the tiles of each true class, on {where}.", _matrices(some)
        examples = list(_examples(by_encoder))
        if examples:
            yield f"{ABOUT}: {where}, drawn by lot. In bold the truth, below it the answers.", example_cards(examples)


def _matrices(by_encoder: Mapping[str, TileAnswers]) -> Figure:
    """Of the classes that occur or are given by any of them."""
    classes = next(iter(by_encoder.values())).classes
    used = sorted({int(c) for a in by_encoder.values() for c in (*a.truth, *a.given)})
    return confusion_matrices({name: a.confusion(used) for name, a in by_encoder.items()}, [classes[c] for c in used])


def _examples(by_encoder: Mapping[str, TileAnswers]) -> Iterator[Example]:
    """The tiles that the first of them shows; all were asked about the same tiles, so places mean the same."""
    first = next(iter(by_encoder.values()))
    for at, picture in zip(first.shown, first.pictures, strict=True):
        truth = first.classes[first.truth[at]]
        said = {name: a.classes[a.given[at]] for name, a in by_encoder.items() if len(a.truth) == len(first.truth)}
        yield Example(picture / 255, truth, said, {name: answer == truth for name, answer in said.items()})
