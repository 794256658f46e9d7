"""Health: whether embeddings use the space they have, by four numbers, and where tiles lie on a flat map."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import draw_words
from geomeld.core.errors import UsageError
from geomeld.evaluate.retrieval import pairs_of
from geomeld.evaluate.score import Score

if TYPE_CHECKING:
    from geomeld.evaluate.tiles import Sides

PROTOCOL = "embedding health"
MOST = 4000
"""Tiles that are looked at, at most, drawn by key: the numbers need all pairs."""
BLOCK = 512
DISCARDED = 0.1
"""Share of the largest ratios that TwoNN leaves out of its fit, as its authors do."""
Method = Literal["pca", "tsne"]


def effective_rank(x: NDArray) -> float:
    """exp of the entropy of the normalised singular values of centred rows (n, d): 1 if all lie on a line, at most
    min(n - 1, d) (Roy and Vetterli 2007). 0 where all rows are the same."""
    centred = np.asarray(x, float) - np.mean(x, axis=0, dtype=float)
    values = np.linalg.svd(centred, compute_uv=False)
    values = values[values > values.max(initial=0.0) * 1e-12]
    if not len(values):
        return 0.0
    p = values / values.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def uniformity(x: NDArray, t: float = 2.0) -> float:
    """log of the mean of exp(-t |x - y|^2) over pairs of different rows (n, d) of unit length: 0 if all are the same,
    about -2 t if they are spread over a sphere of many dimensions (Wang and Isola 2020, eq. 2)."""
    x, n, total = np.asarray(x, float), len(x), 0.0
    for start in range(0, n, BLOCK):
        total += np.exp(-t * _squares(x[start : start + BLOCK], x)).sum()
    return float(np.log((total - n) / (n * (n - 1))))


def alignment(x: NDArray, y: NDArray) -> float:
    """Mean |x - y|^2 over pairs that belong together, rows (n, d) of unit length: 0 at best, 2 for unrelated ones (Wang
    and Isola 2020, eq. 1, alpha = 2)."""
    return float(((np.asarray(x, float) - np.asarray(y, float)) ** 2).sum(axis=1).mean())


def intrinsic_dimension(x: NDArray) -> float:
    """TwoNN (Facco et al. 2017): the slope through the origin of -log(1 - F) over log(r2 / r1), where r1 and r2 are the
    distances of a row (n, d) to its two nearest others and F their ratio's empirical distribution.

    Rows that occur twice count once. Raises UsageError for fewer than ten different rows.
    """
    x = np.unique(np.asarray(x, float), axis=0)
    n = len(x)
    if n < 10:
        raise UsageError(f"The intrinsic dimension needs at least ten different points; there are {n}.")
    nearest = np.concatenate([_two_nearest(x, start) for start in range(0, n, BLOCK)])
    ratio = np.sort(np.log(nearest[:, 1] / nearest[:, 0]))
    kept = int(n * (1 - DISCARDED))
    height = -np.log1p(-np.arange(1, kept + 1) / n)
    return float((ratio[:kept] @ height) / (ratio[:kept] @ ratio[:kept]))


def _two_nearest(x: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """(rows, 2) distances of a block of rows to their nearest and second nearest other."""
    part = x[start : start + BLOCK]
    squares = _squares(part, x)
    squares[np.arange(len(part)), start + np.arange(len(part))] = np.inf
    at = np.argpartition(squares, 1, axis=1)[:, :2]
    # Anew from the differences: close points lose all their digits in products.
    exact = np.sqrt(((part[:, None] - x[at]) ** 2).sum(axis=2))
    return np.sort(exact, axis=1)


def _squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows of a, rows of b) squared distances."""
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0.0)


def flat_map(x: NDArray, method: Method = "pca", seed: int = 0) -> NDArray[np.float64]:
    """Rows (n, d) as points of a plane (n, 2): principal components, or t-SNE started from them. The same rows give the
    same points; signs are such that the largest coordinate of each axis is positive."""
    centred = np.asarray(x, float) - np.mean(x, axis=0, dtype=float)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    points[:, : min(2, len(s))] = (u * s)[:, :2]
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    if method == "pca" or len(points) < 10:
        return points
    from sklearn.manifold import TSNE

    start = points / max(points[:, 0].std(), 1e-12) * 1e-4
    near = min(30.0, (len(points) - 1) / 3)
    return TSNE(perplexity=near, init=start, random_state=seed).fit_transform(centred).astype(float)


def health_scores(tiles: "Sides", seed: int = 0) -> list[Score]:
    """The numbers of a checkpoint on held-out tiles; alignment and uniformity of images and captions where the model
    reads text and tiles have captions."""
    new = tiles.new
    at = sorted(range(len(new.tile_ids)), key=lambda i: draw_words(seed, "health", new.tile_ids[i]))[:MOST]
    pooled, n = new.pooled[at], len(at)
    most = ("largest possible", float(min(n - 1, pooled.shape[1])))
    scores = [tiles.score("features", PROTOCOL, "effective rank", effective_rank(pooled), n, most)]
    if len(np.unique(pooled, axis=0)) >= 10:
        dimension = intrinsic_dimension(pooled)
        scores.append(tiles.score("features", PROTOCOL, "intrinsic dimension", dimension, n))
    pairs = pairs_of(tiles)
    if pairs is None:
        return scores
    pairs = pairs.drawn(MOST, seed)
    spread = ("spread over the sphere", -4.0 + 8.0 / pairs.images.shape[1])
    for name, side in (("image embeddings", pairs.images), ("caption embeddings", pairs.texts)):
        rank, room = effective_rank(side), float(min(len(pairs) - 1, side.shape[1]))
        scores += [
            tiles.score(name, PROTOCOL, "effective rank", rank, len(pairs), ("largest possible", room)),
            tiles.score(name, PROTOCOL, "uniformity", uniformity(side), len(pairs), spread),
        ]
    value, apart = (
        alignment(pairs.images, pairs.texts),
        ("unrelated pairs of this set", _apart(pairs.images, pairs.texts)),
    )
    return [*scores, tiles.score("images and captions", PROTOCOL, "alignment", value, len(pairs), apart)]


def _apart(x: NDArray, y: NDArray) -> float:
    """Mean |x - y|^2 over all pairs of rows: what `alignment` would be if nothing belonged together."""
    return float(2 - 2 * (x.mean(axis=0, dtype=float) @ y.mean(axis=0, dtype=float)))
