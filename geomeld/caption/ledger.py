"""Ledger: finished captions by content hash, appended and synced, so that a killed run loses at most one chunk."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from geomeld.caption.config import CaptionConfig
from geomeld.caption.writers import shape_of
from geomeld.core.config import to_json

KEY_AT = slice(len('{"key": "'), len('{"key": "') + 32)


class Ledger:
    """JSON lines `{"key", "record"}` in one file; only their places are kept in memory."""

    def __init__(self, path: Path) -> None:
        """Open, or begin; a last line that a killed run has cut off is removed."""
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        path.touch()
        self._file = path.open("r+b")
        position = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._places[line[KEY_AT].decode("ascii", "replace")] = (position, len(line))
            position += len(line)
        self._file.truncate(position)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def record(self, key: str) -> dict[str, Any] | None:
        """The finished caption record under a key; None where there is none that can be read."""
        if key not in self._places:
            return None
        start, size = self._places[key]
        self._file.seek(start)
        try:
            return json.loads(self._file.read(size))["record"]
        except (ValueError, KeyError):
            del self._places[key]
            return None

    def append(self, records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Add (key, record) pairs, on the disk before this returns."""
        self._file.seek(0, os.SEEK_END)
        for key, record in records:
            line = json.dumps({"key": key, "record": record}).encode() + b"\n"
            self._places[key] = (self._file.tell(), len(line))
            self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())


def key_of(signals: Mapping[str, Any], config: CaptionConfig, ranked_by: Mapping[str, Any] | None = None) -> str:
    """Hash of everything that a caption depends on: signals, settings, the evaluator's model where it has one, and the
    code that writes and verifies."""
    text = json.dumps([signals, settings_of(config), code_hash(), dict(ranked_by or {})], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def settings_of(config: CaptionConfig) -> dict[str, Any]:
    """The settings that change captions; how many tiles share a run of the graph, and where a model is served, do
    not."""
    plain = {k: v for k, v in to_json(config).items() if k not in ("chunk", "endpoint", "recorded")}
    return {**plain, **shape_of(config)}


@cache
def code_hash() -> str:
    """Hash of the sources of signals and captions, so that a changed rule or frame writes captions anew."""
    digest = hashlib.blake2b(digest_size=8)
    for package in ("signals", "caption", "caption/agents", "caption/evaluators", "caption/rules", "caption/writers"):
        folder = resources.files("geomeld").joinpath(package)
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()
