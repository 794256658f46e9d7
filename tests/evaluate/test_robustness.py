"""Robustness: every disturbance does what it says, tables hold it against the clean score, radar finds its own tile."""

import datetime as dt
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from geomeld.batch import collate
from geomeld.core.draw import generator
from geomeld.core.errors import UsageError
from geomeld.core.grid import Grid
from geomeld.core.tile import Anchor, Tile
from geomeld.evaluate import cross_sensor as sensors
from geomeld.evaluate import robustness as table
from geomeld.evaluate.cross_sensor import _fit, cross_sensor, cross_sensor_scores
from geomeld.evaluate.disturbance import DISTURBANCES, Disturbance, Picture, coarsened, hazy
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.probe import commonest_class
from geomeld.evaluate.robustness import (
    CLEAN,
    READ_OUTS,
    Eye,
    heat_maps,
    robustness,
    robustness_cells,
    robustness_scores,
    season_of,
)
from geomeld.evaluate.tiles import sides
from geomeld.figures.heat_map import heat_map
from geomeld.loader import Split
from geomeld.modalities import MODALITIES, SENTINEL2_BANDS
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig
from geomeld.models.weights import save_checkpoint
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.truth import stratified_places
from geomeld.testing.datasets import tiny_dataset

FLOORS = ("undisturbed", "commonest class")
LEVELS = {(d.name, level): change for d in DISTURBANCES for level, change in d.levels.items()}


def picture(tile_id: int = 1, size: int = 32) -> Picture:
    rng = np.random.default_rng(tile_id)
    values = rng.uniform(300, 3000, (12, size, size)).astype(np.float32)
    return Picture(tile_id, values, rng.random(values.shape) > 0.1, SENTINEL2_BANDS)


def disturbed(name: str, level: str, before: Picture) -> Picture:
    after = LEVELS[name, level](before, generator(0, name, before.tile_id))
    assert after is not None
    return after


@pytest.mark.parametrize("key", LEVELS, ids=lambda key: "-".join(key))
def test_every_level_changes_a_copy_and_keeps_the_shape(key: tuple[str, str]) -> None:
    before = picture()
    kept = before.values.copy(), before.valid.copy()
    after = disturbed(*key, before)
    np.testing.assert_array_equal(before.values, kept[0])
    np.testing.assert_array_equal(before.valid, kept[1])
    assert after.values.shape == before.values.shape
    assert after.values.dtype == np.float32
    assert np.isfinite(after.values).all()
    assert not np.array_equal(after.values * after.valid, before.values * before.valid)
    np.testing.assert_array_equal(after.values, disturbed(*key, before).values)


@pytest.mark.parametrize("name", [d.name for d in DISTURBANCES if d.name not in ("missing bands", "processing")])
def test_levels_go_from_weak_to_strong(name: str) -> None:
    before = picture()
    levels = next(d.levels for d in DISTURBANCES if d.name == name)
    away = [np.abs(disturbed(name, level, before).values - before.values)[before.valid].mean() for level in levels]
    assert away == sorted(away)
    assert away[-1] > 1.1 * away[0]


def test_aerial_tiles_lack_blue_green_and_red() -> None:
    after = disturbed("missing bands", "blue, green, red", picture())
    gone = [b for b, valid in zip(after.bands, after.valid, strict=True) if not valid.any()]
    assert gone == ["B2", "B3", "B4"]


def test_noise_speckle_and_calibration_have_the_size_they_say() -> None:
    before = picture(size=128)
    rough = disturbed("noise", "200", before).values - before.values
    assert rough.std() == pytest.approx(200, rel=0.02)
    times = disturbed("speckle", "4 looks", before).values / before.values
    assert (times.mean(), times.var()) == pytest.approx((1, 1 / 4), rel=0.03)
    factors = disturbed("calibration", "10%", before).values / before.values
    assert np.ptp(factors, axis=(1, 2)) == pytest.approx(np.zeros(12), abs=1e-5)
    assert 0.04 < factors.mean(axis=(1, 2)).std() < 0.2


def test_haze_is_stronger_in_blue_and_what_it_says_at_492_nm() -> None:
    before = picture()
    added = (hazy(500, before, generator(0, "x", 0)).values - before.values).mean(axis=(1, 2))
    at = dict(zip(SENTINEL2_BANDS, added, strict=True))
    assert at["B2"] == pytest.approx(500, rel=1e-3)
    assert at["B2"] / at["B4"] == pytest.approx((665 / 492) ** 2, rel=1e-3)


