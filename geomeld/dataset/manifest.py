"""The manifest: what a dataset was built from, what it holds, and which tiles failed and why."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomeld.core.config import from_json, to_json
from geomeld.core.errors import ConfigError, DatasetError
from geomeld.dataset.files import write_atomically

NAME = "manifest.json"
FORMAT = 1
"""Version of the folder layout."""


@dataclass(frozen=True)
class ShardEntry:
    """One finished shard."""

    name: str
    tiles: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Failure:
    """A tile that could not be built."""

    tile_id: int
    stage: str
    """"plan" or "read"."""
    reason: str
    kind: str = ""
    """transient, auth, missing, corrupt, empty or other."""


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json."""

    format: int = FORMAT
    source: str = ""
    """Name of the source that pixels came from."""
    config: dict[str, Any] = field(default_factory=dict)
    """The resolved configuration of the build."""
    shards: tuple[ShardEntry, ...] = ()
    failures: tuple[Failure, ...] = ()
    products: dict[str, dict[str, int]] = field(default_factory=dict)
    """By modality: tiles per product that was read."""

    @property
    def tiles(self) -> int:
        """Tiles in all shards."""
        return sum(s.tiles for s in self.shards)


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a dataset."""
    text = json.dumps(to_json(manifest), indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(folder / NAME, text.encode() + b"\n")


def load_manifest(folder: Path) -> Manifest:
    """Read the manifest. Raises DatasetError where there is none, or one that cannot be understood."""
    path = folder / NAME
    try:
        data = json.loads(path.read_text())
        if isinstance(data, dict) and data.get("format") != FORMAT:
            raise DatasetError(f"{path} has format {data.get('format')!r}; this version of geomeld reads {FORMAT}.")
        return from_json(Manifest, data)
    except FileNotFoundError:
        raise DatasetError(f"{folder} has no {NAME}: it is no finished dataset.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, ConfigError) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Build the dataset again.") from None
