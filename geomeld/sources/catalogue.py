"""Catalogue: a STAC catalogue, static or behind an API, read once per process."""

import datetime as dt
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pystac
import shapely
from pystac.stac_io import DefaultStacIO
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import SourceError, TransientError

TIMEOUT_S = 30.0
"""Seconds that a request may take."""

BUSY = frozenset({408, 425, 429})
"""HTTP codes below 500 that ask for patience."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The root of a catalogue and its collections."""

    href: str
    root: pystac.Catalog
    collections: dict[str, pystac.Collection]
    client: Any = None
    """pystac_client.Client where the catalogue can be searched, else None."""

    def linked(self, relation: str) -> str | None:
        """Absolute address of what the root links to under a relation, None without such a link."""
        link = next(iter(self.root.get_links(relation)), None)
        return link.get_absolute_href() if link else None


class _Reader(DefaultStacIO):
    """Reads text from a file or over HTTP, with errors that say what to do."""

    def read_text_from_href(self, href: str) -> str:
        return _text(href)


@lru_cache(maxsize=8)
def open_catalogue(href: str) -> Catalogue:
    """The catalogue at a path or an http(s) address.

    Raises SourceError where there is none, TransientError where a server does not answer properly.
    """
    try:
        data = json.loads(_text(href))
    except ValueError:
        raise SourceError(f"{href} is not JSON; give the path or address of a STAC catalog.json.") from None
    if not isinstance(data, dict) or data.get("type") not in ("Catalog", "Collection") or "stac_version" not in data:
        raise SourceError(f"{href} is JSON, but no STAC catalogue; give the path or address of its catalog.json.")
    if any(link.get("rel") == "search" for link in data.get("links", [])):
        return _searchable(href)

    def parsed() -> Catalogue:
        root = pystac.read_file(href, stac_io=_Reader())
        assert isinstance(root, pystac.Catalog)
        own = [root] if isinstance(root, pystac.Collection) else []
        return Catalogue(href, root, {c.id: c for c in [*own, *root.get_all_collections()]})

    return _guarded(href, parsed)


def _searchable(href: str) -> Catalogue:
    import pystac_client

    def opened() -> Catalogue:
        client = pystac_client.Client.open(href, timeout=TIMEOUT_S)
        return Catalogue(href, client, {c.id: c for c in client.get_collections()}, client)

    return _guarded(href, opened)


def items(
    href: str, collection: str, outline: BaseGeometry, start: dt.datetime | None, end: dt.datetime | None
) -> list[pystac.Item]:
    """Items of a collection whose footprint touches an outline (degrees; it may reach beyond 180), acquired in
    [start, end); None for no bound in time.

    Raises SourceError and TransientError.
    """
    catalogue = open_catalogue(href)
    if catalogue.client is not None:
        found = list(_searched(href, collection, outline.wkb, start, end))
    else:
        known, tree = _static(href, collection)
        hits = {int(i) for shifted in turned(outline) for i in tree.query(shifted)}
        found = [known[i] for i in sorted(hits)]
    return [item for item in found if _in_time(item, start, end)]


def turned(outline: BaseGeometry) -> list[BaseGeometry]:
    """An outline and its copies a whole turn to the west and to the east, so that the antimeridian is no border."""
    return [outline, *(shapely.affinity.translate(outline, turn) for turn in (-360.0, 360.0))]


@lru_cache(maxsize=64)
def _static(href: str, collection: str) -> tuple[list[pystac.Item], shapely.STRtree]:
    """Every item of a static collection that has a footprint, and a tree of their footprints."""
    whole = open_catalogue(href).collections[collection]
    known = [i for i in _guarded(href, lambda: list(whole.get_items(recursive=True))) if i.geometry]
    return known, shapely.STRtree([footprint_of(i) for i in known])


@lru_cache(maxsize=4096)
def _searched(
    href: str, collection: str, outline: bytes, start: dt.datetime | None, end: dt.datetime | None
) -> tuple[pystac.Item, ...]:
    client = open_catalogue(href).client
    shape = shapely.from_wkb(outline)
    # The API knows no longitudes beyond 180: the centre decides.
    turns = round(shape.centroid.x / 360.0)
    shape = shapely.affinity.translate(shape, -360.0 * turns)
    when = (start, end) if start and end else None

    def search() -> tuple[pystac.Item, ...]:
        return tuple(client.search(collections=[collection], intersects=shape, datetime=when).items())

    return _guarded(href, search)


def _in_time(item: pystac.Item, start: dt.datetime | None, end: dt.datetime | None) -> bool:
    acquired = acquired_of(item)
    if acquired is None:
        return True
    return (start is None or acquired >= start) and (end is None or acquired < end)


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


def _guarded(href: str, work: Callable[[], T]) -> T:
    """Run what reads the catalogue; its many kinds of errors come out as two."""
    try:
        return work()
    except Exception as error:
        # pystac puts its own error over that of the reader.
        own = next((e for e in _chain(error) if isinstance(e, SourceError)), None)
        if own is not None:
            raise own from None
        told = " / ".join(str(e) for e in _chain(error))
        status = getattr(error, "status_code", None)
        passing = status is not None and (status >= 500 or status in BUSY)
        names = " ".join(type(e).__name__ for e in _chain(error))
        if passing or "Timeout" in names or "ConnectionError" in names:
            raise TransientError(f"The catalogue {href} did not answer: {told}. Try again later.") from error
        raise SourceError(f"The catalogue {href} cannot be read: {told}.") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(href: str) -> str:
    try:
        return content(href).decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError(f"{href} is no text; give the path or address of a STAC catalog.json.") from None


def content(href: str) -> bytes:
    """The bytes behind a path or an http(s) address. Raises SourceError and TransientError."""
    if not href.startswith(("http://", "https://")):
        try:
            return Path(href).read_bytes()
        except OSError as error:
            raise SourceError(f"{href} cannot be read: {error.strerror}; check the catalogue's path.") from None
    try:
        with urllib.request.urlopen(href, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            code = error.code
        if code >= 500 or code in BUSY:
            raise TransientError(f"{href} answered {code}; try again later.") from None
        raise SourceError(f"{href} answered {code}; check the catalogue's address.") from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{href} did not answer: {getattr(error, 'reason', error)}. Try again later.") from None
