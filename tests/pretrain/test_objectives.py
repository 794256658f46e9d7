"""Every loss against its formula in plain loops, and the contract that every modality keeps."""

import math

import numpy as np
import pytest
import torch

from geomeld.batch import Batch
from geomeld.core.modality import Categorical, Continuous
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, train_tokenizer
from geomeld.pretrain.ema import make_teacher
from geomeld.pretrain.masking import complement, visible_patches
from geomeld.pretrain.objectives import ObjectiveWeights, objectives
from geomeld.pretrain.objectives.contrast import info_nce
from geomeld.pretrain.objectives.jepa import latent_error
from geomeld.pretrain.objectives.reconstruction import hidden_pixels, masked_cross_entropy, masked_l1
from geomeld.testing.modalities import ENMAP, GEDI

CAPTIONS = ["a lake and a forest", "crop fields by a road", "mountains under snow", "a town on a river"]

TILE_METRES = 640
MODEL_MODALITIES = [m for m in (*MODALITIES.values(), ENMAP, GEDI) if m.gsd >= 10]
"""All at the encoder's pixel size or coarser; NAIP at 1 m would only make the tests slow."""


def model_of(modalities, seed=0):
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, 280)
    config = ModelConfig(
        input=LayerSpec.of(MODALITIES["sentinel2"]),
        targets=tuple(LayerSpec.of(m) for m in modalities),
        image_size=64,
        decoder_width=16,
        predictor_width=32,
        predictor_depth=1,
        text=TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=1, heads=2),
    )
    return GeoMeldFM(config, tokenizer)


def batch_of(model, n=3, seed=0, invalid=()):
    """Random layers with a fifth of the pixels invalid, all of those named in `invalid`."""
    generator = torch.Generator().manual_seed(seed)
    values, valid = {}, {}
    for spec in {s.name: s for s in (model.config.input, *model.config.targets)}.values():
        side = round(TILE_METRES / spec.gsd)
        shape = (n, len(spec.bands), side, side)
        ok = torch.rand(shape, generator=generator) > 0.2
        if spec.name in invalid:
            ok = torch.zeros_like(ok)
        match spec.kind:
            case Categorical(classes):
                layer = torch.randint(0, len(classes), shape, generator=generator)
            case Continuous():
                layer = torch.randn(shape, generator=generator)
        values[spec.name], valid[spec.name] = layer.masked_fill(~ok, 0), ok
    captions = CAPTIONS[:n]
    return Batch(list(range(n)), values, valid, captions, model.tokenize(captions))


def run(model, batch, **options):
    visible = visible_patches(batch.tile_ids, 0, patches=16)
    model.zero_grad()
    return objectives(model, make_teacher(model.encoder), batch, visible, **options)


# --- formulas ---


def test_l1_is_eq_9_in_loops():
    rng = np.random.default_rng(0)
    predicted, target = rng.standard_normal((2, 2, 3, 5, 4))
    counted = rng.random((2, 3, 5, 4)) < 0.4
    omega = np.argwhere(counted)
    wanted = sum(abs(predicted[tuple(i)] - target[tuple(i)]) for i in omega) / len(omega)
    got = masked_l1(torch.tensor(predicted), torch.tensor(target), torch.tensor(counted))
    assert got.item() == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_is_eq_10_in_loops():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 4, 3, 5))
    target = rng.integers(0, 4, (2, 1, 3, 5))
    counted = rng.random((2, 1, 3, 5)) < 0.5
    total, n = 0.0, 0
    for b, _, y, x in np.argwhere(counted):
        z = logits[b, :, y, x]
        total += math.log(sum(math.exp(v) for v in z)) - z[target[b, 0, y, x]]
        n += 1
    got = masked_cross_entropy(torch.tensor(logits), torch.tensor(target), torch.tensor(counted))
    assert got.item() == pytest.approx(total / n, rel=1e-5)


