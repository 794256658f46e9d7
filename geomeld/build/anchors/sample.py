"""Sample: places drawn evenly within biomes and continents, none so near to another that their tiles meet."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from geomeld.build.anchors.overlap import chord, mixed
from geomeld.build.anchors.regions import Floats, Regions, lattice
from geomeld.build.squares import inside_utm, on_sphere
from geomeld.core.draw import generator

BATCH = 8192
"""Places that are drawn at a time, whatever number is wanted: the places of a smaller quota are those of a larger."""

PATIENCE = 4
"""Batches in a row without a place that can stay, before a stratum counts as full."""

APART_M = 1860.0
"""Drawn places keep this distance: 1810 m, and what snapping to 20 m and the scale of UTM can take from it."""

Stratum = tuple[str, str]
"""Biome and continent; an empty name stands for any."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Drawn places, and what became of the quotas."""

    places: pd.DataFrame
    """Columns lon, lat, biome, continent; coordinates of seven decimals."""
    asked: Mapping[Stratum, int]
    got: Mapping[Stratum, int]

    @property
    def short(self) -> dict[Stratum, tuple[int, int]]:
        """(got, asked) of the quotas that could not be met."""
        return {s: (self.got[s], n) for s, n in self.asked.items() if self.got[s] < n}


def even_quotas(n: int, strata: list[Stratum]) -> dict[Stratum, int]:
    """`n` places over strata: first evenly over their continents, then evenly over the biomes of each."""
    quotas: dict[Stratum, int] = {}
    continents = sorted({c for _, c in strata})
    for k, continent in enumerate(continents):
        share = n // len(continents) + (k < n % len(continents))
        mine = [s for s in strata if s[1] == continent]
        quotas |= {s: share // len(mine) + (j < share % len(mine)) for j, s in enumerate(mine)}
    return {s: q for s, q in quotas.items() if q}


def strata_of(biomes: Regions, continents: Regions, only: tuple[str, ...]) -> list[Stratum]:
    """The pairs of a biome and a continent that the middle of some cell of one degree lies in."""
    lon, lat = lattice()
    b, c = biomes.at(lon, lat), continents.at(lon, lat)
    there = np.unique(np.stack([b, c])[:, (b >= 0) & (c >= 0)], axis=1).T
    return [(biomes.names[i], continents.names[k]) for i, k in there if continents.names[k] in only]


def sample(
    quotas: Mapping[Stratum, int], biomes: Regions, continents: Regions, *, seed: int = 0, avoid: Floats | None = None
) -> Sampled:
    """Draw places uniformly on the sphere within each stratum, dropping those within 1860 m of any other and of `avoid`
    ((n, 2) longitudes and latitudes). The same for the same arguments, on any machine."""
    spread = _Spread(sum(quotas.values()), avoid)
    parts, got = [], {}
    for biome, continent in quotas:
        inside_biome, inside_continent = _Part(biomes, biome), _Part(continents, continent)
        box = _Cells(inside_biome.cells() & inside_continent.cells())
        found: list[Floats] = []
        missing, idle, batch = quotas[biome, continent], 0, 0
        while missing > 0 and idle < PATIENCE and box.any:
            lon, lat = box.draw(generator(seed, "places", f"{biome}|{continent}|{batch}"))
            keep = inside_utm(lon, lat)
            keep[keep] = inside_biome.holds(lon[keep], lat[keep])
            keep[keep] = inside_continent.holds(lon[keep], lat[keep])
            stay = spread.add(lon[keep], lat[keep], missing)
            found.append(np.stack([lon[keep][stay], lat[keep][stay]], 1))
            missing -= len(found[-1])
            idle = 0 if len(found[-1]) else idle + 1
            batch += 1
        places = np.concatenate(found) if found else np.empty((0, 2))
        got[biome, continent] = len(places)
        parts.append(pd.DataFrame({"lon": places[:, 0], "lat": places[:, 1], "biome": biome, "continent": continent}))
    empty = pd.DataFrame({"lon": [], "lat": [], "biome": [], "continent": []})
    return Sampled(pd.concat([p for p in parts if len(p)] or [empty], ignore_index=True), dict(quotas), got)


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the regions by its name: any of them for an empty one, none for one that there is not."""

    regions: Regions
    name: str

    def cells(self) -> NDArray[np.bool_]:
        there = self.regions.cells()
        if not self.name:
            return there.any(0)
        if self.name not in self.regions.names:
            return np.zeros(there.shape[1:], bool)
        return there[self.regions.names.index(self.name)]

    def holds(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        codes = self.regions.at(lon, lat)
        return codes >= 0 if not self.name else codes == self.regions.names.index(self.name)


class _Cells:
    """Cells of one degree to draw places from, each as often as its share of the area."""

    def __init__(self, there: NDArray[np.bool_]) -> None:
        self._rows, self._columns = np.nonzero(there)
        edges = np.sin(np.radians(np.arange(-90, 91)))
        self._edges, self._areas = edges, np.diff(edges)[self._rows]
        self.any = len(self._rows) > 0

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        limits = np.cumsum(self._areas)
        cell = np.minimum(np.searchsorted(limits, rng.random(BATCH) * limits[-1], side="right"), len(limits) - 1)
        low, high = self._edges[self._rows[cell]], self._edges[self._rows[cell] + 1]
        lon = self._columns[cell] - 180.0 + rng.random(BATCH)
        lat = np.degrees(np.arcsin(low + (high - low) * rng.random(BATCH)))
        return np.round(lon, 7), np.round(lat, 7)


class _Spread:
    """Places that keep their distance, in a hash table of cubes of that size."""

    def __init__(self, n: int, avoid: Floats | None) -> None:
        old = np.empty((0, 2)) if avoid is None else avoid
        capacity = n + len(old)
        slots = 1 << max(10, (2 * capacity).bit_length())
        self._points = np.empty((capacity, 3))
        self._head = np.full(slots, -1, np.int32)
        self._chain = np.full(capacity, -1, np.int32)
        self._count = 0
        if len(old):
            self._put(on_sphere(old[:, 0], old[:, 1]), len(old), 0.0)

    def add(self, lon: Floats, lat: Floats, most: int) -> NDArray[np.int64]:
        """Positions of the first places, up to `most`, that can stay."""
        return self._put(on_sphere(lon, lat), most, chord(APART_M))

    def _put(self, points: Floats, most: int, apart: float) -> NDArray[np.int64]:
        cube = math.sqrt(chord(APART_M))
        stay, self._count = _spread(points, most, apart, cube, self._points, self._head, self._chain, self._count)
        return stay


@njit(cache=True, nogil=True)
def _spread(new, most, apart, cube, points, head, chain, count):  # type: ignore[no-untyped-def] # pragma: no cover
    mask = np.uint64(len(head) - 1)
    stay = np.empty(len(new), np.int64)
    n = 0
    for i in range(len(new)):
        if n == most:
            break
        u, v, w = math.floor(new[i, 0] / cube), math.floor(new[i, 1] / cube), math.floor(new[i, 2] / cube)
        free = True
        for a in range(u - 1, u + 2):
            for b in range(v - 1, v + 2):
                for c in range(w - 1, w + 2):
                    j = head[mixed(a, b, c) & mask] if free and apart > 0 else -1
                    while j >= 0 and free:
                        d = 0.0
                        for axis in range(3):
                            d += (new[i, axis] - points[j, axis]) ** 2
                        free = d >= apart
                        j = chain[j]
        if free:
            slot = mixed(u, v, w) & mask
            points[count] = new[i]
            chain[count] = head[slot]
            head[slot] = count
            count += 1
            stay[n] = i
            n += 1
    return stay[:n], count
