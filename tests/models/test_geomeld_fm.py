"""GeoMeldFM as a user meets it, its decoders, its predictor and its checkpoint folder."""

import json
import shutil

import numpy as np
import pytest
import torch

from geomeld.core.config import from_json, to_json
from geomeld.core.errors import CheckpointError, ConfigError, UsageError
from geomeld.core.modality import Categorical
from geomeld.modalities import MODALITIES, SENTINEL2_BANDS, TARGETS
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, train_tokenizer
from geomeld.models.weights import load_model, save_checkpoint

MEAN = tuple(1000.0 + 100 * i for i in range(12))
STD = tuple(500.0 + 10 * i for i in range(12))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["a lake and a forest", "crop fields", "mountains"], 280)
    specs = tuple(LayerSpec.of(MODALITIES[name]) for name in TARGETS)
    config = ModelConfig(
        input=LayerSpec.of(MODALITIES["sentinel2"], MEAN, STD),
        targets=specs,
        decoder_width=16,
        predictor_width=32,
        predictor_depth=1,
        text=TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=1, heads=2),
    )
    return GeoMeldFM(config, tokenizer).eval()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).uniform(0, 4000, (2, 12, 64, 64)).astype(np.float32)


def test_embeddings_have_unit_length(model, pixels):
    images = model.encode_image(pixels)
    texts = model.encode_text(["a lake", "mountains and a very long road"])
    assert images.shape == texts.shape == (2, 512)
    assert torch.allclose(torch.cat([images, texts]).norm(dim=1), torch.ones(4), atol=1e-5)
    assert model.encode_image(pixels[0]).shape == (1, 512)
    assert model.features(model.prepare(pixels)).shape == (2, 320)


