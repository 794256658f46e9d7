"""Read-outs of frozen encoders equal scikit-learn's; validation chooses, the test is read last; noise scores at chance."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from geomeld.core.draw import generator
from geomeld.core.errors import CorruptFile, UsageError
from geomeld.evaluate.bootstrap import intervals
from geomeld.evaluate.frozen import best_fit, enlarged, knn, lbfgs_probe, segmentation_probe
from geomeld.evaluate.geobench import open_set
from geomeld.evaluate.logistic import Linear, sweep
from geomeld.evaluate.metrics import scores_of
from geomeld.evaluate.neighbours import votes
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import TaskKind
from geomeld.testing.geobench import simulated_set
from geomeld.testing.toy_evaluation import ToyEncoder, ToyTask

PROTOCOLS = {
    TaskKind.MULTICLASS: (knn, lbfgs_probe),
    TaskKind.MULTILABEL: (knn, lbfgs_probe),
    TaskKind.SEGMENTATION: (segmentation_probe,),
}
EACH = [
    pytest.param(kind, run, id=f"{run.__name__} {kind.name.lower()}")
    for kind, runs in PROTOCOLS.items()
    for run in runs
]


class Shuffled(ToyTask):
    """Labels that have nothing to do with the images."""

    def sample(self, name):
        found = super().sample(name)
        draw = generator(1, "shuffled", name)
        most = 2 if self.kind is TaskKind.MULTILABEL else self.classes
        return replace(found, label=draw.integers(0, most, found.label.shape))


class Poisoned(ToyTask):
    """A test split that nobody may read."""

    def sample(self, name):
        assert not name.startswith("test"), f"{name} was read"
        return super().sample(name)


def drawn(n: int, width: int = 12, classes: int = 4, several: bool = False) -> tuple:
    """Features that are correlated and of very different spread, and labels that they tell in part."""
    rng = np.random.default_rng(n)
    hidden = rng.normal(size=(n, width))
    values = hidden @ rng.normal(size=(width, width)) * np.logspace(-2, 2, width) + 5
    told = hidden[:, :classes] + rng.normal(size=(n, classes))
    return values.astype(np.float32), (told > 0.7).astype(np.int64) if several else told.argmax(1)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("k", [1, 4, 15])
def test_neighbours_equal_those_of_scikit_learn(several, k):
    (known, labels), (new, _) = drawn(150, several=several), drawn(60)
    (share,) = votes(known, labels, new, 4, [(k, inf)])
    peer = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(known, labels)
    expected = peer.predict_proba(new)
    if several:
        expected = np.stack([p[:, 1] for p in expected], 1)
        np.testing.assert_array_equal(share > 0.5, peer.predict(new))
    else:
        np.testing.assert_array_equal(share.argmax(1), peer.predict(new))
    np.testing.assert_allclose(share, expected, atol=1e-6)


def test_votes_are_weighed_by_likeness():
    (known, labels), (new, _) = drawn(40), drawn(300)
    settings = [(3, 0.1), (7, inf), (100, 0.5)]
    found = votes(known, labels, new, 5, settings)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (new.astype(float), known.astype(float)))
    for (k, t), share in zip(settings, found, strict=True):
        for i in range(len(new)):
            cosine = b @ a[i]
            expected = np.zeros(5)
            for j in np.argsort(-cosine)[:k]:
                expected[labels[j]] += np.exp(cosine[j] / t)
            np.testing.assert_allclose(share[i], expected / expected.sum(), atol=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_coefficients_equal_those_of_scikit_learn(several):
    values, labels = drawn(400, several=several)
    n, mean, std = len(values), values.mean(0, dtype=float), values.std(0, dtype=float)
    penalties = [1 / (c * n) for c in (0.01, 0.3, 10.0)]
    for penalty, model in sweep(values, labels, 4, penalties):
        peer = LogisticRegression(C=1 / (penalty * n), tol=1e-8, max_iter=5000)
        scaled = (values - mean) / std
        fits = [clone(peer).fit(scaled, y) for y in (labels.T if several else [labels])]
        weight, bias = (np.concatenate(parts) for parts in zip(*((f.coef_, f.intercept_) for f in fits), strict=True))
        bias = bias if several else bias - bias.mean()
        np.testing.assert_allclose(model.weight * std, weight, atol=1e-3)
        here = model.bias + model.weight @ mean
        np.testing.assert_allclose(here if several else here - here.mean(), bias, atol=1e-3)


@pytest.mark.parametrize("several", [False, True])
def test_classes_that_training_lacks_are_never_answered(several):
    values, labels = drawn(80, several=several)
    spare = np.pad(labels, ((0, 0), (0, 2))) if several else np.where(labels > 1, labels + 2, labels)
    if several:
        spare[:, 5] = 1  # of a label that every image has nothing can be learned either
    (_, model), (_, plain) = (next(sweep(values, y, c, [1e-3])) for y, c in ((spare, 6), (labels, 4)))
    scores = model(values)
    assert np.isfinite(scores).all()
    if several:
        np.testing.assert_allclose(scores[:, :4], plain(values), atol=1e-3)
        assert (scores[:, 4] < 0).all()
        assert (scores[:, 5] > 0).all()
    else:
        assert set(scores.argmax(1)) <= {0, 1, 4, 5}
        np.testing.assert_allclose(scores[:, [0, 1, 4, 5]], plain(values), atol=1e-3)
    one = next(sweep(values, np.full(80, 2), 4, [1e-3]))[1]
    assert (one(values).argmax(1) == 2).all()


def test_a_feature_that_never_changes_does_no_harm():
    values, labels = drawn(80)
    still = np.concatenate([values, np.full((80, 1), 1e4, np.float32)], axis=1)
    (_, model), (_, plain) = (next(sweep(x, labels, 4, [1e-3])) for x in (still, values))
    np.testing.assert_allclose(model(still), plain(values), atol=1e-2)


def test_hopeless_penalties_are_not_tried():
    asked, scores = [], {1.0: 0.2, 0.1: 0.2, 0.01: 0.5, 1e-3: 0.5, 1e-4: 0.4, 1e-5: 0.3, 1e-6: 0.9}

    def fits():
        for penalty in scores:
            asked.append(penalty)
            yield penalty, penalty

    assert best_fit(fits(), scores.__getitem__) == (0.01, 0.01, 0.5)
    assert asked == [1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5]


def test_scores_of_pixels_equal_those_on_maps_enlarged_whole():
    rng = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, c, 16 // s, 12 // s, generator=rng) for c, s in ((3, 1), (5, 4))]
    model = Linear(np.random.default_rng(0).normal(size=(4, 8)), np.arange(4.0))
    whole = torch.cat([F.interpolate(m, (16, 12), mode="bilinear", align_corners=False) for m in maps], 1)
    expected = model(whole.permute(0, 2, 3, 1).reshape(-1, 8).numpy()).reshape(2, 16, 12, 4)
    np.testing.assert_allclose(enlarged(model, maps, (16, 12)).permute(0, 2, 3, 1), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "run"), EACH)
def test_what_is_to_be_seen_is_found_and_noise_scores_at_chance(kind, run):
    counts = (120, 60, 200) if kind is not TaskKind.SEGMENTATION else (12, 6, 25)
    metric = {
        TaskKind.MULTICLASS: "overall accuracy",
        TaskKind.MULTILABEL: "mAP",
        TaskKind.SEGMENTATION: "pixel accuracy",
    }[kind]
    for made in (ToyTask, Shuffled):
        task = made(kind, counts=counts)
        outcome = run(ToyEncoder(), task, task.own_scale(), progress=False)
        found = scores_of(task, outcome)[metric]
        low, high = intervals(task, outcome, [metric], draws=200).get(metric, (1.0, 1.0))  # none where all is right
        assert low <= found <= high
        chance = outcome.truth.mean() if kind is TaskKind.MULTILABEL else 1 / 3
        if made is Shuffled:
            assert low <= chance <= high
        else:
            assert low > chance + 0.2


@pytest.mark.parametrize(("kind", "run"), EACH)
def test_the_test_split_is_read_once_after_everything_is_chosen(kind, run):
    task = ToyTask(kind, counts=(30, 12, 9))
    outcome = run(ToyEncoder(), task, task.own_scale(), progress=False)
    assert task.reads == [name for split in ("train", "valid", "test") for name in task.names[split]]
    assert outcome.names == task.names["test"]
    np.testing.assert_array_equal(outcome.truth, [task.sample(name).label for name in outcome.names])
    assert "valid" in outcome.chosen
    poisoned = Poisoned(kind, counts=(30, 12, 9))
    with pytest.raises(AssertionError, match="test-0 was read"):
        run(ToyEncoder(), poisoned, poisoned.own_scale(), progress=False)
    assert poisoned.reads == task.reads[:42]


@pytest.mark.parametrize(("kind", "run"), EACH)
def test_the_same_seed_gives_the_same_bytes_with_and_without_a_cache(kind, run, tmp_path):
    task = ToyTask(kind, counts=(30, 12, 9))
    outcomes = [run(ToyEncoder(), task, task.own_scale(), 5, c, progress=False) for c in (None, tmp_path, tmp_path)]
    for i, outcome in enumerate(outcomes):
        outcome.save(tmp_path / f"{i}.npz")
    assert len({(tmp_path / f"{i}.npz").read_bytes() for i in range(3)}) == 1
    again = Outcome.load(tmp_path / "0.npz")
    assert scores_of(task, again) == scores_of(task, outcomes[0])
    whole = (tmp_path / "0.npz").read_bytes()
    for damaged in (whole[:-40], whole[:200] + bytes(20) + whole[220:], b""):
        (tmp_path / "0.npz").write_bytes(damaged)
        with pytest.raises(CorruptFile, match=r"0.npz holds no outcome"):
            Outcome.load(tmp_path / "0.npz")


def test_a_task_of_the_other_kind_is_refused():
    pixels, images = ToyTask(TaskKind.SEGMENTATION), ToyTask()
    for run in (knn, lbfgs_probe):
        with pytest.raises(UsageError, match=r"toy has one class per pixel. Choose 'segmentation probe'"):
            run(ToyEncoder(), pixels, pixels.own_scale())
    with pytest.raises(UsageError, match="Choose 'lbfgs probe'"):
        segmentation_probe(ToyEncoder(), images, images.own_scale())


@pytest.mark.parametrize(
    ("name", "runs"), [("m-so2sat", (knn, lbfgs_probe)), ("m-cashew-plant", (segmentation_probe,))]
)
def test_sets_of_the_benchmark_go_through(tmp_path, name, runs):
    bands = ("B2", "B3", "B4", "B9")
    task = open_set(simulated_set(tmp_path, name, (4, 2, 2)), bands, fill="mask")
    for run in runs:
        outcome = run(ToyEncoder(bands), task, task.own_scale(), cache=tmp_path, progress=False)
        assert 0 <= next(iter(scores_of(task, outcome).values())) <= 1
        assert outcome.data == task.fingerprint()
        assert outcome.scale == "own"
