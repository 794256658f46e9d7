"""Tiles without some of the input's bands: zero to the encoder, flagged, and no part of any loss."""

from datetime import date

import numpy as np
import pytest
import torch

from geomeld.batch import collate
from geomeld.core.grid import Grid
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.objectives import Reconstruction

MODALITY = MODALITIES["sentinel2"]
MISSING = ("B2", "B3", "B4")
PLACES = [MODALITY.bands.index(band) for band in MISSING]
SPEC = LayerSpec.of(MODALITY, [1000.0] * 12, [500.0] * 12)


@pytest.fixture(scope="module")
def batch():
    """A tile of nine bands, as the published NAIP shards hold them, and one of all twelve."""
    values = np.random.default_rng(0).uniform(1, 4000, (12, 128, 128)).astype(np.float32)
    nine = [i for i in range(12) if i not in PLACES]
    grid = Grid(32633, 500_000.0, 5_000_000.0, 10.0, 128)
    tiles = []
    for i, places in enumerate((nine, range(12))):
        valid = np.ones((len(places), 128, 128), dtype=bool)
        layer = Layer(values[list(places)], valid, tuple(MODALITY.bands[p] for p in places))
        tiles.append(Tile(Anchor(i, 15.0, 45.0, date(2020, 6, 1)), grid, {"sentinel2": layer}))
    return collate(tiles, [MODALITY], {"sentinel2": SPEC})


def test_missing_bands_are_zero_after_normalisation_and_flagged(batch):
    assert batch.bands("sentinel2").tolist() == [[i not in PLACES for i in range(12)], [True] * 12]
    assert not batch.values["sentinel2"][0, PLACES].any()
    there = [i for i in range(12) if i not in PLACES]
    assert torch.equal(batch.values["sentinel2"][0, there], batch.values["sentinel2"][1, there])


def test_missing_bands_are_left_out_of_the_loss(batch):
    torch.manual_seed(0)
    learner = Learner(GeoMeldFM(ModelConfig(input=SPEC, targets=(SPEC,), decoder_width=16)), teacher=False)
    masked = MaskedBatch.draw(batch, "sentinel2", 16, 0, ratio=0.7, seed=0)
    objective, head = Reconstruction(), learner.model.decoders["sentinel2"].head
    tokens = learner.tokens(masked)

    def summed(part):
        rows = slice(part, part + 1)
        return objective.sums(learner, masked.part(part, part + 1), tokens[rows])["mpmae/sentinel2"]

    hidden = 64 - masked.visible.shape[1]
    assert objective.counts(learner, masked)["mpmae/sentinel2"] == (9 + 12) * 256 * hidden
    (gradient,) = torch.autograd.grad(summed(0), head.bias, retain_graph=True)
    per_band = gradient.view(256, 12).abs().sum(dim=0)
    assert all((per_band[i] == 0) == (i in PLACES) for i in range(12))
    before = summed(0).item(), summed(1).item()
    with torch.no_grad():
        head.bias.view(256, 12)[:, PLACES] += 100
    assert summed(0).item() == before[0]
    assert summed(1).item() > before[1]


def test_a_model_reads_nine_bands_as_it_does_such_a_tile(batch):
    torch.manual_seed(0)
    model = GeoMeldFM(ModelConfig(input=SPEC, targets=(SPEC,), decoder_width=16)).eval()
    there = [band for band in MODALITY.bands if band not in MISSING]
    pixels = batch.values["sentinel2"][:1, [MODALITY.bands.index(b) for b in there]] * 500 + 1000
    assert torch.allclose(model.prepare(pixels, there), batch.values["sentinel2"][:1], atol=1e-5)
