"""SceneStore: the chosen scenes of a whole plan, on disk, to be dealt out to rows."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geomeld.build.plan.row import SCENE
from geomeld.dataset.files import PARTIAL


class SceneStore:
    """Scenes are appended, each getting a number; then rows take them by number. The file has no name once it is whole,
    so that it goes with the process."""

    def __init__(self, beside: Path) -> None:
        beside.parent.mkdir(parents=True, exist_ok=True)
        self._path = beside.with_name(f".{beside.name}.scenes.{os.getpid()}{PARTIAL}")
        self._schema = pa.schema([("scene", SCENE)])
        self._sink = pa.OSFile(str(self._path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._starts = [0]
        self._batches: list[pa.StructArray] = []

    def __enter__(self) -> "SceneStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._batches = []
        self._end()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def __len__(self) -> int:
        return self._starts[-1]

    def append(self, scenes: Iterable[dict[str, Any]]) -> range:
        """The numbers of scenes, which are values of SCENE."""
        batch = pa.array(list(scenes), SCENE)
        first = len(self)
        if len(batch):
            self._writer.write_batch(pa.record_batch([batch], schema=self._schema))
            self._starts.append(first + len(batch))
        return range(first, len(self))

    def close(self) -> None:
        """No more scenes will come."""
        self._end()
        file = pa.ipc.open_file(pa.memory_map(str(self._path)))
        self._path.unlink()
        self._batches = [file.get_batch(k).column(0) for k in range(file.num_record_batches)]

    def _end(self) -> None:
        if not self._sink.closed:
            self._writer.close()
            self._sink.close()

    def take(self, numbers: NDArray[np.int64]) -> pa.StructArray:
        """The scenes of some numbers, in their order."""
        wanted, where = np.unique(numbers, return_inverse=True)
        cuts = np.searchsorted(wanted, self._starts)
        parts = [
            batch.take(pa.array(wanted[a:b] - start))
            for batch, start, a, b in zip(self._batches, self._starts, cuts, cuts[1:], strict=False)
            if b > a
        ]
        whole = pa.concat_arrays(parts) if parts else pa.array([], SCENE)
        return whole.take(pa.array(where))
