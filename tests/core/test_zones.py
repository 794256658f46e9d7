"""Zones against PROJ's own table of areas of use, and stored values at the edges of every data type."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import CRS
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info

from geomeld.build.config import BuildConfig
from geomeld.caption.config import CaptionConfig
from geomeld.core.config import from_json, to_json
from geomeld.core.errors import ConfigError
from geomeld.core.grid import utm_epsg
from geomeld.core.modality import Categorical
from geomeld.modalities import MODALITIES
from geomeld.pretrain.config import PretrainConfig


@settings(max_examples=60, deadline=None)
@given(st.floats(-179.9, 179.9), st.floats(-79.9, 83.9))
def test_ordinary_zones_are_those_of_the_epsg_registry(lon: float, lat: float) -> None:
    assume(not (56 <= lat < 64 and 0 <= lon < 12) and not (lat >= 72 and 0 <= lon < 42))  # Norway and Svalbard
    assume(min(lon % 6, 6 - lon % 6) > 1e-3)  # on a border the registry names both zones
    assume(abs(lat) > 1e-3)
    found = query_utm_crs_info(datum_name="WGS 84", area_of_interest=AreaOfInterest(lon, lat, lon, lat), contains=True)
    assert str(utm_epsg(lon, lat)) in {c.code for c in found}


@given(st.floats(-180, 180), st.floats(-80, 84))
def test_every_zone_is_near_the_place(lon: float, lat: float) -> None:
    """Even the widened zones of the north reach at most 9 degrees (Norway, Svalbard) from their meridian."""
    epsg = utm_epsg(lon, lat)
    assert CRS.from_epsg(epsg).utm_zone == f"{epsg % 100}{'N' if lat >= 0 else 'S'}"
    away = (lon - (epsg % 100 * 6 - 183) + 180) % 360 - 180
    assert abs(away) <= (9 if lat >= 56 else 3)


@pytest.mark.parametrize("name", list(MODALITIES))
@pytest.mark.parametrize("edge", ["lowest", "highest", "no data"])
def test_a_measured_value_is_never_read_as_a_hole(name: str, edge: str) -> None:
    modality = MODALITIES[name]
    if isinstance(modality.kind, Categorical):
        value = {"lowest": min(modality.kind.codes), "highest": max(modality.kind.codes)}.get(edge)
    else:
        low, high = modality.kind.display
        unused = 0.0 in (modality.no_data, *modality.also_no_data)
        value = {"lowest": max(low, 1.0) if unused else low, "highest": high}.get(edge)
        if edge == "no data" and np.issubdtype(np.dtype(modality.dtype), np.integer):
            value = modality.no_data
    if value is None:
        pytest.skip("this value cannot be measured")
    valid = np.ones((len(modality.bands), 3, 3), bool)
    valid[:, 1, 1] = False
    stored = modality.with_no_data(np.full(valid.shape, value, modality.dtype), valid)
    np.testing.assert_array_equal(modality.mark_valid(stored), valid)
    np.testing.assert_allclose(stored[valid].astype(float), value, atol=1 if edge == "no data" else 0)


@pytest.mark.parametrize("config", [CaptionConfig(seed=4), PretrainConfig(), BuildConfig(widening_days=(3, 9))])
def test_configurations_are_strict(config) -> None:
    kind, data = type(config), json.loads(json.dumps(to_json(config)))
    assert from_json(kind, data) == config
    with pytest.raises(ConfigError, match="no_such_field"):
        from_json(kind, {**data, "no_such_field": 1})
    for name in data:
        with pytest.raises(ConfigError, match=name):
            from_json(kind, {**data, name: {"of": object()}})
