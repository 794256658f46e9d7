"""Make: anchors of several origins, excluded, thinned, completed by drawn ones, dated and labelled."""

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomeld.build.anchors.columns import NAMES, read_columns
from geomeld.build.anchors.continents import GLOBAL_SOUTH, coarse_continents
from geomeld.build.anchors.exclusion import read_zones, too_near
from geomeld.build.anchors.imports import read_mmearth, read_skyscript
from geomeld.build.anchors.overlap import thin
from geomeld.build.anchors.regions import (
    BIOME_FIELDS,
    CONTINENT_FIELDS,
    Anywhere,
    Floats,
    Regions,
    SimulatedBiomes,
    read_regions,
)
from geomeld.build.anchors.sample import Stratum, even_quotas, sample, strata_of
from geomeld.build.anchors.table import reference_date
from geomeld.build.order import BITS, hilbert
from geomeld.build.recipe import Recipe
from geomeld.build.squares import inside_utm, zones_of
from geomeld.core.config import to_json
from geomeld.core.draw import below, draw_words
from geomeld.core.errors import AnchorError
from geomeld.core.tile import tile_id_of


@dataclass
class Made:
    """Anchors, and what became of the rest."""

    anchors: pd.DataFrame
    """Columns NAMES, continent, overlap_group."""
    dropped: pd.DataFrame
    """Columns source, source_key, lon, lat, reason, gave_way_to (identifier of a tile that stays, 0 for none)."""
    short: Mapping[Stratum, tuple[int, int]] = field(default_factory=dict)
    """(got, asked) of quotas that could not be met."""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Origin:
    rank: int
    lenient: bool


MMEARTH, SKYSCRIPT, FILE, DRAWN = _Origin(0, True), _Origin(1, False), _Origin(1, True), _Origin(2, False)


def make_anchors(recipe: Recipe) -> Made:
    """Follow a recipe. The same recipe and files give the same anchors. Raises AnchorError and UsageError."""
    recipe.check()
    made = Made(pd.DataFrame(), pd.DataFrame())
    zones = read_zones(recipe.exclude) if recipe.exclude else None
    frames, origins = _imported(recipe, made)
    drops = []
    frame = pd.concat(frames, ignore_index=True) if frames else _nothing()
    if len(frame):
        frame, gone = _without(frame, ~inside_utm(frame.lon.to_numpy(), frame.lat.to_numpy()), "outside UTM")
        drops.append(gone)
        if zones is not None:
            near = too_near(frame.lon.to_numpy(), frame.lat.to_numpy(), zones, recipe.exclude_metres)
            frame, gone = _without(frame, near, f"within {recipe.exclude_metres:g} m of a place of evaluation")
            drops.append(gone)
        frame, gone, _ = _thinned(frame, origins, recipe)
        drops.append(gone)
    drawn = _drawn(recipe, frame, zones, made)
    if drawn is not None:
        frame = pd.concat([frame, drawn.assign(origin=len(origins))], ignore_index=True)
        origins = [*origins, DRAWN]
    if not len(frame):
        raise AnchorError("No place is left: all were dropped, or none could be drawn. Look at the exclusion zones.")
    frame, gone, group = _thinned(frame, origins, recipe)
    drops.append(gone)
    made.anchors = _along_the_curve(_labelled(frame.assign(overlap_group=group), recipe))
    made.dropped = pd.concat([d for d in drops if len(d)] or [drops[-1]], ignore_index=True)
    return made


def _along_the_curve(frame: pd.DataFrame) -> pd.DataFrame:
    """In the order in which tiles are built, so that a plan of them is read from one end to the other."""
    lon, lat = frame["lon"].to_numpy(), frame["lat"].to_numpy()
    x, y = (np.clip((v * 2**BITS).astype(np.int64), 0, 2**BITS - 1) for v in ((lon + 180) / 360, (lat + 90) / 180))
    order = np.lexsort((frame["tile_id"].to_numpy(), hilbert(x, y), zones_of(lon, lat)))
    return frame.iloc[order].reset_index(drop=True)


def provenance(recipe: Recipe, made: Made) -> dict[str, Any]:
    """What is stored with the anchors: the recipe, the files it read by their hashes, and the counts."""
    files = [*recipe.file, *recipe.mmearth, *recipe.skyscript, recipe.skyscript_meta, recipe.quotas, recipe.biomes]
    files += [recipe.continents, recipe.exclude]
    return {
        "recipe": to_json(recipe),
        "files": {str(f): _hash(f) for f in files if f is not None and f.is_file()},
        "anchors": len(made.anchors),
        "dropped": made.dropped.groupby(["source", "reason"]).size().reset_index().to_numpy().tolist(),
        "short": [[*s, got, asked] for s, (got, asked) in made.short.items()],
    }


