"""Protocols: MP-MAE's tables from its formulas, every fault a switch that does something, test labels read last."""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t

from geomeld.core.draw import generator
from geomeld.core.errors import UsageError
from geomeld.evaluate import finetune as loop
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.encoders.checkpoint import PatchEncoder
from geomeld.evaluate.faults import AS_SCRIPTED, Faults
from geomeld.evaluate.geobench import open_set
from geomeld.evaluate.metrics import scores_of
from geomeld.evaluate.protocols import PROTOCOLS, fitting, open_protocol, switched
from geomeld.evaluate.run import FAMILIES, named_so
from geomeld.evaluate.schedule import depth_scales
from geomeld.evaluate.task import TaskKind
from geomeld.modalities import SENTINEL2_BANDS
from geomeld.models.encoder import ConvNeXtV2
from geomeld.testing.geobench import simulated_set
from geomeld.testing.toy_evaluation import ToyEncoder, ToyTask

IMAGES, PIXELS = TaskKind.MULTILABEL, TaskKind.SEGMENTATION


def quick(name: str, **changes):
    """A protocol of the table in two epochs and steps that fit a toy."""
    protocol = open_protocol(name, epochs=2)
    return replace(protocol, training=replace(protocol.training, batch=4, accumulate=1, **changes))


# --- MP-MAE's scripts, written out as they compute ---------------------------------------------------------------


def scripted_rates(images: int, batch: int, accumulate: int, blr: float, epochs: int) -> list[float]:
    lr, min_lr, warmup, found = blr * (batch * accumulate) / 256, 1e-6, 0, []
    loader = images // batch
    for epoch in range(epochs):
        for i in range(loader):
            if i % accumulate == 0:
                now = i / loader + epoch
                current = min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * (now - warmup) / (epochs - warmup)))
            if (i + 1) % accumulate == 0:
                found.append(current)
    return found


@pytest.mark.parametrize(
    ("name", "images", "row", "peak"),
    [
        ("mmearth linear probe", 20000, (64, 16, 2e-4, 100), 8e-4),
        ("mmearth fine-tuning", 19992, (64, 16, 2e-4, 100), 8e-4),
        ("mmearth linear probe, tiny", 20000, (128, 8, 1e-2, 100), 0.04),
        ("mmearth fine-tuning, tiny", 20000, (128, 8, 1e-4, 100), 4e-4),
        ("mmearth linear probe, few labels", 1000, (32, 1, 2e-4, 100), 2.5e-5),
        ("mmearth U-Net", 1350, (8, 4, 1e-2, 200), 1.25e-3),
    ],
)
def test_learning_rates_are_those_of_the_script(name, images, row, peak):
    training = PROTOCOLS[name].training
    steps = len(training.steps(images, 0, 0, "x"))
    found = [
        training.rate.at(training.progress(images, epoch, step))
        for epoch in range(training.epochs)
        for step in range(steps)
    ]
    batch, accumulate, blr, epochs = row
    expected = scripted_rates(images, batch, accumulate, blr, epochs)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[0] == pytest.approx(peak)
    assert (training.weight_decay, training.layer_decay, training.drop_path) == (0.3, 0.9, 0.1)
    assert training.frozen_epochs == (100 if "probe" in name else 50 if name == "mmearth U-Net" else 0)


def test_it_makes_1900_steps_on_20000_images():
    training = PROTOCOLS["mmearth linear probe"].training
    steps = training.steps(20000, 0, 0, "x")
    assert len(steps) * training.epochs == 1900
    assert sum(len(b) for step in steps for b in step) == 19 * 1024
    mended = PROTOCOLS["mmearth linear probe, mended"].training.steps(20000, 0, 0, "x")
    assert sum(len(b) for step in mended for b in step) == 20000


def scripted_scale(name: str, depths: list[int], decay: float) -> float:
    """Of one parameter, by the name it has in that code."""
    parts = name.split(".")
    if parts[0] == "downsample_layers":
        layer = sum(depths[: int(parts[1])]) + 1
    elif parts[0] == "stages":
        layer = sum(depths[: int(parts[1])]) + int(parts[2]) + 1
    else:
        layer = sum(depths) + 1
    return decay ** (sum(depths) + 1 - layer)


