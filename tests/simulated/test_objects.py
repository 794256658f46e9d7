"""Objects of the simulated Earth: the same from every window, and where the raster truth has them."""

from collections import Counter

import numpy as np
import pytest
import shapely

from geomeld.core.grid import Grid
from geomeld.signals.map_features import phrase_for
from geomeld.sources.simulated import landscape, shore, ways
from geomeld.sources.simulated.landscape import MapObject, objects, sample
from geomeld.sources.simulated.region import locate, place, region
from geomeld.sources.simulated.truth import stratified_places

SEED = 0
ROAD, ROOF, RAIL = 1, 2, 9


@pytest.fixture(scope="module")
def cells() -> list[tuple[int, int]]:
    """(band, column) of regions all over the Earth."""
    found = (locate(lon, lat)[:2] for lon, lat, _ in stratified_places(SEED, 140))
    return [(int(band), int(column)) for band, column in found]


@pytest.fixture(scope="module")
def ports(cells) -> list[tuple[float, float, float, float]]:
    """Windows of about a kilometre around towns with piers, those with a marina first."""
    towns = []
    for band, column in cells:
        for t in np.flatnonzero(region(SEED, band, column).towns[:, 2] > 0).tolist():
            if landings := shore.landings(SEED, band, column, t):
                middle = landings[0][1].centroid
                lon, lat = (float(v) for v in place(band, column, middle.x, middle.y))
                towns.append((not any(kind == "marina" for kind, *_ in landings), lon, lat))
    towns.sort()
    return [_around(lon, lat, 500.0) for _, lon, lat in towns[:24]]


@pytest.fixture(scope="module")
def stations(cells) -> list[tuple[float, float, float, float]]:
    """Windows around the stops of railways."""
    stops = []
    for band, column in cells:
        table = ways.ways(SEED, band, column)
        stops += [place(band, column, *way[:2]) for way in table[table[:, 5] > 0][:1]]
    return [_around(float(lon), float(lat), 900.0) for lon, lat in stops[:24]]


@pytest.fixture(scope="module")
def things(ports, stations) -> dict[str, list[MapObject]]:
    found: dict[str, list[MapObject]] = {}
    for window in ports + stations:
        for thing in objects(SEED, *window):
            found.setdefault(thing.kind, []).append(thing)
    return found


def _around(lon: float, lat: float, metres: float) -> tuple[float, float, float, float]:
    north = metres / 111_195
    east = north / np.cos(np.radians(lat))
    return lon - east, lat - north, lon + east, lat + north


def _forget() -> None:
    for cached in (region, ways.ways, shore.waterline, shore.landings):
        cached.cache_clear()


def _look(found: list[MapObject], frame: shapely.Geometry) -> Counter:
    kept = [t for t in found if t.geometry.intersects(frame)]
    return Counter((t.kind, t.geometry.wkb, tuple(sorted(t.tags.items())), t.mapped) for t in kept)


