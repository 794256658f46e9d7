"""Catalogue: a STAC catalogue, static or behind an API, read once per process."""

import datetime as dt
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

import pystac
import shapely
from pystac.stac_io import DefaultStacIO
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import SourceError
from geomeld.core.retry import Retry
from geomeld.sources.item import UnusableItem, acquired_of, footprint_of, usable
from geomeld.sources.web import content

PAGE = 250
"""Items per page of a search."""

MOST = 10_000
"""Items that one search may find: a server whose pages have no end would never be done."""

PATIENCE = Retry(tries=5, first_wait_s=0.5, longest_wait_s=20.0)
"""Of every single file of a catalogue and request to an API: a search of many pages would never end if one page that
fails cost them all."""

GLOBE = shapely.box(-180.0, -90.0, 180.0, 90.0)

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

    def stac_object_from_dict(self, d: dict[str, Any], *given: Any, **named: Any) -> pystac.STACObject:
        return super().stac_object_from_dict(usable(d), *given, **named)


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

    from geomeld.sources.search import PatientIO

    def opened() -> Catalogue:
        client = pystac_client.Client.open(href, stac_io=PatientIO(PATIENCE))
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
    known = [i for i in _guarded(href, lambda: list(_read_items(whole))) if i.geometry]
    return known, shapely.STRtree([footprint_of(i) for i in known])


def _read_items(container: pystac.Catalog) -> Iterator[pystac.Item]:
    """Every item below a catalogue; those that cannot be used are left out, with a warning."""
    for link in container.get_item_links():
        item = _used(partial(_linked, link, container.get_root()))
        if isinstance(item, pystac.Item):
            yield item
    for child in container.get_children():
        yield from _read_items(child)


def _used(read: Callable[[], T]) -> T | None:
    """What was read; None, with a warning, where it is an item that cannot be used."""
    try:
        return read()
    except Exception as error:
        # pystac puts its own error over that of the reader.
        unusable = next((e for e in chain(error) if isinstance(e, UnusableItem)), None)
        if unusable is None:
            raise
        warnings.warn(str(unusable), stacklevel=2)
        return None


def _linked(link: pystac.Link, root: pystac.Catalog | None) -> object:
    return link.resolve_stac_object(root).target


def _item(found: dict[str, Any], client: Any) -> pystac.Item:
    return pystac.Item.from_dict(usable(found), root=client, preserve_dict=False)


@lru_cache(maxsize=4096)
def _searched(
    href: str, collection: str, outline: bytes, start: dt.datetime | None, end: dt.datetime | None
) -> tuple[pystac.Item, ...]:
    client = open_catalogue(href).client
    # An API knows no longitudes beyond 180: an outline across the antimeridian is asked for in two parts.
    shape = shapely.union_all([part.intersection(GLOBE) for part in turned(shapely.from_wkb(outline))])
    when = (start, end) if start and end else None

    def search() -> tuple[pystac.Item, ...]:
        asked = client.search(collections=[collection], intersects=shape, datetime=when, limit=PAGE, max_items=MOST)
        found = {d.get("id"): d for d in asked.items_as_dicts()}  # a page may repeat what one before it held
        if len(found) >= MOST:
            raise SourceError(f"{href} finds {MOST} items of {collection} at one place: that is no proper answer.")
        read = (_used(partial(_item, d, client)) for d in found.values())
        return tuple(item for item in read if item is not None)

    return _guarded(href, search)


def _in_time(item: pystac.Item, start: dt.datetime | None, end: dt.datetime | None) -> bool:
    acquired = acquired_of(item)
    if acquired is None:
        return True
    return (start is None or acquired >= start) and (end is None or acquired < end)


def _guarded(href: str, work: Callable[[], T]) -> T:
    """Run what reads the catalogue; its many kinds of errors come out as two."""
    try:
        return work()
    except Exception as error:
        # pystac puts its own error over that of the reader.
        own = next((e for e in chain(error) if isinstance(e, SourceError)), None)
        if own is not None:
            raise own from None
        told = " / ".join(str(e) for e in chain(error))
        raise SourceError(f"The catalogue {href} cannot be read: {told}.") from error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(href: str) -> str:
    try:
        return PATIENCE.call(lambda: content(href), href)[0].decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError(f"{href} is no text; give the path or address of a STAC catalog.json.") from None