@pytest.mark.parametrize(("size", "depths"), [("atto", [2, 2, 6, 2]), ("tiny", [3, 3, 9, 3])])
def test_layer_decay_is_that_of_the_script_and_its_mended_form_falls_all_the_way(size, depths):
    with torch.device("meta"):
        encoder = PatchEncoder(ConvNeXtV2(size), size, "0" * 12, SENTINEL2_BANDS)
    names = [[name for name, _ in group] for group in encoder.depths()]
    found = depth_scales(names, 0.9, inverted=True)
    for name, scale in found.items():
        theirs = name.removeprefix("network.").replace(".blocks.", ".").replace("head.norm", "norm")
        if "downsample" in theirs:
            theirs = f"downsample_layers.{int(theirs.split('.')[1]) - 1}"
        assert scale == pytest.approx(scripted_scale(theirs, depths, 0.9)), name
    mended = depth_scales(names, 0.9)
    assert mended["network.stem.0.weight"] == pytest.approx(0.9 ** (sum(depths) + 1))
    assert mended["network.stages.1.downsample.1.weight"] == mended["network.stages.1.blocks.0.conv_dw.weight"]
    along = [mended[group[0]] for group in names]
    assert along == sorted(along)
    if size == "atto":
        rounded = {
            n: round(found[f"network.{n}.weight"], 2) for n in ("stages.0.blocks.0.conv_dw", "stem.0", "head.norm")
        }
        assert rounded == {"stages.0.blocks.0.conv_dw": 0.28, "stem.0": 1.0, "head.norm": 1.0}
        assert [round(found[f"network.stages.{s}.downsample.1.weight"], 2) for s in (1, 2, 3)] == [0.28, 0.35, 0.43]


# --- The table ---------------------------------------------------------------------------------------------------


def test_the_paper_s_epochs_and_what_it_leaves_unsaid():
    assert [PROTOCOLS[f"paper {n}"].training.epochs for n in ("linear probe", "fine-tuning", "U-Net")] == [50, 50, 100]
    assert "mmearth U-Net" in fitting(PIXELS)
    assert "paper linear probe" in fitting(IMAGES)
    assert sorted([*fitting(PIXELS), *fitting(IMAGES)]) == sorted(PROTOCOLS)
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert [name for name in PROTOCOLS if f"`{name.removesuffix(', mended')}`" not in page] == []
    assert [field.name for field in fields(Faults) if f"| `{field.name}` |" not in page] == []


def test_wrong_words_are_refused():
    with pytest.raises(UsageError, match="no protocol 'linear'; there are 'paper linear probe'"):
        open_protocol("linear")
    with pytest.raises(UsageError, match="'paper U-Net' is not for toy, which has one class per image; there are"):
        PROTOCOLS["paper U-Net"].run(ToyEncoder, ToyTask())
    with pytest.raises(UsageError, match="'paper fine-tuning' is not for toy, which has one class per pixel"):
        PROTOCOLS["paper fine-tuning"].run(ToyEncoder, ToyTask(PIXELS))
    with pytest.raises(UsageError, match="no image in its split 'valid'"):
        quick("paper fine-tuning").run(ToyEncoder, ToyTask(counts=(4, 0, 4)))
    with pytest.raises(UsageError, match=r"64 x 16 images, and toy has 12 .*mended form"):
        PROTOCOLS["mmearth fine-tuning"].run(ToyEncoder, ToyTask(), progress=False)


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("mmearth fine-tuning", ["mmearth fine-tuning"]),
        ("U-Net", ["paper U-Net"]),
        ("paper", ["paper linear probe", "paper fine-tuning", "paper U-Net"]),
        ("mmearth", ["mmearth linear probe", "mmearth fine-tuning", "mmearth U-Net"]),
        ("mmearth, mended", ["mmearth linear probe, mended", "mmearth fine-tuning, mended", "mmearth U-Net, mended"]),
        ("mmearth, tiny", ["mmearth linear probe, tiny", "mmearth fine-tuning, tiny"]),
        ("mmearth, few labels, mended", ["mmearth linear probe, few labels, mended"]),
        ("frozen", ["knn", "lbfgs probe", "segmentation probe"]),
    ],
    ids=str,
)
def test_a_word_means_one_protocol_or_a_family_without_its_variants(word, names):
    assert list(named_so(word)) == names


def test_every_protocol_is_of_a_family_and_the_page_and_the_error_name_them():
    assert {name for names in FAMILIES.values() for name in names} == set(PROTOCOLS)
    with pytest.raises(UsageError) as error:
        named_so("mmearth linear")
    assert [name for name in [*PROTOCOLS, *FAMILIES] if f"'{name}'" not in str(error.value)] == []
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert [f for f in FAMILIES if f"`{f}`" not in page and f'`"{f}"`' not in page] == []


