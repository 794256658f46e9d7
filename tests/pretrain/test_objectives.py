"""Every loss against its formula in plain loops, and the contract that every modality keeps."""

import math

import numpy as np
import pytest
import torch
from small_model import CAPTIONS, batch_of, changed, gradients, learner_of, masked

from geomeld.core.errors import ConfigError
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.masked import hidden_pixels
from geomeld.pretrain.masking import complement
from geomeld.pretrain.objectives import Contrast, Jepa, Reconstruction
from geomeld.pretrain.objectives.contrast import caption_keys, info_nce, same_caption
from geomeld.pretrain.objectives.jepa import collapse, moments, normalised, sum_of_distances
from geomeld.pretrain.objectives.reconstruction import (
    from_patch_units,
    in_patch_units,
    sum_of_cross_entropy,
    sum_of_l1,
    sum_of_squares,
)
from geomeld.pretrain.step import Step
from geomeld.testing.modalities import ENMAP, GEDI

MODEL_MODALITIES = [m for m in (*MODALITIES.values(), ENMAP, GEDI) if m.gsd >= 10]
"""All at the encoder's pixel size or coarser; NAIP at 1 m would only make the tests slow."""


def run(learner, batch, *objectives, step=0):
    """The row of one step, its gradient left in the learner."""
    learner.zero_grad()
    how = Step(objectives) if objectives else Step()
    return how.gradient(learner, masked(batch, step))


# --- formulas ---


def test_l1_is_eq_9_in_loops_and_mse_its_square():
    rng = np.random.default_rng(0)
    predicted, target = rng.standard_normal((2, 2, 3, 5, 4))
    counted = rng.random((2, 3, 5, 4)) < 0.4
    omega = [tuple(i) for i in np.argwhere(counted)]
    arguments = [torch.tensor(a) for a in (predicted, target, counted)]
    assert sum_of_l1(*arguments).item() == pytest.approx(sum(abs(predicted[i] - target[i]) for i in omega), rel=1e-5)
    squares = sum((predicted[i] - target[i]) ** 2 for i in omega)
    assert sum_of_squares(*arguments).item() == pytest.approx(squares, rel=1e-5)


def test_cross_entropy_is_eq_10_in_loops():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 4, 3, 5))
    target = rng.integers(0, 4, (2, 1, 3, 5))
    counted = rng.random((2, 1, 3, 5)) < 0.5
    total = 0.0
    for b, _, y, x in np.argwhere(counted):
        z = logits[b, :, y, x]
        total += math.log(sum(math.exp(v) for v in z)) - z[target[b, 0, y, x]]
    got = sum_of_cross_entropy(torch.tensor(logits), torch.tensor(target), torch.tensor(counted))
    assert got.item() == pytest.approx(total, rel=1e-5)


def test_units_of_patches_are_those_of_maes_targets_in_loops():
    rng = np.random.default_rng(0)
    target, valid = rng.normal(3, 2, (2, 3, 8, 4)), rng.random((2, 3, 8, 4)) < 0.8
    got = in_patch_units(torch.tensor(target), torch.tensor(valid), 4)
    for b in range(2):
        for row in (0, 4):
            patch = (b, slice(None), slice(row, row + 4), slice(0, 4))
            known = [v for v, ok in zip(target[patch].ravel(), valid[patch].ravel(), strict=True) if ok]
            mean = sum(known) / len(known)
            variance = sum((v - mean) ** 2 for v in known) / (len(known) - 1)
            wanted = (target[patch] - mean) / math.sqrt(variance + 1e-6)
            np.testing.assert_allclose(got[patch], wanted, rtol=1e-4, atol=1e-5)
    back = from_patch_units(got, torch.tensor(target), torch.tensor(valid), 4)
    np.testing.assert_allclose(back, target, rtol=1e-4, atol=1e-5)


