"""Choice: the scenes of many anchors from indexes of items, by the same rules as for one."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.build.config import BuildConfig
from geomeld.build.plan.items import ItemIndex, cells_of
from geomeld.build.plan.outline import lies
from geomeld.build.plan.rules import DAY_US, by_nearness, first_reference, one_pass_each
from geomeld.build.plan.tile import MARGIN_M
from geomeld.build.squares import squares_of
from geomeld.core.modality import Timing

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Places:
    """Tiles as the rules see them."""

    epsg: Ints
    cell: Ints
    quads: NDArray[np.float64]
    """(n, 4, 2) outlines."""
    grown: NDArray[np.float64]
    """(n, 4, 2) outlines with the margin that a scene must cover, too."""

    @classmethod
    def at(cls, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> "Places":
        """The tiles of coordinates inside UTM."""
        squares = squares_of(lon, lat)
        return cls(squares.epsg.astype(np.int64), cells_of(lon, lat), squares.outlines(), squares.outlines(MARGIN_M))


@dataclass(frozen=True, slots=True)
class References:
    """The reference scene of each of n tiles, and how it was found."""

    item: Ints
    """Position in the index, -1 for none."""
    window: Ints
    met: Ints
    """Scenes within reach that touch the tile, counted only where there is none to choose."""
    cloudy: Ints
    partial: Ints


@dataclass(frozen=True, slots=True)
class Several:
    """Any number of scenes for each of n tiles."""

    starts: Ints
    """Where those of each tile begin in `items`, (n + 1,)."""
    items: Ints
    lie: Ints
    """How each lies to its tile."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The searches of n tiles: `rules.windows` for all of them."""

    centre: Ints
    """(n, w) microseconds since 1970."""
    half: Ints
    """(n, w) microseconds; -1 for no search."""
    names: tuple[str, ...]
    """Of the w columns."""


def windows_of(dates: NDArray[np.datetime64], config: BuildConfig) -> Windows:
    """Windows around noon of dates (days)."""
    days = dates.astype("datetime64[D]")
    noon = days.astype(np.int64) * DAY_US + DAY_US // 2
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    month = (days.astype("datetime64[M]") - days.astype("datetime64[Y]")).astype(np.int64)
    day = np.minimum((days - days.astype("datetime64[M]")).astype(np.int64), 27)
    years = np.arange(config.other_years[0], config.other_years[1] + 1)
    nearest = np.argsort(np.abs(years[None] - year[:, None]), axis=1, kind="stable")
    others = years[nearest]
    start = ((others - 1970) * 12 + month[:, None]).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    moved = (start + day[:, None]) * DAY_US + DAY_US // 2
    first = config.widening_days[0] * DAY_US
    return Windows(
        np.concatenate([np.repeat(noon[:, None], len(config.widening_days), 1), moved], 1),
        np.concatenate(
            [
                np.tile(np.array(config.widening_days, np.int64) * DAY_US, (len(days), 1)),
                np.where(others == year[:, None], -1, first),
            ],
            1,
        ),
        tuple(f"{half} d" for half in config.widening_days),
    )


def stage_of(windows: Windows, row: int, window: int) -> str:
    """What `PlanRow.stage` says of a window."""
    if window < len(windows.names):
        return windows.names[window]
    centre = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=int(windows.centre[row, window]))
    return f"year {centre.year}"


def references(places: Places, windows: Windows, index: ItemIndex, config: BuildConfig) -> References:
    """The reference scene of every tile."""
    o = index.outlines
    found = _references(
        places.epsg, places.cell, places.quads, places.grown, windows.centre, windows.half, index.starts,
        index.members, index.time, index.cloud, index.epsg, index.baseline, o.points, o.rings, o.parts, o.boxes,
        config.max_cloud,
    )  # fmt: skip
    return References(*found)


def around(places: Places, middle: Ints, index: ItemIndex, config: BuildConfig) -> Several:
    """The scenes of another modality around reference acquisitions; a time of -1 stands for a tile without one."""
    o, timing = index.outlines, index.modality.timing
    half = config.window_days * DAY_US if timing is not Timing.STATIC else -1
    starts, items, lie = _around(
        places.cell, places.quads, places.grown, middle, half, timing is Timing.NEAREST, index.starts, index.members,
        index.time, index.orbit, o.points, o.rings, o.parts, o.boxes,
    )  # fmt: skip
    return Several(starts, items, lie)


def touching(places: Places, index: ItemIndex, years: Sequence[int]) -> Several:
    """Everything of a modality that touches each tile in a range of years, in the order of time."""
    first, last = (np.datetime64(f"{y}-01-01", "us").astype(np.int64) for y in (years[0], years[1] + 1))
    o = index.outlines
    starts, items, lie = _touching(
        places.cell, places.quads, int(first), int(last), index.starts, index.members, index.time,
        o.points, o.rings, o.parts, o.boxes,
    )  # fmt: skip
    return Several(starts, items, lie)


