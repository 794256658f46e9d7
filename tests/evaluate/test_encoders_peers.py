"""Peers behind the adapter: their own features to the bit, bands by name, and what cannot be opened is told."""

import importlib
import sys
import types
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from geomeld.core.errors import CheckpointError, MissingExtra, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.encoders.timm_models import WHITE, TimmEncoder
from geomeld.modalities import SENTINEL2_BANDS

ALL13 = (*SENTINEL2_BANDS[:10], "B10", "B11", "B12")


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def holds_its_contract(encoder: Encoder, rows: int = 1, columns: int = 2) -> None:
    """Shapes and strides as stated on an image of rows x columns times its multiple, one of a size between, and every
    parameter once in its depths."""
    height, width = rows * encoder.multiple, columns * encoder.multiple
    images = seeded(1, len(encoder.bands), height, width)
    with torch.no_grad():
        assert encoder.pooled(images).shape == (1, encoder.width)
        assert [tuple(m.shape) for m in encoder.pyramid(images)] == [
            (1, w, height // s, width // s) for w, s in zip(encoder.widths, encoder.strides, strict=True)
        ]
        assert encoder(images[..., : height - 3, : width - 5]).shape == (1, encoder.width)
    named = [name for group in encoder.depths() for name, _ in group]
    assert sorted(named) == sorted(name for name, _ in encoder.named_parameters())
    assert all(encoder.depths())
    assert not encoder.training


def saved(name: str, folder: Path, **options: object) -> tuple[nn.Module, str]:
    """A network of timm with random weights, and those in a file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, **options).eval()
    save_file(network.state_dict(), folder / f"{name}.safetensors")
    return network, f"timm:{name}@{folder / name}.safetensors"


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_timm_gives_timms_own_features(name, tmp_path):
    peer, spec = saved(name, tmp_path)
    encoder = open_encoder(spec)
    holds_its_contract(encoder)
    assert encoder.bands == ("B4", "B3", "B2")
    assert encoder.mean == tuple(m * WHITE for m in peer.pretrained_cfg["mean"])
    images = seeded(1, 3, 224, 224)
    with torch.no_grad():
        features = peer.forward_features(images)
        torch.testing.assert_close(encoder.pooled(images), peer.forward_head(features, pre_logits=True))
        _, maps = peer.forward_intermediates(images)
        wanted = maps if len({m.shape for m in maps}) > 1 else [maps[i] for i in (2, 5, 8, 11)]
        torch.testing.assert_close(encoder.pyramid(images), wanted)


def test_timm_makes_its_first_layer_fit_other_bands(tmp_path):
    peer, spec = saved("resnet10t", tmp_path)
    state = {k: v for k, v in peer.state_dict().items() if not k.startswith("fc.")}
    twelve = open_encoder(spec, SENTINEL2_BANDS)
    fitted = timm.create_model(
        "resnet10t", pretrained=True, in_chans=12, num_classes=0, pretrained_cfg_overlay={"state_dict": state}
    ).eval()
    images = seeded(1, 12, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(twelve.pooled(images), fitted(images))
    assert twelve.mean == ()
    assert open_encoder(f"{spec}:S2").identity == twelve.identity
    assert open_encoder(f"{spec}:B8,B4").bands == ("B8", "B4")
    assert twelve.identity != open_encoder(spec, SENTINEL2_BANDS[::-1]).identity


def test_of_bands_that_are_not_fed_a_network_sees_zeros(tmp_path):
    network = timm.create_model("resnet10t", num_classes=0, in_chans=3)
    ones = TimmEncoder(network, "x", ("B2", "B3", "B4"), ("B4", "B2"), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert ones.mean == (3.0, 1.0)
    assert ones.std == (6.0, 4.0)
    images = seeded(1, 2, 32, 32)
    fed = torch.stack([images[:, 1], torch.zeros(1, 32, 32), images[:, 0]], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(ones(images), network(fed))
    with pytest.raises(UsageError, match="x takes the bands B2, B3, B4; B8 cannot be fed"):
        TimmEncoder(network, "x", ("B2", "B3", "B4"), ("B8",))


def test_what_timm_cannot_give_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"has no network resnet51; did you mean resnet5"):
        open_encoder("timm:resnet51")
    with pytest.raises(UsageError, match="takes images of one size only"):
        open_encoder(saved("mixer_s32_224", tmp_path)[1])
    with pytest.raises(CheckpointError, match=r"no file of weights .*none.pth"):
        open_encoder(f"timm:resnet18@{tmp_path}/none.pth")
    _, spec = saved("resnet10t", tmp_path)
    with pytest.raises(
        CheckpointError,
        match=r"weights of resnet18 could not be had: .*(issing|mismatch).*timm:resnet18@model.safetensors",
    ):
        open_encoder(spec.replace("timm:resnet10t", "timm:resnet18"))
    with pytest.raises(UsageError, match=r"no kind of encoder 'tim'"):
        open_encoder("tim:resnet18")


def torchgeo_weights(monkeypatch: pytest.MonkeyPatch, name: str, keep: bool = True) -> nn.Module:
    """Random weights in place of those that TorchGeo would fetch; what its own builder makes of them."""
    models = pytest.importorskip("torchgeo.models", reason="TorchGeo is not installed")
    weights = models.get_weight(name)
    builder = weights.meta["model"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = timm.create_model(builder, in_chans=weights.meta["in_chans"]).state_dict()
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: state)
    return models.get_model(builder, weights=weights, num_classes=0).eval()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["ResNet18_Weights.SENTINEL2_ALL_MOCO", "ViTSmall16_Weights.SENTINEL2_ALL_DINO"])
def test_torchgeo_is_what_its_builder_gives(name, monkeypatch):
    peer = torchgeo_weights(monkeypatch, name)
    encoder = open_encoder(f"torchgeo:{name}")
    holds_its_contract(encoder)
    assert encoder.bands == (*SENTINEL2_BANDS[:10], "B10", "B11", "B12")
    assert encoder.mean == (0.0,) * 13
    assert encoder.std == (10000.0,) * 13
    images = seeded(1, 13, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(encoder.pooled(images), peer(images))
    seen = open_encoder(f"torchgeo:{name}", SENTINEL2_BANDS)
    without = images[:, [i for i, band in enumerate(ALL13) if band != "B10"]]
    blind = images.clone()
    blind[:, ALL13.index("B10")] = 0
    with torch.no_grad():
        torch.testing.assert_close(seen.pooled(without), peer(blind))


@pytest.mark.filterwarnings("default")
def test_statistics_and_refusals_of_torchgeo():
    pytest.importorskip("torchgeo.models", reason="TorchGeo is not installed")
    from torchgeo.models import get_weight

    from geomeld.evaluate.encoders.torchgeo_weights import _bands, _scale

    def told(name: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
        weights = get_weight(name)
        return _bands(name, weights), _scale(weights.transforms, weights.meta["in_chans"])[1]

    bands, std = told("ResNet50_Weights.SENTINEL2_ALL_DECUR")
    assert bands == ALL13
    assert dict(zip(bands, std, strict=True))["B8A"] == pytest.approx(1345.9, rel=0.01) or std == (10000.0,) * 13
    # Pictures of 8 bits, alone or among other bands, are not reflectance x 10000.
    assert told("ResNet50_Weights.SENTINEL2_SI_MS_SATLAS") == (
        ("B4", "B3", "B2", "B5", "B6", "B7", "B8", "B11", "B12"),
        (),
    )
    assert told("ResNet18_Weights.SENTINEL2_RGB_SECO") == (("B4", "B3", "B2"), ())
    for name, why in {
        "ResNet50_Weights.SENTINEL2_ALL": "has no weights .*; it has ResNet.*SENTINEL2_",
        "ResNet18_Weights.LANDSAT_TM_TOA_MOCO": "is not of Sentinel-2",
        "Swin_V2_B_Weights.SENTINEL2_SI_RGB_SATLAS": "belongs to swin_v2_b, which is none of timm's",
        "ResNet50_Weights.SENTINEL2_ALL_NDVI_SECO_ECO": "takes NDVI, which is no band",
        "ResNet50_Weights.SENTINEL2_ALL_MOCO": r"could not be had: .*Download https://.*into .*/checkpoints",
    }.items():
        error = CheckpointError if "could" in why else UsageError
        with pytest.raises(error, match=why):
            open_encoder(f"torchgeo:{name}")


class Tokens(nn.Module):
    """What a plain vision transformer is to TerraTorch's registry: sequences with a class token before the patches."""

    patch_size = 8
    out_channels = (6,) * 8

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(2, 6, 8, stride=8) for _ in self.out_channels)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps = [block(images).flatten(2).transpose(1, 2) for block in self.blocks]
        return [torch.cat([torch.full_like(m[:, :1], 1e6), m], dim=1) for m in maps]


