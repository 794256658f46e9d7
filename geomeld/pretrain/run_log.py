"""RunLog: log.jsonl, one row per step, readable while the run goes on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from geomeld.dataset.files import write_atomically

LOG = "log.jsonl"


class Append(Protocol):
    """Writes a row."""

    def __call__(self, row: Mapping[str, float]) -> None:
        """Add one row at the end."""


@contextmanager
def run_log(folder: Path, rows: Sequence[Mapping[str, float]]) -> Iterator[Append]:
    """Start the log with the rows of the steps done, dropping those of steps that will be done again; then append.

    The rows of a saved state are the truth: where the machine fails, it is they that the log starts with again.
    """
    write_atomically(folder / LOG, "".join(map(_line, rows)).encode())
    with (folder / LOG).open("ab", buffering=0) as file:  # a line in one write: no reader sees half of it

        def append(row: Mapping[str, float]) -> None:
            file.write(_line(row).encode())

        yield append


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(row) + "\n"


def rows_of(folder: Path) -> list[dict[str, float]]:
    """The rows of the log in a checkpoint folder."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
