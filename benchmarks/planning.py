"""Planning 100,000 anchors against 1,000,000 items made from real ones: seconds, memory, and beside tile by tile."""

import datetime as dt
import resource
import sys
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

import numpy as np

from geomeld.build.config import BuildConfig
from geomeld.build.plan import Plan, plan_tile
from geomeld.build.plan.bulk import plan_in_bulk
from geomeld.build.plan.items import Items
from geomeld.build.plan.row import ANCHOR
from geomeld.core.grid import Grid
from geomeld.core.tile import Anchor
from geomeld.sources import Scene
from geomeld.testing.items import columns_of, write_many

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "stac_items" / "1000-sentinel-2-l2a-items.parquet"


def anchors_over(n: int) -> list[Anchor]:
    """Places under the items, dates in their years."""
    rng = np.random.default_rng(1)
    lon = rng.uniform(-110, -101.2, n) + 6.0 * rng.integers(0, 60, n) - 70.0
    lon, lat = (lon + 540) % 360 - 180, rng.uniform(36.1, 41.5, n)
    days = rng.integers(0, 2 * 365, n)
    return [
        Anchor(i, float(lon[i]), float(lat[i]), dt.date(2019, 1, 1) + dt.timedelta(int(days[i])), "bench", str(i))
        for i in range(n)
    ]


class Chosen:
    """A source that knows the items around one tile only: the floor of what planning tile by tile costs."""

    name = "chosen"

    def __init__(self, scenes: list[Scene]) -> None:
        self._scenes = scenes

    def modalities(self) -> frozenset[str]:
        """Sentinel-2."""
        return frozenset({"sentinel2"})

    def scenes(self, modality: object, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Those in time."""
        return [s for s in self._scenes if s.acquired and start <= s.acquired < end]


def main() -> None:
    """Print seconds and peak memory of planning, and of reading the plan; `planning.py ANCHORS ITEMS`."""
    n, m = (int(a) for a in (sys.argv[1:3] or ("100000", "1000000")))
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "items.parquet", Path(folder) / "plan.parquet"
        write = Process(target=write_many, args=(SAMPLE, file, m), kwargs={"first": dt.date(2018, 12, 1), "days": 790})
        write.start()  # in a process of its own, so that its memory is not counted
        write.join()
        anchors = anchors_over(n)
        columns = columns_of(anchors, ANCHOR)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{m:,} items, {file.stat().st_size / 2**20:,.0f} MB; {n:,} anchors; {before:.2f} GB so far")
        start = time.perf_counter()
        plan_in_bulk(columns, Items([str(file)]), out, BuildConfig(other_years=(2019, 2020)))
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"planned in {seconds:.1f} s, {n / seconds:,.0f} anchors/s, peak {peak:.2f} GB (asked: 90 s, 6 GB)")
        start = time.perf_counter()
        rows = list(Plan(out))
        found = [r for r in rows if not r.reason]
        size = out.stat().st_size / 2**20
        print(f"read in {time.perf_counter() - start:.1f} s; {len(found):,} with scenes; {size:,.0f} MB")
        some = found[:: max(1, len(found) // 300)]
        start = time.perf_counter()
        for row in some:
            again = plan_tile(row.anchor, Chosen(list(row.scenes["sentinel2"])), BuildConfig())  # type: ignore[arg-type]
            assert again.scenes["sentinel2"][0].scene_id == row.scenes["sentinel2"][0].scene_id
        each = (time.perf_counter() - start) / len(some)
        print(f"beside: rules tile by tile, with the right item already found: {1 / each:,.0f} anchors/s")


if __name__ == "__main__":
    main()