def test_jepa_is_eq_12_in_loops_and_stops_gradients():
    torch.manual_seed(0)
    predicted, target = torch.randn(2, 3, 5, requires_grad=True), 4 * torch.randn(2, 3, 5) + 2
    target.requires_grad_()
    total = 0.0
    for b in range(2):
        for j in range(3):
            z = target[b, j].detach().numpy().astype(float)
            z = (z - z.mean()) / math.sqrt(z.var() + 1e-5)
            total += sum((p - q) ** 2 for p, q in zip(predicted[b, j].tolist(), z, strict=True)) / 5
    loss = sum_of_distances(predicted, normalised(target))
    assert loss.item() == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert target.grad is None
    assert predicted.grad.abs().sum() > 0


def test_collapse_is_seen_in_spread_and_rank():
    torch.manual_seed(0)
    tokens = torch.randn(50, 40, 8) @ torch.diag(torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0]))
    seen = collapse(moments(tokens), 2000)
    rows = tokens.reshape(-1, 8).double().numpy()
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True)).clip(0)
    shares = [v / values.sum() for v in values]
    rank = math.exp(-sum(p * math.log(p) for p in shares if p > 1e-12))
    assert seen == pytest.approx({"jepa/std": rows.std(axis=0).mean(), "jepa/rank": rank}, rel=1e-3)
    assert 2.9 < seen["jepa/rank"] < 3.1
    assert collapse(moments(torch.ones(50, 8)), 50) == pytest.approx({"jepa/std": 0, "jepa/rank": 1}, abs=1e-3)


def loops_of_info_nce(images, texts, tau, spared=()):
    n = len(images)
    s = [[float(images[i] @ texts[j]) / tau for j in range(n)] for i in range(n)]
    other = {(i, j) for i in range(n) for j in range(n)} - set(spared)
    rows = sum(math.log(sum(math.exp(s[i][j]) for j in range(n) if (i, j) in other)) - s[i][i] for i in range(n)) / n
    columns = sum(math.log(sum(math.exp(s[i][j]) for i in range(n) if (i, j) in other)) - s[j][j] for j in range(n)) / n
    return (rows + columns) / 2


def test_info_nce_is_eq_14_and_15_in_loops():
    torch.manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(4, 6), dim=1) for _ in range(2))
    scale = torch.tensor(1 / 0.07)
    assert info_nce(images, texts, scale).item() == pytest.approx(loops_of_info_nce(images, texts, 0.07), rel=1e-5)
    assert info_nce(images.bfloat16(), texts.bfloat16(), scale).dtype == torch.float32
    spared = same_caption(torch.tensor([[3, 1], [5, 2], [3, 1], [3, 2]]))
    assert spared.nonzero().tolist() == [[0, 2], [2, 0]]
    wanted = loops_of_info_nce(images, texts, 0.07, [(0, 2), (2, 0)])
    assert info_nce(images, texts, scale, spared).item() == pytest.approx(wanted, rel=1e-5)


def test_captions_have_one_key_if_they_have_the_same_tokens(learner):
    texts = ["a lake", "A lake ", "a lake and a forest", "a forest and a lake"]
    keys = caption_keys(learner.model.tokenize(texts))
    alone = caption_keys(learner.model.tokenize(texts[:1]))
    assert torch.equal(keys[0], keys[1])
    assert torch.equal(keys[0], alone[0])  # whatever the length of the batch
    assert len(keys.unique(dim=0)) == 3


