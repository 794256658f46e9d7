"""Item: what of a catalogue's JSON can be used, and what makes an item one to leave out."""

import datetime as dt
import math
from typing import Any

import pystac
import shapely
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import SourceError


class UnusableItem(SourceError):
    """An item lacks what it needs to be used, or states it in no proper form; the message names it and says what."""


def usable(found: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a STAC object; an item that states a time only in part gets the other end of its period.

    Raises UnusableItem for an item without an identifier, a proper time, assets with addresses, or a footprint on the
    globe (an item may do without any footprint), and for a cloud cover that is no number.
    """
    if found.get("type") != "Feature":
        return found
    given = found.get("properties")
    fault = _fault(found, given if isinstance(given, dict) else {})
    if fault:
        raise UnusableItem(f"Item {found.get('id')} of {found.get('collection')} {fault}; it is left out.")
    if isinstance(given, dict) and not given.get("datetime"):
        ends = given.get("start_datetime"), given.get("end_datetime")
        known = ends[0] or ends[1]
        given = given | {"start_datetime": ends[0] or known, "end_datetime": ends[1] or known}
    return found | {"properties": given}


def _fault(found: dict[str, Any], given: dict[str, Any]) -> str:
    """What is wrong with an item; empty where nothing is."""
    if not isinstance(found.get("id"), str) or not found["id"]:
        return "has no identifier"
    if not isinstance(found.get("properties"), dict):
        return "has no properties"
    times = [given.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    if not any(times):
        return "has neither a datetime nor a start_datetime"
    if not all(_is_moment(text) for text in times if text):
        return f"states no proper time ({', '.join(str(t) for t in times if t)})"
    assets = found.get("assets")
    if not isinstance(assets, dict) or not all(
        isinstance(a, dict) and isinstance(a.get("href"), str) for a in assets.values()
    ):
        return "has assets without an address"
    if not isinstance(given.get("eo:cloud_cover"), int | float | None):
        return f"states a cloud cover of {given['eo:cloud_cover']!r}, which is no number"
    return "" if found.get("geometry") is None else _wrong_outline(found["geometry"])


def _is_moment(text: Any) -> bool:
    try:
        dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    return True


def _wrong_outline(geometry: Any) -> str:
    try:
        west, south, east, north = shapely.geometry.shape(geometry).bounds
    except (shapely.errors.ShapelyError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        return f"has no proper footprint ({error})"
    if not all(math.isfinite(v) for v in (west, south, east, north)):
        return "has no proper footprint (it is empty)"
    if south < -90.001 or north > 90.001 or west < -360.001 or east > 360.001:
        return f"has a footprint that is not in degrees ({west:g}, {south:g} to {east:g}, {north:g})"
    return ""


def footprint_of(item: pystac.Item) -> BaseGeometry:
    """Outline of an item in degrees. Raises SourceError where it is no geometry."""
    try:
        return shapely.geometry.shape(item.geometry or {})
    except (shapely.errors.ShapelyError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"Item {item.id} of {item.collection_id} has no proper footprint: {error}.") from None


def acquired_of(item: pystac.Item) -> dt.datetime | None:
    """Acquisition time in UTC: the item's datetime, else the start of its period."""
    moment = item.datetime or item.common_metadata.start_datetime
    return moment.astimezone(dt.UTC) if moment else None
