"""Plan: the scenes of every anchor, chosen in a hierarchy and without a pixel."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.build.config import BuildConfig
from geomeld.core.config import to_json
from geomeld.core.draw import below, draw_words
from geomeld.core.errors import DatasetError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Anchor
from geomeld.dataset.files import atomic
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene, Source

DAY = dt.timedelta(days=1)
EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What one tile will be built from."""

    anchor: Anchor
    scenes: Mapping[str, tuple[Scene, ...]] = field(default_factory=dict)
    """Chosen scenes by modality; the first one wins where several are valid."""
    days: Mapping[str, float] = field(default_factory=dict)
    """By modality: signed days from the scene to what it was chosen by (the reference date, or the reference scene)."""
    stage: str = ""
    """Which window the reference scene was found in: "15 d", "30 d", "45 d" or "year 2019"."""
    reason: str = ""
    """Why no tile can be built; empty where one can."""


def plan_tile(anchor: Anchor, source: Source, config: BuildConfig) -> PlanRow:
    """Choose the scenes of one anchor (paper 3.4): the photograph fixes the reference date where there is one, the
    reference modality is the clear scene nearest to that date, the others lie around its acquisition."""
    grid = Grid.centred_on(anchor.lon, anchor.lat)
    outline = Polygon(grid.padded(20.0).footprint())
    served = [m for n, m in MODALITIES.items() if n in source.modalities()]
    scenes: dict[str, tuple[Scene, ...]] = {}
    days: dict[str, float] = {}
    date = anchor.reference_date
    for modality in served:
        if modality.timing is Timing.ANCHOR and config.naip:
            chosen = _photograph(anchor, modality, source, grid, config)
            if chosen and chosen[0].acquired:
                scenes[modality.name], date = chosen, chosen[0].acquired.date()
    middle = dt.datetime.combine(date, dt.time(12), dt.UTC)
    reference, stage = None, ""
    for modality in served:
        if modality.timing is Timing.REFERENCE:
            reference, stage, reason = _reference(modality, source, grid, outline, middle, config)
            if reference is None:
                return PlanRow(anchor, reason=reason)
            scenes[modality.name] = (reference,)
            days[modality.name] = _days(reference, middle)
    if reference is None or reference.acquired is None:
        return PlanRow(anchor, reason=f"the source {source.name} serves no modality that fixes the date")
    for modality in served:
        chosen = _around(modality, source, grid, outline, reference.acquired, config)
        if chosen:
            scenes[modality.name] = chosen
            if chosen[0].acquired:
                days[modality.name] = _days(chosen[0], reference.acquired)
    return PlanRow(anchor, scenes, days, stage)


def _photograph(
    anchor: Anchor, modality: Modality, source: Source, grid: Grid, config: BuildConfig
) -> tuple[Scene, ...]:
    """All scenes of one date that together cover the tile; the date is drawn (the paper is silent)."""
    start = dt.datetime(config.other_years[0], 1, 1, tzinfo=dt.UTC)
    end = dt.datetime(config.other_years[1] + 1, 1, 1, tzinfo=dt.UTC)
    by_date: dict[dt.date, list[Scene]] = {}
    for scene in source.scenes(modality, grid, start, end):
        if scene.acquired:
            by_date.setdefault(scene.acquired.date(), []).append(scene)
    outline = Polygon(grid.footprint())
    whole = [
        d
        for d, found in sorted(by_date.items())
        if shapely.union_all([_near(s, outline) for s in found]).covers(outline)
    ]
    if not whole:
        return ()
    word, _ = draw_words(config.seed, "photograph", anchor.tile_id)
    return tuple(by_date[whole[below(word, len(whole))]])


def _reference(
    modality: Modality, source: Source, grid: Grid, outline: BaseGeometry, middle: dt.datetime, config: BuildConfig
) -> tuple[Scene | None, str, str]:
    """(scene, stage, reason): the clear scene nearest in time, in windows that widen, then in other years."""
    met = 0
    for stage, centre, half in _windows(middle, config):
        found = source.scenes(modality, grid, centre - half * DAY, centre + half * DAY)
        met += len(found)
        good = [s for s in found if _near(s, outline).covers(outline) and _cloud(s) < config.max_cloud]
        for scene in sorted(good, key=lambda s: (abs(_days(s, centre)), s.epsg != grid.epsg, _cloud(s), s.scene_id)):
            if _is_clear(source, scene, grid, config):
                return scene, stage, ""
    if not met:
        return None, "", f"no scene of {modality.name} within reach of {middle.date()}"
    return (
        None,
        "",
        f"{met} scenes of {modality.name}, none under {config.max_cloud:g} % cloud that covers the tile clearly",
    )


def _windows(middle: dt.datetime, config: BuildConfig) -> list[tuple[str, dt.datetime, int]]:
    windows = [(f"{half} d", middle, half) for half in config.widening_days]
    years = range(config.other_years[0], config.other_years[1] + 1)
    for year in sorted(years, key=lambda y: (abs(y - middle.year), y)):
        if year != middle.year:
            day = min(middle.day, 28)
            windows.append((f"year {year}", middle.replace(year=year, day=day), config.widening_days[0]))
    return windows