class Maps(nn.Module):
    """A convolutional backbone: maps, the second with its channels last."""

    out_channels = (3, 5)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stage = nn.Conv2d(2, 3, 4, stride=4), nn.Conv2d(3, 5, 2, stride=2)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        fine = self.stem(images)
        return [fine, self.stage(fine).permute(0, 2, 3, 1)]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[nn.Module]]:
    """A registry of backbones under TerraTorch's own names, for an environment that TerraTorch cannot share."""
    held: dict[str, type[nn.Module]] = {"tokens": Tokens, "maps": Maps}

    class Registry:
        @staticmethod
        def build(name: str, pretrained: bool, **_: object) -> nn.Module:
            assert pretrained
            return held[name]()

    for name in ("terratorch", "terratorch.registry"):
        module = types.ModuleType(name)
        module.BACKBONE_REGISTRY = Registry  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    return held


def test_terratorch_tokens_become_maps_without_the_leading_one(registry):
    encoder = open_encoder("terratorch:tokens", ("B4", "B8"))
    holds_its_contract(encoder)
    assert encoder.strides == (8, 8, 8, 8)
    images = seeded(2, 2, 16, 32)
    with torch.no_grad():
        wanted = [encoder.network.blocks[i](images) for i in (1, 3, 5, 7)]
        torch.testing.assert_close(encoder.pyramid(images), wanted)
        torch.testing.assert_close(encoder.pooled(images), wanted[-1].mean((2, 3)))
    assert len(encoder.depths()) == 8


