"""Weights to and from timm for every size, and starts from weights trained on pictures."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from geomeld.core.errors import CheckpointError, ConfigError
from geomeld.models import timm_weights
from geomeld.models.encoder import SIZES, ConvNeXtV2
from geomeld.models.timm_weights import (
    check_init,
    encoder_state,
    fetch_weights,
    from_timm,
    inflate_stem,
    initialise_encoder,
    read_weights,
    to_timm,
)

RGB = (3, 2, 1)
"""B4, B3 and B2 among the twelve bands."""


def lively(module):
    """Random biases, norms and GRN weights: at their starting values of 0 and 1 much could be wrong unseen."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def network(size, **options):
    depths, widths = SIZES[size]
    options = {"depths": depths, "dims": widths, "num_classes": 0} | options
    return lively(timm.create_model(f"convnextv2_{size}", pretrained=False, **options))


def shallow(monkeypatch, *sizes):
    for size in sizes:
        monkeypatch.setitem(SIZES, size, ((1, 1, 2, 1), SIZES[size][1]))


@pytest.mark.parametrize("size", list(SIZES))
def test_a_checkpoint_of_timm_gives_timms_features_in_every_size(size, monkeypatch):
    shallow(monkeypatch, "base", "large", "huge")  # their full depths: see the test of shapes
    torch.manual_seed(0)
    theirs = network(size)  # its usual stem: squares of 4 pixels, and so patches of 32
    ours = from_timm(theirs.state_dict()).eval()
    assert (ours.size, ours.patch, ours.in_channels) == (size, 32, 3)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        wanted = theirs.forward_features(image)
        assert (ours.maps(image)[-1] - wanted).abs().max() < 1e-5 * wanted.abs().max().clamp(min=1)
        assert (ours.features(image) - theirs(image)).abs().max() < 1e-5


@pytest.mark.parametrize("size", list(SIZES))
def test_names_and_shapes_are_timms_in_full_depth(size):
    with torch.device("meta"):
        theirs = timm.create_model(f"convnextv2_{size}", pretrained=False, num_classes=0).state_dict()
        ours = ConvNeXtV2(size, 3, 32).state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[n].numel() == theirs[n].numel() for n in ours)
    assert {n: t.shape for n, t in encoder_state(theirs, "").items()} == {n: t.shape for n, t in ours.items()}


@pytest.mark.parametrize("patch", [8, 16, 32])
def test_there_and_back(patch):
    encoder = lively(ConvNeXtV2("atto", 12, patch))
    theirs = to_timm(encoder)
    back = from_timm(theirs.state_dict())
    assert (back.size, back.patch, back.in_channels) == ("atto", patch, 12)
    assert all(
        torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), back.state_dict().values(), strict=True)
    )
    image = torch.randn(2, 12, 2 * patch, 3 * patch)
    with torch.no_grad():
        assert (encoder.features(image) - theirs(image)).abs().max() < 1e-5
        assert (encoder.maps(image)[-1] - theirs.forward_features(image)).abs().max() < 1e-5


@pytest.mark.parametrize("patch", [8, 16, 32])
def test_a_start_from_pictures_sees_grey_as_the_picture_network_saw_it_enlarged(patch, tmp_path):
    theirs = network("atto", num_classes=10)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")
    encoder = ConvNeXtV2("atto", 12, patch)
    initialise_encoder(encoder, f"imagenet:{tmp_path / 'timm.safetensors'}", RGB)
    grey = torch.randn(1, 1, 4 * patch, 2 * patch)
    enlarged = nn.functional.interpolate(grey, scale_factor=32 // patch, mode="nearest")
    with torch.no_grad():
        wanted = theirs.forward_features(enlarged.expand(-1, 3, -1, -1))
        assert (encoder.maps(grey.expand(-1, 12, -1, -1))[-1] - wanted).abs().max() < 2e-5


def test_the_inflated_stem_in_plain_loops():
    weight = torch.randn(5, 3, 4, 4)
    ours = inflate_stem(weight, 16, 12, RGB)
    for o in range(5):
        for band in range(12):
            for y in range(2):
                for x in range(2):
                    taps = [weight[o, :, 2 * y + i, 2 * x + j] for i in range(2) for j in range(2)]
                    of_colour = sum(taps)
                    wanted = of_colour[RGB.index(band)] if band in RGB else of_colour.mean()
                    assert ours[o, band, y, x].item() == pytest.approx(wanted.item() / 4, abs=1e-6)


def test_files_of_weights_are_read_and_never_run(tmp_path):
    state = network("atto").state_dict()
    torch.save({"model": state, "epoch": 3}, tmp_path / "a.pth")
    assert from_timm(read_weights(tmp_path / "a.pth")).size == "atto"
    torch.save({"model": state, "args": Harmful()}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="more than weights"):
        read_weights(tmp_path / "b.pth")
    (tmp_path / "c.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_weights(tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match="no file"):
        read_weights(tmp_path / "d.pth")


class Harmful:
    """What a malicious file could hold."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("convnextv2_atto", {"patch_size": 2}, "halves the map in its first stage"),
        ("convnextv2_atto", {"stem_type": "overlap"}, "patch stem"),
        ("convnextv2_atto", {"stem_type": "overlap_tiered"}, "patch stem"),
        ("convnext_atto", {}, "no convnextv2"),
        ("resnet18", {}, "no convnextv2"),
        ("convnextv2_atto", {"depths": (1, 1, 1, 1)}, "no encoder has"),
    ],
)
def test_other_networks_are_refused_with_the_reason(name, options, reason):
    state = timm.create_model(name, pretrained=False, num_classes=0, **options).state_dict()
    with pytest.raises(CheckpointError, match=reason):
        from_timm(state)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    encoder = ConvNeXtV2("atto", 12, 16)
    before = {n: t.clone() for n, t in encoder.state_dict().items()}
    save_file(network("femto").state_dict(), tmp_path / "femto.safetensors")
    with pytest.raises(CheckpointError, match="does not fit an encoder of size 'atto'"):
        initialise_encoder(encoder, f"imagenet:{tmp_path / 'femto.safetensors'}", RGB)
    save_file(network("atto", in_chans=4).state_dict(), tmp_path / "four.safetensors")
    with pytest.raises(CheckpointError, match="takes 4 channels"):
        initialise_encoder(encoder, f"imagenet:{tmp_path / 'four.safetensors'}", RGB)
    save_file(network("atto").state_dict(), tmp_path / "atto.safetensors")
    with pytest.raises(CheckpointError, match="do not divide into the 3 of patch 24"):
        initialise_encoder(ConvNeXtV2("atto", 12, 24), f"imagenet:{tmp_path / 'atto.safetensors'}", RGB)
    assert all(torch.equal(before[n], t) for n, t in encoder.state_dict().items())


def test_names_of_timms_hub(monkeypatch):
    with pytest.raises(CheckpointError, match=r"no pretrained convnextv2 of that name; it has .*fcmae_ft_in1k"):
        fetch_weights("convnextv2_gigantic")

    def offline(name, pretrained):
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm_weights, "check_hub", lambda repository: None)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(CheckpointError, match=r"no route to the hub\. Download them elsewhere"):
        fetch_weights("convnextv2_atto.fcmae")


@pytest.mark.parametrize("init", ["convnextv2_tiny", "imagenet:", "imagenet"])
def test_an_init_of_another_form_is_refused(init):
    with pytest.raises(ConfigError, match="imagenet:FILE"):
        check_init(init)