def _along(found: list[MapObject], step: float = 5.0) -> np.ndarray:
    """Points every few metres along lines, and on a lattice inside areas, of some 400 objects; (points, 2)."""
    points = []
    for geometry in (t.geometry for t in found[:: 1 + len(found) // 400]):
        if geometry.geom_type == "Polygon":
            west, south, east, north = geometry.bounds
            x, y = np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
            inside = shapely.contains_xy(geometry, x, y)
            points.append(np.column_stack([x[inside], y[inside]]))
        else:
            points.append(shapely.get_coordinates(geometry.segmentize(step / 111_195)))
    return np.concatenate(points)


def _truth(found: list[MapObject]) -> landscape.Landscape:
    points = _along(found)
    return sample(SEED, points[:, 0], points[:, 1])


def test_overlapping_windows_show_the_same_objects_in_any_order(ports, stations) -> None:
    for window in (*ports[:6], *stations[:6]):
        west, south, east, north = window
        third_x, third_y = (east - west) / 3, (north - south) / 3
        moved = west + third_x, south - third_y, east + third_x, north - third_y
        common = shapely.box(moved[0], south, east, moved[3])
        _forget()
        first, second = objects(SEED, *window), objects(SEED, *moved)
        _forget()
        again, back = objects(SEED, *moved), objects(SEED, *window)
        assert _look(first, common) == _look(second, common)
        assert _look(first, common).total() > 10
        for one, other in ((first, back), (second, again)):
            assert [t.geometry.wkb for t in one] == [t.geometry.wkb for t in other]


def test_objects_on_either_side_of_180_degrees_are_the_same() -> None:
    shown = 0
    for lat in np.arange(-55.0, 66.0, 10.0):
        east, west = objects(SEED, 179.95, lat, 180.05, lat + 0.1), objects(SEED, -180.05, lat, -179.95, lat + 0.1)
        turned = [shapely.transform(t.geometry, lambda xy: np.round(xy + np.array([360.0, 0.0]), 7)) for t in west]
        assert {g.wkb for g in turned} == {t.geometry.wkb for t in east}
        shown += len(east)
    assert shown > 20


def test_ways_meet_where_regions_meet(cells) -> None:
    met = Counter()
    for band, column in cells:
        count = max(1, round(360 / 0.25 * np.cos(np.radians((band + 0.5) * 0.25 - 90))))
        here, there = ways.ways(SEED, band, column), ways.ways(SEED, band, (column + 1) % count)
        for rail in (0.0, 1.0):
            ours = {round(float(w[3]), 3) for w in here if w[5] == rail and w[2] > 13_000}
            theirs = {round(float(w[3]), 3) for w in there if w[5] == rail and w[2] < -13_000}
            if ours and theirs:
                assert ours == theirs
                met[rail] += 1
                edge = (column + 1) * 360 / count - 180
                lat = (band + 0.5) * 0.25 - 90 + ours.pop() / 111_194.93
                kind = "rail" if rail else "road"
                seen = [
                    t.geometry
                    for t in objects(SEED, edge - 1e-4, lat - 1e-4, edge + 1e-4, lat + 1e-4)
                    if kind in t.kind
                ]
                if len(seen) == 2:
                    assert seen[0].distance(seen[1]) < 2e-7
                    met[kind] += 1
    assert min(met[0.0], met[1.0], met["rail"], met["road"]) > 3


def test_geometries_have_the_digits_of_openstreetmap(things) -> None:
    for found in things.values():
        points = np.concatenate([shapely.get_coordinates(t.geometry) for t in found])
        np.testing.assert_array_equal(points, np.round(points, 7))
        assert shapely.is_valid([t.geometry for t in found]).all()


def test_every_kind_has_a_phrase_and_volunteers_miss_some(things) -> None:
    kinds = {"pier", "marina", "railway", "station", "road bridge", "road", "street", "house", "settlement", "place"}
    assert kinds <= set(things)
    assert all(phrase_for(t.tags) for found in things.values() for t in found)
    words = {kind: phrase_for(things[kind][0].tags).phrase for kind in kinds}
    assert words["pier"] == "pier"
    assert words["railway"] == "railway line"
    assert words["station"] == "railway station"
    assert words["road bridge"] == "bridge"
    for kind in ("pier", "street", "house"):
        assert 0.3 < np.mean([t.mapped for t in things[kind]]) < 0.98


def test_piers_and_marinas_stand_in_water_and_start_at_the_shore(things) -> None:
    assert len(things["pier"]) > 30
    assert (_truth(things["pier"]).land_cover == 80).mean() > 0.95
    assert (_truth(things["marina"]).land_cover == 80).mean() > 0.95
    for pier in things["pier"]:
        if pier.geometry.geom_type == "Polygon":  # the jetties of a marina float
            near = pier.geometry.buffer(10 / 111_195)
            west, south, east, north = near.bounds
            x, y = np.meshgrid(np.linspace(west, east, 40), np.linspace(south, north, 40))
            inside = shapely.contains_xy(near, x, y)
            assert (sample(SEED, x[inside], y[inside]).land_cover != 80).any()


@pytest.mark.parametrize(("kind", "code"), [("railway", RAIL), ("road", ROAD), ("street", ROAD), ("house", ROOF)])
def test_the_raster_shows_what_the_map_has(things, kind, code) -> None:
    land = _truth(things[kind])
    assert (land.surface == code).mean() > 0.95
    assert (land.land_cover == 80).mean() < 0.01


def test_bridges_carry_ways_over_water(things) -> None:
    found = things["road bridge"] + things.get("railway bridge", [])
    land = _truth(found)
    assert np.isin(land.surface, (ROAD, RAIL)).mean() > 0.95
    assert (land.land_cover == 80).mean() > 0.6  # the rest are abutments
    assert all(t.tags["bridge"] == "yes" for t in found)


@pytest.mark.parametrize(
    ("kinds", "code", "reach"), [(("street", "road", "road bridge"), ROAD, 9.0), (("house",), ROOF, 3.0)]
)
def test_the_map_has_what_the_raster_shows(ports, kinds, code, reach) -> None:
    shown = had = 0
    for window in ports[:8]:
        lon, lat = (window[0] + window[2]) / 2, (window[1] + window[3]) / 2
        grid = Grid.centred_on(lon, lat).at(5.0)
        x, y = (a[64:192, 64:192] for a in grid.lonlat())
        at = sample(SEED, x, y).surface == code
        found = [t.geometry for t in objects(SEED, x.min(), y.min(), x.max(), y.max()) if t.kind in kinds]
        if at.any():
            tree = shapely.STRtree(found)
            pairs = tree.query(shapely.points(x[at], y[at]), "dwithin", reach / 111_195 / np.cos(np.radians(lat)))
            shown += at.sum()
            had += len(np.unique(pairs[0]))
    assert shown > 500
    assert had > 0.95 * shown
