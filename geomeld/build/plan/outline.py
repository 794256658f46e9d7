"""Outline: how tiles lie to many footprints, without an object for each."""

from dataclasses import dataclass

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outlines:
    """The rings of n footprints, in degrees; a footprint across the antimeridian reaches beyond 180."""

    points: Floats
    """(m, 2) corners of all rings, each ring closed."""
    rings: NDArray[np.int64]
    """Where each ring begins in `points`, and the end."""
    parts: NDArray[np.int64]
    """Where the rings of each footprint begin in `rings`, (n + 1,)."""
    boxes: Floats
    """(n, 4) west, south, east, north."""

    @classmethod
    def of(cls, shapes: NDArray[np.object_]) -> "Outlines":
        """Outlines of polygons and multipolygons; those that are cut at the antimeridian are joined there."""
        boxes = shapely.bounds(shapes)
        cut = np.flatnonzero(boxes[:, 2] - boxes[:, 0] > 180.0)
        if len(cut):
            shapes = shapes.copy()
            shapes[cut] = [joined(shape) for shape in shapes[cut]]
            boxes = shapely.bounds(shapes)
        parts, of_shape = shapely.get_parts(shapes, return_index=True)
        rings, of_part = shapely.get_rings(parts, return_index=True)
        points, of_ring = shapely.get_coordinates(rings, return_index=True)
        return cls(points, _starts(of_ring, len(rings)), _starts(of_shape[of_part], len(shapes)), boxes)


def joined(shape: BaseGeometry) -> BaseGeometry:
    """A footprint that is cut at the antimeridian, in one piece: what lies west of 0 is moved by a whole turn."""
    pieces = [
        shapely.affinity.translate(part, 360.0) if part.centroid.x < 0 else part for part in shapely.get_parts(shape)
    ]
    if len(pieces) > 1:
        return shapely.union_all(pieces)
    return shapely.transform(shape, lambda xy: np.where([1, 0] * (xy < 0), xy + 360.0, xy))


def _starts(owners: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=n))]).astype(np.int64)


@njit(cache=True, nogil=True)
def lies(points, rings, parts, boxes, k, quad, turn):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """How footprint k, moved by `turn` degrees of longitude, lies to a convex anticlockwise quad: 0 apart, 1 touching,
    2 covering.

    An edge that runs through the inside of the quad leaves a part of the quad out; without one, its middle decides.
    """
    west = min(min(quad[0, 0], quad[1, 0]), min(quad[2, 0], quad[3, 0])) - turn
    east = max(max(quad[0, 0], quad[1, 0]), max(quad[2, 0], quad[3, 0])) - turn
    south = min(min(quad[0, 1], quad[1, 1]), min(quad[2, 1], quad[3, 1]))
    north = max(max(quad[0, 1], quad[1, 1]), max(quad[2, 1], quad[3, 1]))
    if boxes[k, 0] > east or boxes[k, 2] < west or boxes[k, 1] > north or boxes[k, 3] < south:
        return 0
    x = (quad[0, 0] + quad[1, 0] + quad[2, 0] + quad[3, 0]) / 4 - turn
    y = (quad[0, 1] + quad[1, 1] + quad[2, 1] + quad[3, 1]) / 4
    inside, grazed = False, False
    for ring in range(parts[k], parts[k + 1]):
        for i in range(rings[ring], rings[ring + 1] - 1):
            ax, ay, bx, by = points[i, 0], points[i, 1], points[i + 1, 0], points[i + 1, 1]
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                inside = not inside
            if max(ax, bx) < west or min(ax, bx) > east or max(ay, by) < south or min(ay, by) > north:
                continue
            crosses = _crosses(ax + turn, ay, bx + turn, by, quad)
            if crosses == 2:
                return 1
            grazed |= crosses == 1
    if inside:
        return 2
    return 1 if grazed else 0


@njit(cache=True, nogil=True)
def _crosses(ax, ay, bx, by, quad):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """2 where a segment runs through the inside of a convex quad, 1 where it only touches its border, 0 apart."""
    enter, leave, borders = 0.0, 1.0, False
    for i in range(4):
        px, py = quad[i, 0], quad[i, 1]
        qx, qy = quad[(i + 1) % 4, 0], quad[(i + 1) % 4, 1]
        a = (qx - px) * (ay - py) - (qy - py) * (ax - px)  # left of the side, which is inside, is positive
        b = (qx - px) * (by - py) - (qy - py) * (bx - px)
        if a < 0 and b < 0:
            return 0
        if a <= 0 and b <= 0:
            borders = True
            if a < 0 or b < 0:
                t = a / (a - b) if a != b else 0.0
                enter, leave = max(enter, t), min(leave, t)
        elif a < 0:
            enter = max(enter, a / (a - b))
        elif b < 0:
            leave = min(leave, a / (a - b))
    if enter > leave:
        return 0
    return 1 if borders or enter == leave else 2
