"""Held out: no test on tiles that trained or chose a model, or that show ground which did; and numbers that say so."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from geomeld.cli import main
from geomeld.core.errors import CheckpointError, DatasetError, UsageError
from geomeld.dataset import Dataset
from geomeld.evaluate.held_out import APART, HeldOut, apart
from geomeld.evaluate.origin import held_out_of, origin_of
from geomeld.evaluate.results import Results
from geomeld.evaluate.run import Request, evaluate
from geomeld.evaluate.score_table import score_lines
from geomeld.evaluate.tasks import places_of
from geomeld.evaluate.tiles import sides
from geomeld.loader import Split
from geomeld.modalities import MODALITIES
from geomeld.models.choice import note_choice
from geomeld.models.encoder import SIZES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig
from geomeld.models.weights import save_checkpoint
from geomeld.testing.datasets import farmed_dataset, tiny_dataset

HALF = Split(0.5, "tile")
METRES_PER_DEGREE = 6_371_000 * 3.141592653589793 / 180


@pytest.fixture(scope="module", autouse=True)
def speck() -> Iterator[None]:
    """An encoder that is through in no time stands in for "atto"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "atto", ((1, 1, 1, 1), (8, 16, 16, 16)))
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("tiles") / "data", 16, shard_size=16)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Every place twice, 400 m apart."""
    return farmed_dataset(tmp_path_factory.mktemp("crowded") / "data", 16, beside=400.0)


def save_weights(folder: Path, seed: int) -> None:
    spec = LayerSpec.of(MODALITIES["sentinel2"], (1000.0,) * 12, (500.0,) * 12)
    text = TextConfig(vocab_size=300, width=32, depth=1, heads=2)
    config = ModelConfig(spec, (spec,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_checkpoint(GeoMeldFM(config), folder)


def write_run(folder: Path, split: Split = HALF, best_of: int = 256) -> None:
    said = {"by": split.by, "held_out": split.held_out, "seed": split.seed}
    (folder / "run.json").write_text(json.dumps({"config": {"split": said, "best_of": best_of}}))


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights, with a best model within it that was chosen by the first three held-out tiles."""
    folder = tmp_path_factory.mktemp("run")
    for seed, weights in enumerate((folder, folder / "best")):
        save_weights(weights, seed)
    write_run(folder, best_of=3)
    note_choice(folder / "best", HALF.apply(dataset)[1][:3])
    return folder


def test_the_best_model_is_not_tested_on_the_tiles_it_was_chosen_by_and_its_numbers_say_so(run, dataset) -> None:
    held_out = HALF.apply(dataset)[1]
    last, best = (sides(folder, dataset) for folder in (run, run / "best"))
    assert last.new.tile_ids == held_out
    assert best.new.tile_ids == held_out[3:]
    assert best.seen.tile_ids == last.seen.tile_ids
    assert last.held_out == "50 % of tiles"
    assert best.held_out == "50 % of tiles, but for 3 by which weights were chosen"
    assert (best.data, best.tested != last.tested) == (last.data, True)


