"""Retrieval: captions by tiles and tiles by captions, on galleries of stated size and among each tile's neighbours."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geomeld.core.draw import draw_words, generator
from geomeld.evaluate.bootstrap import bounds
from geomeld.evaluate.ranking import PairRanks, Ranks, exact, rank_pairs
from geomeld.evaluate.score import Score

if TYPE_CHECKING:  # it reads tiles and needs none of this
    from geomeld.evaluate.tiles import Sides

KS = (1, 5, 10)
GALLERIES = (100, 1_000, 10_000, 100_000)
"""Sizes that are scored besides all there are, so that datasets of different size can be compared."""
EARTH_RADIUS_KM = 6371.0
NEIGHBOURS = 20
"""Tiles of a gallery of hard negatives, the query's own among them."""
DRAWS = 1000
BLOCK = 256
"""Texts or queries at a time."""


# --- what is asked ---


@dataclass(frozen=True)
class Pairs:
    """Tiles and their captions as a model embeds them."""

    tile_ids: tuple[int, ...]
    images: NDArray[np.float32]
    """(n, d), unit length."""
    texts: NDArray[np.float32]
    """(n, d), unit length; the same row for the same sentence."""
    group: NDArray[np.int64]
    """(n,), equal where captions are the same sentence."""
    lonlat: NDArray[np.float64]
    """(n, 2), degrees."""

    def __len__(self) -> int:
        return len(self.tile_ids)

    def drawn(self, size: int, seed: int = 0) -> "Pairs":
        """`size` of them, drawn by their identifiers: a smaller gallery is part of every larger one."""
        order = sorted(range(len(self)), key=lambda i: draw_words(seed, "gallery", self.tile_ids[i]))
        at = np.sort(order[:size])
        ids = tuple(self.tile_ids[i] for i in at)
        return Pairs(ids, self.images[at], self.texts[at], self.group[at], self.lonlat[at])

    def neighbours(self, k: int = NEIGHBOURS) -> NDArray[np.int64]:
        """(n, k): every tile and the k - 1 that lie nearest to it on the globe, in order of their distance."""
        points = self._points()
        near = cKDTree(points).query(points, min(k, len(self)))[1].reshape(len(self), -1)
        # Tiles of one place may come in any order: each must be in its own gallery.
        near[:, 0] = np.where((near == np.arange(len(self))[:, None]).any(axis=1), near[:, 0], np.arange(len(self)))
        return near.astype(np.int64)

    def distances(self, near: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, k): great circles from every tile to those in its row of `near`, kilometres."""
        points = self._points()
        chords = np.linalg.norm(points[:, None] - points[near], axis=-1)
        return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1))

    def _points(self) -> NDArray[np.float64]:
        """(n, 3) on the unit sphere."""
        lon, lat = np.radians(self.lonlat.T)
        return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def caption_groups(captions: Sequence[str]) -> NDArray[np.int64]:
    """(n,) numbers that are equal where two captions are the same sentence, apart from case and spaces."""
    return np.unique([" ".join(c.lower().split()) for c in captions], return_inverse=True)[1].astype(np.int64)


def same_caption(captions: Sequence[str]) -> NDArray[np.bool_]:
    """(n, n): whether two tiles carry the same sentence, apart from case and spaces; any of them answers the query."""
    group = caption_groups(captions)
    return group[:, None] == group[None, :]


# --- small galleries, by their whole matrix ---


def ranks_in(similarity: NDArray, relevant: NDArray[np.bool_]) -> Ranks:
    """Ranks by a matrix (queries, items), higher is nearer; `relevant` has the same shape.

    Raises ValueError where a query has no relevant item.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("Every query needs at least one relevant item.")
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    ties = similarity == best
    return Ranks(
        (similarity > best).sum(axis=1),
        ties.sum(axis=1),
        (ties & relevant).sum(axis=1),
        relevant.sum(axis=1),
        similarity.shape[1],
    )


def recall_at(similarity: NDArray, relevant: NDArray[np.bool_], ks: Sequence[int]) -> dict[int, float]:
    """Share of queries with a relevant item among the first k, for every k.

    Items of equal score stand in random order, and the expected value over that order is returned. (Sorting by index
    instead would reward ties that happen to lie on the diagonal.) Raises ValueError where a query has no relevant item.
    """
    ranks = ranks_in(similarity, relevant)
    return {k: float(ranks.hits(k).mean()) for k in ks}


def chance_at(relevant: NDArray[np.bool_], ks: Sequence[int]) -> dict[int, float]:
    """Recall@k of a random order."""
    ranks = ranks_in(np.zeros(relevant.shape), relevant)
    return {k: ranks.chance(k) for k in ks}


def ranks_among(
    queries: NDArray, items: NDArray, group: NDArray[np.int64], gallery: NDArray[np.int64]
) -> tuple[Ranks, Ranks]:
    """Ranks of each query (n, d) in a gallery of its own (n, k) of `items` (n, d): right is the item of its own number,
    or every item of its group."""
    found: tuple[list[Ranks], list[Ranks]] = ([], [])
    for start in range(0, len(queries), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(queries)))
        scores = np.einsum("id,ikd->ik", exact(queries[rows]), exact(items[gallery[rows]]))
        found[0].append(ranks_in(scores, gallery[rows] == rows[:, None]))
        found[1].append(ranks_in(scores, group[gallery[rows]] == group[rows][:, None]))
    return _joined(found[0]), _joined(found[1])


