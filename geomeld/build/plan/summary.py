"""Summary: what a plan file amounts to, counted column by column."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geomeld.core.errors import DatasetError


@dataclass
class Summary:
    """Counts and distributions of a plan."""

    name: str
    anchors: int = 0
    planned: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """By kind: what precedes the parenthesis."""
    modalities: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(tiles that have any, scenes in all) by modality."""
    days: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Signed days of the first scene by modality."""
    cloud: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Cloud cover of the scenes that state it."""
    months: Counter[str] = field(default_factory=Counter)
    """Tiles by month of their reference date, e.g. "2019-07"."""
    lon: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    lat: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    is_planned: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    def as_json(self) -> dict[str, Any]:
        """The counts as plain values."""
        return {
            "anchors": self.anchors,
            "planned": self.planned,
            "stages": dict(self.stages),
            "reasons": dict(self.reasons),
            "modalities": {n: {"tiles": t, "scenes": s} for n, (t, s) in self.modalities.items()},
            "median_days": {n: float(np.median(np.abs(d))) for n, d in self.days.items() if len(d)},
        }


def summary_of(path: Path) -> Summary:
    """Count a plan, a row group at a time. Raises DatasetError where the file is none."""
    found = Summary(path.name)
    parts: dict[str, list[NDArray]] = {"lon": [], "lat": [], "planned": [], "cloud": []}
    days: dict[str, list[NDArray]] = {}
    tiles, scenes = Counter[str](), Counter[str]()
    columns = ["lon", "lat", "reference_date", "stage", "reason", "days"]
    columns += [f"scenes.list.element.{c}" for c in ("modality", "cloud_cover")]
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(columns=columns):
            reason = batch["reason"].to_pylist()
            planned = np.array([not r for r in reason], bool)
            found.reasons.update(r.partition(" (")[0] for r in reason if r)
            found.stages.update(s for s in batch["stage"].to_pylist() if s)
            found.months.update(d[:7] for d in batch["reference_date"].to_pylist())
            parts["lon"].append(batch["lon"].to_numpy())
            parts["lat"].append(batch["lat"].to_numpy())
            parts["planned"].append(planned)
            _days(batch["days"], days)
            _scenes(batch["scenes"], tiles, scenes, parts["cloud"])
    except FileNotFoundError:
        raise DatasetError(f"There is no plan {path}; write it with `geomeld plan --out`.") from None
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DatasetError(
            f"{path} is no plan that `geomeld plan` of this version wrote: {error}. Plan again."
        ) from None
    joined = {k: np.concatenate(v) if v else np.empty(0) for k, v in parts.items()}
    found.lon, found.lat, found.is_planned = joined["lon"], joined["lat"], joined["planned"].astype(bool)
    found.cloud = joined["cloud"].astype(np.float64)
    found.anchors, found.planned = len(found.lon), int(found.is_planned.sum())
    found.days = {n: np.concatenate(v) for n, v in days.items()}
    found.modalities = {n: (tiles[n], scenes[n]) for n in scenes}
    return found


def _days(column: pa.MapArray, days: dict[str, list[NDArray]]) -> None:
    pair = pa.struct({"name": pa.string(), "days": pa.float64()})
    flat = column.cast(pa.list_(pair)).flatten()
    names, values = flat.field(0).to_numpy(zero_copy_only=False), flat.field(1).to_numpy()
    for name in np.unique(names) if len(names) else ():
        days.setdefault(str(name), []).append(values[names == name])


def _scenes(column: pa.ListArray, tiles: Counter[str], scenes: Counter[str], clouds: list[NDArray]) -> None:
    flat = column.flatten()
    if not len(flat):
        return
    names = flat.field("modality").to_numpy(zero_copy_only=False)
    owners = column.value_parent_indices().to_numpy()
    cloud = flat.field("cloud_cover").to_numpy(zero_copy_only=False).astype(np.float64)
    clouds.append(cloud[np.isfinite(cloud)])
    for name in np.unique(names):
        mine = owners[names == name]
        scenes[str(name)] += len(mine)
        tiles[str(name)] += len(np.unique(mine))