def test_pixels_become_z_scores_by_name(model, pixels):
    wanted = (pixels - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    np.testing.assert_allclose(model.prepare(pixels).numpy(), wanted, atol=1e-4)
    order = np.random.default_rng(1).permutation(12)
    names = [SENTINEL2_BANDS[i] for i in order]
    assert torch.equal(model.prepare(pixels[:, order], names), model.prepare(pixels))
    assert torch.equal(model.encode_image(torch.tensor(pixels[:, order]), bands=names), model.encode_image(pixels))


def test_missing_bands_and_bad_pixels_are_the_mean(model, pixels):
    three = model.prepare(pixels[:, [3, 2, 1]], ["B4", "B3", "B2"])
    full = model.prepare(pixels)
    assert torch.equal(three[:, [3, 2, 1]], full[:, [3, 2, 1]])
    assert not three[:, [0, *range(4, 12)]].any()
    broken = pixels.copy()
    broken[0, 2, 5, 7], broken[1, 3, 0, 0] = np.nan, np.inf
    z = model.prepare(broken)
    assert z[0, 2, 5, 7] == z[1, 3, 0, 0] == 0
    assert torch.isfinite(model.encode_image(broken)).all()


@pytest.mark.parametrize(
    ("shape", "bands", "message"),
    [
        ((2, 12, 64, 64), ["B10"] * 12, "no band 'B10'"),
        ((2, 2, 64, 64), ["B2", "B2"], "named twice"),
        ((2, 3, 64, 64), None, "for 12 bands"),
        ((64, 64), None, "for 12 bands"),
        ((12, 60, 64), None, "multiples of 16"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(model, shape, bands, message):
    with pytest.raises(UsageError, match=message):
        model.encode_image(np.zeros(shape, dtype=np.float32), bands=bands)


def test_texts_need_a_list_and_a_tokenizer(model):
    with pytest.raises(UsageError, match="list of texts"):
        model.encode_text("a lake")
    with pytest.raises(UsageError, match="no tokenizer"):
        GeoMeldFM(model.config).encode_text(["a lake"])


def test_squares_are_the_patches_of_the_map(model):
    visible = torch.tensor([[0, 3, 9], [5, 6, 15]])
    wanted = torch.tensor([[2, 14], [0, 7]])
    tokens = torch.randn(2, 3, 320)
    with torch.no_grad():
        maps = model.decode(tokens, visible, (4, 4))
        squares = model.decode_at(wanted, tokens, visible, (4, 4))
    for name, at in squares.items():
        for b in range(2):
            for i, patch in enumerate(wanted[b].tolist()):
                y, x = patch // 4 * 16, patch % 4 * 16
                assert torch.allclose(at[b, i], maps[name][b, :, y : y + 16, x : x + 16], atol=1e-5)


def test_decoders_share_nothing_and_follow_their_kind(model, pixels):
    pointers = [{p.data_ptr() for p in decoder.parameters()} for decoder in model.decoders.values()]
    assert len(set.union(*pointers)) == sum(map(len, pointers))
    visible = torch.tensor([[0, 3, 9], [5, 6, 15]])
    with torch.no_grad():
        maps = model.decode(model.encoder(model.prepare(pixels), visible), visible, (4, 4))
    for spec in model.config.targets:
        channels = len(spec.kind.classes) if isinstance(spec.kind, Categorical) else len(spec.bands)
        assert maps[spec.name].shape == (2, channels, 64, 64)


def test_a_decoder_lays_patches_where_they_belong(model):
    decoder = model.decoders["aster"]
    tokens, everything = torch.randn(2, 6, model.encoder.width), torch.arange(6).expand(2, -1)
    heads = []
    hook = decoder.head.register_forward_hook(lambda module, inputs, output: heads.append(output))
    with torch.no_grad():
        image = model.decode(tokens, everything, (2, 3))["aster"]
    hook.remove()
    for b, patch, y, x, c in [(0, 0, 0, 0, 0), (1, 4, 3, 15, 1), (0, 2, 15, 0, 1)]:
        row, column = divmod(patch, 3)
        assert image[b, c, row * 16 + y, column * 16 + x] == heads[0][b, patch, (y * 16 + x) * 2 + c]


def test_mask_tokens_stand_only_where_patches_are_hidden(model):
    decoder = model.decoders["aster"]
    tokens = torch.randn(1, 16, model.encoder.width)
    everything = torch.arange(16)[None]
    before = model.decode(tokens, everything, (4, 4))["aster"]
    half = model.decode(tokens[:, :8], everything[:, :8], (4, 4))["aster"]
    decoder.mask_token.data += 1
    assert torch.equal(model.decode(tokens, everything, (4, 4))["aster"], before)
    assert not torch.equal(model.decode(tokens[:, :8], everything[:, :8], (4, 4))["aster"], half)
    decoder.mask_token.data -= 1


def test_predictions_belong_to_positions(model):
    context, visible = torch.randn(1, 3, model.encoder.width), torch.tensor([[0, 7, 9]])
    targets = torch.tensor([[1, 4, 15, 10]])
    with torch.no_grad():
        ahead = model.predictor(context, visible, targets, (4, 4))
        back = model.predictor(context.flip(1), visible.flip(1), targets.flip(1), (4, 4)).flip(1)
    assert ahead.shape == (1, 4, model.encoder.width)
    assert (ahead - back).abs().max() < 1e-5
    assert (ahead[0, 0] - ahead[0, 1]).abs().max() > 1e-4


def test_statistics_that_cannot_be_used_become_the_identity():
    spec = LayerSpec.of(MODALITIES["aster"], [float("nan"), 3.0], [1.0, 0.0])
    assert (spec.mean, spec.std) == ((0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ConfigError, match="one of each per band"):
        LayerSpec.of(MODALITIES["aster"], [1.0], [1.0])


def test_a_layer_whose_pixels_do_not_divide_a_patch_is_refused(model):
    odd = LayerSpec("coarse", ("a",), MODALITIES["aster"].kind, 30.0, (0.0,), (1.0,))
    with pytest.raises(ConfigError, match="'coarse'"):
        GeoMeldFM(ModelConfig(model.config.input, (odd,)))


def test_configuration_survives_json(model):
    text = json.dumps(to_json(model.config))
    assert from_json(ModelConfig, json.loads(text)) == model.config


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, :, ::-1].copy()[:, :, ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">f4"),
        lambda x: np.broadcast_to(x, x.shape),
        lambda x: x.astype(np.float64),
        lambda x: x.tolist(),
    ],
)
def test_pixels_count_and_not_how_they_lie_in_memory(model, pixels, view):
    assert torch.equal(model.encode_image(view(pixels)), model.encode_image(pixels))


def test_pixels_too_large_for_a_float_are_missing(model, pixels):
    large, missing = pixels.astype(np.float64), pixels.copy()
    large[:, :, :8], missing[:, :, :8] = 1e300, np.nan
    assert torch.equal(model.encode_image(large), model.encode_image(missing))


@pytest.mark.parametrize(
    "bad", ["x", None, np.ones((12, 64, 64), complex), np.ones((0, 12, 64, 64)), np.array([None] * 12)]
)
def test_what_is_no_image_is_refused(model, bad):
    with pytest.raises(UsageError):
        model.encode_image(bad)


@pytest.mark.parametrize("bad", [[3], [None], ["a lake", b"a lake"]])
def test_what_is_no_text_is_refused(model, bad):
    with pytest.raises(UsageError, match="list of texts"):
        model.encode_text(bad)


def test_an_image_without_bands_is_refused(model, pixels):
    with pytest.raises(UsageError, match="nothing"):
        model.encode_image(pixels[:, :0], bands=[])


@pytest.fixture
def checkpoint(model, tmp_path):
    save_checkpoint(model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_checkpoint_gives_the_same_model(model, pixels, checkpoint):
    again = load_model(checkpoint)
    assert not again.training
    assert torch.equal(again.encode_image(pixels), model.encode_image(pixels))
    assert torch.equal(again.encode_text(["a lake"]), model.encode_text(["a lake"]))
    assert all(p.requires_grad and p.device.type == "cpu" for p in again.parameters())
    before = {p.name: p.read_bytes() for p in checkpoint.iterdir()}
    save_checkpoint(again, checkpoint)
    assert {p.name: p.read_bytes() for p in checkpoint.iterdir()} == before
    assert set(before) == {"model.safetensors", "config.json", "tokenizer.json"}


def test_a_checkpoint_of_another_size_is_named(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"size": "femto"}))
    with pytest.raises(CheckpointError, match=r"another model .*'femto'.*encoder.stem.0.weight is \(40,"):
        load_model(checkpoint)


@pytest.mark.parametrize("keep", [3, 1000, -1])
def test_a_truncated_checkpoint_is_named(checkpoint, keep):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or damaged"):
        load_model(checkpoint)


def test_missing_and_foreign_parts_are_named(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        load_model(tmp_path / "nowhere")
    for name in ("config.json", "model.safetensors"):
        broken = tmp_path / f"without-{name}"
        shutil.copytree(checkpoint, broken)
        (broken / name).unlink()
        with pytest.raises(CheckpointError, match=f"lacks {name}"):
            load_model(broken)
    (checkpoint / "config.json").write_text('{"sizes": 3}')
    with pytest.raises(CheckpointError, match="no model configuration"):
        load_model(checkpoint)


@pytest.mark.parametrize(("field", "value"), [("patch", 0), ("patch", 12), ("size", "huge")])
def test_a_configuration_of_no_model_is_named(checkpoint, field, value):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(checkpoint)


def test_a_tokenizer_of_another_checkpoint_is_named(checkpoint):
    larger = train_tokenizer(["another set of many much longer captions altogether"], 320)
    (checkpoint / "tokenizer.json").write_text(larger.to_json())
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_model(checkpoint)


def test_a_failed_write_leaves_the_old_checkpoint(model, checkpoint, monkeypatch):
    before = {p.name: p.read_bytes() for p in checkpoint.iterdir()}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(model, checkpoint)
    assert {p.name: p.read_bytes() for p in checkpoint.iterdir()} == before