def test_level_1c_adds_molecular_light_that_a_textbook_would() -> None:
    """Molecular optical depth at 550 nm is about 0.1, so a black pixel gets some 4 to 6 % at 560 nm and next to nothing
    at 2200 nm, and a bright one is dimmed."""
    black = Picture(1, np.zeros((12, 4, 4), np.float32), np.ones((12, 4, 4), bool), SENTINEL2_BANDS)
    path = dict(zip(SENTINEL2_BANDS, disturbed("processing", "like Level-1C", black).values[:, 0, 0], strict=True))
    assert 300 < path["B3"] < 700
    assert path["B1"] > 2 * path["B3"]
    assert path["B12"] < 5
    white = Picture(1, np.full((12, 4, 4), 9000, np.float32), np.ones((12, 4, 4), bool), SENTINEL2_BANDS)
    assert (disturbed("processing", "like Level-1C", white).values < 9000.5).all()


@pytest.mark.parametrize("factor", [2, 5])
def test_coarsened_by_plain_loops_leaves_out_invalid_pixels(factor: int) -> None:
    before = picture(size=12)
    after = coarsened(factor, before, generator(0, "x", 0))
    for r in range(12):
        for c in range(12):
            rows = slice(r // factor * factor, r // factor * factor + factor)
            columns = slice(c // factor * factor, c // factor * factor + factor)
            for band in (0, 7):
                known = before.values[band, rows, columns][before.valid[band, rows, columns]]
                wanted = known.astype(float).mean() if len(known) else 0.0
                assert after.values[band, r, c] == pytest.approx(wanted, rel=1e-5)


# --- the table ---


def eye() -> Eye:
    """Sees the mean z-score of every band."""
    return Eye(lambda x: x.mean(dim=(2, 3)), SENTINEL2_BANDS, (1500.0,) * 12, (500.0,) * 12)


def bright_or_dark(n: int) -> tuple[list[Picture], np.ndarray]:
    """Classes that differ in red light alone."""
    labels = np.arange(n) % 2
    values = np.full((n, 12, 16, 16), 1500, np.float32) + np.random.default_rng(0).normal(0, 20, (n, 12, 16, 16))
    values[:, SENTINEL2_BANDS.index("B4")] += np.where(labels, 300, -300)[:, None, None]
    valid = np.ones((12, 16, 16), bool)
    return [Picture(i, v.astype(np.float32), valid, SENTINEL2_BANDS) for i, v in enumerate(values)], labels


def test_the_table_finds_the_bands_that_a_read_out_leans_on() -> None:
    pictures, labels = bright_or_dark(60)
    sees = eye()
    features = sees.features(pictures)
    read_outs = {name: make(features[:30], labels[:30]) for name, make in READ_OUTS.items()}
    never = Disturbance("never", "cannot be done", {"at all": lambda p, rng: None})
    half = Disturbance("half", "of the tiles", {"odd": lambda p, rng: p if p.tile_id % 2 else None})
    floor = commonest_class(labels[:30])
    table = robustness(sees, pictures[30:], labels[30:], read_outs, floor, [*DISTURBANCES, never, half])
    cells = {(c.read_out, c.disturbance, c.level): c for c in table.cells}
    for name in READ_OUTS:
        assert cells[name, "as they are", ""].accuracy.value == 1.0
        gone = cells[name, "missing bands", "blue, green, red"]
        assert (gone.accuracy.value, gone.undisturbed.value, gone.n) == (pytest.approx(0.5, abs=0.25), 1.0, 30)
        assert gone.accuracy.low <= gone.accuracy.value <= gone.accuracy.high
        assert cells[name, "missing bands", "short-wave infrared"].accuracy.value > 0.9
        assert cells[name, "half", "odd"].n == 15
    assert list(table.left_out) == ["never, at all"]
    assert len(cells) == 2 * (1 + len(LEVELS) + 1)


def test_what_is_drawn_depends_on_the_tile_and_not_on_its_company() -> None:
    pictures, _ = bright_or_dark(6)
    change = LEVELS["noise", "200"]
    alone = change(pictures[4], generator(0, "noise|200", 4))
    seen: list[Picture] = []
    spy = Disturbance("noise", "", {"200": lambda p, rng: seen.append(change(p, rng)) or seen[-1]})
    always = commonest_class(np.zeros(6, np.int64))
    robustness(eye(), pictures, np.zeros(6, np.int64), {"any": always}, always, [spy])
    np.testing.assert_array_equal(seen[4].values, alone.values)


def test_an_eye_masks_what_is_missing_and_takes_bands_by_name() -> None:
    whole = picture()
    some = Picture(1, whole.values[[3, 1]], np.array([[[True]], [[False]]]) & whole.valid[[3, 1]], ("B4", "B2"))
    seen = eye()._scores([some])[0].numpy()
    np.testing.assert_array_equal(seen[[i for i in range(12) if i != 3]], 0.0)
    wanted = np.where(some.valid[0], (some.values[0] - 1500) / 500, 0)
    np.testing.assert_allclose(seen[3], wanted, rtol=1e-5)
    stranger = SimpleNamespace(mean=(), title="a stranger")
    with pytest.raises(UsageError, match="a stranger comes without the statistics"):
        Eye.of(stranger)


def test_the_commonest_class_stands_beside_every_read_out_and_no_better_than_it_is_no_lead_left() -> None:
    pictures, labels = bright_or_dark(32)
    labels[:8] = 0  # 16 dark and 4 bright ones of class 0, 12 bright ones of class 1
    read_outs = {"red": lambda x: (x[:, 3] > 0).astype(np.int64), "none": commonest_class(labels)}
    gone = next(d for d in DISTURBANCES if d.name == "missing bands")
    odd = Disturbance("odd", "", {"alone": lambda p, rng: p if p.tile_id % 2 else None})
    found = robustness(eye(), pictures, labels, read_outs, commonest_class(labels), [gone, odd], progress=False).cells
    cells = {(c.read_out, c.disturbance, c.level): c for c in found}
    clean, dark = cells["red", CLEAN, ""], cells["red", "missing bands", "blue, green, red"]
    assert (clean.accuracy.value, clean.commonest.value, clean.left) == (28 / 32, 20 / 32, 1.0)
    assert clean.undisturbed == clean.accuracy
    assert (dark.accuracy, dark.undisturbed, dark.left) == (dark.commonest, clean.accuracy, 0.0)  # the same draws
    assert dark.commonest.low < dark.commonest.value < dark.commonest.high
    bright = cells["red", "odd", "alone"]  # on the same tiles
    assert (bright.n, bright.undisturbed.value, bright.commonest.value) == (16, 12 / 16, 4 / 16)
    assert np.isnan(cells["none", CLEAN, ""].left)
    figures = heat_maps(found)
    assert list(figures) == ["red", "none"]
    (axis, bar), (dull, _) = (figure.axes for figure in figures.values())
    assert axis.get_title() == "red: undisturbed 0.88, commonest class 0.62"
    assert [t.get_text() for t in bar.get_yticklabels()] == [
        "commonest class\nor worse", "half way", "undisturbed\nor better",
    ]  # fmt: skip
    np.testing.assert_allclose(axis.images[0].get_array().filled(-1)[:, :2], [[0, 1], [1, -1]])
    assert axis.images[0].get_clim() == (0, 1)
    assert dull.images[0].get_array().mask.all()
    assert {t.get_text() for t in axis.texts} >= {"0.62\nblue, green, red", "0.75\nalone"}


def test_a_heat_map_has_rows_of_any_length_and_leaves_out_what_nobody_knows() -> None:
    figure = heat_map({"haze": [("500", 0.4, 0.5), ("1000", np.nan, np.nan)], "noise": [("50", 0.7, -0.2)]})
    assert {t.get_text() for t in figure.axes[0].texts} == {"0.40\n500", "0.70\n50"}
    np.testing.assert_allclose(figure.axes[0].images[0].get_array().filled(-1), [[0.5, -1], [-0.2, -1]])


# --- what was done is kept ---


class Seen:
    """What an eye sees: counts how often it is asked, and is broken off at one of the times."""

    def __init__(self, network, until: int | None = None) -> None:
        self.network, self.until, self.times = network, until, 0

    def __call__(self, *given, **named):
        if self.times == self.until:
            raise KeyboardInterrupt
        self.times += 1
        return self.network(*given, **named)


def test_an_interrupted_table_goes_on_level_by_level_and_tells_how_far_it_is(tmp_path, capsys) -> None:
    pictures, labels = bright_or_dark(40)  # 2 batches
    few = [Disturbance("never", "cannot be done", {"at all": lambda p, rng: None}), *DISTURBANCES[-2:]]
    levels = 1 + sum(len(d.levels) for d in few)
    read_outs = {name: make(eye().features(pictures), labels) for name, make in READ_OUTS.items()}

    def made(key: str = "a", until: int | None = None, cache: Path | None = tmp_path):
        seen = Seen(eye().network, until)
        found = robustness(
            Eye(seen, SENTINEL2_BANDS, (1500.0,) * 12, (500.0,) * 12),
            *(pictures, labels, read_outs, commonest_class(labels), few), cache=cache, key=key,
        )  # fmt: skip
        return found, seen.times

    whole, times = made(cache=None)
    assert times == 2 * (levels - 1)
    with pytest.raises(KeyboardInterrupt):
        made(until=7)
    capsys.readouterr()
    assert made() == (whole, times - 6)  # 3 levels were done, and half of the next
    told = capsys.readouterr().err
    assert "robustness: 100%" in told
    assert f"{40 * levels}/{40 * levels}" in told
    assert "resolution, 40 m" in told
    assert made() == (whole, 0)
    assert made(key="b") == (whole, times)


def test_the_time_left_is_told_by_what_is_computed_and_not_by_what_was_kept(tmp_path, monkeypatch, capsys) -> None:
    pictures, labels = bright_or_dark(40)
    now = [1e9]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])

    def half_a_second_each(images: torch.Tensor) -> torch.Tensor:
        now[0] += len(images) / 2
        return eye().network(images)

    def rates(until: int | None = None) -> list[str]:
        slow = Eye(Seen(half_a_second_each, until), SENTINEL2_BANDS, (1500.0,) * 12, (500.0,) * 12)
        robustness(slow, pictures, labels, {}, commonest_class(labels), DISTURBANCES[:1], cache=tmp_path)
        return re.findall(r"([\d.]+|\?)tile/s", capsys.readouterr().err)

    with pytest.raises(KeyboardInterrupt):
        rates(until=9)  # 4 of 6 levels were done, and half of the next
    capsys.readouterr()
    assert set(rates()) == {"?", "2.00"}  # also at the first level that is not there yet


