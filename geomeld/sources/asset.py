"""Asset: one file of an item, opened for reading; what is wrong with it comes out as this project's errors."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
import rasterio.cache
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geomeld.core.errors import CorruptAsset, SourceError, TransientError
from geomeld.sources.catalogue import answers, chain

HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
}
"""GDAL settings for files on the web: no folder listings, bounded waiting."""

PASSING = ("HTTP response code: 5", "HTTP response code: 408", "HTTP response code: 429", "CURL error", "imed out")
"""What GDAL says of failures that trying again may cure."""

REFUSED = ("HTTP response code: 401", "HTTP response code: 403")
ABSENT = ("HTTP response code: 404", "HTTP response code: 410", "No such file or directory")


@contextmanager
def opened(href: str, what: str) -> Iterator[rasterio.DatasetReader]:
    """An asset opened for reading; `what` names it in messages.

    Raises SourceError where it is not there or refused, TransientError where its server fails, CorruptAsset where it
    cannot be decoded; while the block reads it, too.
    """
    try:
        with rasterio.Env(**HTTP), _open(href) as dataset:
            if dataset.crs is None or dataset.transform.is_identity:
                raise _explained("it does not say where its pixels lie", href, what)
            yield dataset
    except RasterioError as error:
        told = " / ".join(dict.fromkeys(str(e) for e in chain(error)))
        raise _explained(told, href, what) from error


def _open(href: str) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # an error here, with more to say
        return rasterio.open(href)


def _explained(told: str, href: str, what: str) -> SourceError:
    if _remote(href):
        rasterio.cache.invalidate(href)  # GDAL remembers failures and halves of files: another try would meet them

    def says(words: tuple[str, ...]) -> bool:
        return any(word in told for word in words)

    if says(PASSING):
        return TransientError(f"{what} did not come ({href}): {told}. Try again later.")
    if says(REFUSED):
        return SourceError(
            f"{what} was refused by its server ({href}): {told}. Check that the catalogue's addresses are signed and "
            "not expired, and that you may read them."
        )
    if says(ABSENT) or ("://" not in href and not Path(href).exists()):
        return SourceError(
            f"{what} is not there ({href}): {told}. The catalogue lists a file that does not exist; fetch it, or leave "
            "its item out."
        )
    if _remote(href) and not answers(href):
        # GDAL takes what came before a connection broke for the whole file.
        return TransientError(f"{what} did not come whole ({href}): {told}. Try again later.")
    return CorruptAsset(f"{what} cannot be decoded ({href}): {told}. Fetch the file again.")


def _remote(href: str) -> bool:
    return href.startswith(("http://", "https://"))
