"""U-Net: sizes, the layers of MP-MAE's decoder, gradients to every part of an encoder, maps of any pyramid."""

import pytest
import torch

from geomeld.evaluate.encoder import padded
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.network import Network, unet_head
from geomeld.models.unet import UNet
from geomeld.testing.toy_evaluation import ToyEncoder


@pytest.mark.parametrize("size", [120, 32, 256, 33, 3])
def test_scores_are_as_large_as_the_image(size):
    encoder = ToyEncoder()
    network = Network(encoder, unet_head(encoder, 5, 0.02)).eval()
    images = torch.randn(1, 3, size, size + 1)
    with torch.no_grad():
        scores = network(images)
        whole = padded(images, 4)
        expected = network.head(whole, encoder.pyramid(whole))[..., :size, : size + 1]
    assert scores.shape == (1, 5, size, size + 1)
    assert torch.equal(scores, expected)


def test_layers_are_those_of_mp_mae_for_atto():
    unet = UNet(12, (40, 80, 160, 320), (2, 4, 8, 16), 7)
    convolutions = [(p.shape[1], p.shape[0], p.shape[2]) for p in unet.parameters() if p.ndim == 4]
    # 320 -> 160, joined by 160; -> 80, joined by 80; -> 40, joined by 40; -> 40, joined by the image's 40; -> 20 -> classes.
    assert sorted(convolutions) == sorted(
        [(320, 160, 3), (320, 80, 3), (160, 40, 3), (80, 40, 3), (12, 40, 3), (80, 20, 3), (20, 7, 1)]
    )


def test_gradients_reach_every_stage_and_the_stem_once_it_is_thawed():
    encoder = open_encoder("random:atto")
    network = Network(encoder, unet_head(encoder, 3, 0.02)).train()
    images, labels = torch.randn(1, 12, 33, 20), torch.randint(0, 3, (1, 33, 20))
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for n, p in network.head.named_parameters())
    network.thaw()
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    # GRN starts at 0 and hides nothing but itself; the norm behind the pooled features is no part of the maps.
    flowing = {n: p.grad for n, p in encoder.named_parameters() if "head.norm" not in n}
    assert [n for n, g in flowing.items() if g is None or not g.abs().max() > 0] == []


@pytest.mark.parametrize(("widths", "strides"), [((48,) * 4, (16,) * 4), ((4, 8), (1, 2)), ((16,), (8,))])
def test_any_pyramid_will_do(widths, strides):
    unet = UNet(3, widths, strides, 2)
    maps = [torch.randn(1, w, 32 // s, 32 // s, requires_grad=True) for w, s in zip(widths, strides, strict=True)]
    scores = unet(images := torch.randn(1, 3, 32, 32, requires_grad=True), maps)
    assert scores.shape == (1, 2, 32, 32)
    scores.square().sum().backward()
    assert all(given.grad.abs().max() > 0 for given in (images, *maps)), "every map has a way of its own to the scores"
    # Hundreds of channels at full resolution would cost more than the encoder.
    assert unet.up.conv.in_channels <= max(2 * widths[0] // max(1, strides[0] // 4), 8)


def test_maps_that_are_no_pyramid_are_refused():
    with pytest.raises(ValueError, match="no pyramid"):
        UNet(3, (8, 4), (4, 2), 2)