def _imported(recipe: Recipe, made: Made) -> tuple[list[pd.DataFrame], list[_Origin]]:
    frames: list[pd.DataFrame] = []
    origins: list[_Origin] = []

    def add(frame: pd.DataFrame, origin: _Origin) -> None:
        frames.append(frame.assign(origin=len(origins)))
        origins.append(origin)

    for path in recipe.mmearth:
        add(_dated(read_mmearth(path).assign(source="mmearth"), recipe), MMEARTH)
    for path in recipe.skyscript:
        places, missing = read_skyscript(path, recipe.skyscript_meta)
        if missing:
            made.remarks.append(f"{missing} images of {path} have no metadata and are left out")
        add(_dated(places.assign(source="skyscript"), recipe), SKYSCRIPT)
    for path in recipe.file:
        add(read_columns(path, seed=recipe.seed, years=recipe.years).to_pandas(), FILE)
    return frames, origins


def _dated(places: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Places with identifiers, and with drawn months as their dates."""
    ids = [tile_id_of(s, k) for s, k in zip(places["source"], places["source_key"], strict=True)]
    first, last = recipe.months()
    years = (first // 12, last // 12) if first % 12 == 0 and last % 12 == 11 else None
    dates = [
        reference_date(i, recipe.seed, years) if years else _month(recipe.seed, i, first, last) for i in ids
    ]  # fmt: skip
    bad = np.flatnonzero(~(np.isfinite(places["lon"]) & np.isfinite(places["lat"])))
    if len(bad):
        raise AnchorError(
            f"{places['source'].iloc[0]} {places['source_key'].iloc[bad[0]]}: its coordinates are no numbers."
        )
    return places.assign(tile_id=np.array(ids, np.int64), reference_date=[d.isoformat() for d in dates])


def _month(seed: int, tile_id: int, first: int, last: int) -> dt.date:
    month = first + below(draw_words(seed, "anchor", tile_id)[0], last - first + 1)
    return dt.date(month // 12, month % 12 + 1, 15)


def _nothing() -> pd.DataFrame:
    columns: dict[str, list[Any]] = {n: [] for n in (*NAMES, "origin")}
    return pd.DataFrame(columns).astype({"tile_id": np.int64, "lon": float, "lat": float, "origin": np.int64})


def _without(frame: pd.DataFrame, gone: NDArray[np.bool_], reason: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    dropped = frame.loc[gone, ["source", "source_key", "lon", "lat"]].assign(reason=reason, gave_way_to=0)
    return frame[~gone].reset_index(drop=True), dropped


def _thinned(
    frame: pd.DataFrame, origins: list[_Origin], recipe: Recipe
) -> tuple[pd.DataFrame, pd.DataFrame, NDArray[np.int64]]:
    """(those that stay, those that give way, the group of each that stays)."""
    ids, origin = frame["tile_id"].to_numpy(np.int64), frame["origin"].to_numpy(np.int16)
    rank = np.array([o.rank for o in origins])[origin]
    lenient = np.array([o.lenient and recipe.overlap == "keep" for o in origins])
    order = np.lexsort((ids, _mixed(ids, recipe.seed), rank))
    found = thin(frame["lon"].to_numpy(), frame["lat"].to_numpy(), order, origin, lenient)
    stays = found.stays
    by = np.where(stays, 0, ids[found.blocked_by])
    same = ~stays & (origin == origin[found.blocked_by])
    reason = np.where(same, "overlaps a tile of the same origin", "overlaps a tile of an origin before it")
    reason = np.where(same & lenient[origin], "within 100 m of a place of the same origin", reason)
    dropped = frame.loc[~stays, ["source", "source_key", "lon", "lat"]].assign(
        reason=reason[~stays], gave_way_to=by[~stays]
    )
    least = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(least, found.group[stays], ids[stays])
    kept = frame[stays].reset_index(drop=True)
    _no_twins(kept)
    return kept, dropped, least[found.group[stays]]


def _no_twins(frame: pd.DataFrame) -> None:
    twins = frame["tile_id"].duplicated(keep=False).to_numpy()
    if twins.any():
        first = frame[twins].sort_values("tile_id").iloc[:2]
        told = " and ".join(f"{r.source} {r.source_key} at {r.lat}, {r.lon}" for r in first.itertuples())
        raise AnchorError(
            f"Tile id {first['tile_id'].iloc[0]} occurs twice: {told}. Give every place an id of its own."
        )


def _mixed(ids: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A number of its own for every identifier: the order in which tiles of one rank may stay."""
    with np.errstate(over="ignore"):
        h = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(seed % 2**32 + 1)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return h ^ (h >> np.uint64(31))


def _drawn(recipe: Recipe, frame: pd.DataFrame, zones: geopandas.GeoSeries | None, made: Made) -> pd.DataFrame | None:
    quotas = _quotas(recipe)
    if not quotas:
        return None
    biomes, continents, wanted = quotas
    outside: Regions = biomes if zones is None else _Outside(biomes, zones, recipe.exclude_metres)
    avoid = frame[["lon", "lat"]].to_numpy(float)
    found = sample(wanted, outside, continents, seed=recipe.seed, avoid=avoid)
    made.short = found.short
    for (biome, continent), (got, asked) in found.short.items():
        where = " in ".join(p for p in (biome, continent) if p)
        made.remarks.append(f"{where or 'anywhere'}: {got} of {asked} places could be drawn; there is no room for more")
    keys = [f"{lat:.7f},{lon:.7f}" for lon, lat in zip(found.places["lon"], found.places["lat"], strict=True)]
    ids = [tile_id_of("custom", key) for key in keys]
    dates = [reference_date(i, recipe.seed, recipe.years).isoformat() for i in ids]
    places = found.places.drop(columns="continent")
    return places.assign(source="custom", source_key=keys, tile_id=np.array(ids, np.int64), reference_date=dates)


def _quotas(recipe: Recipe) -> tuple[Regions, Regions, dict[Stratum, int]] | None:
    """(biomes, continents, places per pair) of what is to be drawn."""
    if recipe.sample is None and recipe.global_south is None and recipe.quotas is None:
        return None
    biomes = _biomes(recipe)
    wanted: dict[Stratum, int] = {}
    only_biomes = recipe.global_south is None and recipe.quotas is None
    continents: Regions = Anywhere()
    if not only_biomes:
        continents = _continents(recipe)
    if recipe.sample is not None:
        there = biomes.cells().any((1, 2))
        wanted |= even_quotas(recipe.sample, [(n, "") for n, some in zip(biomes.names, there, strict=True) if some])
    if recipe.global_south is not None:
        found = strata_of(biomes, continents, GLOBAL_SOUTH)
        if not found:
            raise AnchorError(f"The layers share no ground in {', '.join(GLOBAL_SOUTH)}; check the continents' names.")
        for stratum, n in even_quotas(recipe.global_south, found).items():
            wanted[stratum] = wanted.get(stratum, 0) + n
    for stratum, n in _listed(recipe.quotas).items() if recipe.quotas else ():
        wanted[stratum] = wanted.get(stratum, 0) + n
    return biomes, continents, wanted


def _listed(path: Path) -> dict[Stratum, int]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        quotas = {((r["biome"] or "").strip(), (r.get("continent") or "").strip()): int(r["count"]) for r in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise AnchorError(f"{path} is no table of quotas with the columns biome, continent, count: {error}.") from None
    if not quotas or min(quotas.values()) < 0:
        raise AnchorError(f"{path}: give at least one quota, and none below 0.")
    return quotas


@lru_cache(maxsize=2)
def _biomes(recipe: Recipe) -> Regions:
    if recipe.biomes is None:
        return SimulatedBiomes(recipe.earth)
    return read_regions(recipe.biomes, recipe.biome_field, BIOME_FIELDS)


@lru_cache(maxsize=2)
def _continents(recipe: Recipe) -> Regions:
    if recipe.continents is None:
        return coarse_continents()
    return read_regions(recipe.continents, recipe.continent_field, CONTINENT_FIELDS)


class _Outside:
    """Regions without what lies too near to places of evaluation."""

    def __init__(self, regions: Regions, zones: geopandas.GeoSeries, metres: float) -> None:
        self.names, self._regions, self._zones, self._metres = regions.names, regions, zones, metres

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.int64]:
        codes = self._regions.at(lon, lat)
        there = np.flatnonzero((codes >= 0) & inside_utm(lon, lat))
        codes[there[too_near(lon[there], lat[there], self._zones, self._metres)]] = -1
        return codes

    def cells(self) -> NDArray[np.bool_]:
        return self._regions.cells()


def _labelled(frame: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """With continents, and with biomes where a layer of real ones is given and a place has none of its own."""
    lon, lat = frame["lon"].to_numpy(), frame["lat"].to_numpy()
    regions = _continents(recipe)
    names = np.array([*regions.names, ""], object)
    frame = frame.assign(continent=names[regions.at(lon, lat)])
    if recipe.biomes is not None:
        layer = _biomes(recipe)
        names = np.array([*layer.names, ""], object)
        blank = (frame["biome"] == "").to_numpy()
        frame.loc[blank, "biome"] = names[layer.at(lon[blank], lat[blank])]
    return frame[[*NAMES, "continent", "overlap_group"]]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = blake2b(digest_size=16)
        while data := file.read(2**22):
            digest.update(data)
        return digest.hexdigest()
