"""Tasks from the truth of the simulated Earth: labels by plain loops, parts that share no ground, labels made once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geomeld.core.errors import DatasetError, UsageError
from geomeld.dataset import BandStatistics, Dataset
from geomeld.evaluate.held_out import APART, HeldOut
from geomeld.evaluate.run import Request, evaluate
from geomeld.evaluate.task import TaskKind
from geomeld.evaluate.tasks import labels as labels_module
from geomeld.evaluate.tasks import places_of, simulated_tasks
from geomeld.evaluate.tasks.labels import labels_of
from geomeld.loader import Split
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated import surface
from geomeld.sources.simulated.ground import truth_window
from geomeld.sources.simulated.truth import FIELD_USES, field_use, truth
from geomeld.testing.datasets import farmed_dataset, tiny_dataset

EARTH = 7
SPLIT = Split(held_out=0.3, by="tile")
HELD_OUT = HeldOut(SPLIT)
FEW = {"train": 3, "valid": 1, "test": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return farmed_dataset(tmp_path_factory.mktemp("farmed") / "dataset", 36, earth=EARTH)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labels")


def test_labels_are_the_truth_by_plain_loops(dataset: Dataset, cache: Path) -> None:
    tasks = simulated_tasks(dataset, HELD_OUT, cache, fewest=FEW)
    assert list(tasks) == ["simulated land cover", "simulated climate", "simulated crops", "simulated boundaries"]
    name = tasks["simulated boundaries"].names["test"][0]
    land = truth(EARTH, dataset.read(int(name), []).grid)

    cover = tasks["simulated land cover"]
    legend = {c.name: c.code for c in MODALITIES["esa_worldcover"].kind.classes}
    for label, title in zip(cover.sample(name).label, cover.class_names, strict=True):
        count = sum(code == legend[title] for code in land.land_cover.ravel().tolist())
        assert label == (count / land.land_cover.size >= 0.02), title

    edges, uses = (tasks[f"simulated {t}"].sample(name).label for t in ("boundaries", "crops"))
    parcel, size = land.parcel.tolist(), 128
    for row in range(0, size, 3):
        for column in range(size):
            mine = parcel[row][column]
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            inside = [parcel[r][c] == mine for r, c in around if 0 <= r < size and 0 <= c < size]
            assert edges[row, column] == (0 if mine == 0 else 1 if all(inside) else 2)
            assert (uses[row, column] == 0) == (mine == 0)
    assert {0, 1, 2} == set(np.unique(edges))


def test_what_a_field_is_used_for_is_what_grows_there() -> None:
    """Fallow land is as bare as the surface model paints it, and nothing is sown outside fields."""
    ground = truth_window(EARTH, *_place_of_fields(), 96, 96)
    uses = field_use(ground.land).ravel()
    sown = surface.shares(EARTH, 18_100, ground)[surface.INDEX["crop"]]
    bare = surface.shares(EARTH, 18_100, ground)[surface.INDEX["snow"]] == 0
    fallow = (uses == FIELD_USES.index("fallow")) & bare
    assert fallow.sum() > 50
    assert np.allclose(sown[fallow], 0.08, atol=1e-3)
    nothing = ((uses == 0) & (ground.land.surface.ravel() == 0)) | (uses == FIELD_USES.index("meadow"))
    assert not sown[nothing].any()
    assert sown[(uses == FIELD_USES.index("summer crop")) & bare].std() > 0.05


def _place_of_fields() -> tuple[int, int, int]:
    """(zone, column, row) of a tile with many fallow pixels."""
    from geomeld.core.grid import Grid
    from geomeld.testing.datasets import farmed_places

    for lon, lat in farmed_places(EARTH, 20):
        grid = Grid.centred_on(lon, lat)
        if (field_use(truth(EARTH, grid)) == 2).mean() > 0.05:
            return grid.epsg, round(grid.left / 10), round(-grid.top / 10)
    raise AssertionError("no fallow land")


def test_parts_share_no_tile_and_no_ground(tmp_path: Path, dataset: Dataset, cache: Path) -> None:
    places = places_of(dataset, HELD_OUT)
    parts = [set(places.train), set(places.valid), set(places.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(dataset) - len(places.left_out)
    seen, held_out = (set(side) for side in SPLIT.apply(dataset))
    assert parts[2] <= held_out
    assert parts[0] | parts[1] <= seen
    for task in simulated_tasks(dataset, HELD_OUT, cache, fewest=FEW).values():
        for split, part in zip(("train", "valid", "test"), parts, strict=True):
            assert {int(n) for n in task.names[split]} <= part

    crowded = farmed_dataset(tmp_path / "crowded", 12, earth=EARTH, beside=400.0)  # every place twice, 400 m apart
    crowded_places = places_of(crowded, HeldOut(Split(0.5, "tile")))
    assert crowded_places.left_out
    for one in crowded_places.test:
        for other in (*crowded_places.train, *crowded_places.valid):
            a, b = (crowded.read(t, []).grid for t in (one, other))
            assert a.epsg != b.epsg or not a.overlaps(b)
            assert a.epsg != b.epsg or max(abs(a.left - b.left), abs(a.top - b.top)) > APART / 2**0.5 - 40


def test_labels_are_made_once_and_only_for_their_earth(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels_module, "CHUNK", 3)
    tile_ids = dataset.tile_ids[:6]
    asked: list[int] = []

    def counted(earth: int, grid: object) -> object:
        asked.append(earth)
        return truth(earth, grid)

    monkeypatch.setattr(labels_module, "truth", counted)
    first = labels_of(dataset, tile_ids, EARTH, tmp_path)
    again = labels_of(dataset, tile_ids, EARTH, tmp_path)
    assert len(asked) == 6
    for name, answers in first.items():
        assert {t: label.tolist() for t, label in answers.items()} == {t: a.tolist() for t, a in again[name].items()}
    one, other = sorted(tmp_path.glob("*.npz"))
    one.unlink()
    other.write_bytes(other.read_bytes()[:-200])
    labels_of(dataset, tile_ids, EARTH, tmp_path)
    assert len(asked) == 12, "a missing and a truncated file are made again"
    labels_of(dataset, tile_ids[:3], EARTH + 1, tmp_path)
    assert asked[-3:] == [EARTH + 1] * 3


def test_images_come_in_the_bands_asked_for_with_gaps_at_the_mean(dataset: Dataset, cache: Path) -> None:
    task = simulated_tasks(dataset, HELD_OUT, cache, bands=("B8", "B2"), fewest=FEW)["simulated climate"]
    sample = task.sample(task.names["test"][0])
    stored = dataset.read(int(sample.name), ["sentinel2"]).layers["sentinel2"]
    for i, band in enumerate(("B8", "B2")):
        values, valid = stored.band(band)
        assert np.array_equal(sample.values[i][valid], values[valid].astype(np.float32))
        assert not valid.all()
    known = dataset.statistics()["sentinel2"]
    assert isinstance(known, BandStatistics)
    at = [MODALITIES["sentinel2"].bands.index(b) for b in ("B8", "B2")]
    scale = task.pretraining_scale([known.mean[i] for i in at], [known.std[i] for i in at])
    gaps = ~stored.band("B8")[1]
    assert np.abs(scale(sample.values, sample.valid)[0][gaps]).max() < 1e-5

    pixels: list[float] = []
    for name in task.names["train"]:
        values, valid = dataset.read(int(name), ["sentinel2"]).layers["sentinel2"].band("B2")
        pixels += values[valid].tolist()
    assert task.own_scale().mean[1] == pytest.approx(np.mean(pixels), rel=1e-5)
    assert task.own_scale().std[1] == pytest.approx(np.std(pixels), rel=1e-5)


def test_rare_classes_are_left_out_and_said(dataset: Dataset, cache: Path) -> None:
    whole = simulated_tasks(dataset, HELD_OUT, cache, fewest={"train": 0, "valid": 0, "test": 0})
    few = simulated_tasks(dataset, HELD_OUT, cache, fewest=FEW)
    cover = few["simulated land cover"]
    assert cover.kind is TaskKind.MULTILABEL
    assert set(cover.dropped) | set(cover.class_names) == set(whole["simulated land cover"].class_names)
    assert any("too rare" in trap for trap in cover.traps)
    for split, fewest in FEW.items():
        counts = np.sum([cover.sample(n).label for n in cover.names[split]], axis=0)
        assert (counts >= fewest).all()
    climate = few["simulated climate"]
    given = {climate.class_names[int(climate.sample(n).label)] for part in climate.names.values() for n in part}
    assert given == set(climate.class_names)
    assert cover.fingerprint() != whole["simulated land cover"].fingerprint() != climate.fingerprint()


def test_what_cannot_be_asked_is_named_with_its_reason(tmp_path: Path) -> None:
    small = farmed_dataset(tmp_path / "small", 14, earth=EARTH)
    few = r"needs two classes or more with 20 tiles to learn from, 4 to choose by and 5 to test on; so many has none"
    with pytest.raises(
        UsageError, match=rf"(?s)every encoder on simulated land cover, all: it {few}.*on simulated boundaries, all: it"
    ):
        evaluate(Request(("random:atto",), dataset=small, protocols=("frozen",), split=SPLIT), tmp_path / "out")
    with pytest.raises(
        UsageError, match=rf"on simulated climate, all: it {few}.* asked on: train \d+, valid \d+, test \d+\."
    ):
        evaluate(Request(("random:atto",), dataset=small, tasks=("simulated climate",), split=SPLIT), tmp_path / "one")


def test_only_the_simulated_earth_is_known(tmp_path: Path, dataset: Dataset, cache: Path) -> None:
    with pytest.raises(UsageError, match="simulated Earth"):
        simulated_tasks(tiny_dataset(tmp_path / "real"), HELD_OUT, tmp_path / "labels")
    with pytest.raises(UsageError, match="B99"):
        simulated_tasks(dataset, HELD_OUT, cache, bands=("B2", "B99"))
    with pytest.raises(DatasetError, match="held out"):
        simulated_tasks(dataset, HeldOut(replace(SPLIT, held_out=0.0)), cache)
