"""Hash vectors, strict configuration, and the table of modalities."""

import datetime as dt

import numpy as np
import pytest

from geomeld.build.anchors import reference_date
from geomeld.build.config import BuildConfig
from geomeld.core.config import from_json, to_json
from geomeld.core.draw import below, draw_words, generator, unit
from geomeld.core.errors import ConfigError
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_layer, fake_tile


@pytest.mark.parametrize(
    ("tile_id", "month"), [(0, dt.date(2020, 9, 15)), (1, dt.date(2019, 1, 15)), (1232154454, dt.date(2019, 3, 15))]
)
def test_temporal_anchor_vectors(tile_id: int, month: dt.date) -> None:
    assert reference_date(tile_id, seed=0) == month


def test_draws_are_uniform_and_keyed() -> None:
    counts = np.bincount([below(draw_words(0, "test", k)[0], 12) for k in range(12_000)], minlength=12)
    assert abs(counts - 1000).max() < 150
    assert 0 <= unit(2**64 - 1) < 1
    assert generator(1, "a", 2).integers(1000) == generator(1, "a", 2).integers(1000)
    assert draw_words(0, "a", 1) != draw_words(0, "b", 1)


def test_configuration_is_strict() -> None:
    config = BuildConfig(seed=3, widening_days=(5, 9))
    assert from_json(BuildConfig, to_json(config)) == config
    with pytest.raises(ConfigError, match="sede"):
        from_json(BuildConfig, {"sede": 1})
    with pytest.raises(ConfigError, match="seed"):
        from_json(BuildConfig, {"seed": "one"})
    with pytest.raises(ConfigError, match="max_cloud"):
        BuildConfig(max_cloud=0)


@pytest.mark.parametrize("name", list(MODALITIES))
def test_every_modality_survives_its_no_data_value(name: str) -> None:
    modality = MODALITIES[name]
    layer = fake_layer(modality, fake_tile().grid, 5)
    stored = modality.with_no_data(layer.values, layer.valid)
    assert stored.dtype == np.dtype(modality.dtype)
    np.testing.assert_array_equal(modality.mark_valid(stored), layer.valid)
    np.testing.assert_array_equal(stored[layer.valid], layer.values[layer.valid])


def test_a_valid_value_that_equals_no_data_stays_valid() -> None:
    naip = MODALITIES["naip"]
    stored = naip.with_no_data(np.zeros((3, 2, 2), np.uint16), np.ones((3, 2, 2), bool))
    assert naip.mark_valid(stored).all()
    assert (stored == 1).all()