def test_jepa_is_eq_12_in_loops_and_stops_gradients():
    predicted, target = torch.randn(2, 3, 5, requires_grad=True), 4 * torch.randn(2, 3, 5) + 2
    target.requires_grad_()
    total = 0.0
    for b in range(2):
        for j in range(3):
            z = target[b, j].detach().numpy().astype(float)
            z = (z - z.mean()) / math.sqrt(z.var() + 1e-5)
            total += sum((p - q) ** 2 for p, q in zip(predicted[b, j].tolist(), z, strict=True)) / 5
    loss = latent_error(predicted, target)
    assert loss.item() == pytest.approx(total / 6, rel=1e-5)
    loss.backward()
    assert target.grad is None
    assert predicted.grad.abs().sum() > 0


def test_info_nce_is_eq_14_and_15_in_loops():
    torch.manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(4, 6), dim=1) for _ in range(2))
    tau = 0.07
    s = [[float(images[i] @ texts[j]) / tau for j in range(4)] for i in range(4)]
    rows = sum(math.log(sum(math.exp(v) for v in s[i])) - s[i][i] for i in range(4)) / 4
    columns = sum(math.log(sum(math.exp(s[i][j]) for i in range(4))) - s[j][j] for j in range(4)) / 4
    got = info_nce(images, texts, torch.tensor(1 / tau))
    assert got.item() == pytest.approx((rows + columns) / 2, rel=1e-5)
    assert info_nce(images.bfloat16(), texts.bfloat16(), torch.tensor(1 / tau)).dtype == torch.float32


