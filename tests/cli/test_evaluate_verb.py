"""`geomeld evaluate` on sets of GEO-Bench: rows once, an interrupted run that goes on, and bad input told apart."""

import errno
import json
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from geomeld.cli import main
from geomeld.core.draw import generator
from geomeld.dataset.files import alone
from geomeld.evaluate import jobs
from geomeld.evaluate.geobench import SETS, TaskKind
from geomeld.evaluate.results import Results
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig
from geomeld.models.weights import save_checkpoint
from geomeld.testing.geobench import write_set

COUNTS = {"train": 12, "valid": 4, "test": 6}


def small_set(root: Path, name: str, **counts: int) -> Path:
    """A set whose three first classes differ in their colours."""
    record, given = SETS[name], {}
    for split, count in (COUNTS | counts).items():
        given[split] = [_sample(record, f"{name} {split} {i}", i % 3) for i in range(count)]
    return write_set(root, name, given)


def _sample(record, key: str, of: int):
    rng = generator(0, "test", key)
    shape = (record.size, record.size)
    colours = 500 + 400 * generator(0, "test", "colours").random((3, len(record.bands)))
    planes = colours[of][:, None, None] + 20 * rng.standard_normal((len(record.bands), *shape))
    planes = (planes * 1e-4).astype(np.float32) if record.unit == 1e4 else planes.astype(np.int16)
    label = {
        TaskKind.MULTICLASS: of,
        TaskKind.MULTILABEL: np.eye(record.classes, dtype=np.int64)[of],
        TaskKind.SEGMENTATION: np.full(shape, of, np.int16),
    }[record.kind]
    return dict(zip(record.bands, planes, strict=True)), label


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main([str(w) for w in words])
    said = capsys.readouterr()
    return int(done.value.code or 0), said.out, said.err


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench")
    small_set(root, "m-so2sat")
    return root


FROZEN = ("--protocols", "knn", "lbfgs probe")


def test_one_command_gives_rows_with_intervals_and_a_page_beside_the_papers_numbers(bench, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    code, said, _ = run(
        capsys, "evaluate", "random:atto", "--geobench", bench, *FROZEN, "--scale", "own", "--json", "--out", out
    )
    rows = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert (out / "scores.jsonl").read_text() == said
    main_rows = [r for r in rows if r["metric"] == "overall accuracy"]
    assert {r["protocol"] for r in main_rows} == {"knn", "lbfgs probe"}
    for row in main_rows:
        assert row["value"] == 1.0  # colours tell the classes
        assert row["low"] is row["high"] is None  # every draw of six agrees
        assert (row["n"], row["seed"], row["scale"], row["baseline"]) == (6, 0, "own", 1 / 3)
        assert len(row["checkpoint"]) == len(row["data"]) == 12
        assert row["commit"]
    page = (out / "evaluation.html").read_text()
    for text in ("GeoMeld paper, table 2", "71.8", "TerraFM", "random atto", "best constant answer", "12/4/6 images"):
        assert text in page, text
    assert "http" not in page
    assert "state of the art" not in page.lower()
    code, said, _ = run(capsys, "show", out)
    assert (code, said.splitlines()[0]) == (0, "m-so2sat")
    assert "100.0  best constant answer 33.3" in said


def test_what_is_there_is_not_computed_again_and_other_encoders_join_the_table(bench, tmp_path, capsys) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, *FROZEN, "--out", tmp_path)
    assert run(capsys, *words)[0] == 0
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.rglob("outcomes/**/*.npz")}
    scores = (tmp_path / "scores.jsonl").read_bytes()
    code, _, said = run(capsys, *words)
    assert (code, "2 of 2 are there already" in said) == (0, True)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in before} == before
    assert (tmp_path / "scores.jsonl").read_bytes() == scores
    code, said, _ = run(
        capsys, "evaluate", "random:femto", "--geobench", bench, "--protocols", "knn", "--out", tmp_path
    )
    assert code == 0
    assert "random atto" in said
    assert "random femto" in said


def test_an_interrupted_run_goes_on_and_ends_with_the_same_scores(bench, tmp_path, capsys, monkeypatch) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, *FROZEN, "--out")
    real, calls = jobs.outcome_of, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(jobs, "outcome_of", interrupted)
    code, _, said = run(capsys, *words, tmp_path / "a")
    assert (code, "run the same command again" in said) == (130, True)
    assert {json.loads(line)["protocol"] for line in (tmp_path / "a" / "scores.jsonl").read_text().splitlines()} == {
        "knn"
    }
    monkeypatch.undo()
    assert run(capsys, *words, tmp_path / "a")[0] == 0
    assert run(capsys, *words, tmp_path / "b")[0] == 0
    assert (tmp_path / "a" / "scores.jsonl").read_bytes() == (tmp_path / "b" / "scores.jsonl").read_bytes()


