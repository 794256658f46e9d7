"""States: the saved training states of a run, each under a name that tells its step and its checksum."""

import io
import pickle
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import torch
from tqdm import tqdm

from geomeld.core.errors import CheckpointError
from geomeld.dataset.files import atomic, remove_partials, sync_folder

NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{16})\.pt")
"""Step and checksum (blake2b, 8 bytes) of a state."""

CHUNK = 1 << 24
"""Bytes that are read at once."""


@dataclass(frozen=True)
class States:
    """Files `step-00000200-<checksum>.pt` in a folder; the newest `keep` of them are kept."""

    folder: Path
    keep: int = 2

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the state after `step` steps; it has its name only when it is complete and on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partials(self.folder)
        unnamed = self.folder / "unnamed"
        with atomic(unnamed) as file:
            hashing = _Hashing(file)
            _save(state, hashing)
        path = unnamed.rename(self.folder / f"step-{step:08}-{hashing.hexdigest()}.pt")
        sync_folder(self.folder)
        for old in self._newest_first()[self.keep :]:
            old.unlink()
        return path

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole, on the CPU; None where none was ever saved.

        A damaged one is named on stderr and passed over. Raises CheckpointError where all are damaged.
        """
        paths = self._newest_first()
        faults = []
        for path in paths:
            state, fault = _read(path)
            if state is not None:
                return state
            faults.append(f"{path} {fault}")
            tqdm.write(f"{path} {fault}; looking for the one before.", file=sys.stderr)
        if faults:
            raise CheckpointError(
                f"No saved state of this run can be used: {'; '.join(faults)}. Delete the folder {self.folder} to "
                "start again at step 0."
            )
        return None

    def _newest_first(self) -> list[Path]:
        found = [(int(m[1]), path) for path in self.folder.glob("step-*.pt") if (m := NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found, reverse=True)]


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = blake2b(digest_size=8)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _read(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The state, or None and what is wrong with it."""
    checksum = blake2b(digest_size=8)
    for chunk in _chunks(path):
        checksum.update(chunk)
    if checksum.hexdigest() not in path.name:
        return None, "is damaged (its checksum is not the one in its name)"
    try:
        return torch.load(path, map_location="cpu", weights_only=True), ""
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        return None, f"cannot be read: {error}"


def _save(state: dict[str, Any], file: Any) -> None:
    """torch.save that says why it failed: after a write that the system refuses, torch raises another error."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        refused = error.__context__
        while refused is not None and not isinstance(refused, OSError):
            refused = refused.__context__
        raise refused or error from None
