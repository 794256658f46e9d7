"""Prediction: no patch is predicted from itself, and each is the mean of the passes that did not see it."""

import numpy as np
import pytest
import torch

from geomeld.core.errors import UsageError
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.prediction import predicted
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig

PATCH, SIDE = 16, 96


@pytest.fixture(scope="module")
def model() -> GeoMeldFM:
    source = LayerSpec.of(MODALITIES["sentinel2"], (0.0,) * 12, (1.0,) * 12)
    radar = LayerSpec.of(MODALITIES["sentinel1"], (0.0,) * 8, (1.0,) * 8)
    text = TextConfig(vocab_size=300, width=32, depth=1, heads=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = ModelConfig(source, (radar,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
        made = GeoMeldFM(config).eval()
        for parameter in made.parameters():  # at their start some are 0, and hide what depends on what
            parameter.data += 0.05 * torch.randn_like(parameter)
    return made


@torch.no_grad()
def test_no_patch_is_predicted_from_itself(model) -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.standard_normal((1, 12, SIDE, SIDE)).astype(np.float32))
    maps = predicted(model, image)["sentinel1"]
    assert maps.shape == (1, 8, SIDE, SIDE)
    for row, column in ((0, 0), (2, 3), (5, 5)):
        here = np.s_[..., row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        other = image.clone()
        other[here] += 3.0
        changed = predicted(model, other)["sentinel1"]
        torch.testing.assert_close(changed[here], maps[here], rtol=0, atol=1e-5)
        elsewhere = (changed - maps).abs()
        elsewhere[here] = 0
        assert elsewhere.max() > 1e-3


@torch.no_grad()
def test_each_patch_is_the_mean_of_the_passes_that_did_not_see_it(model, monkeypatch) -> None:
    image = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 12, SIDE, SIDE)).astype(np.float32))
    real, passes = GeoMeldFM.decode_at, []

    def kept(self, wanted, tokens, visible, grid):
        passes.append((visible[0].tolist(), real(self, None, tokens, visible, grid)["sentinel1"]))
        return real(self, wanted, tokens, visible, grid)

    monkeypatch.setattr(GeoMeldFM, "decode_at", kept)
    maps = predicted(model, image)["sentinel1"]
    side = SIDE // PATCH
    assert sorted(p for visible, _ in passes for p in visible) == list(range(side * side))
    for patch in range(side * side):
        row, column = (PATCH * k for k in divmod(patch, side))
        unseen = [squares[:, patch] for visible, squares in passes if patch not in visible]
        assert len(unseen) == 2
        torch.testing.assert_close(maps[..., row : row + PATCH, column : column + PATCH], sum(unseen) / 2)


def test_passes_that_would_hide_nothing_are_refused(model) -> None:
    image = torch.zeros(1, 12, 2 * PATCH, PATCH)
    for passes in (1, 3):
        with pytest.raises(UsageError, match=f"{passes} passes over 2 patches"):
            predicted(model, image, passes)
