"""Planning one tile: its scenes by the rules, through any source."""

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.build.config import BuildConfig
from geomeld.build.plan import rules
from geomeld.build.plan.row import PlanRow
from geomeld.core.draw import below, draw_words
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Anchor
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene, Source

DAY = dt.timedelta(days=1)
EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)

MARGIN_M = 20.0
"""A scene covers a tile where it covers this much around it, too: resampling looks beyond the edge."""

MODE = "IW"
"""The one mode of Sentinel-1 that is used; scenes that state another are left out."""


def plan_tile(anchor: Anchor, source: Source, config: BuildConfig) -> PlanRow:
    """Choose the scenes of one anchor (paper 3.4): the photograph fixes the reference date where there is one, the
    reference modality is the clear scene nearest to that date, the others lie around its acquisition."""
    place = Place(anchor, source, config)
    scenes: dict[str, tuple[Scene, ...]] = {}
    days: dict[str, float] = {}
    date = anchor.reference_date
    for modality in place.served(Timing.ANCHOR) if config.naip else ():
        if chosen := place.photograph(modality):
            scenes[modality.name], date = chosen, _date(chosen[0])
    middle = rules.noon(date)
    reference, stage = None, ""
    for modality in place.served(Timing.REFERENCE):
        reference, stage, reason = place.reference(modality, middle)
        if reference is None:
            return PlanRow(anchor, reason=reason)
        scenes[modality.name] = (reference,)
        days[modality.name] = days_between(reference, middle)
    if reference is None or reference.acquired is None:
        return PlanRow(anchor, reason=f"the source {source.name} serves no modality that fixes the date")
    for modality in place.served(Timing.NEAREST, Timing.MODE, Timing.STATIC):
        chosen = place.around(modality, reference.acquired)
        if chosen:
            scenes[modality.name] = chosen
            if chosen[0].acquired:
                days[modality.name] = days_between(chosen[0], reference.acquired)
    return PlanRow(anchor, scenes, days, stage)