def test_encoders_of_one_command_share_the_test_tiles_of_the_one_that_was_chosen(run, dataset, tmp_path) -> None:
    scores = evaluate(Request((str(run), str(run / "best")), dataset=dataset), tmp_path)
    assert len({s.checkpoint for s in scores}) == 2
    assert len({s.data for s in scores}) == 1
    assert {s.held_out for s in scores} == {"50 % of tiles, but for 3 by which weights were chosen"}
    kept = len(HALF.apply(dataset)[1]) - 3
    assert {s.n for s in scores if s.protocol == "embedding health"} == {kept}
    page = (tmp_path / "evaluation.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "held out: 50 % of tiles, but for 3 by which weights were chosen" in page
    held_out = held_out_of(run, held_out_of(run / "best"))
    assert places_of(dataset, held_out).test == tuple(HALF.apply(dataset)[1][3:])


def test_where_all_held_out_tiles_chose_the_weights_there_is_no_test_and_a_remedy(run, dataset, tmp_path) -> None:
    all_of_them = shutil.copytree(run, tmp_path / "run")
    note_choice(all_of_them / "best", HALF.apply(dataset)[1])
    with pytest.raises(DatasetError, match=r"0 held-out tiles to be tested on.*the folder of the run.*--best-of"):
        sides(all_of_them / "best", dataset)
    with pytest.raises(DatasetError, match=r"no tile for test.*the folder of the run.*--best-of"):
        places_of(dataset, held_out_of(all_of_them / "best"))
    assert sides(all_of_them, dataset).new.tile_ids == HALF.apply(dataset)[1]


def test_what_a_model_was_chosen_by_goes_with_its_folder_and_grows(run, dataset, tmp_path) -> None:
    first = HALF.apply(dataset)[1][:3]
    copied = shutil.copytree(run / "best", tmp_path / "copied")
    write_run(copied)
    assert held_out_of(copied) == HeldOut(HALF, frozenset(first))
    (copied / "run.json").unlink()
    assert held_out_of(copied, HeldOut(HALF)) == HeldOut(HALF, frozenset(first))
    note_choice(copied, [first[0], 99])
    assert origin_of(copied).chosen_by == {*first, 99}
    (copied / "chosen_by.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"chosen_by.json does not say by which tiles"):
        origin_of(copied)


def test_the_best_model_of_a_run_that_did_not_write_down_its_choice_is_refused(run, dataset, tmp_path) -> None:
    old = shutil.copytree(run, tmp_path / "run")
    (old / "best" / "chosen_by.json").unlink()
    with pytest.raises(UsageError, match=r"does not say which.*Evaluate the last weights of the run, .*run\."):
        evaluate(Request((str(old / "best"),), dataset=dataset), tmp_path / "out")
    write_run(old, best_of=0)
    assert held_out_of(old / "best") == HeldOut(HALF)


def test_tiles_that_share_ground_with_a_training_tile_are_no_test_and_counted(run, crowded) -> None:
    seen, held_out = HALF.apply(crowded)
    tiles = sides(run, crowded)
    assert 0 < len(tiles.new.tile_ids) < len(held_out)
    assert tiles.seen.tile_ids == seen
    shared = len(held_out) - len(tiles.new.tile_ids)
    assert tiles.held_out == f"50 % of tiles, but for {shared} that share ground with tiles of training or choice"
    assert tuple(tiles.new.tile_ids) == places_of(crowded, HeldOut(HALF)).test
    grids = {t: crowded.read(t, []).grid for t in crowded.tile_ids}

    def overlap(a: int, b: int) -> bool:
        return grids[a].epsg == grids[b].epsg and grids[a].overlaps(grids[b])

    assert not [(a, b) for a in tiles.new.tile_ids for b in seen if overlap(a, b)]
    chosen = tiles.new.tile_ids[0]
    twin = next(t for t in crowded.tile_ids if t != chosen and overlap(t, chosen))
    fewer = HeldOut(HALF, frozenset([chosen])).parts(crowded, "sentinel2")
    assert twin in held_out, "the other of the pair is held out as well, for it was tested"
    assert set(tiles.new.tile_ids) - set(fewer.test) == {chosen, twin}


def test_tiles_are_apart_from_the_diagonal_of_one_on_and_unreadable_ones_are_left_to_who_reads_them() -> None:
    class Placed:
        def metadata(self, tile_id: int) -> dict[str, float]:
            return {"long": 0.0, "lat": tile_id / METRES_PER_DEGREE}

    far, near = int(APART) + 2, int(APART) - 2
    assert apart(Placed(), [far, near, -near, -far], [0]) == [far, -far]
    assert apart(Placed(), [], [0]) == []
    assert apart(Placed(), [1], []) == [1]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"seeds": 3}, "--seeds 3: none of what is asked for draws anything"),
        ({"partition": "0.10x"}, r"--partition is of sets of GEO-Bench v1.0, and none"),
        ({"neighbours": True}, "--neighbours is for bands that a set lacks"),
        ({"scales": ("own",)}, "--scale chooses between statistics"),
    ],
    ids=str,
)
def test_options_that_would_change_nothing_of_tiles_are_refused_before_any_work(
    run, dataset, tmp_path, option, told
) -> None:
    with pytest.raises(UsageError, match=told):
        evaluate(Request((str(run),), dataset=dataset, **option), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_run_held_out_can_be_said_with_its_seed(run, dataset, tmp_path, capsys) -> None:
    said = ("--held-out", "0.5", "--held-out-by", "tile", "--held-out-seed", "1")
    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(run), "--data", str(dataset.path), *said, "--out", str(tmp_path / "out")])
    assert done.value.code == 2
    assert "held out 50 % of tiles of its training, not 50 % of tiles, seed 1" in capsys.readouterr().err


def test_two_test_sets_in_one_folder_share_no_table_and_do_not_overwrite_one_another(run, dataset, tmp_path) -> None:
    bare = shutil.copytree(run, tmp_path / "bare", ignore=shutil.ignore_patterns("run.json", "best"))
    out = tmp_path / "out"
    asked = [HALF, Split(0.5, "tile", 1), Split(0.7, "tile")]
    for split in asked:
        scores = evaluate(Request((str(bare),), dataset=dataset, split=split), out)
    assert {s.held_out for s in scores} == {str(split) for split in asked}
    assert len({s.data for s in scores}) == 3
    assert {s.data: s.held_out for s in scores} == {d: t.held_out for d, t in Results(out).tile_sets().items()}
    again = evaluate(Request((str(bare),), dataset=dataset, split=HALF), out)
    assert again == scores
    page = (out / "evaluation.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    lines = score_lines(scores, Results(out).encoders())
    for split in asked:
        assert page.count(f"Tiles of data (16 tiles, source: fake; held out: {split}). Shares") >= 2
        assert sum(f"held out: {split} (data" in line for line in lines) >= 2
