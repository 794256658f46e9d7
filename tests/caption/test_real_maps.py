"""Real maps over real terrain: OpenStreetMap extracts and SRTM heights, from file to verified caption."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geomeld import signals
from geomeld.caption.config import CaptionConfig
from geomeld.caption.graph import caption_chunk, caption_graph
from geomeld.core.config import to_json
from geomeld.core.grid import Grid
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.sources.openstreetmap import OpenStreetMap
from geomeld.sources.warp import onto, part_of, slope_onto

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not (SHARED / "srtm").exists(), reason="the shared maps and heights are not here")

PLACES = {
    # name: (extract, heights or None, lon, lat, reliefs that may be said, objects of which one at least is said)
    "a town in the Pyrenees": (
        "andorra",
        "N42E001",
        1.5218,
        42.5075,
        {"mountain", "hilly"},
        {"main_road", "bridge", "residential"},
    ),
    "a high valley": ("andorra", "N42E001", 1.5330, 42.6200, {"mountain"}, {"main_road", "forest", "river"}),
    "the harbour of Monaco": ("monaco", "N43E007", 7.4246, 43.7347, {"mountain", "hilly"}, {"marina", "pier", "house"}),
    "Vaduz, without heights": ("liechtenstein", None, 9.5215, 47.1410, set(), {"vineyard", "industrial", "main_road"}),
}


def tile_of(extract: str, heights: str | None, lon: float, lat: float) -> Tile:
    grid, layers = Grid.centred_on(lon, lat), {}
    if heights is not None:
        modality = MODALITIES["aster"]
        target = grid.at(modality.gsd)
        with rasterio.open(f"/vsizip/{SHARED}/srtm/{heights}.hgt.zip/{heights}.hgt") as file:
            height, seen = onto(file, [1], target, modality.resampling)
            native = part_of(file, 1, target, file.nodata)
            assert native is not None
            steep, steep_seen = slope_onto(native, target, modality.resampling)
        values, valid = np.concatenate([height, steep]), np.concatenate([seen, steep_seen])
        layers["aster"] = Layer(values, valid, modality.bands, product="SRTM, 3 arc seconds")
    anchor = Anchor(1, lon, lat, dt.date(2020, 7, 1), "test", "1")
    bare = Tile(anchor, grid, layers, {})
    features = OpenStreetMap(str(SHARED / "openstreetmap" / f"{extract}.osm.pbf")).features(grid)
    assert features is not None, "the tile lies inside the extract"
    return Tile(anchor, grid, layers, signals.published_fields(bare, features))


@pytest.mark.parametrize("name", PLACES)
def test_captions_say_what_map_and_terrain_show(name: str) -> None:
    extract, heights, lon, lat, reliefs, expected = PLACES[name]
    measured = signals.measure(tile_of(extract, heights, lon, lat))
    state = caption_chunk(caption_graph(), [to_json(measured)], CaptionConfig(seed=3))
    record = state["records"][0]
    assert record is not None, state["errors"]
    assert record["status"] in ("verified", "repaired")
    said = {c["concept"] for c in record["claims"]}
    assert not [v for v in record["verdicts"] if v["status"] == "contradicted"], record["text"]
    relief = said & {"flat", "undulating", "rolling", "hilly", "mountain"}
    assert relief <= reliefs, record["text"]
    assert said & expected, record["text"]
    assert len(record["text"].split()) <= 45