def test_a_folder_at_which_another_run_is_at_work_is_refused(bench, tmp_path, capsys) -> None:
    with alone(tmp_path):
        code, _, said = run(capsys, "evaluate", "random:atto", "--geobench", bench, *FROZEN, "--out", tmp_path)
    assert (code, "Another process is at work" in said) == (1, True)
    assert not (tmp_path / "scores.jsonl").exists()


def test_a_trained_protocol_with_seeds_and_both_statistics(bench, tmp_path, capsys) -> None:
    words = ("--protocols", "linear probe", "--epochs", "2", "--seeds", "2", "--scale", "both")
    code, said, err = run(capsys, "evaluate", "random:atto", "--geobench", bench, *words, "--json", "--out", tmp_path)
    rows = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert {(r["protocol"], r["seed"], r["scale"]) for r in rows} == {
        ("paper linear probe, 2 epochs", seed, "own") for seed in (0, 1)
    }
    assert "random atto" in err  # it was trained on nothing, so it has no statistics of its own
    assert "Learning curves" in (tmp_path / "evaluation.html").read_text()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with statistics of its pretraining: random weights, saved as a checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoint")
    spec = LayerSpec.of(MODALITIES["sentinel2"], tuple(range(300, 1500, 100)), (500.0,) * 12)
    text = TextConfig(vocab_size=300, width=32, depth=1, heads=2)
    config = ModelConfig(spec, (spec,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        save_checkpoint(GeoMeldFM(config), folder)
    return folder


def test_without_a_word_frozen_read_outs_stand_by_both_statistics_as_far_as_there_are_both(
    bench, checkpoint, tmp_path, capsys
) -> None:
    root, out = tmp_path / "g", tmp_path / "o"
    small_set(root, "m-SA-crop-type", train=2, valid=1, test=1)  # in no known unit
    (root / "classification_v1.0").mkdir()
    (root / "classification_v1.0" / "m-so2sat").symlink_to(bench / "classification_v1.0" / "m-so2sat")
    words = ("evaluate", checkpoint, "--geobench", root, "--out", out)
    code, said, err = run(capsys, *words, "--json")
    assert code == 0, err
    assert {(r["task"], r["protocol"], r["scale"]) for r in map(json.loads, said.splitlines())} == {
        *(("m-so2sat", protocol, scale) for protocol in FROZEN[1:] for scale in ("own", "pretraining")),
        ("m-SA-crop-type", "segmentation probe", "own"),
    }
    (left_out,) = Results(out).left_out()
    assert (left_out.task, left_out.protocol, left_out.scale) == ("m-SA-crop-type", "segmentation probe", "pretraining")
    told = [line for line in err.splitlines() if "left out" in line]
    assert len(told) == 1
    assert "segmentation probe, pretraining statistics: m-SA-crop-type holds values in no known unit" in told[0]
    page, shown = (out / "evaluation.html").read_text(), run(capsys, "show", out)[1]
    for protocol in FROZEN[1:]:  # each in a row of its own, which says by whose statistics
        for scale in ("own", "pretraining"):
            assert f"<td>{left_out.encoder}</td><td>{protocol}</td><td>{scale}</td>" in page
            assert len(re.findall(rf"{protocol} +{scale} +overall accuracy", shown)) == 1
    code, _, err = run(capsys, *words, "--scale", "own")
    assert (code, "3 of 3 are there already" in err, Results(out).left_out()) == (0, True, []), err


def partial_download(folder: Path) -> None:
    sorted(folder.glob("*.hdf5"))[-1].unlink()


def other_version(folder: Path) -> None:
    folder.parent.rename(folder.parent.with_name("classification_v0.9.1"))


def forbidden_pickle(folder: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("this must never run",))

    for path in folder.glob("*.hdf5"):
        with h5py.File(path, "a") as file:
            file.attrs["pickle"] = str(pickle.dumps({"label": Evil()}, protocol=4))


def label_out_of_range(folder: Path) -> None:
    for path in folder.glob("*.hdf5"):
        with h5py.File(path, "a") as file:
            file.attrs["pickle"] = str(pickle.dumps({"label": 17}, protocol=4))


def no_test_images(folder: Path) -> None:
    path = folder / "default_partition.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test": []}))


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (partial_download, 1, ("lacks 1 of the", "partial", "geomeld geobench fetch")),
        (other_version, 2, ("classification_v0.9.1", "1.0")),
        (forbidden_pickle, 1, (".hdf5", "geomeld geobench fetch")),
        (label_out_of_range, 1, ("labels 17..17", "0..16", ".hdf5")),
        (no_test_images, 1, ("default_partition.json lists no image for test", "geomeld geobench fetch")),
    ],
)
def test_a_damaged_set_is_named_with_its_remedy(tmp_path, capsys, damage, code, told) -> None:
    damage(small_set(tmp_path, "m-so2sat", train=3, valid=2, test=2))
    found, said, err = run(capsys, "evaluate", "random:atto", "--geobench", tmp_path, *FROZEN, "--out", tmp_path / "o")
    assert found == code
    assert all(text in err for text in told), err
    assert "this must never run" not in said + err
    assert "Traceback" not in err


