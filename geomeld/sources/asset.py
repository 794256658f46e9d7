"""Asset: one file of an item, opened for reading; what is wrong with it comes out as this project's errors."""

import atexit
import logging
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import rasterio
import rasterio.cache
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geomeld.core.errors import AuthError, CorruptAsset, MissingAsset, SourceError, TransientError
from geomeld.sources import pace
from geomeld.sources.catalogue import chain
from geomeld.sources.lattice import MOST_PIXELS
from geomeld.sources.signing import Signing
from geomeld.sources.web import fault_of, is_remote, shown

DRIVERS = ("GTiff", "JP2OpenJPEG", "HFA", "SRTMHGT")
"""Formats that are opened. Others, such as VRT, could name further files of this machine for a stranger's catalogue."""

HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}
"""GDAL settings for files on the web: no folder listings, bounded waiting. Those in the environment win."""

HTTP |= {name: value for name, value in os.environ.items() if name in HTTP}

KEPT_OPEN = 128
"""Files that a process keeps open: neighbouring tiles read the same ones."""

LOOKS = 3
"""Times that a file on the web is read before it counts as damaged: GDAL takes what came before a connection broke for
the whole."""

PASSING = ("HTTP response code: 5", "HTTP response code: 408", "HTTP response code: 429", "CURL error", "imed out")
"""What GDAL says of failures that trying again may cure."""

IMPATIENT = ("HTTP response code: 429", "HTTP response code: 503")
"""The codes that servers send a Retry-After with."""

REFUSED = (
    "HTTP response code: 401",
    "HTTP response code: 403",
    "HTTP response code: 409",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidCredentials",
)
ABSENT = (
    "HTTP response code: 404",
    "HTTP response code: 410",
    "No such file or directory",
    "NoSuchKey",
    "NoSuchBucket",
)

T = TypeVar("T")
Key = tuple[str, int, int]


@dataclass(slots=True)
class _Shelf:
    """Open files, the least recently used one closed first. A file is off the shelf while it is read, so that no two
    threads share one."""

    files: OrderedDict[Key, list[rasterio.DatasetReader]] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: Key) -> rasterio.DatasetReader | None:
        with self.lock:
            kept = self.files.get(key)
            if not kept:
                return None
            dataset = kept.pop()
            if not kept:
                del self.files[key]
            return dataset

    def give(self, key: Key, dataset: rasterio.DatasetReader) -> None:
        with self.lock:
            self.files.setdefault(key, []).append(dataset)
            self.files.move_to_end(key)
            spare = self.files.popitem(last=False)[1] if len(self.files) > KEPT_OPEN else []
        for other in spare:
            other.close()

    def clear(self) -> None:
        """Close every file; GDAL must outlive them."""
        with self.lock:
            files, self.files = self.files, OrderedDict()
        for kept in files.values():
            for dataset in kept:
                dataset.close()


_shelf = _Shelf()


def close_files() -> None:
    """Close the files that this process keeps open for the next tile."""
    _shelf.clear()


atexit.register(close_files)
os.register_at_fork(after_in_child=lambda: _shelf.__init__())  # type: ignore[misc]  # positions in files are shared


@contextmanager
def opened(href: str, what: str) -> Iterator[rasterio.DatasetReader]:
    """An asset opened for reading; `what` names it in messages. It may stay open for the next reader.

    Raises MissingAsset where it is not there, AuthError where it is refused, TransientError where its server fails,
    CorruptAsset where it cannot be decoded; while the block reads it, too.
    """
    try:
        key = _key(href)
        with rasterio.Env(**HTTP):
            dataset = _shelf.take(key) or _open(href)
            try:
                yield dataset
            except BaseException:
                dataset.close()
                raise
        _shelf.give(key, dataset)
    except RasterioError as error:
        told = " / ".join(dict.fromkeys(str(e) for e in chain(error)))
        raise _explained(told, href, what) from error
    except CorruptAsset as error:
        raise _explained(str(error), href, what) from None