class Place:
    """One anchor, its square, and what a source has there."""

    def __init__(self, anchor: Anchor, source: Source, config: BuildConfig) -> None:
        """Raises AnchorError outside UTM."""
        self._anchor, self._source, self._config = anchor, source, config
        self._grid = Grid.centred_on(anchor.lon, anchor.lat)
        self._outline = Polygon(self._grid.padded(MARGIN_M).footprint())
        self._there = source.modalities()

    def served(self, *timings: Timing) -> list[Modality]:
        """Modalities of the source, by how their scenes are chosen."""
        return [m for t in timings for n, m in MODALITIES.items() if m.timing is t and n in self._there]

    def photograph(self, modality: Modality) -> tuple[Scene, ...]:
        """All scenes of one date that together cover the tile; the date is drawn (the paper is silent)."""
        first, last = self._config.other_years
        start, end = dt.datetime(first, 1, 1, tzinfo=dt.UTC), dt.datetime(last + 1, 1, 1, tzinfo=dt.UTC)
        outline = Polygon(self._grid.footprint())
        by_date: dict[dt.date, list[Scene]] = {}
        for scene in self._source.scenes(modality, self._grid, start, end):
            if scene.acquired:
                by_date.setdefault(scene.acquired.date(), []).append(scene)
        whole = [d for d, found in sorted(by_date.items()) if together_cover([s.footprint for s in found], outline)]
        return tuple(by_date[drawn_date(self._config, self._anchor.tile_id, whole)]) if whole else ()

    def reference(self, modality: Modality, middle: dt.datetime) -> tuple[Scene | None, str, str]:
        """(scene, stage, reason): the clear scene nearest in time, in windows that widen, then in other years."""
        met: dict[str, tuple[bool, bool]] = {}
        hidden: set[str] = set()
        for stage, centre, half in rules.windows(middle, self._config):
            found = self._source.scenes(modality, self._grid, centre - half * DAY, centre + half * DAY)
            cloudy = np.array([_cloud(s) >= self._config.max_cloud for s in found], bool)
            covers = self._lie(found) == rules.COVERS
            met |= {s.scene_id: (bool(c), bool(w)) for s, c, w in zip(found, cloudy, covers, strict=True)}
            usable = ~cloudy & covers & np.array([s.scene_id not in hidden for s in found], bool)
            ids = _ranks([s.scene_id for s in found])
            keys = (
                np.array([abs(rules.micros(_time(s)) - rules.micros(centre)) for s in found], np.int64),
                np.array([s.epsg != self._grid.epsg for s in found], np.int64),
                np.array([baseline_number(s.properties.get("baseline")) for s in found], np.int64),
                np.array([_cloud(s) for s in found], np.float64),
                ids,
            )
            while (best := rules.first_reference(*keys, usable)) >= 0:
                if self._is_clear(found[best]):
                    return found[best], stage, ""
                hidden.add(found[best].scene_id)
                usable[best] = False
        cloudy_ones = sum(c for c, _ in met.values())
        partial = sum(not c and not w for c, w in met.values())
        said = rules.nothing_found(modality.name, self._config, middle.date(), len(met), cloudy_ones, partial)
        return None, "", said

    def around(self, modality: Modality, middle: dt.datetime) -> tuple[Scene, ...]:
        """Scenes of a modality around the reference acquisition."""
        if modality.timing is Timing.STATIC:
            return tuple(self._source.scenes(modality, self._grid, *EVER))
        half = self._config.window_days * DAY
        found = self._source.scenes(modality, self._grid, middle - half, middle + half)
        found = [s for s in found if s.properties.get("mode", MODE) == MODE]
        time = np.array([rules.micros(_time(s)) for s in found], np.int64)
        per_pass = modality.timing is Timing.NEAREST
        wait = np.abs(time - rules.micros(middle))
        order = rules.by_nearness(self._lie(found), wait, _ranks([s.scene_id for s in found]), per_pass)
        if per_pass:
            order = rules.one_pass_each(order, time, np.array([rules.ORBITS[s.orbit] for s in found], np.int64))
        return tuple(found[i] for i in order)

    def _lie(self, found: Sequence[Scene]) -> np.ndarray:
        """How scenes, all of which touch the tile, lie to it and its margin."""
        shapes = np.array([near(s.footprint, self._outline) for s in found], object)
        return np.where(shapely.covers(shapes, self._outline), rules.COVERS, rules.TOUCHES).astype(np.int64)

    def _is_clear(self, scene: Scene) -> bool:
        look: Callable[[Scene, Grid], float | None] | None = getattr(self._source, "clear_share", None)
        share = look(scene, self._grid) if look and self._config.clear_share > 0 else None
        return share is None or share >= self._config.clear_share


def together_cover(footprints: Sequence[BaseGeometry], outline: BaseGeometry) -> bool:
    """Whether outlines leave nothing of a tile out."""
    return bool(shapely.union_all([near(f, outline) for f in footprints]).covers(outline))


def drawn_date(config: BuildConfig, tile_id: int, dates: Sequence[dt.date]) -> dt.date:
    """One of the dates of a tile's photographs."""
    return dates[below(draw_words(config.seed, "photograph", tile_id)[0], len(dates))]


def near(footprint: BaseGeometry, outline: BaseGeometry) -> BaseGeometry:
    """A footprint moved by whole turns to where the tile is, so that the antimeridian is no border."""
    shift = 360.0 * round((outline.centroid.x - footprint.centroid.x) / 360.0)
    return shapely.affinity.translate(footprint, shift) if shift else footprint


def baseline_number(baseline: object) -> int:
    """A processing baseline such as "04.00" as a number to sort by; 0 where there is none."""
    try:
        return round(100 * float(str(baseline)))
    except ValueError:
        return 0


def days_between(scene: Scene, middle: dt.datetime) -> float:
    """Signed days from a moment to a scene."""
    return (scene.acquired - middle) / DAY if scene.acquired else 0.0


def _cloud(scene: Scene) -> float:
    """Unknown cloud cover counts as 0: a catalogue that does not state it gives no reason to refuse its scenes."""
    return 0.0 if scene.cloud_cover is None else scene.cloud_cover


def _time(scene: Scene) -> dt.datetime:
    return scene.acquired or EVER[0]


def _date(scene: Scene) -> dt.date:
    return _time(scene).date()


def _ranks(ids: Sequence[str]) -> np.ndarray:
    ranks = np.empty(len(ids), np.int64)
    ranks[sorted(range(len(ids)), key=lambda i: ids[i])] = np.arange(len(ids))
    return ranks