def test_terratorch_maps_are_taken_as_they_are(registry):
    encoder = open_encoder("terratorch:maps", ("B4", "B8"))
    holds_its_contract(encoder)
    assert (encoder.strides, encoder.widths, encoder.multiple) == ((4, 8), (3, 5), 8)


def test_what_terratorch_cannot_give_is_told(registry, monkeypatch):
    with pytest.raises(UsageError, match="Nobody says which bands tokens takes"):
        open_encoder("terratorch:tokens")
    with pytest.raises(UsageError, match=r"prithvi_eo_v2_300 takes B2, B3, B4, B8A, B11, B12, in this order"):
        open_encoder("terratorch:prithvi_eo_v2_300", ("B4", "B3", "B2"))
    with pytest.raises(CheckpointError, match="TerraTorch built no prithvi_eo_v2_300"):
        open_encoder("terratorch:prithvi_eo_v2_300")
    monkeypatch.setattr(Tokens, "patch_size", 4)
    with pytest.raises(UsageError, match="neither maps nor one token for each of 56 x 56 patches"):
        open_encoder("terratorch:tokens", ("B4", "B8"))


@pytest.mark.parametrize(
    ("package", "spec"),
    [("timm", "timm:resnet18"), ("torchgeo", "torchgeo:X"), ("terratorch", "terratorch:prithvi_eo_v1_100")],
)
def test_a_package_that_is_missing_is_named(package, spec, monkeypatch):
    for module in [package, *(m for m in list(sys.modules) if m.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'geomeld\[{package}\]'"):
        open_encoder(spec)


def test_terratorch_for_real():
    pytest.importorskip("terratorch", reason="TerraTorch needs an environment of its own")
    registry = importlib.import_module("terratorch.registry").BACKBONE_REGISTRY
    from geomeld.evaluate.encoders.terratorch_backbones import HLS, TerraTorchEncoder

    network = registry.build("prithvi_eo_tiny", pretrained=False)
    encoder = TerraTorchEncoder(network, "prithvi_eo_tiny", HLS, (), ())
    holds_its_contract(encoder)
    assert len(encoder.widths) == 4