def look(
    href: str, what: str, work: Callable[[rasterio.DatasetReader], T], signing: Signing | None = None, token: str = ""
) -> T:
    """`work(dataset)` of an asset, its address signed with the collection's `token` where its provider wants that.

    A refused signature is renewed once; a file on the web counts as damaged only when it was so `LOOKS` times.
    Raises as `opened`.
    """
    renewed = damaged = 0
    while True:
        address = href if signing is None else signing.signed(href, token)
        try:
            with opened(address, what) as dataset:
                return work(dataset)
        except AuthError:
            if signing is None or address == href or renewed:
                raise
            signing.refused(address, token)
            renewed += 1
        except CorruptAsset:
            damaged += 1
            if damaged == LOOKS or not is_remote(href):
                raise


def _key(href: str) -> Key:
    """What tells a file from one that took its place: local files may be fetched again while a process lives."""
    try:
        about = os.stat(href)
    except OSError:
        return href, 0, 0
    return href, about.st_mtime_ns, about.st_size


def _open(href: str) -> rasterio.DatasetReader:
    pace.take(href)
    lost = _Lost()
    log = logging.getLogger("rasterio._env")
    log.addHandler(lost)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an error here, with more to say
            dataset = rasterio.open(href)
    finally:
        log.removeHandler(lost)
    fault = lost.told or _unfit(dataset)
    if fault:
        dataset.close()
        raise CorruptAsset(fault)
    return dataset


def _unfit(dataset: rasterio.DatasetReader) -> str:
    """Why a file that GDAL can open is none to read; empty where it is."""
    if dataset.driver not in DRIVERS:
        return f"it is a file of GDAL's {dataset.driver}; {', '.join(DRIVERS)} are read"
    if dataset.crs is None or dataset.transform.is_identity:
        return "it does not say where its pixels lie"
    high, wide = dataset.block_shapes[0]
    if high * wide > MOST_PIXELS:
        return f"its blocks are of {high} x {wide} pixels; one has to be read whole for any pixel of it"
    return ""


class _Lost(logging.Handler):
    """Hears of parts of a header that GDAL could not read. It would go on without them, were it the no-data value."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.told = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Remember what was lost in this thread."""
        if record.thread == self.thread and "IO error" in (told := record.getMessage()):
            self.told = told


def _explained(told: str, href: str, what: str) -> SourceError:
    told, place = told.replace(href, shown(href)), shown(href)
    if is_remote(href):
        rasterio.cache.invalidate(href)  # GDAL remembers failures and halves of files: another try would meet them

    def says(words: tuple[str, ...]) -> bool:
        return any(word in told for word in words)

    if says(PASSING):
        fault = fault_of(href) if is_remote(href) and says(IMPATIENT) else None
        wait = getattr(fault, "retry_after", None)  # GDAL does not say what the server asked for
        return TransientError(f"{what} did not come ({place}): {told}. Try again later.", wait)
    fault = fault_of(href) if is_remote(href) and not says(REFUSED + ABSENT) else None
    if says(REFUSED) or isinstance(fault, AuthError):
        return AuthError(
            f"{what} was refused by its server ({place}): {fault or told}. Check that the catalogue's addresses are "
            "signed and not expired, and that you may read them."
        )
    if says(ABSENT) or isinstance(fault, MissingAsset) or ("://" not in href and not Path(href).exists()):
        return MissingAsset(
            f"{what} is not there ({place}): {fault or told}. The catalogue lists a file that does not exist; fetch "
            "it, or leave its item out."
        )
    if fault is not None:
        wait = fault.retry_after if isinstance(fault, TransientError) else None
        return TransientError(f"{what} did not come whole ({place}): {told}. Try again later.", wait)
    return CorruptAsset(f"{what} cannot be decoded ({place}): {told}. Fetch the file again.")