def test_other_epochs_are_part_of_the_name_and_keep_their_frozen_share():
    short = open_protocol("mmearth U-Net", epochs=8)
    assert short.name == "mmearth U-Net, 8 epochs"
    assert (short.training.epochs, short.training.frozen_epochs) == (8, 2)
    assert open_protocol("paper U-Net", epochs=1).name == "paper U-Net, 1 epoch"
    assert open_protocol("paper U-Net", epochs=100) is PROTOCOLS["paper U-Net"]


# --- Runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("paper fine-tuning", IMAGES), ("mmearth U-Net, mended", PIXELS), ("paper linear probe", IMAGES)]
)
def test_test_labels_are_read_once_at_the_end_and_change_no_prediction(name, kind, tmp_path):
    honest, poisoned = ToyTask(kind), ToyTask(kind)
    sample = poisoned.sample
    poisoned.sample = lambda n: replace(s := sample(n), label=1 - s.label % 2) if n.startswith("test") else sample(n)
    one = quick(name).run(ToyEncoder, honest, seed=1, progress=False)
    two = quick(name).run(ToyEncoder, poisoned, seed=1, cache=tmp_path, progress=False)
    tested = [n for n in honest.reads if n.startswith("test")]
    assert honest.reads[-len(tested) :] == tested == list(honest.names["test"])
    np.testing.assert_array_equal(one.predicted, two.predicted)
    assert (one.truth != two.truth).any()
    assert one.curve == two.curve
    # The same seed gives the same outcome, to the byte, and leaves no training behind.
    again = quick(name).run(ToyEncoder, ToyTask(kind), seed=1, progress=False)
    one.save(tmp_path / "one.npz")
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "again.npz").read_bytes()
    assert not list(tmp_path.glob("training/*.pt"))
    other = quick(name).run(ToyEncoder, ToyTask(kind), seed=2, progress=False)
    assert one.curve != other.curve


@dataclass
class Shuffled(ToyTask):
    """Labels of train and valid are dealt out anew among the images of their split; those of test are true."""

    by: int = 0

    def sample(self, name):
        split, number = name.split("-")
        found = super().sample(name)
        if split == "test":
            return found
        dealt = generator(self.by, "shuffled", split).permutation(len(self.names[split]))
        return replace(found, label=super().sample(f"{split}-{dealt[int(number)]}").label)


def test_trained_on_shuffled_labels_it_scores_at_chance():
    protocol = open_protocol("paper fine-tuning", epochs=6)
    protocol = replace(protocol, training=replace(protocol.training, batch=12, base_rate=0.4))
    given = {"counts": (36, 12, 60), "classes": 6, "noise": 0.1}

    def lead(tasks) -> tuple[float, float]:
        """95 % interval of the accuracy over chance. What a network makes of noise is one draw per shuffle, however many
        images it is tested on, so the interval is over shuffles."""
        runs = [(task, protocol.run(ToyEncoder, task, seed, progress=False)) for seed, task in enumerate(tasks)]
        found = np.array([scores_of(task, outcome)["overall accuracy"] for task, outcome in runs]) - 1 / 6
        half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
        return found.mean() - half, found.mean() + half

    low, high = lead(Shuffled(by=i, **given) for i in range(8))
    assert low <= 0 <= high < 0.2
    assert lead(ToyTask(**given) for _ in range(3))[0] > 0.2


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    expected = quick("paper fine-tuning").run(ToyEncoder, ToyTask(), progress=False)
    with pytest.raises(KeyboardInterrupt):
        quick("paper fine-tuning").run(ToyEncoder, ToyTask(interrupt_at=25), cache=tmp_path, progress=False)
    assert len(list(tmp_path.glob("training/*.pt"))) == 1
    again = ToyTask()
    found = quick("paper fine-tuning").run(ToyEncoder, again, cache=tmp_path, progress=False)
    assert len(again.reads) < 2 * 18 + 6
    np.testing.assert_array_equal(found.predicted, expected.predicted)
    assert found.curve == expected.curve


def test_missing_bands_are_masked_or_refused():
    task = ToyTask(bands=("B2", "B4"))
    blind = quick("paper fine-tuning").run(lambda: ToyEncoder(("B4", "B1", "B2")), task, progress=False)
    assert np.isfinite(blind.predicted).all()
    with pytest.raises(UsageError, match="toy has no band B1, which the encoder needs"):
        quick("paper fine-tuning").run(lambda: ToyEncoder(("B4", "B1"), masks_bands=False), task, progress=False)
    lacking = ToyTask(lacking=("B3",))
    with pytest.raises(UsageError, match="toy has no band B3"):
        quick("paper fine-tuning").run(lambda: ToyEncoder(masks_bands=False), lacking, progress=False)
    with pytest.raises(UsageError, match="no band B8"):
        quick("paper fine-tuning").run(lambda: ToyEncoder(("B8",)), task, progress=False)


