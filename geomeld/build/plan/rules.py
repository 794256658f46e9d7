"""Rules: which of the scenes around a tile are chosen (paper 3.4); the same for one tile and for millions."""

import datetime as dt

import numpy as np
from numba import njit

from geomeld.build.config import BuildConfig

DAY_US = 86_400_000_000
"""Microseconds of a day, the unit of time here."""

PASS_US = DAY_US // 24
"""Scenes of one orbit direction within an hour are slices of one pass, and mosaicked."""

APART, TOUCHES, COVERS = 0, 1, 2
"""How a scene's outline lies to a tile."""

ORBITS = {None: 0, "ascending": 1, "descending": 2}
"""Directions of flight, in the order in which their scenes are listed."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def windows(middle: dt.datetime, config: BuildConfig) -> list[tuple[str, dt.datetime, int]]:
    """(name, centre, half width in days) of the searches for a reference scene, in the order in which they are tried:
    around the date, wider and wider, then around the same day of other years, nearest year first."""
    found = [(f"{half} d", middle, half) for half in config.widening_days]
    years = range(config.other_years[0], config.other_years[1] + 1)
    for year in sorted(years, key=lambda y: (abs(y - middle.year), y)):
        if year != middle.year:
            found.append((f"year {year}", middle.replace(year=year, day=min(middle.day, 28)), config.widening_days[0]))
    return found


def noon(date: dt.date) -> dt.datetime:
    """The moment that a date stands for."""
    return dt.datetime.combine(date, dt.time(12), dt.UTC)


def micros(moment: dt.datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def nothing_found(name: str, config: BuildConfig, date: dt.date, met: int, cloudy: int, partial: int) -> str:
    """Why there is no reference scene: of `met` scenes that touch the tile, `cloudy` have too much cloud, `partial` of
    the others leave a part of it out, and the rest were seen to be cloudy over the tile itself."""
    if not met:
        return f"no scene of {name} within reach (of {date})"
    return (
        f"no scene of {name}, none under {config.max_cloud:g} % cloud that covers the tile clearly "
        f"({met} within reach: {cloudy} too cloudy, {partial} only in part, {met - cloudy - partial} hidden)"
    )


@njit(cache=True, nogil=True)
def first_reference(wait, elsewhere, baseline, cloud, rank, usable):  # type: ignore[no-untyped-def] # pragma: no cover
    """Position of the reference scene, -1 for none: nearest in time; of those as near, one in the tile's own zone, then
    of the newest processing, then with the least cloud, then the last by name. `wait`: microseconds to the centre."""
    best = -1
    for i in range(len(wait)):
        if usable[i]:
            mine = (wait[i], elsewhere[i], -baseline[i], cloud[i], -rank[i])
            if best < 0 or mine < (wait[best], elsewhere[best], -baseline[best], cloud[best], -rank[best]):
                best = i
    return best


@njit(cache=True, nogil=True)
def by_nearness(lie, wait, rank, wholes_first):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Positions of the scenes that meet the tile: those that cover it before others if asked, nearest in time first."""
    order = np.empty(len(wait), np.int64)
    n = 0
    for i in range(len(wait)):
        if lie[i] == 0:
            continue
        part = 1 if wholes_first and lie[i] != 2 else 0
        k = n
        while k > 0:
            j = order[k - 1]
            other = 1 if wholes_first and lie[j] != 2 else 0
            if (other, wait[j], rank[j]) <= (part, wait[i], rank[i]):
                break
            order[k] = j
            k -= 1
        order[k] = i
        n += 1
    return order[:n]


@njit(cache=True, nogil=True)
def one_pass_each(order, time, orbit):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Of scenes in order of preference: per direction of flight the first, and the other slices of its pass."""
    kept = np.empty(len(order), np.int64)
    n = 0
    for direction in range(3):
        first = -1
        for i in order:
            if orbit[i] == direction:
                if first < 0:
                    first = i
                if abs(time[i] - time[first]) < 3_600_000_000:
                    kept[n] = i
                    n += 1
    return kept[:n]
