"""A build that dies at any of its renames ends in the same bytes; datasets that break the contract are found out."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.core.errors import DatasetError
from geomeld.core.tile import Layer, Tile
from geomeld.dataset import write_dataset
from geomeld.dataset.check import check
from geomeld.testing import FakeSource, fake_tile

ANCHORS = sampled_anchors([(10.0, -20.0, ""), (13.0, 5.0, ""), (16.0, 50.0, "")], "crash")
SOURCE = FakeSource(serves=frozenset({"sentinel2", "dynamic_world"}), corrupt_south_of=0.0)
CONFIG = BuildConfig(shard_size=2)


class Killed(BaseException):
    """Nothing catches it by mistake."""


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "ledger.sqlite")
    }


def test_a_build_that_dies_at_any_rename_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace
    count = 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    build(ANCHORS, SOURCE, tmp_path / "whole", CONFIG)
    whole, steps = contents(tmp_path / "whole"), count
    assert steps >= 5  # the mark, shard, index, statistics, manifest
    for when in range(steps):
        for after in (False, True):
            out, left = tmp_path / f"{when}{after}", when

            def deadly(self: Path, target: Path, after: bool = after) -> Path:
                nonlocal left
                left -= 1
                if left < 0 and after:
                    rename(self, target)
                if left < 0:
                    raise Killed
                return rename(self, target)

            monkeypatch.setattr(Path, "replace", deadly)
            with pytest.raises(Killed):
                build(ANCHORS, SOURCE, out, CONFIG)
            monkeypatch.setattr(Path, "replace", rename)
            if not (out / "manifest.json").exists():  # what a killed writer leaves behind
                (out / "geomeld-00000.tar.1.partial").write_bytes(b"half")
            build(ANCHORS, SOURCE, out, CONFIG)
            assert contents(out) == whole, (when, after)


def test_an_unfinished_build_is_not_gone_on_with_under_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geomeld.build.run.save_statistics", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(ANCHORS, SOURCE, tmp_path / "d", CONFIG)
    before = contents(tmp_path / "d")
    with pytest.raises(DatasetError, match="other settings"):
        build(ANCHORS, SOURCE, tmp_path / "d", replace(CONFIG, shard_size=1))
    with pytest.raises(DatasetError, match="other settings"):
        build(ANCHORS[1:], SOURCE, tmp_path / "d", CONFIG)
    assert contents(tmp_path / "d") == before


def shifted(tile: Tile, name: str, days: int) -> Tile:
    layer = tile.layers[name]
    late = tuple(t + dt.timedelta(days=days) for t in layer.acquired)
    moved = Layer(layer.values, layer.valid, layer.bands, late, layer.product, layer.scenes)
    return replace(tile, layers={**tile.layers, name: moved})


SPOILED = [
    (lambda t: shifted(t, "sentinel1", 20), ("sentinel1", "15 days")),
    (lambda t: shifted(t, "dynamic_world", -20), ("dynamic_world", "15 days")),
    (lambda t: replace(t, grid=fake_tile(9, lon=12.9).grid), ("EPSG",)),
    (lambda t: replace(t, grid=fake_tile(9, lat=57.3).grid), ("not centred",)),
    (lambda t: replace(t, metadata={**t.metadata, "cloud_cover": 10.0}), ("cloud",)),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_check_names_the_tile_that_breaks_the_contract(tmp_path: Path, spoil, words: tuple[str, ...]) -> None:
    keep = {"sentinel2", "sentinel1", "dynamic_world"}
    tiles = [fake_tile(k) for k in (1, 2)]
    tiles = [replace(t, layers={n: x for n, x in t.layers.items() if n in keep}) for t in tiles]
    write_dataset(tmp_path / "good", [shifted(t, "sentinel1", 15) for t in tiles])
    assert check(tmp_path / "good") == []
    write_dataset(tmp_path / "bad", [tiles[0], spoil(tiles[1])])
    found = check(tmp_path / "bad")
    assert len(found) == 1
    assert all(w in found[0] for w in ("geomeld-00000.tar", "tile 2", *words))