@pytest.mark.slow
def test_so2sat_without_b1_and_b9_is_evaluated(tmp_path):
    encoder, folder = open_encoder("random:atto"), simulated_set(tmp_path, "m-so2sat", (4, 1, 1))
    for fill in ("mask", "neighbour"):
        task = open_set(folder, encoder.bands, fill=fill)
        found = quick("mmearth fine-tuning").run(lambda: encoder, task, progress=False)
        assert found.predicted.shape == (1, task.classes)
        assert np.isfinite(found.predicted).all()
    # Divided once more, reflectances and their statistics differ by 10,000; what it predicts does not agree.
    scale = PROTOCOLS["mmearth fine-tuning"]._scale(encoder, task, "own")
    right = PROTOCOLS["mmearth fine-tuning, mended"]._scale(encoder, task, "own")
    np.testing.assert_allclose(scale.std, right.std / 1e4)
    sample = task.sample("id_0")
    inputs = scale(sample.values, sample.valid)
    assert np.abs(inputs[sample.valid]).max() > 1000 * np.abs(right(sample.values, sample.valid)).max()


# --- Faults ------------------------------------------------------------------------------------------------------


def test_every_fault_is_named_in_the_outcome_and_mended_has_none():
    assert AS_SCRIPTED.named() == tuple(field.name for field in fields(Faults))
    found = quick("mmearth fine-tuning").run(ToyEncoder, ToyTask(), statistics="pretraining", progress=False)
    assert found.chosen["faults"] == list(AS_SCRIPTED.named())
    assert (found.chosen["rule"], found.chosen["epoch"]) == ("the last epoch", 2)
    assert found.scale == "own", "the script knows no other statistics"
    mended = quick("mmearth fine-tuning, mended").run(ToyEncoder, ToyTask(), statistics="pretraining", progress=False)
    assert mended.chosen["faults"] == []
    assert mended.scale == "pretraining"
    one = switched(PROTOCOLS["mmearth U-Net, mended"], Faults(last_epoch=True))
    assert one.name == "mmearth U-Net, last_epoch"
    assert one.training.faults == Faults(last_epoch=True)


def test_frozen_features_are_disturbed_by_drop_path_only_under_the_fault():
    assert PROTOCOLS["mmearth linear probe, mended"].once
    assert PROTOCOLS["paper linear probe"].once
    assert not PROTOCOLS["mmearth linear probe"].once
    task = ToyTask()
    quick("mmearth linear probe, mended").run(ToyEncoder, task, progress=False)
    assert len(task.reads) == 24, "features are computed once"
    scripted = ToyTask()
    quick("mmearth linear probe").run(ToyEncoder, scripted, progress=False)
    assert len(scripted.reads) == 2 * 18 + 6


def test_scores_of_an_image_pass_for_probabilities_under_the_fault():
    scores = np.array([[0.2, 0.9, 0.4], [0.2, 0.9, 1.4], [-0.1, 0.9, 0.4]], np.float32)
    protocol = quick("mmearth fine-tuning")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geomeld.evaluate.protocols.predict", lambda *_: (scores, np.ones((3, 3), np.int64)))
        task = ToyTask(TaskKind.MULTILABEL, counts=(4, 4, 3))
        faulty = protocol.run(ToyEncoder, task, progress=False)
        right = switched(protocol, replace(AS_SCRIPTED, sigmoid_by_image=False)).run(ToyEncoder, task, progress=False)
    # torchmetrics: a row within 0..1 is held against 0.5 as it is, any other through the sigmoid, i.e. against 0.
    assert (faulty.predicted > 0).tolist() == [[False, True, False], [True, True, True], [False, True, True]]
    assert (right.predicted > 0).tolist() == [[True, True, True], [True, True, True], [False, True, True]]


@pytest.mark.gpu
def test_it_trains_on_a_gpu():
    found = quick("paper U-Net").run(ToyEncoder, ToyTask(PIXELS), device="cuda", progress=False)
    plain = quick("paper U-Net").run(ToyEncoder, ToyTask(PIXELS), progress=False)
    assert found.curve[0]["loss"] == pytest.approx(plain.curve[0]["loss"], rel=0.05)