def test_the_scores_of_a_checkpoint_that_were_broken_off_go_on_to_the_same(tmp_path, monkeypatch) -> None:
    spec, radar = (LayerSpec.of(MODALITIES[n], (1000.0,) * k, (500.0,) * k) for n, k in (
        ("sentinel2", 12), ("sentinel1", 8),
    ))  # fmt: skip
    text = TextConfig(vocab_size=300, width=32, depth=1, heads=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = ModelConfig(spec, (radar,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
        save_checkpoint(GeoMeldFM(config), tmp_path)
    tiles = sides(tmp_path, tiny_dataset(tmp_path / "ds", 9), HeldOut(Split(held_out=0.34, by="tile")))
    monkeypatch.setattr(table, "DISTURBANCES", DISTURBANCES[-1:])
    sees, finds = Eye.features, sensors.cross_sensor

    def scored(cache: Path | None, looks: int | None = None, searches: int | None = None):
        look, search = Seen(sees, looks), Seen(finds, searches)
        monkeypatch.setattr(Eye, "features", lambda *given: look(*given))
        monkeypatch.setattr(sensors, "cross_sensor", lambda *given, **named: search(*given, **named))
        cells = robustness_cells(tiles, cache)
        return [*robustness_scores(tiles, cells), *cross_sensor_scores(tiles, cache)], look.times, search.times

    levels = 1 + len(DISTURBANCES[-1].levels)
    whole, *times = scored(None)
    assert times == [levels, 1]
    assert {s.protocol for s in whole} >= {"robustness, kNN", f"retrieval among {len(tiles.new.tile_ids)}"}
    beside = {(s.metric, s.baseline_name): s for s in whole if s.protocol == "robustness, kNN"}
    assert set(beside) == {
        ("accuracy, as they are", "commonest class"),
        *((f"accuracy, processing: {level}", name) for level in DISTURBANCES[-1].levels for name in FLOORS),
    }
    assert len({s.baseline for (_, name), s in beside.items() if name == "commonest class"}) == 1
    bounds = [b for s in whole[:5] for b in ((s.low, s.value, s.high), (s.baseline_low, s.baseline, s.baseline_high))]
    assert all(low <= value <= high for low, value, high in bounds if low is not None)
    for broken in ({"looks": 2}, {"searches": 0}):
        with pytest.raises(KeyboardInterrupt):
            scored(tmp_path / "cache", **broken)
    assert scored(tmp_path / "cache", looks=0) == (whole, 0, 1)
    assert scored(tmp_path / "cache", looks=0, searches=0) == (whole, 0, 0)


# --- another season ---


def test_a_season_later_is_the_same_place_seen_anew_on_the_simulated_earth() -> None:
    source, modality = SimulatedSource(3), MODALITIES["sentinel2"]
    lon, lat, _ = next(p for p in stratified_places(3, 60) if 35 < p[1] < 60)
    grid = Grid.centred_on(lon, lat)
    scenes = source.scenes(
        modality, grid, dt.datetime(2020, 4, 1, tzinfo=dt.UTC), dt.datetime(2020, 7, 1, tzinfo=dt.UTC)
    )
    first = next(s for s in scenes if (source.clear_share(s, grid) or 0) > 0.9)
    layer = source.read(modality, [first], grid)
    tile = Tile(Anchor(5, lon, lat, dt.date(2020, 5, 1)), grid, {"sentinel2": layer})
    manifest = SimpleNamespace(source="simulated", config={"source": {"name": "simulated", "seed": 3}})
    dataset = SimpleNamespace(path="here", manifest=manifest, read=lambda tile_id, names: tile)
    now = Picture(5, layer.values.astype(np.float32), layer.valid, layer.bands)
    later = {level: change(now, generator(0, "x", 0)) for level, change in season_of(dataset, modality).levels.items()}
    found = [p for p in later.values() if p is not None]
    assert found
    for other in found:
        assert other.bands == now.bands
        assert not np.array_equal(other.values, now.values)
    manifest.source = "stac"
    with pytest.raises(UsageError, match="was not built on the simulated Earth"):
        season_of(dataset, modality)


# --- radar and optical images ---


def test_fit_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    p, t, w = rng.standard_normal((4, 7)), rng.standard_normal((4, 7)), rng.random((4, 7))
    w[2] = 0  # nothing measured: left out
    similarity, n = _fit(p, t, w)
    kept = [0, 1, 3]
    assert n == 3
    for a, i in enumerate(kept):
        for b, j in enumerate(kept):
            assert similarity[a, b] == pytest.approx(-np.average((p[i] - t[j]) ** 2, weights=w[j]))


def test_a_decoder_that_knows_finds_every_tiles_own_radar(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    dataset = tiny_dataset(tmp_path / "ds", 6)
    source, radar = (LayerSpec.of(MODALITIES[n], *stats) for n, stats in (
        ("sentinel2", ([1500] * 12, [800] * 12)), ("sentinel1", ([-12] * 8, [4] * 8)),
    ))  # fmt: skip
    truth = {}
    for tile in dataset:
        batch = collate([tile], [source, radar], {s.name: s for s in (source, radar)})
        truth[float(batch.values["sentinel2"].sum())] = batch.values["sentinel1"][0] * batch.valid["sentinel1"][0]

    def knows(model: object, images: torch.Tensor) -> dict[str, torch.Tensor]:
        known = [min(truth, key=lambda s: abs(s - float(one.sum()))) for one in images]
        return {"sentinel1": torch.stack([truth[k] for k in known]) + 0.1}

    monkeypatch.setattr(sensors, "predicted", knows)
    model = SimpleNamespace(config=SimpleNamespace(input=source, targets=(radar,)), log_scale=torch.zeros(()))
    similarity, n = cross_sensor(model, dataset, dataset.tile_ids, MODALITIES["sentinel1"], batch_size=4)
    assert n == 6
    assert (similarity.argmax(axis=1) == np.arange(6)).all()
    assert (similarity.argmax(axis=0) == np.arange(6)).all()
    with pytest.raises(UsageError, match="no decoder of ETH canopy height"):
        cross_sensor(model, dataset, dataset.tile_ids, MODALITIES["canopy_height"])
