"""Files that appear under their final name only when they are complete."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from geomeld.core.errors import DatasetError

PARTIAL = ".partial"
"""Ending of a file that is being written."""


@contextmanager
def atomic(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file beside `path`; flush, fsync and rename it at the end. A failure leaves `path` unchanged.

    Without `durable` nothing is synced: for a file that can be made again where a power cut empties it.
    """
    # The process in the name keeps two writers apart, one of them perhaps left over from a killed run.
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write bytes under a name in one step."""
    with atomic(path, durable=durable) as file:
        file.write(data)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock ends with the process, however that ends. Raises DatasetError where another holds it."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatasetError(f"Another process is at work in {folder}; wait for it.") from None
        yield


def remove_partials(folder: Path) -> None:
    """Remove what killed writers left in a folder; only for a process that holds the folder alone."""
    for left_over in folder.glob(f"*{PARTIAL}"):
        left_over.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
