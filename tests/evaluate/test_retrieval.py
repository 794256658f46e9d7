"""Retrieval: streamed ranks equal those of the whole matrix, galleries are what they say, planted pairs are found."""

import re
from math import comb

import numpy as np
import pytest

from geomeld.core.errors import UsageError
from geomeld.evaluate import ranking
from geomeld.evaluate.ranking import Ranks, exact, rank_pairs
from geomeld.evaluate.retrieval import NEIGHBOURS, Pairs, caption_groups, found_in, ranks_among, ranks_in, retrieval


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def planted(n: int, width: int, noise: float, *, sentences: int | None = None, spread: float = 0.0) -> tuple:
    """Images near their texts, of which there are `sentences` different ones; `spread` > 0 squeezes all of them into
    a cone so narrow that float32 cannot tell their products apart."""
    rng = np.random.default_rng(n)
    group = np.arange(n) if sentences is None else rng.integers(0, sentences, n)
    texts = rng.standard_normal((n, width))[group]
    images = texts + noise * rng.standard_normal((n, width))
    if spread:
        texts, images = 1 + spread * texts, 1 + spread * images
    return unit(images), unit(texts), group


CASES = {
    "all different": {"noise": 2.0},
    "sentences repeated": {"noise": 2.0, "sentences": 100},
    "two sentences": {"noise": 2.0, "sentences": 2},
    "collapsed": {"noise": 1.0, "spread": 1e-4},
    "all the same": {"noise": 0.0, "sentences": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_streamed_ranks_equal_those_of_the_whole_matrix(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "ROWS", 96)
    monkeypatch.setattr(ranking, "COLUMNS", 160)  # several blocks each way, and ragged last ones
    images, texts, group = planted(401, 48, **CASES[case])
    got = rank_pairs(images, texts, group, threads=2)
    whole, own = exact(images) @ exact(texts).T, np.eye(401, dtype=bool)
    same = group[:, None] == group[None, :]
    for ranks, wanted in (
        (got.a_to_b, ranks_in(whole, own)),
        (got.b_to_a, ranks_in(whole.T, own)),
        (got.a_to_group, ranks_in(whole, same)),
        (got.b_to_group, ranks_in(whole.T, same)),
    ):
        for name in ("before", "tied", "tied_right", "right"):
            np.testing.assert_array_equal(getattr(ranks, name), getattr(wanted, name), err_msg=f"{case}: {name}")


def test_products_of_rounded_rows_do_not_depend_on_the_order_of_their_terms() -> None:
    images, texts, _ = planted(64, 512, 1.0)
    order = np.random.default_rng(0).permutation(512)
    whole = exact(images) @ exact(texts).T
    np.testing.assert_array_equal(whole, exact(images[:, order]) @ exact(texts[:, order]).T)
    np.testing.assert_allclose(whole, images.astype(float) @ texts.T.astype(float), atol=1e-6)


def test_hits_and_ranks_are_expected_values_over_the_order_of_ties() -> None:
    ranks = Ranks(np.array([0, 2, 9]), np.array([1, 6, 4]), np.array([1, 2, 1]), np.array([1, 2, 1]), 13)
    # Among 6 that tie behind 2, of which 2 are right, 3 more are seen within the first 5.
    assert ranks.hits(5) == pytest.approx([1.0, 1 - comb(4, 3) / comb(6, 3), 0.0])
    assert ranks.hits(10) == pytest.approx([1.0, 1.0, 1 - comb(3, 1) / comb(4, 1)])
    # Simulated: the first of 2 right ones among 6 in random order.
    rng = np.random.default_rng(0)
    first = [np.flatnonzero(rng.permutation(6) < 2)[0] + 1 for _ in range(20_000)]
    assert ranks.positions()[1] == pytest.approx(2 + np.mean(first), abs=0.05)
    assert ranks.chance(5) == pytest.approx(np.mean([1 - comb(13 - r, 5) / comb(13, 5) for r in (1, 2, 1)]))


def pairs(n: int = 240, noise: float = 1.0, sentences: int | None = None) -> Pairs:
    images, texts, group = planted(n, 32, noise, sentences=sentences)
    rng = np.random.default_rng(7)
    lonlat = np.stack([rng.uniform(-180, 180, n), rng.uniform(-70, 70, n)], axis=1)
    return Pairs(tuple(range(n)), images, texts, group, lonlat)


def test_galleries_are_nested_and_drawn_by_key() -> None:
    every = pairs()
    small, large = every.drawn(50), every.drawn(120)
    assert set(small.tile_ids) < set(large.tile_ids)
    assert len(small) == 50
    np.testing.assert_array_equal(small.images, every.images[list(small.tile_ids)])
    turned = Pairs(every.tile_ids[::-1], every.images[::-1], every.texts, every.group, every.lonlat)
    assert set(turned.drawn(50).tile_ids) == set(small.tile_ids)


def test_neighbours_are_the_nearest_by_great_circle_across_the_date_line() -> None:
    some = pairs(60)
    lon, lat = np.radians(some.lonlat.T)
    near = some.neighbours(5)
    for i in range(60):
        cosine = np.sin(lat[i]) * np.sin(lat) + np.cos(lat[i]) * np.cos(lat) * np.cos(lon - lon[i])
        np.testing.assert_array_equal(near[i], np.argsort(-cosine)[:5])
    cosines = np.sin(lat[0]) * np.sin(lat[near[0]]) + np.cos(lat[0]) * np.cos(lat[near[0]]) * np.cos(
        lon[near[0]] - lon[0]
    )
    np.testing.assert_allclose(some.distances(near)[0], 6371 * np.arccos(np.minimum(cosines, 1)), atol=1e-3)
    one_place = Pairs(some.tile_ids, some.images, some.texts, some.group, np.zeros((60, 2)))
    assert all(i in row for i, row in enumerate(one_place.neighbours(5)))


def test_ranks_among_neighbours_by_plain_loops() -> None:
    some = pairs(300, sentences=40)  # more queries than are taken at a time
    near = some.neighbours(6)
    own, grouped = ranks_among(some.images, some.texts, some.group, near)
    for i in (0, 7, 255, 256, 299):
        scores = {j: float(exact(some.images[i]) @ exact(some.texts[j])) for j in near[i].tolist()}
        assert own.before[i] == sum(s > scores[i] for s in scores.values())
        best = max(s for j, s in scores.items() if some.group[j] == some.group[i])
        assert grouped.before[i] == sum(s > best for s in scores.values())
    assert own.items == 6


def test_planted_pairs_are_found_and_unrelated_ones_are_not() -> None:
    found = {(f.task, f.protocol, f.metric): f for f in retrieval(pairs(noise=1.0))}
    whole = found["image to text, own caption", "retrieval among 240", "R@5"]
    assert whole.value > 0.9
    sure = {f.value for f in found.values() if f.low is None}
    assert sure == {1.0}, "only what no draw changes has no interval"
    assert all(f.low <= f.value <= f.high for f in found.values() if f.low is not None)
    assert whole.chance == pytest.approx(5 / 240)
    (hard,) = {key[1] for key in found if "nearest" in key[1]}
    assert re.fullmatch(rf"retrieval among the {NEIGHBOURS} nearest tiles, within [\d,]+ km in the median", hard)
    near = found["text to image, own caption", hard, "R@1"]
    assert near.value > 0.8
    assert near.chance == pytest.approx(1 / NEIGHBOURS)
    for key, f in found.items():  # no sentence comes twice: both notions of right are one
        other = found[key[0].replace("own caption", "same sentence"), *key[1:]]
        assert (f.low, f.high) == (other.low, other.high)
    lost = {(f.task, f.protocol, f.metric): f for f in retrieval(pairs(noise=1e6))}
    for key, f in lost.items():
        spread = 0.02 if f.low is None else max(f.high - f.low, 0.02)
        assert abs(f.value - f.chance) < (60 if key[2] == "median rank" else 1.5 * spread), key


def test_intervals_are_as_wide_as_binomial_ones_and_repeatable() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones(400, np.int64)
    ranks = Ranks(np.where(rng.random(400) < 0.5, 0, 50), ones, ones, ones, 400)
    first, again = found_in(ranks, "a", "b")[0], found_in(ranks, "a", "b")[0]
    assert first == again
    assert first.high - first.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(400), rel=0.15)


def test_of_queries_that_all_fail_nobody_knows_how_surely() -> None:
    ones = np.ones(14, np.int64)
    lost = {f.metric: f for f in found_in(Ranks(np.arange(14) + 5, ones, ones, ones, 100), "a", "b")}
    assert (lost["R@1"].value, lost["R@1"].low, lost["R@1"].high) == (0.0, None, None)
    assert lost["median rank"].low < lost["median rank"].value < lost["median rank"].high


def test_a_gallery_that_is_its_own_neighbourhood_has_no_hard_negatives() -> None:
    kinds = {n: {f.protocol.split(" within")[0] for f in retrieval(pairs(n))} for n in (NEIGHBOURS, NEIGHBOURS + 1)}
    assert kinds[NEIGHBOURS] == {f"retrieval among {NEIGHBOURS}"}
    assert kinds[NEIGHBOURS + 1] == {f"retrieval among {NEIGHBOURS + 1}", "retrieval among the 20 nearest tiles,"}


def test_rows_that_are_not_of_unit_length_are_refused() -> None:
    images, texts, group = planted(10, 8, 1.0)
    with pytest.raises(UsageError, match="Row 3 of b has length 2"):
        rank_pairs(images, np.where(np.arange(10)[:, None] == 3, 2 * texts, texts), group)
    with pytest.raises(UsageError, match="length nan"):
        rank_pairs(np.full_like(images, np.nan), texts, group)


def test_captions_group_apart_from_case_and_spaces() -> None:
    assert len(set(caption_groups(["A lake.", "a  lake.", "A sea."]))) == 2
