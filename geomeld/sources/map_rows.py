"""MapRows: the features of a map as columns, small enough for a country, in memory or mapped from a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
import shapely.affinity
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geomeld.dataset.files import atomic
from geomeld.sources.source import Feature

TURNS = (0.0, -360.0, 360.0)
"""A map is looked up where the tile is and a whole turn to either side, so that the antimeridian is no border."""

EDGES = ("west", "south", "east", "north")
SCHEMA = pa.schema(
    [("feature_id", pa.string()), ("tags", pa.int32()), ("shape", pa.large_binary())]
    + [(edge, pa.float64()) for edge in EDGES]
)
"""`tags` is a position in the list of tags that the schema's metadata hold, `shape` is WKB in degrees."""

BLOCK = 512
"""Rows whose common outline is looked at before their own: neighbours lie together."""

CHUNK = 200_000
"""Rows that are joined with tiles at once."""

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class About:
    """What a map says of itself."""

    box: tuple[float, float, float, float] | None = None
    """West, south, east and north of what it covers, degrees; None where it says nothing."""
    snapshot: str = ""
    """Moment up to which it holds all changes, as its file states it; empty where it states none."""
    skipped: int = 0
    """Objects that were left out because they have no proper shape."""


class RowsBuilder:
    """Gathers features batch by batch."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.known: dict[tuple[tuple[str, str], ...], int] = {}

    def number_of(self, tags: Tags) -> int:
        """Position of tags in the list of all tags; most features share theirs with thousands of others."""
        return self.known.setdefault(tuple(sorted(tags.items())), len(self.known))

    def add(self, ids: Sequence[str], tags: Sequence[int], shapes: NDArray[np.object_]) -> None:
        """Keep features; degrees. A shape across the antimeridian goes on beyond 180."""
        columns = [
            pa.array(ids, pa.string()),
            pa.array(tags, pa.int32()),
            pa.array(shapely.to_wkb(shapes), SCHEMA.field("shape").type),
        ]
        columns += [pa.array(edge, pa.float64()) for edge in shapely.bounds(shapes).T]
        self.batches.append(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))

    def rows(self, about: About) -> "MapRows":
        """All features that were added, neighbours together."""
        whole = pa.Table.from_batches(self.batches, SCHEMA)
        whole = whole.take(pa.array(_neighbours_together(*(whole[edge].to_numpy() for edge in EDGES))))
        known = {**asdict(about), "tags": [dict(tags) for tags in self.known]}
        schema = SCHEMA.with_metadata({"map": json.dumps(known)})
        batches = whole.combine_chunks().replace_schema_metadata(schema.metadata).to_batches()
        return MapRows.of(batches[0] if batches else pa.RecordBatch.from_pylist([], schema))


def _neighbours_together(
    west: NDArray[np.float64], south: NDArray[np.float64], east: NDArray[np.float64], north: NDArray[np.float64]
) -> NDArray[np.int64]:
    """An order of boxes along a curve that visits a quarter of a square before the next (Morton), ties as they come."""
    code = np.zeros(len(west), dtype=np.uint64)
    for shift, (low, high, span) in enumerate(((west, east, 720.0), (south, north, 360.0))):
        steps = np.clip(((low + high) / 2 + span / 2) / span, 0.0, 1.0) * (2**31 - 1)
        bits = steps.astype(np.uint64)
        for by, mask in SPREAD:
            bits = (bits | (bits << np.uint64(by))) & np.uint64(mask)
        code |= bits << np.uint64(shift)
    return np.argsort(code, kind="stable")


SPREAD = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)
"""Steps that put a zero between the bits of a number of 32."""


@dataclass(frozen=True, slots=True)
class MapRows:
    """What a map holds."""

    batch: pa.RecordBatch
    edges: tuple[NDArray[np.float64], ...]
    """West, south, east and north of every feature."""
    blocks: tuple[NDArray[np.float64], ...]
    """The same of every `BLOCK` features in a row."""
    tags: Sequence[Tags]
    about: About

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "MapRows":
        """The map in a batch of SCHEMA."""
        known = json.loads(batch.schema.metadata[b"map"])
        edges = tuple(batch.column(edge).to_numpy() for edge in EDGES)
        starts = np.arange(0, batch.num_rows, BLOCK)
        outer = (np.minimum, np.minimum, np.maximum, np.maximum)
        blocks = tuple(f.reduceat(e, starts) if len(starts) else e for f, e in zip(outer, edges, strict=True))
        box = None if known["box"] is None else tuple(known["box"])
        return cls(batch, edges, blocks, known["tags"], About(box, known["snapshot"], known["skipped"]))

    @classmethod
    def load(cls, path: Path) -> "MapRows":
        """The map that `save` wrote; it stays on disk, and all processes share what they look at."""
        return cls.of(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0))

    def save(self, path: Path) -> None:
        """Write the map as an Arrow file."""
        with atomic(path) as file, pa.ipc.new_file(file, self.batch.schema) as writer:
            writer.write_batch(self.batch)

    def knows(self, outline: BaseGeometry) -> bool:
        """Whether this is a map of an outline; without a box, of one that comes near its features."""
        if self.about.box is not None:
            box = shapely.box(*self.about.box)
            return shapely.union_all([_moved(box, turn) for turn in TURNS]).covers(outline)
        if not self.batch.num_rows:
            return False
        west, south, east, north = self.edges
        hull = shapely.box(west.min(), south.min(), east.max(), north.max())
        return any(hull.intersects(_moved(outline, turn)) for turn in TURNS)

    def around(self, outline: BaseGeometry) -> Iterator[Feature]:
        """Features that intersect an outline, moved to its longitudes."""
        for turn in TURNS:
            turned = _moved(outline, turn)
            near = self._near(turned.bounds)
            shapes = self._shapes(near)
            shapely.prepare(turned)
            for i in np.flatnonzero(shapely.intersects(turned, shapes)):
                yield self._feature(int(near[i]), shapes[i], turn)

    def join(self, outlines: Sequence[BaseGeometry]) -> list[list[Feature]]:
        """The same for many outlines at once, in one pass over the map; features sorted by feature_id."""
        found: list[dict[int, Feature]] = [{} for _ in outlines]
        for turn in TURNS:
            turned = np.array([_moved(o, turn) for o in outlines], dtype=object)
            tree = shapely.STRtree(turned)
            for start in range(0, self.batch.num_rows, CHUNK):
                west, south, east, north = (edge[start : start + CHUNK] for edge in self.edges)
                rows, tiles = tree.query(shapely.box(west, south, east, north))
                shapes = self._shapes(rows + start)
                for i in np.flatnonzero(shapely.intersects(turned[tiles], shapes)):
                    row = int(rows[i]) + start
                    found[tiles[i]][row] = self._feature(row, shapes[i], turn)
        return [sorted(features.values(), key=lambda f: f.feature_id) for features in found]

    def _near(self, bounds: tuple[float, float, float, float]) -> NDArray[np.int64]:
        """Rows whose boxes touch a box."""
        blocks = np.flatnonzero(_touching(self.blocks, bounds))
        rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        rows = rows[rows < self.batch.num_rows]
        return rows[_touching(tuple(e[rows] for e in self.edges), bounds)]

    def _shapes(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        return shapely.from_wkb(self.batch.column("shape").take(pa.array(rows)).to_numpy(zero_copy_only=False))

    def _feature(self, row: int, shape: BaseGeometry, turn: float) -> Feature:
        name, tags = self.batch["feature_id"][row].as_py(), self.batch["tags"][row].as_py()
        return Feature(name, _moved(shape, -turn), self.tags[tags])


def _touching(edges: tuple[NDArray[np.float64], ...], bounds: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    w, s, e, n = edges
    west, south, east, north = bounds
    return (w <= east) & (e >= west) & (s <= north) & (n >= south)


def _moved(shape: BaseGeometry, turn: float) -> BaseGeometry:
    """A shape with its longitudes changed by whole turns."""
    return shapely.affinity.translate(shape, turn) if turn else shape
