"""Scenes of chosen items: what the source for catalogues makes of them, as they lie in a plan."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import pystac
import shapely
from shapely.geometry.base import BaseGeometry

from geomeld.build.plan.outline import joined
from geomeld.build.plan.row import scene_columns
from geomeld.build.plan.tables import ItemTable
from geomeld.core.modality import Modality, Timing
from geomeld.sources.profiles import PROFILES
from geomeld.sources.stac import scene_of


def item_columns(
    batch: Sequence[dict[str, Any]], modality: Modality, title: str, table: ItemTable
) -> Iterator[dict[str, Any]]:
    """Items as values of SCENE, by way of the scenes that the source for catalogues makes of them."""
    profile = PROFILES[modality.name]
    dated = modality.timing is not Timing.STATIC
    for given in batch:
        footprint = _footprint(given["geometry"])
        item = _item(given, table)
        name = title or f"{profile.title} ({given['collection'] or profile.collections[0]})"
        yield scene_columns(scene_of(item, profile, dated, name, footprint))


def _item(given: dict[str, Any], table: ItemTable) -> pystac.Item:
    times = {k: _time(given["properties"].pop(k, None)) for k in ("datetime", "start_datetime", "end_datetime")}
    known = times["start_datetime"] or times["end_datetime"] or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    item = pystac.Item(
        given["id"],
        shapely.geometry.mapping(shapely.from_wkb(given["geometry"])),
        None,
        times["datetime"],
        given["properties"],
        start_datetime=None if times["datetime"] else known,
        end_datetime=None if times["datetime"] else times["end_datetime"] or known,
        collection=given["collection"],
    )
    for name, asset in given["assets"].items():
        href = asset.pop("href")
        item.assets[name] = _Asset(table.absolute(href), extra_fields=asset)
    return item


class _Asset(pystac.Asset):
    """An asset whose address is absolute: to find that out takes longer than all the rest."""

    def get_absolute_href(self) -> str | None:
        return self.href


def _time(value: Any) -> dt.datetime | None:
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    return value.replace(tzinfo=value.tzinfo or dt.UTC).astimezone(dt.UTC) if value else None


def _footprint(data: bytes) -> BaseGeometry:
    shape = shapely.from_wkb(data)
    west, _, east, _ = shape.bounds
    return joined(shape) if east - west > 180.0 else shape