def _is_clear(source: Source, scene: Scene, grid: Grid, config: BuildConfig) -> bool:
    look = getattr(source, "clear_share", None)
    share = look(scene, grid) if look else None
    return share is None or share >= config.clear_share


def _around(
    modality: Modality, source: Source, grid: Grid, outline: BaseGeometry, middle: dt.datetime, config: BuildConfig
) -> tuple[Scene, ...]:
    start, end = middle - config.window_days * DAY, middle + config.window_days * DAY
    match modality.timing:
        case Timing.STATIC:
            return tuple(source.scenes(modality, grid, *EVER))
        case Timing.MODE:
            found = source.scenes(modality, grid, start, end)
            return tuple(sorted(found, key=lambda s: (abs(_days(s, middle)), s.scene_id)))
        case Timing.NEAREST:
            found = source.scenes(modality, grid, start, end)
            ranked = sorted(
                found, key=lambda s: (not _near(s, outline).covers(outline), abs(_days(s, middle)), s.scene_id)
            )
            first: dict[str | None, list[Scene]] = {}
            for scene in ranked:
                known = first.setdefault(scene.orbit, [])
                # Slices of one pass are mosaicked; another date of the same direction is not.
                if not known or (
                    known[0].acquired and scene.acquired and abs(scene.acquired - known[0].acquired) < DAY / 24
                ):
                    known.append(scene)
            return tuple(s for orbit in sorted(first, key=str) for s in first[orbit])
        case _:
            return ()


def _cloud(scene: Scene) -> float:
    """Unknown cloud cover counts as 0: a catalogue that does not state it gives no reason to refuse its scenes."""
    return 0.0 if scene.cloud_cover is None else scene.cloud_cover


def _days(scene: Scene, middle: dt.datetime) -> float:
    return (scene.acquired - middle) / DAY if scene.acquired else 0.0


def _near(scene: Scene, outline: BaseGeometry) -> BaseGeometry:
    """A scene's footprint, moved by whole turns to where the tile is, so that the antimeridian is no border."""
    shift = 360.0 * round((outline.centroid.x - scene.footprint.centroid.x) / 360.0)
    return shapely.affinity.translate(scene.footprint, shift) if shift else scene.footprint


COLUMNS = ("lon", "lat", "reference_date", "source", "source_key", "biome", "stage", "reason", "days", "scenes")
SCHEMA = pa.schema(
    [("tile_id", pa.int64())] + [(c, pa.float64() if c in ("lon", "lat") else pa.string()) for c in COLUMNS]
)
"""Columns of plan.parquet."""


def row_json(row: PlanRow) -> dict[str, Any]:
    """A row of a plan as plain values, the columns of plan.parquet; `days` and `scenes` are JSON texts."""
    return {
        **to_json(row.anchor),
        "stage": row.stage,
        "reason": row.reason,
        "days": json.dumps(dict(row.days), sort_keys=True),
        "scenes": json.dumps({n: [scene_json(s) for s in v] for n, v in row.scenes.items()}),
    }


def write_plan(path: Path, rows: Sequence[PlanRow]) -> None:
    """Write a plan as Parquet: a row per anchor, its scenes as JSON."""
    table = pa.Table.from_pylist([row_json(r) for r in rows], schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        pq.write_table(table, file)


def read_plan(path: Path) -> list[PlanRow]:
    """Read a plan. Raises DatasetError where the file is no plan."""
    try:
        return [_row(r) for r in pq.read_table(path).to_pylist()]
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DatasetError(f"{path} is no plan that `geomeld plan` wrote: {error}.") from None


def _row(r: Mapping) -> PlanRow:
    date = dt.date.fromisoformat(r["reference_date"])
    anchor = Anchor(r["tile_id"], r["lon"], r["lat"], date, r["source"], r["source_key"], r["biome"])
    scenes = {n: tuple(scene_of(s) for s in v) for n, v in json.loads(r["scenes"]).items()}
    return PlanRow(anchor, scenes, json.loads(r["days"]), r["stage"], r["reason"])


def scene_json(scene: Scene) -> dict:
    """A scene as JSON."""
    return {
        "scene_id": scene.scene_id,
        "modality": scene.modality,
        "footprint": scene.footprint.wkt,
        "acquired": scene.acquired.isoformat() if scene.acquired else None,
        "cloud_cover": scene.cloud_cover,
        "orbit": scene.orbit,
        "epsg": scene.epsg,
        "product": scene.product,
        "properties": dict(scene.properties),
    }


def scene_of(data: Mapping) -> Scene:
    """A scene from its JSON."""
    acquired = dt.datetime.fromisoformat(data["acquired"]) if data["acquired"] else None
    return Scene(**{**data, "footprint": shapely.from_wkt(data["footprint"]), "acquired": acquired})
