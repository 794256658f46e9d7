"""The ledger: what it says of tiles and layers, what is tried again, and what becomes of a build without it."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig, Patience
from geomeld.build.ledger import NAME as LEDGER
from geomeld.build.run import build
from geomeld.build.status import described, status_of
from geomeld.cli.build import main
from geomeld.core.errors import DatasetError, MissingProduct, SourceError
from geomeld.dataset import open_dataset
from geomeld.modalities import MODALITIES
from geomeld.testing import FakeSource

ANCHORS = sampled_anchors([(10.0 + 3 * k, -20.0 + 7 * k, "") for k in range(7)], "test")  # four in the north
CONFIG = BuildConfig(shard_size=3)
SOURCE = FakeSource(serves=frozenset({"sentinel2", "sentinel1", "aster"}))
HASTE = Patience(tries=2, first_wait_s=0.0, longest_wait_s=0.0, rounds=3)


def contents(folder: Path) -> dict[str, bytes]:
    kept = (".lock", LEDGER, "manifest.json")
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in kept}


def rows(folder: Path, query: str) -> list[tuple]:
    connection = sqlite3.connect(folder / LEDGER)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Path:
    """A build that nothing disturbed."""
    folder = tmp_path_factory.mktemp("calm")
    build(ANCHORS, SOURCE, folder, CONFIG, patience=HASTE)
    return folder


def test_every_tile_and_layer_has_its_row(calm: Path) -> None:
    assert rows(calm, "SELECT state, count(*) FROM tiles GROUP BY state") == [("stored", 7)]
    assert rows(calm, "SELECT count(*) FROM layers") == [(7 * (len(MODALITIES) + 1),)]
    dataset = open_dataset(calm)
    query = "SELECT tile_id, modality, layers.state, scenes, layers.bytes FROM layers JOIN tiles USING (position)"
    for tile_id, modality, state, scenes, size in rows(calm, query):
        layers = dataset[tile_id].layers
        assert state == ("read" if modality in layers else "absent")
        if modality in layers:
            assert json.loads(scenes) == list(layers[modality].scenes)
            assert size == layers[modality].values.nbytes


@pytest.mark.parametrize(("withheld", "tries"), [(1, 2), (2, 1)], ids=["in a row", "in rounds"])
def test_what_servers_withhold_is_tried_again_and_changes_no_byte(
    calm: Path, tmp_path: Path, withheld: int, tries: int
) -> None:
    source = replace(SOURCE, withheld=withheld, name=f"withheld {withheld}")
    manifest = build(ANCHORS, source, tmp_path, CONFIG, patience=HASTE)
    assert manifest.failures == ()
    assert contents(tmp_path) == contents(calm)
    assert dict(rows(tmp_path, "SELECT modality, max(tries) FROM layers GROUP BY modality"))["sentinel2"] == tries


def test_what_is_not_to_be_had_is_listed_and_had_later(calm: Path, tmp_path: Path) -> None:
    source = replace(SOURCE, withheld=99, name="stubborn")
    manifest = build(ANCHORS, source, tmp_path, CONFIG, patience=HASTE)
    assert [(f.stage, f.kind) for f in manifest.failures] == [("read", "transient")] * 4
    assert manifest.tiles == 3
    assert build(ANCHORS, source, tmp_path, CONFIG, patience=HASTE) == manifest
    healed = build(ANCHORS, source, tmp_path, CONFIG, patience=replace(HASTE, tries=100), retry_failed=True)
    assert healed.failures == ()
    assert contents(tmp_path) == contents(calm)
    assert healed.shards == build(ANCHORS, SOURCE, calm, CONFIG).shards


def test_a_layer_that_is_refused_costs_the_tile_unless_it_may_be_left_out(calm: Path, tmp_path: Path) -> None:
    source = replace(SOURCE, refused_north_of=0.0)
    strict = build(ANCHORS, source, tmp_path / "strict", CONFIG, patience=HASTE)
    assert [f.kind for f in strict.failures] == ["auth"] * 4
    assert "was refused" in strict.failures[0].reason
    lenient = replace(CONFIG, allow_missing=True)
    assert build(ANCHORS, source, tmp_path / "lenient", lenient, patience=HASTE).failures == ()
    tiles = list(open_dataset(tmp_path / "lenient"))
    without = [t for t in tiles if "sentinel1" not in t.layers]
    assert len(without) == 4
    assert {json.dumps(t.metadata["left_out"]) for t in without} == {'{"sentinel1": "auth"}'}
    assert all("left_out" not in t.metadata for t in tiles if t not in without)
    assert "4 to be" not in described(status_of(tmp_path / "lenient"))


def test_tiles_without_a_layer_stay_when_a_further_try_fails_too(tmp_path: Path) -> None:
    config, source = replace(CONFIG, allow_missing=True), replace(SOURCE, refused_north_of=0.0)
    build(ANCHORS, source, tmp_path, config, patience=HASTE)
    before = contents(tmp_path)
    build(ANCHORS, source, tmp_path, config, patience=HASTE, retry_failed=True)
    assert contents(tmp_path) == before


def test_the_reference_modality_is_never_left_out(tmp_path: Path) -> None:
    source = replace(SOURCE, corrupt_south_of=0.0)
    manifest = build(ANCHORS, source, tmp_path, replace(CONFIG, allow_missing=True), patience=HASTE)
    assert [f.kind for f in manifest.failures] == ["corrupt"] * 3


def test_what_no_source_should_raise_costs_one_tile(tmp_path: Path) -> None:
    manifest = build(ANCHORS, replace(SOURCE, odd_north_of=15.0), tmp_path, CONFIG, patience=HASTE)
    assert {(f.kind, f.reason) for f in manifest.failures} == {("other", "ValueError: odd")}
    assert manifest.tiles + len(manifest.failures) == 7


def test_a_server_that_fails_for_everybody_stops_the_build_and_loses_nothing(calm: Path, tmp_path: Path) -> None:
    hasty, source = replace(HASTE, give_up_after=2), replace(SOURCE, withheld=99, name="down")
    with pytest.raises(SourceError, match=r"2 tiles in a row .* did not come .*run the same command again"):
        build(ANCHORS, source, tmp_path, CONFIG, patience=hasty)
    assert status_of(tmp_path).life == "stopped"
    build(ANCHORS, source, tmp_path, CONFIG, patience=replace(HASTE, tries=100))
    assert contents(tmp_path) == contents(calm)


def test_a_product_that_is_nowhere_ends_the_build_at_once(tmp_path: Path) -> None:
    class Lacking(FakeSource):
        def scenes(self, *_: object):
            raise MissingProduct("the catalogue holds no Sentinel-2")

    with pytest.raises(MissingProduct):
        build(ANCHORS, Lacking(), tmp_path, CONFIG)


def test_a_sample_that_a_power_cut_took_is_read_again(calm: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("geomeld.build.rounds.write_unit", lambda *a, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(ANCHORS, SOURCE, tmp_path, CONFIG, patience=HASTE)
    monkeypatch.undo()
    first, second, _ = sorted((tmp_path / ".work" / "tiles").iterdir())
    first.write_bytes(bytes(first.stat().st_size))  # its name and size came to the disk, its content did not
    second.unlink()
    build(ANCHORS, SOURCE, tmp_path, CONFIG, patience=HASTE)
    assert contents(tmp_path) == contents(calm)


def test_a_lost_or_damaged_ledger_costs_no_tile(calm: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("geomeld.build.run.survey", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(ANCHORS, SOURCE, tmp_path, CONFIG, patience=HASTE)
    monkeypatch.undo()
    data = bytearray((tmp_path / LEDGER).read_bytes())
    data[100:3000] = b"\xff" * 2900
    (tmp_path / LEDGER).write_bytes(data)
    with pytest.raises(DatasetError, match=r"damaged.*Delete it"):
        build(ANCHORS, SOURCE, tmp_path, CONFIG, patience=HASTE)
    with pytest.raises(DatasetError, match="cannot be read"):
        status_of(tmp_path)
    (tmp_path / LEDGER).unlink()
    monkeypatch.setattr(FakeSource, "read", lambda *a: 1 / 0)  # nothing is read again
    build(ANCHORS, SOURCE, tmp_path, CONFIG, patience=HASTE)
    assert contents(tmp_path) == contents(calm)
    assert rows(tmp_path, "SELECT count(*) FROM layers WHERE state = 'read'") == [(21,)]


def test_the_status_says_how_far_a_build_has_come(tmp_path: Path, capsys, monkeypatch) -> None:
    with pytest.raises(DatasetError, match="no build was begun"):
        status_of(tmp_path)
    monkeypatch.setattr("geomeld.build.run.survey", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(ANCHORS, replace(SOURCE, corrupt_south_of=-15.0), tmp_path, CONFIG, patience=HASTE)
    assert main(["--out", str(tmp_path), "--status"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("6 of 7 tiles in shards, 1 failed; ")
    assert "run the same command to go on" in told
    assert "1 failed (read, corrupt): " in told
    monkeypatch.undo()
    build(ANCHORS, replace(SOURCE, corrupt_south_of=-15.0), tmp_path, CONFIG, patience=HASTE)
    main(["--out", str(tmp_path), "--status", "--json"])
    status = json.loads(capsys.readouterr().out)
    assert (status["life"], status["stored"], status["failed"]) == ("finished", 6, 1)
    assert {layer["modality"]: layer["read"] for layer in status["layers"]}["sentinel2"] == 6
