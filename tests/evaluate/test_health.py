"""Embedding health: each number against points whose answer is known, and the map of tiles."""

import numpy as np
import pytest

from geomeld.core.errors import UsageError
from geomeld.evaluate.health import alignment, effective_rank, flat_map, intrinsic_dimension, uniformity
from geomeld.figures.embedding_map import embedding_map
from geomeld.modalities import MODALITIES


def sphere(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    inside = np.zeros((2 * rank, 20))
    inside[:, :rank] = np.concatenate([np.eye(rank), -np.eye(rank)])
    assert effective_rank(inside + 5.0) == pytest.approx(rank)
    assert effective_rank(np.ones((4, 3))) == 0.0


def test_effective_rank_by_the_definition() -> None:
    x = np.random.default_rng(1).standard_normal((30, 6)) * [5, 3, 1, 1, 0.1, 0.01]
    eigen = np.linalg.eigvalsh(np.cov(x.T))
    p = np.sqrt(eigen) / np.sqrt(eigen).sum()
    assert effective_rank(x) == pytest.approx(np.prod(p**-p))


def test_uniformity_and_alignment_by_plain_loops() -> None:
    x, y = sphere(23, 5), sphere(23, 5, seed=1)
    pairs = [(i, j) for i in range(23) for j in range(23) if i != j]
    mean = np.mean([np.exp(-2 * np.sum((x[i] - x[j]) ** 2)) for i, j in pairs])
    assert uniformity(x) == pytest.approx(np.log(mean))
    assert alignment(x, y) == pytest.approx(np.mean([np.sum((a - b) ** 2) for a, b in zip(x, y, strict=True)]))
    assert uniformity(np.tile(x[:1], (600, 1))) == pytest.approx(0.0)  # collapsed, and more than a block
    assert uniformity(sphere(1200, 256)) == pytest.approx(-4 + 8 / 256, abs=0.02)
    assert alignment(x, x) == 0.0


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_intrinsic_dimension_of_a_curved_sheet_in_a_wide_space(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    flat = rng.uniform(-1, 1, (1500, dimension))
    wide = np.tanh(flat @ rng.standard_normal((dimension, 40)) * 0.3)
    assert intrinsic_dimension(wide) == pytest.approx(dimension, rel=0.12)
    twice = np.concatenate([wide, wide[:300]])
    assert intrinsic_dimension(twice) == pytest.approx(intrinsic_dimension(wide))


def test_two_points_have_no_dimension() -> None:
    with pytest.raises(UsageError, match="ten different points; there are 2"):
        intrinsic_dimension(np.repeat(np.eye(2), 50, axis=0))


def test_the_flat_map_keeps_clusters_apart_and_is_the_same_again() -> None:
    centres = sphere(3, 16) * 6
    x = np.repeat(centres, 20, axis=0) + np.random.default_rng(2).standard_normal((60, 16)) * 0.3
    for method in ("pca", "tsne"):
        points = flat_map(x, method)
        middle = points.reshape(3, 20, 2).mean(axis=1)
        within = np.linalg.norm(points.reshape(3, 20, 2) - middle[:, None], axis=2).max()
        assert min(np.linalg.norm(middle[i] - middle[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 1.5 * within
    np.testing.assert_array_equal(flat_map(x), flat_map(x))
    np.testing.assert_allclose(np.var(flat_map(x), axis=0), np.linalg.eigvalsh(np.cov(x.T, bias=True))[[-1, -2]])


def test_the_embedding_map_shows_every_class_that_occurs_and_unknown_tiles() -> None:
    kind = MODALITIES["esa_worldcover"].kind
    figure = embedding_map(flat_map(sphere(12, 4)), [0] * 6 + [3] * 5 + [-1], kind, "map")
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert words == ["unknown (1)", "Tree cover (6)", "Cropland (5)"]