def _joined(parts: Sequence[Ranks]) -> Ranks:
    return Ranks(
        np.concatenate([p.before for p in parts]),
        np.concatenate([p.tied for p in parts]),
        np.concatenate([p.tied_right for p in parts]),
        np.concatenate([p.right for p in parts]),
        parts[0].items,
    )


# --- scores ---


@dataclass(frozen=True, slots=True)
class Found:
    """One number of retrieval."""

    task: str
    protocol: str
    metric: str
    value: float
    low: float | None
    """Bounds of its interval; None where no draw differs."""
    high: float | None
    chance: float
    n: int
    """Queries."""


def found_in(ranks: Ranks, task: str, protocol: str, seed: int = 0, draws: int = DRAWS) -> list[Found]:
    """Recall@1, 5 and 10 (0..1) and the median rank (1 or more) of some queries, each with the bounds of its 95 %
    bootstrap interval over queries and the value of a random order."""
    hits, positions = np.stack([ranks.hits(k) for k in KS], axis=1), ranks.positions()
    n = len(positions)
    rng = generator(seed, "retrieval-bootstrap", protocol)  # the same queries for every way and notion of right
    drawn = np.empty((draws, len(KS) + 1))
    for row in drawn:
        at = rng.integers(0, n, n, dtype=np.int32)
        row[:-1], row[-1] = hits[at].mean(axis=0), np.median(positions[at])
    values = [*hits.mean(axis=0), np.median(positions)]
    chance = [*(ranks.chance(k) for k in KS), float(np.median((ranks.items + 1) / (ranks.right + 1)))]
    names = [*(f"R@{k}" for k in KS), "median rank"]
    within = [bounds(each) or (None, None) for each in drawn.T]
    return [
        Found(task, protocol, name, float(value), low, high, float(lucky), n)
        for name, value, (low, high), lucky in zip(names, values, within, chance, strict=True)
    ]


def retrieval(pairs: Pairs, seed: int = 0, progress: Callable[[int], object] = lambda rows: None) -> Iterator[Found]:
    """Everything that is scored: galleries of the sizes in GALLERIES and of all pairs, then hard negatives, where there
    are more pairs than these."""
    for size in [*(s for s in GALLERIES if s < len(pairs)), len(pairs)]:
        part = pairs if size == len(pairs) else pairs.drawn(size, seed)
        ranked = rank_pairs(part.images, part.texts, part.group, progress=progress)
        for task, ranks in _named(ranked).items():
            yield from found_in(ranks, task, f"retrieval among {size:,}", seed)
    if len(pairs) <= NEIGHBOURS:
        return
    near = pairs.neighbours()
    reach = np.median(pairs.distances(near).max(axis=1))
    hard = f"retrieval among the {near.shape[1]} nearest tiles, within {reach:,.0f} km in the median"
    for way, queries, items in (
        ("image to text", pairs.images, pairs.texts),
        ("text to image", pairs.texts, pairs.images),
    ):
        for right, ranks in zip(RIGHT, ranks_among(queries, items, pairs.group, near), strict=True):
            yield from found_in(ranks, f"{way}, {right}", hard, seed)


RIGHT = ("own caption", "same sentence")
"""What is counted as right: a tile's own caption alone, or every one that is the same sentence."""


def _named(ranks: PairRanks) -> dict[str, Ranks]:
    return {
        f"image to text, {RIGHT[0]}": ranks.a_to_b,
        f"image to text, {RIGHT[1]}": ranks.a_to_group,
        f"text to image, {RIGHT[0]}": ranks.b_to_a,
        f"text to image, {RIGHT[1]}": ranks.b_to_group,
    }


def pairs_of(tiles: "Sides") -> Pairs | None:
    """The held-out tiles with captions; None where the model's text side was not trained, or fewer than two tiles have
    any."""
    new = tiles.new
    keep = [i for i, caption in enumerate(new.captions) if caption]
    if not tiles.reads_text or len(keep) < 2:
        return None
    captions = [new.captions[i] for i in keep]
    sentences, place = np.unique(captions, return_inverse=True)
    parts = range(0, len(sentences), BLOCK)
    texts = np.concatenate(
        [tiles.model.encode_text([str(t) for t in sentences[i : i + BLOCK]]).float().cpu().numpy() for i in parts]
    )
    ids = tuple(new.tile_ids[i] for i in keep)
    places = [tiles.dataset.metadata(t) for t in ids]
    lonlat = np.array([(float(p["long"]), float(p["lat"])) for p in places])
    return Pairs(ids, new.images[keep], texts[place], caption_groups(captions), lonlat)


def retrieval_scores(tiles: "Sides") -> list[Score]:
    """The scores of a checkpoint on the held-out tiles of a dataset; none where `pairs_of` has no pairs."""
    pairs = pairs_of(tiles)
    return [] if pairs is None else [_score(tiles, found) for found in retrieval(pairs)]


def _score(tiles: "Sides", found: Found) -> Score:
    chance = ("chance", found.chance)
    score = tiles.score(found.task, found.protocol, found.metric, found.value, found.n, chance)
    return replace(score, low=found.low, high=found.high)