def test_hidden_pixels_are_those_of_patches_that_are_not_visible():
    hidden = hidden_pixels(torch.tensor([[0, 4]]), (2, 3), side=2)[0, 0]
    for y in range(4):
        for x in range(6):
            assert hidden[y, x] == ((y // 2) * 3 + x // 2 not in (0, 4))


# --- the sum ---


@pytest.fixture(scope="module")
def learner():
    return learner_of()


def test_the_total_is_eq_8_and_eq_11(learner):
    batch = batch_of(learner.model)
    lambdas = {"aster": 3.0, "dynamic_world": 0.5}
    row = run(learner, batch, Reconstruction(lambdas=lambdas), Jepa(0.7, watch_every=3), Contrast(0.2), step=1)
    terms = {f"mpmae/{name}" for name in TARGETS} | {"mpmae", "jepa", "itc"}
    assert set(row) == terms | {"loss"}
    mpmae = sum(lambdas.get(name, 1.0) * row[f"mpmae/{name}"] for name in TARGETS)
    assert row["mpmae"] == pytest.approx(mpmae, rel=1e-5)
    assert row["loss"] == pytest.approx(row["mpmae"] + 0.7 * row["jepa"] + 0.2 * row["itc"], rel=1e-5)
    row = run(learner, batch)
    assert set(row) == terms | {"loss", "jepa/std", "jepa/rank"}
    assert row["loss"] == pytest.approx(row["mpmae"] + 0.5 * row["jepa"] + 0.4 * row["itc"])


def test_terms_are_means_over_valid_hidden_measurements(learner):
    batch, mask = batch_of(learner.model), masked(batch_of(learner.model))
    row = run(learner, batch, Reconstruction())
    with torch.no_grad():
        maps = learner.model.decode(learner.tokens(mask), mask.visible, mask.grid)
    for name in ("sentinel2", "aster"):
        total, n = 0.0, 0
        for b in range(len(batch)):
            seen = set(mask.visible[b].tolist())
            error = (maps[name][b] - batch.values[name][b]).abs().numpy()
            for patch in set(range(16)) - seen:
                y, x = 16 * (patch // 4), 16 * (patch % 4)
                inside = np.s_[:, y : y + 16, x : x + 16]
                known = batch.valid[name][b].numpy()[inside]
                total, n = total + error[inside][known].sum(dtype=float), n + known.sum()
        assert row[f"mpmae/{name}"] == pytest.approx(total / n, rel=1e-5)


def test_learned_weights_are_kendalls(learner):
    uncertain = learner_of(uncertain=TARGETS)
    batch = batch_of(learner.model, invalid=("aster",))
    plain = run(learner, batch, Reconstruction())
    with torch.no_grad():
        for i, name in enumerate(TARGETS):
            uncertain.log_variance[name].fill_(0.1 * i)
    row = run(uncertain, batch, Reconstruction(uncertainty=True))
    known = [(i, name) for i, name in enumerate(TARGETS) if name != "aster"]
    wanted = sum(math.exp(-0.1 * i) * plain[f"mpmae/{name}"] + 0.1 * i for i, name in known)
    assert row["mpmae"] == pytest.approx(wanted, rel=1e-5)
    for i, name in known:
        slope = 1 - math.exp(-0.1 * i) * plain[f"mpmae/{name}"]
        assert uncertain.log_variance[name].grad.item() == pytest.approx(slope, rel=1e-4)
    assert uncertain.log_variance["aster"].grad == 0


def test_an_objective_of_weight_0_is_not_computed(learner):
    batch = batch_of(learner.model)
    batch = changed(batch, tokens=None)
    row = run(learner, batch, Reconstruction(), Jepa(weight=0), Contrast(weight=0))
    assert row.keys() == {f"mpmae/{name}" for name in TARGETS} | {"mpmae", "loss"}
    assert learner.model.predictor.query.grad is None
    assert learner.model.log_scale.grad is None


def test_every_part_of_the_model_learns(learner):
    run(learner, batch_of(learner.model))
    named = [(n, p.grad) for n, p in learner.named_parameters() if p.requires_grad]
    assert [n for n, g in named if g is None or not torch.isfinite(g).all()] == []
    assert [n for n, g in named if not g.any() and not n.endswith("grn.weight")] == []
    assert all(not p.requires_grad and p.grad is None for p in learner.teacher.parameters())


def test_invalid_pixels_never_change_a_loss_or_a_gradient(learner):
    batch = batch_of(learner.model)
    row = run(learner, batch, Reconstruction(normalise=("sentinel2",)), Jepa(), Contrast())
    before = gradients(learner)
    dirty = {
        name: v.masked_fill(~batch.valid[name], float("nan") if v.is_floating_point() else 10_000)
        for name, v in batch.values.items()
    }
    other = changed(batch, values=dirty)
    assert run(learner, other, Reconstruction(normalise=("sentinel2",)), Jepa(), Contrast()) == row
    assert all(torch.equal(before[name], g) for name, g in gradients(learner).items())


def test_hidden_pixels_of_a_million_change_nothing_that_the_encoder_makes(learner):
    batch = batch_of(learner.model)
    mask = masked(batch)
    hidden = hidden_pixels(mask.visible, mask.grid, 16)
    loud = changed(batch, values=batch.values | {"sentinel2": batch.values["sentinel2"].masked_fill(hidden, 1e6)})
    assert torch.equal(learner.tokens(mask), learner.tokens(masked(loud)))
    rows = [run(learner, b, Reconstruction(), Contrast()) for b in (batch, loud)]
    same = set(rows[0]) - {"mpmae/sentinel2", "mpmae", "loss"}
    assert {k: rows[0][k] for k in same} == {k: rows[1][k] for k in same}
    assert rows[1]["mpmae/sentinel2"] > 1e5


def test_visible_pixels_are_no_target(learner):
    batch = batch_of(learner.model)
    mask = masked(batch)
    hidden = hidden_pixels(mask.visible, mask.grid, 16)
    values = {name: torch.where(hidden, v, 7) for name, v in batch.values.items() if name != "sentinel2"}
    rows = [run(learner, b) for b in (batch, changed(batch, values=batch.values | values))]
    assert rows[0] == rows[1]


def test_the_teacher_sees_the_complement_only_and_its_tokens_are_the_targets(learner):
    seen = []
    hook = learner.teacher.register_forward_hook(lambda module, inputs, output: seen.append((inputs[1], output)))
    batch = batch_of(learner.model)
    mask = masked(batch)
    row = run(learner, batch, Jepa())
    hook.remove()
    ((hidden, output),) = seen
    assert torch.equal(hidden, complement(mask.visible, 16))
    for visible, others in zip(mask.visible.tolist(), hidden.tolist(), strict=True):
        assert sorted(visible + others) == list(range(16))
    with torch.no_grad():
        predicted = learner.model.predictor(learner.tokens(mask), mask.visible, hidden, mask.grid)
    total = 0.0
    for p, z in zip(predicted.flatten(0, 1).double().numpy(), output.flatten(0, 1).double().numpy(), strict=True):
        z = (z - z.mean()) / math.sqrt(z.var() + 1e-5)
        total += ((p - z) ** 2).sum() / len(z)
    assert row["jepa"] == pytest.approx(total / hidden.numel(), rel=1e-5)


def test_tau_follows_its_schedule():
    assert [Jepa().momentum(s, 5) for s in range(5)] == [0.996] * 5
    scheduled = [Jepa(tau=0.9, final_tau=1.0).momentum(s, 5) for s in range(5)]
    assert scheduled == pytest.approx([1 - 0.1 * 0.5 * (1 + math.cos(math.pi * s / 4)) for s in range(5)])


def test_tiles_without_captions_take_no_part_in_the_contrast(learner):
    batch = batch_of(learner.model)
    row = run(learner, changed(batch, captions=[CAPTIONS[0], "", CAPTIONS[2]]), Contrast())
    with torch.no_grad():
        images = learner.model.project_image(learner.tokens(masked(batch)))[[0, 2]]
        texts = learner.model.project_text(batch.tokens[[0, 2]])
    assert row["itc"] == pytest.approx(loops_of_info_nce(images, texts, 0.07), rel=1e-4)
    for captions, tokens in ((["", "", CAPTIONS[0]], batch.tokens), (batch.captions, None)):
        row = run(learner, changed(batch, captions=captions, tokens=tokens))
        assert row["itc"] == 0
        assert math.isfinite(row["loss"])


def test_tiles_of_one_caption_are_no_negatives_of_each_other(learner):
    same = [CAPTIONS[0], CAPTIONS[1], CAPTIONS[0]]
    batch = changed(batch_of(learner.model), captions=same, tokens=learner.model.tokenize(same))
    with torch.no_grad():
        images = learner.model.project_image(learner.tokens(masked(batch)))
        texts = learner.model.project_text(batch.tokens)
    spared, literal = (run(learner, batch, Contrast(spare_duplicates=s))["itc"] for s in (True, False))
    assert spared == pytest.approx(loops_of_info_nce(images, texts, 0.07, [(0, 2), (2, 0)]), rel=1e-4)
    assert literal == pytest.approx(loops_of_info_nce(images, texts, 0.07), rel=1e-4)


# --- the contract of the table ---


@pytest.fixture(scope="module")
def broad():
    return learner_of(MODEL_MODALITIES)


@pytest.mark.parametrize("name", [m.name for m in MODEL_MODALITIES])
def test_a_wholly_invalid_layer_counts_nothing(broad, name):
    row = run(broad, batch_of(broad.model, invalid=(name,)))
    assert row[f"mpmae/{name}"] == 0
    assert math.isfinite(row["loss"])
    assert all(torch.isfinite(g).all() for g in gradients(broad).values())
    assert not any(p.grad.any() for p in broad.model.decoders[name].parameters())
    assert all(v > 0 for k, v in row.items() if k.startswith("mpmae/") and not k.endswith(name))


def test_an_absent_layer_counts_nothing(broad):
    batch = batch_of(broad.model)
    for name in (ENMAP.name, "dynamic_world"):
        del batch.values[name], batch.valid[name]
    row = run(broad, batch)
    assert row["mpmae/enmap"] == row["mpmae/dynamic_world"] == 0
    assert not any(p.grad.any() for p in broad.model.decoders["enmap"].parameters())
    assert row["mpmae/gedi"] > 0


def test_two_new_modalities_learn_from_their_entry_alone():
    learner = learner_of([ENMAP, GEDI])
    batch = batch_of(learner.model)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        losses.append(run(learner, batch))
        optimizer.step()
    assert learner.model.decoders["enmap"].head.out_features == 8 * 8 * 40
    assert learner.model.decoders["gedi"].head.out_features == 16 * 16
    assert losses[-1]["mpmae/enmap"] < losses[0]["mpmae/enmap"]
    assert losses[-1]["mpmae/gedi"] < losses[0]["mpmae/gedi"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("words", "make"),
    [
        pytest.param(words, make, id=f"{i}-{words}")
        for i, (words, make) in enumerate(
            [
                ("jepa", lambda: Jepa(weight=-1.0)),
                ("contrast", lambda: Contrast(weight=NAN)),
                ("aster", lambda: Reconstruction(lambdas={"aster": -1.0})),
                ("tau", lambda: Jepa(tau=NAN)),
                ("final_tau", lambda: Jepa(final_tau=2.0)),
                ("watch_every", lambda: Jepa(watch_every=0)),
                ("temperature", lambda: Contrast(temperature=0.0)),
                ("sentinel9", lambda: PretrainConfig(objectives=(Reconstruction(lambdas={"sentinel9": 2.0}),))),
                ("sentinel9", lambda: PretrainConfig(objectives=(Reconstruction(normalise=("sentinel9",)),))),
                ("each once", lambda: PretrainConfig(objectives=(Jepa(), Jepa()))),
                ("at least one", lambda: PretrainConfig(objectives=(Jepa(weight=0),))),
            ]
        )
    ],
)
def test_objectives_out_of_range_are_refused_by_name(words, make):
    with pytest.raises(ConfigError, match=words):
        make()
