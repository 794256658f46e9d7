"""Training: what a run leaves behind, exact resume, and clear ends for bad input."""

import functools
import json
import operator
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

import geomeld
from geomeld.batch import collate
from geomeld.cli import main
from geomeld.core.errors import CheckpointError, ConfigError, DatasetError, TrainingError, UsageError
from geomeld.dataset import open_dataset, update_metadata, write_dataset
from geomeld.loader import Augment, Loader, Split, read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.choice import choice_of
from geomeld.models.encoder import SIZES
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig
from geomeld.models.weights import load_model
from geomeld.pretrain import loop, start, states
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.objectives import Contrast, Jepa, Reconstruction
from geomeld.pretrain.optim import OptimConfig, is_decayed, learning_rate, make_optimizer
from geomeld.recipes.pretraining import RECIPES
from geomeld.testing import fake_tile, tiny_dataset

CONFIG = PretrainConfig(
    size="atto", targets=("sentinel2", "aster", "esa_worldcover"), epochs=3, batch_size=3,
    decoder_width=16, predictor_width=16, predictor_depth=1,
    text=TextConfig(vocab_size=300, width=32, depth=2, heads=2, max_length=24),
    split=Split(held_out=0.25, by="tile"), augment=Augment(crop=32), workers=0, save_every=2, best_of=2,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def speck() -> Iterator[None]:
    """An encoder that trains and is written in no time stands in for "atto"."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "atto", ((1, 1, 1, 1), (8, 16, 16, 16)))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "d", 9, captions=True).path


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "checkpoint"
    loop.pretrain(CONFIG, open_dataset(data), out)
    return out


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / loop.LOG).read_text().splitlines()]


def test_a_run_leaves_a_checkpoint_that_loads(trained: Path) -> None:
    names = {p.name for p in trained.iterdir()}
    assert names >= {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        loop.RUN,
        loop.LOG,
        loop.STATES,
        loop.BEST,
        loop.EXAMPLES,
    }
    model = geomeld.load_model(trained)
    images = model.encode_image(fake_tile(1).layers["sentinel2"].values)
    texts = model.encode_text(["a lake", "a forest"])
    assert images.shape == (1, 512)
    torch.testing.assert_close(texts.norm(dim=1), torch.ones(2))
    assert {"loss", "mpmae", "jepa", "itc", "mpmae/sentinel2"} <= set(log(trained)[0])
    with np.load(trained / loop.EXAMPLES) as examples:
        assert examples["esa_worldcover/predicted"].shape[1:] == (1, 128, 128)
        assert set(np.unique(examples["esa_worldcover/predicted"])) <= set(MODALITIES["esa_worldcover"].kind.codes)
        assert 0.6 < examples["hidden"].mean() < 0.75


def test_the_best_model_says_by_which_tiles_it_was_chosen_those_of_before_a_resume_too(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    held_out = CONFIG.split.apply(open_dataset(data))[1]
    assert len(held_out) > 2
    assert choice_of(trained / loop.BEST) == set(held_out[:2])
    assert choice_of(trained) is None
    again = shutil.copytree(trained, tmp_path / "again")
    for state in sorted((again / loop.STATES).iterdir())[-1:]:
        state.unlink()
    loop.pretrain(replace(CONFIG, best_of=1), open_dataset(data), again)
    assert choice_of(again / loop.BEST) == set(held_out[:2])


def test_an_interrupted_run_ends_with_the_same_losses_and_weights(
    data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = loop.check_finite, []

    def stops(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(*args)

    monkeypatch.setattr(loop, "check_finite", stops)
    with pytest.raises(KeyboardInterrupt):
        loop.pretrain(CONFIG, open_dataset(data), tmp_path / "c")
    assert not (tmp_path / "c" / "model.safetensors").exists()
    loop.pretrain(CONFIG, open_dataset(data), tmp_path / "c")
    assert log(tmp_path / "c") == log(trained)
    assert (tmp_path / "c" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_another_configuration_is_refused_the_folder(data: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="another configuration"):
        loop.pretrain(replace(CONFIG, seed=1), open_dataset(data), trained)


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Contrast.joint_loss

    def steep(self, learner, embeddings, keys):
        return whole(self, learner, embeddings, keys) + (learner.model.log_scale * 0).sqrt()

    monkeypatch.setattr(Contrast, "joint_loss", steep)
    with pytest.raises(TrainingError, match=r"Step 0: the gradient is not finite; so it is with each of tiles"):
        loop.pretrain(CONFIG, open_dataset(data), tmp_path / "c")
    assert not (tmp_path / "c" / loop.STATES).exists()


def test_a_run_goes_on_with_other_workers_but_not_on_other_captions(tmp_path: Path) -> None:
    dataset, config = tiny_dataset(tmp_path / "d", 6, captions=True), replace(CONFIG, epochs=1)
    first = loop.pretrain(config, dataset, tmp_path / "c")
    again = loop.pretrain(replace(config, workers=2, save_every=7), dataset, tmp_path / "c")
    assert (again.loss, again.samples_per_second) == (first.loss, 0)
    assert again.held_out_loss == first.held_out_loss
    assert {"loss", "jepa", "itc"} <= set(first.held_out_loss)
    update_metadata(tmp_path / "d", {dataset.tile_ids[0]: {"caption": "a harbour"}})
    with pytest.raises(CheckpointError, match="other tiles or captions"):
        loop.pretrain(config, open_dataset(tmp_path / "d"), tmp_path / "c")


def test_training_leaves_the_callers_random_numbers_alone(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    loop.pretrain(replace(CONFIG, epochs=1), open_dataset(data), tmp_path / "c")
    assert torch.equal(torch.rand(1), expected)


def test_captions_are_needed_only_for_contrast(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 6)
    with pytest.raises(DatasetError, match="geomeld caption"):
        loop.pretrain(CONFIG, dataset, tmp_path / "c")
    without = replace(CONFIG, epochs=1, objectives=(Reconstruction(), Jepa()))
    summary = loop.pretrain(without, dataset, tmp_path / "e")
    assert summary.steps >= 1
    with pytest.raises(ConfigError, match="sentinel9"):
        PretrainConfig(targets=("sentinel9",))


NAN = float("nan")


@pytest.mark.parametrize(
    ("words", "build"),
    [
        ("targets are none", lambda: PretrainConfig(targets=())),
        ("each once", lambda: PretrainConfig(targets=("aster", "aster"))),
        ("patch", lambda: PretrainConfig(patch=0)),
        ("one patch", lambda: PretrainConfig(patch=128)),
        ("seed", lambda: PretrainConfig(seed=10**25)),
        ("workers", lambda: PretrainConfig(workers=-1)),
        ("predictor_width", lambda: PretrainConfig(predictor_width=7)),
        ("predictor_width", lambda: PretrainConfig(predictor_width=0)),
        ("decoder_width", lambda: PretrainConfig(decoder_width=0)),
        ("decoder_depth", lambda: PretrainConfig(decoder_depth=-1)),
        ("keep", lambda: PretrainConfig(keep=0)),
        ("best_of", lambda: PretrainConfig(best_of=-1)),
        ("heads", lambda: TextConfig(heads=7)),
        ("vocab_size", lambda: TextConfig(vocab_size=3)),
        ("max_length", lambda: TextConfig(max_length=0)),
        ("held_out", lambda: Split(held_out=NAN)),
        ("lr", lambda: OptimConfig(lr=NAN)),
        ("betas", lambda: OptimConfig(betas=(2.0, 3.0))),
        ("warmup", lambda: OptimConfig(warmup=5.0)),
        ("clip", lambda: OptimConfig(clip=0.0)),
        ("weight_decay", lambda: OptimConfig(weight_decay=-1.0)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(words: str, build: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=words):
        build()


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    device: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError):
        loop.pretrain(CONFIG, open_dataset(data), tmp_path / "c", device=device)
    assert not (tmp_path / "c").exists()


def test_a_model_that_cannot_be_made_takes_no_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("no such model")

    monkeypatch.setattr(start, "GeoMeldFM", refuse)
    with pytest.raises(ConfigError):
        loop.pretrain(CONFIG, open_dataset(data), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_tile_with_a_layer_of_another_size_is_left_out(tmp_path: Path) -> None:
    tiles = [fake_tile(i) for i in (1, 2)]
    layer = tiles[1].layers["sentinel2"]
    small = replace(layer, values=layer.values[:, :50, :50], valid=layer.valid[:, :50, :50])
    tiles[1] = replace(tiles[1], layers={**tiles[1].layers, "sentinel2": small})
    dataset, skipped = write_dataset(tmp_path / "d", tiles), {}
    read = read_tiles(dataset, [1, 2], [MODALITIES["sentinel2"]], skipped)
    assert [t.tile_id for t in read] == [1]
    assert "(12, 50, 50)" in skipped[2]


def test_a_full_disk_is_what_a_failed_save_speaks_of(data: Path, tmp_path: Path, monkeypatch) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[BinaryIO]:
        with open("/dev/full", "wb", buffering=0) as file:
            yield file

    monkeypatch.setattr(states, "atomic", full)
    with pytest.raises(OSError, match="No space left"):
        loop.pretrain(replace(CONFIG, epochs=1), open_dataset(data), tmp_path / "c")


def test_schedule_and_groups() -> None:
    config = OptimConfig(lr=1.0, warmup=0.1)
    rates = [learning_rate(config, s, 100) for s in range(100)]
    assert rates[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert rates[10:] == pytest.approx([0.5 * (1 + np.cos(np.pi * (s - 9) / 90)) for s in range(10, 100)])
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    decayed, plain = (group["params"] for group in make_optimizer(module, config).param_groups)
    assert [p.shape for p in decayed] == [(2, 3)]
    assert len(plain) == 3
    assert not is_decayed("grn.weight", torch.nn.Parameter(torch.zeros(1, 8)))


def norms() -> dict[str, LayerSpec]:
    return {
        n: LayerSpec.of(m, [100.0] * len(m.bands), [7.0] * len(m.bands))
        for n, m in MODALITIES.items()
        if not m.is_categorical
    }


def test_batches_are_z_scores_with_zeros_where_invalid() -> None:
    tiles = [fake_tile(1), fake_tile(2, without=("naip", "aster"))]
    table = [MODALITIES[n] for n in ("sentinel2", "aster", "dynamic_world")]
    batch = collate(tiles, table, norms())
    layer = tiles[0].layers["sentinel2"]
    expected = np.where(layer.valid, (layer.values - 100.0) / 7.0, 0.0)
    np.testing.assert_allclose(batch.values["sentinel2"][0].numpy(), expected, rtol=1e-5, atol=1e-5)
    assert not batch.valid["aster"][1].any()
    assert not batch.values["aster"][1].any()
    labels = tiles[0].layers["dynamic_world"]
    np.testing.assert_array_equal(
        batch.values["dynamic_world"][0].numpy()[labels.valid], labels.values[labels.valid] - 1
    )


def test_order_belongs_to_seed_and_epoch_alone(data: Path) -> None:
    dataset = open_dataset(data)
    table = [MODALITIES["aster"]]

    def ids(workers: int, seed: int = 0) -> list[list[int]]:
        loader = Loader(dataset, dataset.tile_ids, table, norms(), 2, workers=workers, seed=seed)
        return [b.tile_ids for b in loader.batches(0, 8)]

    assert ids(0) == ids(2)
    assert ids(0) != ids(0, seed=1)
    assert sorted(functools.reduce(operator.iadd, ids(0)[:4], [])) != sorted(
        dataset.tile_ids
    )  # nine tiles, four whole batches
    train, held = Split(held_out=0.4, by="tile").apply(dataset)
    assert sorted(train + held) == sorted(dataset.tile_ids)
    assert (train, held) == Split(held_out=0.4, by="tile").apply(dataset)


def test_recipes_follow_the_paper() -> None:
    paper = RECIPES["geomeld_fm"]()
    assert (paper.epochs, paper.batch_size, paper.mask_ratio, paper.jepa.tau) == (150, 4096, 0.7, 0.996)
    assert [o.weight for o in paper.objectives] == [1.0, 0.5, 0.4]
    assert (paper.optim.lr, paper.optim.weight_decay) == (1e-4, 0.05)
    assert (paper.text.depth, paper.text.width) == (6, 512)
    assert RECIPES["s2_mae"]().targets == ("sentinel2",)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main([str(w) for w in words])
    out = capsys.readouterr()
    return int(done.value.code or 0), out.out, out.err


def test_evaluate_embed_and_search_from_the_command_line(data: Path, trained: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = run(capsys, "evaluate", trained, "--data", data, "--out", tmp_path / "s", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {"R@1", "R@5", "R@10", "accuracy"} <= {r["metric"] for r in rows}
    shares = [r for r in rows if r["metric"].startswith(("R@", "accuracy", "balanced accuracy", "macro F1"))]
    assert all(0 <= r["value"] <= 1 and 0 <= r["baseline"] <= 1 for r in shares)
    assert "Held-out tiles: linear probe" in (tmp_path / "s" / "evaluation.html").read_text()
    assert (tmp_path / "s" / "scores.jsonl").read_text().count("\n") == len(rows)
    code, out, _ = run(capsys, "embed", data, "--model", trained, "--out", tmp_path / "i")
    assert (code, "9 tiles" in out) == (0, True)
    code, out, _ = run(capsys, "search", tmp_path / "i", "a large lake", "--top", 3, "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    vectors = np.load(tmp_path / "i" / "embeddings.npy")
    query = load_model(trained).encode_text(["a large lake"])[0].numpy()
    assert [h["score"] for h in hits] == pytest.approx(
        sorted((float(v @ query) for v in vectors), reverse=True)[:3], abs=1e-5
    )
    code, out, _ = run(capsys, "search", tmp_path / "i", "--like", 4, "--top", 1)
    assert " 4 " in out
    code, _, err = run(capsys, "search", tmp_path / "i")
    assert (code, "--like" in err) == (2, True)
    code, _, err = run(capsys, "search", data, "a lake")
    assert (code, "no index" in err) == (1, True)
    code, _, err = run(capsys, "embed", data, "--model", data, "--out", tmp_path / "j")
    assert code == 1
    assert not (tmp_path / "j").exists()


def test_an_index_and_its_model_can_be_moved_together(data: Path, trained: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "c")
    run(capsys, "embed", data, "--model", tmp_path / "runs" / "c", "--out", tmp_path / "runs" / "i")
    (tmp_path / "runs").rename(tmp_path / "moved")
    code, out, _ = run(capsys, "search", tmp_path / "moved" / "i", "a lake", "--top", 2)
    assert (code, len(out.splitlines())) == (0, 2)
    code, _, err = run(capsys, "embed", data, "--model", trained, "--out", data)
    assert (code, "is no index" in err) == (1, True)
    assert len(open_dataset(data)) == 9


def test_an_index_refuses_another_model(data: Path, trained: Path, tmp_path: Path, capsys) -> None:
    other = tmp_path / "other"
    loop.pretrain(replace(CONFIG, epochs=1, seed=5), open_dataset(data), other)
    run(capsys, "embed", data, "--model", trained, "--out", tmp_path / "i")
    code, _, err = run(capsys, "search", tmp_path / "i", "a lake", "--model", other)
    assert (code, "another model" in err) == (1, True)
