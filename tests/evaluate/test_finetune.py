"""Fine-tuning: it learns, goes on to the bit where it was killed, and steps as its plan says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from geomeld.core.errors import CheckpointError, ConfigError, TrainingError
from geomeld.evaluate import finetune as loop
from geomeld.evaluate.faults import Faults
from geomeld.evaluate.finetune import finetune, predict
from geomeld.evaluate.images import Vectors, images_for, scale_for
from geomeld.evaluate.metrics import main_score
from geomeld.evaluate.network import Network, dropping, linear_head, loss_of, seeded, unet_head
from geomeld.evaluate.task import TaskKind
from geomeld.evaluate.training import Training
from geomeld.testing.toy_evaluation import ToyEncoder, ToyTask

CPU = torch.device("cpu")
PLAN = Training(4, base_rate=0.2, batch=5, accumulate=2, layer_decay=0.8, drop_path=0.3, frozen_epochs=2, new_norm=True)


def start(task: ToyTask) -> tuple[Network, tuple]:
    encoder = ToyEncoder()
    with seeded(0, "head", 0, CPU):
        if task.kind is TaskKind.SEGMENTATION:
            head = unet_head(encoder, task.classes, 0.02)
        else:
            head = linear_head(encoder.width, task.classes, 0.02, new_norm=True)
    scale = scale_for(encoder, task, "own")
    return Network(encoder, head), tuple(images_for(encoder, task, split, scale) for split in ("train", "valid"))


def trained(task: ToyTask, training: Training, **options) -> tuple[Network, loop.Trained]:
    network, sources = start(task)
    return network, finetune(network, task, training, sources, progress=False, **options)


@pytest.mark.parametrize("kind", TaskKind, ids=lambda kind: kind.name)
def test_it_learns_a_small_task_by_heart(kind):
    task = ToyTask(kind)
    plan = Training(40, base_rate=2.0, batch=6)
    network, (train, _) = start(task)
    found = finetune(network, task, plan, (train, train), progress=False)
    predicted, truth = predict(network, task, train, 6)
    assert main_score(kind, predicted, truth, task.classes) > 0.95
    assert found.curve[-1]["loss"] < 0.3 * found.curve[0]["loss"]
    best = max(found.curve, key=lambda row: row["valid"])
    assert found.chosen["epoch"] == best["epoch"]
    assert len(found.curve) == plan.epochs


@pytest.mark.parametrize("kind", TaskKind, ids=lambda kind: kind.name)
def test_scores_that_are_no_numbers_are_no_answer(kind):
    network, (_, valid) = start(ToyTask(kind))
    next(network.head.parameters()).data *= np.nan
    with pytest.raises(TrainingError, match="trained on toy predicts numbers that are not finite"):
        predict(network, ToyTask(kind), valid, 6)


# 12 training and 6 validation images in each of 4 epochs, 18 reads an epoch: in the first, frozen epoch; at its
# validation; where the encoder thaws; in the last. Three steps are read ahead.
@pytest.mark.parametrize("read", [11, 16, 40, 70])
def test_a_killed_training_goes_on_to_the_same_weights(read, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    whole, expected = trained(ToyTask(), PLAN)
    state = tmp_path / "training" / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(ToyTask(interrupt_at=read), PLAN, state=state)
    again = ToyTask()
    network, found = trained(again, PLAN, state=state)
    assert len(again.reads) < 4 * 18
    assert found == expected
    for name, value in whole.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert list(state.parent.iterdir()) == [state]


def test_a_state_of_another_training_or_none_at_all_is_named(tmp_path):
    state = tmp_path / "state.pt"
    for content in (b"nothing", b""):
        state.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"state.pt cannot go on.*Delete"):
            trained(ToyTask(), PLAN, state=state)


def test_the_seed_decides_order_and_drop_path_and_nothing_outside_does():
    torch.manual_seed(3)
    one, _ = trained(ToyTask(), PLAN, seed=1)
    before = torch.random.get_rng_state()
    torch.manual_seed(4)
    two, _ = trained(ToyTask(), PLAN, seed=1)
    other, _ = trained(ToyTask(), PLAN, seed=2)
    assert torch.equal(one.encoder.stem.weight, two.encoder.stem.weight)
    assert not torch.equal(one.encoder.stem.weight, other.encoder.stem.weight)
    torch.manual_seed(3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_batches_of_a_step_add_up_to_one_batch():
    # 8 images: batches of 5 and 3, or one of 8; each image counts alike.
    plan = replace(PLAN, epochs=1, frozen_epochs=0, drop_path=0.0, last_rate=PLAN.rate.peak)
    apart, _ = trained(ToyTask(counts=(8, 3, 3)), plan)
    together, _ = trained(ToyTask(counts=(8, 3, 3)), replace(plan, batch=10, accumulate=1))
    for name, value in apart.state_dict().items():
        torch.testing.assert_close(value, together.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_steps_hold_every_image_once_and_lose_some_under_the_fault():
    steps = PLAN.steps(12, epoch=0, seed=0, name="toy")
    assert [[len(b) for b in step] for step in steps] == [[5, 5], [2]]
    assert sorted(np.concatenate([b for step in steps for b in step])) == list(range(12))
    assert [b.tolist() for b in steps[0]] != [b.tolist() for b in PLAN.steps(12, 1, 0, "toy")[0]]
    lossy = replace(PLAN, faults=Faults(dropped_micro_batches=True))
    assert [[len(b) for b in step] for step in lossy.steps(12, 0, 0, "toy")] == [[5, 5]]
    assert PLAN.progress(12, 3, 1) == 3 + 2 / 3
    assert lossy.progress(12, 3, 0) == 3


def test_an_image_that_would_be_a_batch_of_its_own_joins_the_one_before():
    def sizes(images: int, **changes: object) -> list[list[int]]:
        return [[len(b) for b in step] for step in replace(PLAN, **changes).steps(images, 0, 0, "toy")]

    assert sizes(11) == [[5, 6]]
    assert sizes(16) == [[5, 5], [6]]
    assert sizes(12) == [[5, 5], [2]]
    assert sizes(1) == [[1]]
    assert sizes(3, batch=1) == [[1, 1], [1]]
    assert sizes(16, faults=Faults(dropped_micro_batches=True)) == [[5, 5]]
    assert PLAN.progress(16, 3, 1) == 3 + 2 / 3
    assert PLAN.progress(11, 0, 1) == 1


def test_an_encoder_with_a_norm_over_the_batch_trains_on_maps_of_one_pixel():
    task = ToyTask(size=4)
    network, sources = start(task)
    network.encoder.coarse = torch.nn.Sequential(network.encoder.coarse, torch.nn.BatchNorm2d(8))
    finetune(network, task, Training(1, base_rate=0.2, batch=11), sources, progress=False)  # 12 images


def test_the_encoder_is_untouched_while_frozen_and_best_weights_are_whole(monkeypatch):
    frozen, _ = trained(ToyTask(), replace(PLAN, frozen_epochs=4))
    for (name, value), fresh in zip(frozen.encoder.state_dict().items(), ToyEncoder().parameters(), strict=True):
        assert torch.equal(value, fresh), name
    assert torch.equal(frozen.head[0].weight, torch.ones(8)), "a linear probe trains its linear layer only"
    # The best epoch lies in the frozen half: the weights put back are those of then, the encoder's too.
    worse = iter([0.5, 0.9, 0.9, 0.8] * 2)
    monkeypatch.setattr(loop, "main_score", lambda *_: next(worse))
    network, found = trained(ToyTask(), PLAN)
    assert found.chosen["epoch"] == 2
    assert torch.equal(network.encoder.stem.weight, ToyEncoder().stem.weight)
    last, said = trained(ToyTask(), replace(PLAN, faults=Faults(last_epoch=True)))
    assert said.chosen["rule"] == "the last epoch"
    assert said.chosen["epoch"] == 4
    assert not torch.equal(last.encoder.stem.weight, ToyEncoder().stem.weight)


def test_a_thawed_encoder_decays_with_depth_or_under_the_fault_does_not():
    def scales(faults: Faults) -> dict[str, tuple[float, float]]:
        network, (train, valid) = start(task := ToyTask())
        run = loop._Run(network, task, replace(PLAN, faults=faults), train, valid, 0, None, CPU)
        run._thaw()
        names = {id(p): n for n, p in network.named_parameters()}
        groups = run.optimizer.param_groups
        return {names[id(p)]: (g["scale"], g["weight_decay"]) for g in groups for p in g["params"]}

    found = scales(Faults())
    assert found["head.1.weight"] == (1.0, 0.05)
    assert found["head.0.weight"] == found["head.1.bias"] == found["encoder.norm.weight"] == (1.0, 0.0)
    assert found["encoder.coarse.conv.weight"] == (pytest.approx(0.8), 0.05)
    assert found["encoder.downsample.weight"] == (pytest.approx(0.8), 0.05)
    assert found["encoder.stem.weight"] == (pytest.approx(0.8**3), 0.05)
    inverted = scales(Faults(inverted_layer_decay=True))
    assert inverted["encoder.stem.weight"] == (1.0, 0.05)
    assert inverted["encoder.downsample.weight"] == (pytest.approx(0.8**2), 0.05)
    thawed = scales(Faults(thawed_at_full_rate=True))
    assert {v for n, v in thawed.items() if n.startswith("encoder.")} == {(1.0, 0.0)}


def test_drop_path_skips_a_block_of_an_image_or_enlarges_it():
    encoder, x = ToyEncoder(), torch.randn(64, 8, 4, 4)
    with torch.no_grad(), seeded(0, "drop", 0, CPU), dropping(encoder, 0.5):
        out = encoder.coarse(x)
        untouched = encoder.fine(x[:, :6])
    branch = torch.tanh(encoder.coarse.conv(x)).detach()
    skipped = (out == x).flatten(1).all(dim=1)
    assert 16 < int(skipped.sum()) < 48
    torch.testing.assert_close(out[~skipped], (x + 2 * branch)[~skipped], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(untouched, encoder.fine(x[:, :6])), "the first block is never skipped"
        assert torch.equal(encoder.coarse(x), x + branch), "afterwards nothing is skipped"


def test_losses_are_the_formulas():
    scores, yes = torch.randn(4, 3), torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]])
    for doubled, low in ((False, 0.1), (True, 0.2)):
        expected = 0.0
        for row, labels in zip(scores.tolist(), yes.tolist(), strict=True):
            for score, label in zip(row, labels, strict=True):
                p, target = 1 / (1 + np.exp(-score)), 1 - low if label else low
                expected -= (target * np.log(p) + (1 - target) * np.log(1 - p)) / 12
        assert loss_of(TaskKind.MULTILABEL, scores, yes, 0.2, doubled=doubled).item() == pytest.approx(
            expected, rel=1e-5
        )
    log_p, labels = F.log_softmax(scores, dim=1), torch.tensor([0, 2, 1, 1])
    expected = -sum(0.8 * log_p[i, k] + 0.2 * log_p[i].mean() for i, k in enumerate(labels)).item() / 4
    assert loss_of(TaskKind.MULTICLASS, scores, labels, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_is_named():
    network = Network(None, linear_head(8, 3, 0.02, new_norm=False))
    good = Vectors(np.zeros((6, 8), np.float32), np.zeros(6, np.int64))
    bad = replace(good, values=np.full((6, 8), np.nan, np.float32))
    plan = Training(1, base_rate=1.0, batch=6, frozen_epochs=1)
    with pytest.raises(
        TrainingError, match="Training on toy cannot go on: the loss is nan in epoch 1, step 1 of 1; its"
    ):
        finetune(network, ToyTask(), plan, (bad, good), progress=False)
    torch.nn.init.constant_(network.head.weight, torch.inf)
    with pytest.raises(TrainingError, match=r"its images are finite.*lower the learning rate"):
        finetune(network, ToyTask(), plan, (good, good), progress=False)


def test_trainings_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        replace(PLAN, epochs=0)
    assert replace(PLAN, warmup=1).lasting(8) == replace(PLAN, epochs=8, frozen_epochs=4, warmup=2)