def test_hidden_pixels_are_those_of_patches_that_are_not_visible():
    hidden = hidden_pixels(torch.tensor([[0, 4]]), (2, 3), side=2)[0, 0]
    for y in range(4):
        for x in range(6):
            assert hidden[y, x] == ((y // 2) * 3 + x // 2 not in (0, 4))


# --- the sum ---


@pytest.fixture(scope="module")
def model():
    return model_of([MODALITIES[name] for name in TARGETS])


def test_the_total_is_eq_8_and_eq_11(model):
    batch = batch_of(model)
    lambdas = {"aster": 3.0, "dynamic_world": 0.5}
    total, terms = run(model, batch, weights=ObjectiveWeights(alpha=0.7, beta=0.2, modality=lambdas))
    assert set(terms) == {f"mpmae/{name}" for name in TARGETS} | {"mpmae", "jepa", "itc"}
    mpmae = sum(lambdas.get(name, 1.0) * terms[f"mpmae/{name}"] for name in TARGETS)
    assert terms["mpmae"].item() == pytest.approx(mpmae.item(), rel=1e-5)
    assert total.item() == pytest.approx((mpmae + 0.7 * terms["jepa"] + 0.2 * terms["itc"]).item(), rel=1e-5)
    default, terms = run(model, batch)
    assert default.item() == pytest.approx((terms["mpmae"] + 0.5 * terms["jepa"] + 0.4 * terms["itc"]).item())


def test_every_part_of_the_model_learns(model):
    total, _ = run(model, batch_of(model))
    total.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert silent == []
    still = [n for n, p in model.named_parameters() if not p.grad.any() and not n.endswith("grn.weight")]
    assert still == []


def test_invalid_pixels_never_change_a_loss_or_a_gradient(model):
    batch = batch_of(model)
    total, terms = run(model, batch)
    total.backward()
    gradient = model.encoder.stem[0].weight.grad.clone()
    dirty = {
        name: v.masked_fill(~batch.valid[name], float("nan") if v.is_floating_point() else 10_000)
        for name, v in batch.values.items()
    }
    again, others = run(model, Batch(batch.tile_ids, dirty, batch.valid, batch.captions, batch.tokens))
    again.backward()
    assert {k: v.item() for k, v in others.items()} == {k: v.item() for k, v in terms.items()}
    assert torch.equal(model.encoder.stem[0].weight.grad, gradient)


def test_visible_pixels_are_no_target_and_hidden_pixels_no_input(model):
    batch = batch_of(model)
    visible = visible_patches(batch.tile_ids, 0, patches=16)
    hidden = hidden_pixels(visible, (4, 4), 16)
    _, terms = run(model, batch)
    changed = dict(batch.values)
    changed["aster"] = torch.where(hidden, changed["aster"], 99.0)
    changed["sentinel2"] = torch.where(hidden & (torch.arange(12) == 3).view(1, -1, 1, 1), 50.0, changed["sentinel2"])
    _, others = run(model, Batch(batch.tile_ids, changed, batch.valid, batch.captions, batch.tokens))
    same = set(terms) - {"mpmae/sentinel2", "mpmae", "jepa"}
    assert {k: others[k].item() for k in same} == {k: terms[k].item() for k in same}
    assert others["mpmae/sentinel2"] > terms["mpmae/sentinel2"]
    assert others["jepa"] != terms["jepa"]


def test_the_teacher_sees_the_complement_only(model):
    seen = []
    teacher = make_teacher(model.encoder)
    teacher.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    batch = batch_of(model)
    visible = visible_patches(batch.tile_ids, 0, patches=16)
    total, _ = objectives(model, teacher, batch, visible)
    total.backward()
    assert len(seen) == 1
    assert torch.equal(seen[0], complement(visible, 16))
    assert all(p.grad is None for p in teacher.parameters())


def test_tiles_without_captions_take_no_part_in_the_contrast(model):
    batch = batch_of(model)
    two = Batch(batch.tile_ids, batch.values, batch.valid, [CAPTIONS[0], "", CAPTIONS[2]], batch.tokens)
    total, terms = run(model, two)
    images = model.project_image(
        model.encoder(batch.values["sentinel2"], visible_patches(batch.tile_ids, 0, patches=16))
    )[[0, 2]]
    texts = model.project_text(batch.tokens[[0, 2]])
    assert terms["itc"].item() == pytest.approx(info_nce(images, texts, model.scale).item(), rel=1e-4)
    for captions, tokens in ((["", "", CAPTIONS[0]], batch.tokens), (batch.captions, None)):
        total, terms = run(model, Batch(batch.tile_ids, batch.values, batch.valid, captions, tokens))
        total.backward()
        assert terms["itc"] == 0
        assert torch.isfinite(total)


# --- the contract of the table ---


@pytest.fixture(scope="module")
def broad():
    return model_of(MODEL_MODALITIES)


@pytest.mark.parametrize("name", [m.name for m in MODEL_MODALITIES])
def test_a_wholly_invalid_layer_counts_nothing(broad, name):
    total, terms = run(broad, batch_of(broad, invalid=(name,)))
    total.backward()
    assert terms[f"mpmae/{name}"] == 0
    assert torch.isfinite(total)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in broad.parameters())
    assert not any(p.grad.any() for p in broad.decoders[name].parameters())
    others = [t for k, t in terms.items() if k.startswith("mpmae/") and not k.endswith(name)]
    assert all(t > 0 for t in others)


def test_an_absent_layer_counts_nothing(broad):
    batch = batch_of(broad)
    for name in (ENMAP.name, "dynamic_world"):
        del batch.values[name], batch.valid[name]
    total, terms = run(broad, batch)
    total.backward()
    assert terms["mpmae/enmap"] == terms["mpmae/dynamic_world"] == 0
    assert not any(p.grad.any() for p in broad.decoders["enmap"].parameters())
    assert terms["mpmae/gedi"] > 0


def test_two_new_modalities_learn_from_their_entry_alone():
    model = model_of([ENMAP, GEDI])
    batch = batch_of(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        total, terms = run(model, batch)
        total.backward()
        optimizer.step()
        losses.append({k: v.item() for k, v in terms.items()})
    assert model.decoders["enmap"].head.out_features == 8 * 8 * 40
    assert model.decoders["gedi"].head.out_features == 16 * 16
    assert losses[-1]["mpmae/enmap"] < losses[0]["mpmae/enmap"]
    assert losses[-1]["mpmae/gedi"] < losses[0]["mpmae/gedi"]
