"""A piece of the simulated Earth on disk, written once by `geomeld simulate`."""

import datetime as dt
from pathlib import Path

import pytest

from geomeld.cli.simulate import main
from geomeld.core.tile import Anchor

SEED = 5

ANCHORS = (
    Anchor(1, 11.35, 46.05, dt.date(2019, 7, 15)),  # in the mountains
    Anchor(2, -93.10, 41.70, dt.date(2021, 6, 15)),  # in the United States, where there are photographs
    Anchor(3, 179.999, -16.5, dt.date(2020, 7, 20)),  # across the antimeridian
)


@pytest.fixture(scope="session")
def piece(tmp_path_factory) -> Path:
    """The folder of the catalogue around `ANCHORS`."""
    folder = tmp_path_factory.mktemp("piece")
    rows = [f"{a.tile_id},{a.lat},{a.lon},{a.reference_date}" for a in ANCHORS]
    (folder / "places.csv").write_text("\n".join(["id,lat,lon,date", *rows]) + "\n")
    assert not main(["--anchors", str(folder / "places.csv"), "--out", str(folder / "piece"), "--seed", str(SEED)])
    return folder / "piece"
