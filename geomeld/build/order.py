"""Order: the places of a build along a curve through each UTM zone, so that neighbours share scenes and open files."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import AnchorError
from geomeld.core.grid import utm_epsg
from geomeld.core.tile import Anchor

BITS = 16
"""Steps of the curve per axis: 2**16, under 400 m in latitude."""


def spatial_order(anchors: Iterable[Anchor]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(positions, tile identifiers): the positions of the anchors by UTM zone, then along a Hilbert curve of longitude
    and latitude, then by identifier; and the identifiers in that order.

    The order depends on nothing but the places. Raises AnchorError for an identifier that is there twice, and for a
    place outside UTM.
    """
    rows = [(a.tile_id, utm_epsg(a.lon, a.lat), a.lon, a.lat) for a in anchors]
    ids, zones = (np.array([r[i] for r in rows], dtype=np.int64) for i in (0, 1))
    lons, lats = (np.array([r[i] for r in rows], dtype=np.float64) for i in (2, 3))
    order = np.lexsort((ids, hilbert(_steps((lons + 180) / 360), _steps((lats + 90) / 180)), zones))
    _refuse_doubles(ids)
    return order, ids[order]


def hilbert(x: NDArray[np.int64], y: NDArray[np.int64], bits: int = BITS) -> NDArray[np.int64]:
    """How far along the Hilbert curve of order `bits` the cells (x, y) lie; both 0..2**bits - 1."""
    x, y, along = x.copy(), y.copy(), np.zeros_like(x)
    for side in (1 << k for k in reversed(range(bits))):
        right, up = (x & side) > 0, (y & side) > 0
        along += side * side * ((3 * right) ^ up)
        # Turn the quadrant so that the curve within it begins where the last one ended.
        flipped = right & ~up
        x, y = np.where(flipped, side - 1 - (x & (side - 1)), x), np.where(flipped, side - 1 - (y & (side - 1)), y)
        x, y = np.where(up, x, y), np.where(up, y, x)
    return along


def _steps(share: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip((share * (1 << BITS)).astype(np.int64), 0, (1 << BITS) - 1)


def _refuse_doubles(ids: NDArray[np.int64]) -> None:
    known, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        doubled = known[counts > 1]
        raise AnchorError(
            f"Tile {doubled[0]} is there {counts[counts > 1][0]} times ({len(doubled)} identifiers are doubled); "
            "give every place an identifier of its own."
        )
