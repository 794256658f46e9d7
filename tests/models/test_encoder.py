"""The encoder against its dense twin, timm, and itself with other pixels behind the mask."""

import pytest
import torch
from torch import nn

from geomeld.core.errors import ConfigError
from geomeld.models.depthwise import dense_depthwise, depthwise
from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.mlp import GlobalResponseNorm, Mlp
from geomeld.models.sites import Sites, z_order
from geomeld.testing.dense_encoder import dense_masked


def lively(module, seed=0):
    """Random biases, norms and GRN weights: at their starting values of 0 and 1 much could be wrong unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return module


def scene(batch=2, side=64, patches=5, seed=0, patch=16):
    generator = torch.Generator().manual_seed(seed)
    n = (side // patch) ** 2
    visible = torch.stack([torch.randperm(n, generator=generator)[:patches] for _ in range(batch)])
    return torch.randn(batch, 12, side, side, generator=generator), visible


def gradients(module):
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return found


@pytest.mark.parametrize("size", ["atto", "tiny"])
def test_visible_only_equals_dense_with_masks_after_every_layer(size):
    torch.manual_seed(0)
    encoder = lively(ConvNeXtV2(size))
    image, visible = scene()
    weights = torch.randn(2, 5, encoder.width)

    sparse = encoder(image, visible)
    (sparse * weights).sum().backward()
    ours = gradients(encoder)
    dense = Sites(visible, (4, 4), side=1).gather(dense_masked(encoder, image, visible))
    (dense * weights).sum().backward()
    theirs = gradients(encoder)

    assert (sparse - dense).abs().max() < 1e-5
    assert set(ours) == set(theirs)
    assert len(ours) > 50
    for name in ours:
        assert (ours[name] - theirs[name]).abs().max() < 2e-5 * theirs[name].abs().max().clamp(min=1), name


def test_hidden_pixels_never_change_an_output():
    encoder = lively(ConvNeXtV2("atto"))
    image, visible = scene()
    hidden = torch.ones(2, 16).scatter_(1, visible, 0).view(2, 1, 4, 4)
    hidden = hidden.repeat_interleave(16, 2).repeat_interleave(16, 3).bool()
    with torch.no_grad():
        assert torch.equal(encoder(image, visible), encoder(image.masked_fill(hidden, 1e6), visible))
        assert torch.equal(encoder(image, visible), encoder(image.masked_fill(hidden, float("nan")), visible))


def test_samples_do_not_mix_and_tokens_follow_their_patches():
    encoder = lively(ConvNeXtV2("atto"))
    image, visible = scene(batch=3)
    with torch.no_grad():
        tokens = encoder(image, visible)
        alone = torch.cat([encoder(image[i : i + 1], visible[i : i + 1]) for i in range(3)])
        turned = encoder(image, visible.flip(1)).flip(1)
    assert (tokens - alone).abs().max() < 1e-5
    assert (tokens - turned).abs().max() < 1e-5


@pytest.mark.parametrize("patch", [8, 16, 24])
def test_patch_sizes_and_oblong_images(patch):
    encoder = lively(ConvNeXtV2("atto", in_channels=3, patch=patch))
    image = torch.randn(2, 3, 2 * patch, 3 * patch)
    visible = torch.tensor([[0, 5], [4, 2]])
    with torch.no_grad():
        dense = Sites(visible, (2, 3), side=1).gather(dense_masked(encoder, image, visible))
        assert (encoder(image, visible) - dense).abs().max() < 1e-5
        assert encoder(image).shape == (2, 6, 320)


@pytest.mark.parametrize(("side", "channels"), [(8, 24), (1, 40)])
def test_depthwise_in_compiled_loops_equals_convolution_on_the_dense_map(side, channels, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    visible = torch.stack([torch.randperm(24)[:14] for _ in range(32)])
    sites = Sites(visible, (4, 6), side)
    x = torch.randn(32, 14 * side * side, channels, requires_grad=True)
    weight = torch.randn(channels, 1, 7, 7, requires_grad=True)
    bias = torch.randn(channels, requires_grad=True)
    up = torch.randn(32, 14 * side * side, channels)
    results = []
    for way in (depthwise, dense_depthwise):
        y = way(x, weight, bias, sites)
        results.append((y, *torch.autograd.grad(y, (x, weight, bias), up)))
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_grn_is_the_formula_per_sample():
    grn = lively(GlobalResponseNorm(5))
    x = torch.randn(2, 7, 5)
    with torch.no_grad():
        y = grn(x)
        for b in range(2):
            norms = [sum(x[b, i, c].item() ** 2 for i in range(7)) ** 0.5 for c in range(5)]
            mean = sum(norms) / 5
            for i in range(7):
                for c in range(5):
                    response = norms[c] / (mean + 1e-6)
                    value = x[b, i, c].item()
                    wanted = grn.weight[c].item() * value * response + grn.bias[c].item() + value
                    assert y[b, i, c].item() == pytest.approx(wanted, abs=1e-5)


def test_hand_written_gradients_of_the_pointwise_half():
    torch.manual_seed(0)
    mlp = lively(Mlp(6))
    x = torch.randn(3, 9, 6, requires_grad=True)
    up = torch.randn(3, 9, 6)
    y = mlp(x)
    ours = (y, *torch.autograd.grad(y, (x, *mlp.parameters()), up))
    mlp.double()  # in double precision the plain modules and autograd run
    y = mlp(x.double())
    theirs = (y, *torch.autograd.grad(y, (x, *mlp.parameters()), up.double()))
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() < 1e-5 * b.abs().max().clamp(min=1)


def test_dead_channels_have_finite_gradients():
    mlp = Mlp(4)
    nn.init.zeros_(mlp.fc1.weight)
    x = torch.randn(1, 3, 4, requires_grad=True)
    mlp(x).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in (x, *mlp.parameters()))


def test_z_order_keeps_every_square_together():
    order = z_order(4)
    assert sorted(map(tuple, order)) == [(y, x) for y in range(4) for x in range(4)]
    for square in order.reshape(4, 4, 2):
        assert (square - square[0]).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        assert (square[0] % 2 == 0).all()


def test_wrong_shapes_and_sizes_are_refused():
    encoder = ConvNeXtV2("atto")
    with pytest.raises(ValueError, match="takes"):
        encoder(torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="does not divide"):
        encoder(torch.zeros(1, 12, 60, 64))
    with pytest.raises(ConfigError, match="atto, femto"):
        ConvNeXtV2("gigantic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="multiple of 8"):
        ConvNeXtV2("atto", patch=12)