def test_a_partial_and_a_damaged_set_cost_no_other_set(bench, tmp_path, capsys) -> None:
    root, out = tmp_path / "g", tmp_path / "o"
    partial_download(small_set(root, "m-bigearthnet", train=3, valid=2, test=2))
    damaged = small_set(root, "m-eurosat", train=3, valid=2, test=2)
    (name, *_) = json.loads((damaged / "default_partition.json").read_text())["test"]
    (damaged / f"{name}.hdf5").write_bytes(b"cut")  # told only when it is read, after the others
    (root / "classification_v1.0" / "m-so2sat").symlink_to(bench / "classification_v1.0" / "m-so2sat")
    words = ("evaluate", "random:atto", "--geobench", root, *FROZEN, "--out", out)
    code, said, err = run(capsys, *words)
    assert code == 1
    assert said.startswith("m-so2sat")
    *_, one, other, again = err.splitlines()
    assert "m-bigearthnet could not be evaluated" in one
    assert "lacks 1 of the 7 samples" in one
    assert "geomeld geobench fetch" in one
    assert "m-eurosat could not be evaluated" in other
    assert f"{name}.hdf5 cannot be opened" in other
    assert "run the same command again" in again
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert {(r["task"], r["protocol"]) for r in rows} == {("m-so2sat", protocol) for protocol in FROZEN[1:]}
    page = (out / "evaluation.html").read_text()
    assert "Not evaluated in full: m-bigearthnet, m-eurosat" in page
    assert f"{name}.hdf5 cannot be opened" in page
    for folder in ("m-bigearthnet", "m-eurosat"):
        shutil.rmtree(root / "classification_v1.0" / folder)  # as the messages say
        small_set(root, folder, train=3, valid=2, test=2)
    code, said, err = run(capsys, *words)
    assert (code, "2 of 6 are there already" in err, "m-eurosat\n" in said) == (0, True, True), err
    assert "Not evaluated" not in (out / "evaluation.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("random:atto",), 2, "--geobench DIR, --data DATASET"),
        (("random:atto", "--geobench", "nowhere"), 2, "There is no folder nowhere"),
        (("random:atto", "--geobench", "{empty}"), 2, "holds no set of GEO-Bench v1.0"),
        (("nowhere", "--geobench", "{bench}"), 2, "There is no checkpoint folder nowhere"),
        (("random:huge-ish", "--geobench", "{bench}"), 2, "names no size"),
        (("random:atto", "--geobench", "{bench}", "--tasks", "m-so2"), 2, "there are m-so2sat"),
        (("random:atto", "--geobench", "{bench}", "--protocols", "magic"), 2, "'knn'"),
        (("random:atto", "--geobench", "{bench}", "--protocols", "knn", "--epochs", "3"), 2, "leave --epochs out"),
        (("random:atto", "--geobench", "{bench}", "--protocols", "U-Net"), 2, "is not for m-so2sat"),
        (("random:atto", "--geobench", "{bench}", "--protocols", "zero-shot"), 2, "reads no text"),
        (("random:atto", "--geobench", "{bench}", "--partition", "0.3x"), 2, "it has 0.50x, default"),
        (("random:atto", "--geobench", "{bench}", "--scale", "pretraining"), 2, "use the task's own"),
        (("random:atto", "--geobench", "{bench}", "--seeds", "0"), 2, "--seeds is 0"),
        (("random:atto", "--geobench", "{bench}", "--seeds", "3"), 2, "--seeds 3: none of what is asked for draws"),
        (("random:atto", "--geobench", "{bench}", "--held-out", "0.3"), 2, "--held-out is of the tiles of a dataset"),
        (("random:atto", "--geobench", "{bench}", "--held-out-by", "tile"), 2, "how the share of --held-out was drawn"),
        (("random:atto", "--geobench", "{bench}", "--held-out-seed", "1"), 2, "how the share of --held-out was drawn"),
        (("random:atto:B4,B3", "--geobench", "{bench}", "--neighbours"), 2, "no encoder here has such bands on a set"),
        (
            ("random:atto", "--geobench", "{bench}", "--protocols", "mmearth", "--scale", "pretraining"),
            2,
            "these protocols know the set's own alone",
        ),
        (("random:atto", "--geobench", "{bench}", "--protocols", "U-Net", "--epochs", "0"), 2, "--epochs is 0"),
        (("random:atto", "--geobench", "{bench}", "--device", "abacus"), 2, "auto, cpu or cuda"),
        (("random:atto", "--geobench", "{bench}", "--device", "cuda:second"), 2, "auto, cpu or cuda"),
        (("random:atto", "--geobench", "{bench}", "--device", "cuda:99"), 2, "CUDA device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_words_that_make_no_sense_are_answered_with_what_does(bench, tmp_path, capsys, words, code, told) -> None:
    (tmp_path / "empty").mkdir()
    filled = [w.format(bench=bench, empty=tmp_path / "empty") for w in words]
    found, _, err = run(capsys, "evaluate", *filled, "--out", tmp_path / "out")
    assert (found, told in err) == (code, True), err
    assert not (tmp_path / "out" / "scores.jsonl").exists()


def test_an_encoder_whose_bands_a_set_lacks_is_left_out_with_the_reason(bench, tmp_path, capsys) -> None:
    small_set(tmp_path / "g", "m-forestnet", train=2, valid=1, test=1)
    code, _, err = run(capsys, "evaluate", "random:atto", "--geobench", tmp_path / "g", "--out", tmp_path / "o")
    assert (code, "m-forestnet has no band" in err) == (2, True)
    (tmp_path / "g" / "classification_v1.0" / "m-so2sat").symlink_to(bench / "classification_v1.0" / "m-so2sat")
    words = ("--geobench", tmp_path / "g", "--protocols", "knn", "--out", tmp_path / "o")
    code, said, err = run(capsys, "evaluate", "random:atto", *words)
    assert (code, "left out: random atto on m-forestnet" in err) == (0, True)
    assert "m-so2sat" in said
    assert "m-forestnet has no band" in (tmp_path / "o" / "evaluation.html").read_text()


def test_protocols_for_another_kind_of_task_are_told_of_only_where_none_is_for_this_kind(
    bench, tmp_path, capsys
) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, "--scale", "both", "--out", tmp_path)
    code, _, err = run(capsys, *words)
    assert (code, "is not for m-so2sat" in err) == (0, False), err
    code, _, err = run(capsys, *words, "--protocols", "U-Net")
    assert (code, "'paper U-Net' is not for m-so2sat" in err) == (2, True), err


def test_a_full_disk_and_a_file_as_output_are_told_with_the_folder(bench, tmp_path, capsys, monkeypatch) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, "--protocols", "knn", "--out")
    (tmp_path / "note").write_text("hi")
    code, _, err = run(capsys, *words, tmp_path / "note")
    assert (code, "is a file; give a folder" in err) == (2, True), err

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobs, "keep_part", full)
    code, _, err = run(capsys, *words, tmp_path / "o")
    assert (code, "No space left on device" in err, str(tmp_path / "o") in err) == (1, True, True), err


def test_partitions_of_a_set_stand_apart_on_the_terminal(bench, tmp_path, capsys) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, "--protocols", "knn", "--out", tmp_path)
    assert run(capsys, *words)[1].startswith("m-so2sat\n")
    code, said, _ = run(capsys, *words, "--partition", "0.50x")
    heads = [line for line in said.splitlines() if line.startswith("m-so2sat")]
    assert (code, len(heads), sum("partition 0.50x (data " in head for head in heads)) == (0, 2, 1), heads


def test_damaged_results_are_named(bench, tmp_path, capsys) -> None:
    words = ("evaluate", "random:atto", "--geobench", bench, "--protocols", "knn", "--out", tmp_path)
    assert run(capsys, *words)[0] == 0
    (path,) = tmp_path.glob("outcomes/*/*.npz")
    path.write_bytes(path.read_bytes()[:100])
    code, _, err = run(capsys, *words)
    assert (code, str(path) in err, "remove it and run again" in err) == (1, True, True)
    path.unlink()
    assert run(capsys, *words)[0] == 0
    assert path.exists()
