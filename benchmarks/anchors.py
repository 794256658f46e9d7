"""The overlap filter on five million candidates, and the sampling of places: seconds and peak memory."""

import resource
import sys
import time

import numpy as np

from geomeld.build.anchors.overlap import thin

N = 5_000_000


def candidates(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Half spread evenly over the globe's land latitudes, half in 20,000 clusters of 15 km, as map objects are."""
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(-60)), np.sin(np.radians(80)), n)))
    lon = rng.uniform(-180, 180, n)
    centre = rng.integers(0, 20_000, n // 2)
    lat[: n // 2] = np.clip(lat[-20_000:][centre] + rng.normal(0, 0.07, n // 2), -79.9, 83.9)
    lon[: n // 2] = (lon[-20_000:][centre] + rng.normal(0, 0.1, n // 2) + 180) % 360 - 180
    return lon, lat


def main() -> None:
    """Print seconds and peak memory of the overlap filter, and the time of sorting as a measure of the machine."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else N
    lon, lat = candidates(n)
    order = np.random.default_rng(1).permutation(n)
    source = np.where(np.arange(n) < n // 2, 0, 1).astype(np.int16)
    thin(lon[:100], lat[:100], np.arange(100), source[:100], np.zeros(2, bool))
    for name, lenient in (("strict", [False, False]), ("keep", [True, False])):
        start = time.perf_counter()
        found = thin(lon, lat, order, source, np.array(lenient))
        seconds = time.perf_counter() - start
        groups = len(np.unique(found.group[found.stays]))
        print(f"{name:6} {n:,} candidates: {seconds:5.1f} s, {found.stays.sum():,} stay in {groups:,} groups")
    start = time.perf_counter()
    np.argsort(lon, kind="stable")
    print(f"beside: sorting the longitudes {time.perf_counter() - start:.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB (asked: 60 s, 4 GB)")


if __name__ == "__main__":
    main()