@njit(cache=True, nogil=True)
def _since(members, time, low, high, moment):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """First of the members low..high, sorted by time, that is not before a moment."""
    while low < high:
        middle = (low + high) // 2
        if time[members[middle]] < moment:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _turn(boxes, k, quad):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    return 360.0 * np.round(((quad[0, 0] + quad[2, 0]) / 2 - (boxes[k, 0] + boxes[k, 2]) / 2) / 360.0)


@njit(cache=True, nogil=True)
def _lie(points, rings, parts, boxes, k, quad, grown):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """0 apart from the tile, 1 touching it, 2 covering it and its margin."""
    turn = _turn(boxes, k, quad)
    lie = lies(points, rings, parts, boxes, k, grown, turn)
    if lie == 1 and lies(points, rings, parts, boxes, k, quad, turn) == 0:
        return 0  # it ends within the margin
    return lie


@njit(cache=True, nogil=True)
def _references(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    own, cell, quads, grown, centre, half, starts, members, time, cloud, epsg, baseline, points, rings, parts, boxes,
    max_cloud,
):  # fmt: skip
    n, tries = centre.shape
    chosen, window = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    met, cloudy, partial = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    for p in range(n):
        low, high = starts[cell[p]], starts[cell[p] + 1]
        for w in range(tries):
            if half[p, w] < 0:
                continue
            a = _since(members, time, low, high, centre[p, w] - half[p, w])
            b = _since(members, time, a, high, centre[p, w] + half[p, w])
            near = np.empty(b - a, np.int64)
            m = 0
            for i in members[a:b]:
                if cloud[i] < max_cloud and _lie(points, rings, parts, boxes, i, quads[p], grown[p]) == 2:
                    near[m] = i
                    m += 1
            near = near[:m]
            elsewhere = np.where(epsg[near] != own[p], 1, 0)
            best = first_reference(
                np.abs(time[near] - centre[p, w]), elsewhere, baseline[near], cloud[near], near, np.ones(m, np.bool_)
            )
            if best >= 0:
                chosen[p], window[p] = near[best], w
                break
        if chosen[p] >= 0:
            continue
        for w in range(tries):
            if half[p, w] < 0:
                continue
            a = _since(members, time, low, high, centre[p, w] - half[p, w])
            b = _since(members, time, a, high, centre[p, w] + half[p, w])
            for i in members[a:b]:
                again = False
                for v in range(w):
                    again |= half[p, v] >= 0 and -half[p, v] <= time[i] - centre[p, v] < half[p, v]
                if again:
                    continue
                lie = _lie(points, rings, parts, boxes, i, quads[p], grown[p])
                if lie > 0:
                    met[p] += 1
                    cloudy[p] += cloud[i] >= max_cloud
                    partial[p] += cloud[i] < max_cloud and lie == 1
    return chosen, window, met, cloudy, partial


@njit(cache=True, nogil=True)
def _grown(array, n, more):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    if n + more <= len(array):
        return array
    longer = np.empty(2 * (n + more), array.dtype)
    longer[:n] = array[:n]
    return longer


@njit(cache=True, nogil=True)
def _around(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    cell, quads, grown, middle, half, per_pass, starts, members, time, orbit, points, rings, parts, boxes
):
    n = len(cell)
    begins = np.zeros(n + 1, np.int64)
    items, lay = np.empty(n, np.int64), np.empty(n, np.int64)
    total = 0
    for p in range(n):
        begins[p] = total
        if middle[p] == -1:
            continue
        a, b = starts[cell[p]], starts[cell[p] + 1]
        if half >= 0:
            a = _since(members, time, a, b, middle[p] - half)
            b = _since(members, time, a, b, middle[p] + half)
        near = members[a:b]
        lie = np.empty(b - a, np.int64)
        for k in range(b - a):
            lie[k] = _lie(points, rings, parts, boxes, near[k], quads[p], grown[p])
        wait = np.abs(time[near] - middle[p]) if half >= 0 else np.zeros(b - a, np.int64)
        order = by_nearness(lie, wait, near, per_pass)
        if per_pass:
            order = one_pass_each(order, time[near], orbit[near])
        items, lay = _grown(items, total, len(order)), _grown(lay, total, len(order))
        for k in order:
            items[total], lay[total] = near[k], lie[k]
            total += 1
    begins[n] = total
    return begins, items[:total], lay[:total]


@njit(cache=True, nogil=True)
def _touching(cell, quads, first, last, starts, members, time, points, rings, parts, boxes):  # type: ignore[no-untyped-def] # pragma: no cover
    n = len(cell)
    begins = np.zeros(n + 1, np.int64)
    items, lay = np.empty(n, np.int64), np.empty(n, np.int64)
    total = 0
    for p in range(n):
        begins[p] = total
        a = _since(members, time, starts[cell[p]], starts[cell[p] + 1], first)
        b = _since(members, time, a, starts[cell[p] + 1], last)
        items, lay = _grown(items, total, b - a), _grown(lay, total, b - a)
        for k in members[a:b]:
            lie = lies(points, rings, parts, boxes, k, quads[p], _turn(boxes, k, quads[p]))
            if lie > 0:
                items[total], lay[total] = k, lie
                total += 1
    begins[n] = total
    return begins, items[:total], lay[:total]
