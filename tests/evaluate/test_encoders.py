"""Every encoder behind its adapter gives what its own network gives, and what cannot be opened is told."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from geomeld.core.config import to_json
from geomeld.core.errors import CheckpointError, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders import open_encoder
from geomeld.modalities import MODALITIES, SENTINEL2_BANDS
from geomeld.models import timm_weights
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.timm_weights import IMAGENET, initialise_encoder, to_timm
from geomeld.models.weights import WEIGHTS, save_checkpoint
from geomeld.recipes.ablation import table3


def seeded(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def holds_its_contract(encoder: Encoder, side: int) -> None:
    """Shapes, strides, sizes that do not divide, parameters by depth, and gradients to every one of them."""
    assert len(encoder.identity) == 12
    assert len(encoder.mean) == len(encoder.std) == len(encoder.bands) or encoder.mean == encoder.std == ()
    assert not encoder.training
    images = seeded((2, len(encoder.bands), side, side + encoder.multiple))
    pooled, maps = encoder.pooled(images), encoder.pyramid(images)
    assert pooled.shape == (2, encoder.width)
    expected = [
        (2, w, side // s, (side + encoder.multiple) // s) for w, s in zip(encoder.widths, encoder.strides, strict=True)
    ]
    assert [tuple(m.shape) for m in maps] == expected
    assert list(encoder.strides) == sorted(encoder.strides)
    odd = seeded((1, len(encoder.bands), side - 3, side - 5))
    assert encoder(odd).shape == (1, encoder.width)
    grouped = [pair for group in encoder.depths() for pair in group]
    own = dict(encoder.named_parameters())
    assert len(grouped) == len(own) == len({name for name, _ in grouped})
    assert all(own[name] is parameter for name, parameter in grouped)
    assert all(encoder.depths())
    (pooled.square().mean() + sum(m.square().mean() for m in maps)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in own.values())
    encoder.zero_grad()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mean, std = range(1000, 1012), range(100, 112)
    spec = LayerSpec.of(MODALITIES["sentinel2"], mean, std)
    folder = tmp_path_factory.mktemp("checkpoint")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        save_checkpoint(GeoMeldFM(ModelConfig(spec, (spec,))), folder)
    return folder


def test_a_checkpoint_is_its_encoder(checkpoint):
    encoder = open_encoder(str(checkpoint))
    holds_its_contract(encoder, 48)
    assert encoder.bands == SENTINEL2_BANDS
    assert encoder.mean[:2] == (1000.0, 1001.0)
    assert encoder.std[11] == 111.0
    assert encoder.strides == (2, 4, 8, 16)
    assert encoder.identity == hashlib.sha256((checkpoint / WEIGHTS).read_bytes()).hexdigest()[:12]
    peer, images = to_timm(encoder.network), seeded((2, 12, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(encoder.pooled(images), peer(images), rtol=1e-3, atol=1e-4)
        _, maps = peer.forward_intermediates(images)
        for ours, theirs in zip(encoder.pyramid(images), maps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_that_lost_its_tokenizer_is_not_taken_for_one_without_text(checkpoint, tmp_path):
    assert not (checkpoint / "tokenizer.json").exists()
    lost = shutil.copytree(checkpoint, tmp_path / "lost")
    for recipe, fits in (("mp_mae", True), ("geomeld_fm", False)):
        (lost / "run.json").write_text(json.dumps({"config": to_json(table3()[recipe])}))
        if fits:
            open_encoder(str(lost))
        else:
            with pytest.raises(CheckpointError, match=r"lacks tokenizer.json, though its run learned from captions"):
                open_encoder(str(lost))


def test_parameters_of_a_checkpoint_go_from_stem_to_norm(checkpoint):
    groups = [
        {name.split(".", 1)[1].rsplit(".", 1)[0] for name, _ in g} for g in open_encoder(str(checkpoint)).depths()
    ]
    assert len(groups) == 1 + 2 + 2 + 6 + 2 + 1
    assert groups[0] == {"stem.0", "stem.1"}
    assert groups[-1] == {"head.norm"}
    # A halving belongs to the block that it feeds.
    assert {"stages.1.downsample.1", "stages.1.blocks.0.conv_dw"} <= groups[3]
    assert all("downsample" not in " ".join(groups[i]) for i in (1, 2, 4, 6, 7))


def test_a_random_encoder_is_the_same_for_everyone():
    before = torch.random.get_rng_state()
    first, again = open_encoder("random:atto"), open_encoder("random:atto")
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.identity == again.identity
    assert first.mean == ()
    images = seeded((1, 12, 32, 32))
    assert torch.equal(first(images), again(images))
    # The same weights under other bands are another encoder: its features must not be taken for the first one's.
    three = open_encoder("random:atto", ("B4", "B3", "B2"))
    assert three.identity != open_encoder("random:atto", ("B2", "B3", "B4")).identity
    assert three(images[:, :3]).shape == (1, 320)


def test_imagenet_starts_from_a_file_of_timms_weights(tmp_path):
    import timm
    from safetensors.torch import save_file

    file = tmp_path / "atto.safetensors"
    save_file(timm.create_model("convnextv2_atto").state_dict(), file)
    encoder, bands = open_encoder(f"imagenet:{file}"), SENTINEL2_BANDS
    holds_its_contract(encoder, 32)
    assert encoder.title == "ImageNet atto"
    expected = open_encoder("random:atto").network
    initialise_encoder(expected, f"{IMAGENET}{file}", [bands.index(b) for b in ("B4", "B3", "B2")])
    images = seeded((1, 12, 32, 32))
    assert torch.equal(encoder(images), expected.features(images))


def test_what_is_no_encoder_is_told(tmp_path, checkpoint):
    with pytest.raises(UsageError, match=r"There is no checkpoint folder .*none"):
        open_encoder(str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"is no whole checkpoint: it lacks .* Name the folder"):
        open_encoder(str(tmp_path))
    with pytest.raises(UsageError, match=r"was trained on B1, B2.*Leave the bands out"):
        open_encoder(str(checkpoint), ("B4", "B3", "B2"))
    with pytest.raises(UsageError, match=r"random:micro names no size; there are atto, femto"):
        open_encoder("random:micro")
    with pytest.raises(UsageError, match="write for example"):
        open_encoder("random:")
    for twice in (("random:atto:B4,B3,B4", None), ("random:atto", ("B4", "B4"))):
        with pytest.raises(UsageError, match="to be fed B4 more than once; name each band once"):
            open_encoder(*twice)
    with pytest.raises(UsageError, match=r"needs B4, B3 and B2.*B3 is missing"):
        open_encoder("imagenet:atto", ("B2", "B4", "B8"))
    with pytest.raises(CheckpointError, match=r"no file of weights .*nothing.pth"):
        open_encoder(f"imagenet:{tmp_path}/nothing.pth")


def test_weights_that_cannot_be_fetched_are_told_with_the_file_to_name(monkeypatch):
    def refuse(repository: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm_weights, "check_hub", refuse)
    with pytest.raises(CheckpointError, match=r"could not be fetched: no route to host\. Download them elsewhere"):
        open_encoder("imagenet:atto")
