"""Curves: the log of a run, one JSON line per step, and its series by term."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomeld.core.errors import CheckpointError
from geomeld.dataset.files import write_atomically

LOG = "log.jsonl"


@dataclass(frozen=True, slots=True)
class Curves:
    """The losses of a run."""

    steps: tuple[int, ...]
    """Counted from 1."""
    terms: Mapping[str, tuple[float, ...]]
    """By name: "total", "mpmae/<modality>", "mpmae", "jepa", "itc"; unweighted but for the total and "mpmae"."""
    rates: tuple[float, ...]
    """Learning rates."""
    samples_per_second: tuple[float, ...]


def read_curves(folder: str | Path) -> Curves:
    """The curves of a checkpoint folder. Raises CheckpointError where it holds no log."""
    rows = read_log(Path(folder))
    if not rows:
        raise CheckpointError(f"{folder} holds no {LOG}; it was not written by `geomeld pretrain`.")
    terms = {name: tuple(row["terms"][name] for row in rows) for name in rows[0]["terms"]}
    return Curves(
        tuple(row["step"] for row in rows),
        {"total": tuple(row["loss"] for row in rows), **terms},
        tuple(row["lr"] for row in rows),
        tuple(row["samples_per_second"] for row in rows),
    )


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of the log; a last line that a killed run left unfinished is dropped."""
    path = folder / LOG
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def cut_log(folder: Path, last_step: int) -> None:
    """Drop what a killed run logged after its last saved step, so that no step stands in the log twice."""
    kept = [row for row in read_log(folder) if row["step"] <= last_step]
    write_atomically(folder / LOG, "".join(json.dumps(row) + "\n" for row in kept).encode())
