"""MapRows: the features of a map as columns, small enough for a country, in memory or mapped from a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

Tags = Mapping[str, str]


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

    def rows(self, box: BaseGeometry | None, skipped: int) -> "MapRows":
        """All features that were added."""
        about = {"box": box and box.bounds, "skipped": skipped, "tags": [dict(tags) for tags in self.known]}
        schema = SCHEMA.with_metadata({"map": json.dumps(about)})
        whole = pa.Table.from_batches(self.batches, SCHEMA).combine_chunks().replace_schema_metadata(schema.metadata)
        batches = whole.to_batches()
        return MapRows.of(batches[0] if batches else pa.RecordBatch.from_pylist([], schema))


@dataclass(frozen=True, slots=True)
class MapRows:
    """What a map holds."""

    batch: pa.RecordBatch
    edges: tuple[NDArray[np.float64], ...]
    """West, south, east and north of every feature."""
    tags: Sequence[Tags]
    box: BaseGeometry | None
    """What the map says that it covers, degrees; None where it says nothing."""
    skipped: int
    """Objects that were left out because they have no proper shape."""

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> "MapRows":
        """The map in a batch of SCHEMA."""
        about = json.loads(batch.schema.metadata[b"map"])
        edges = tuple(batch.column(edge).to_numpy() for edge in EDGES)
        box = None if about["box"] is None else shapely.box(*about["box"])
        return cls(batch, edges, about["tags"], box, about["skipped"])

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
        if self.box is not None:
            return shapely.union_all([_moved(self.box, turn) for turn in TURNS]).covers(outline)
        if not self.batch.num_rows:
            return False
        west, south, east, north = self.edges
        hull = shapely.box(west.min(), south.min(), east.max(), north.max())
        return any(hull.intersects(_moved(outline, turn)) for turn in TURNS)

    def around(self, outline: BaseGeometry) -> Iterator[Feature]:
        """Features that intersect an outline, moved to its longitudes."""
        for turn in TURNS:
            turned = _moved(outline, turn)
            west, south, east, north = turned.bounds
            w, s, e, n = self.edges
            near = np.flatnonzero((w <= east) & (e >= west) & (s <= north) & (n >= south))
            part = self.batch.take(pa.array(near))
            shapes = shapely.from_wkb(part.column("shape").to_numpy(zero_copy_only=False))
            shapely.prepare(turned)
            for i in np.flatnonzero(shapely.intersects(turned, shapes)):
                name, tags = part["feature_id"][int(i)].as_py(), part["tags"][int(i)].as_py()
                yield Feature(name, _moved(shapes[i], -turn), self.tags[tags])


def _moved(shape: BaseGeometry, turn: float) -> BaseGeometry:
    """A shape with its longitudes changed by whole turns."""
    return shapely.affinity.translate(shape, turn) if turn else shape
