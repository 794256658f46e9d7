"""The recorded writer: candidates from a file, for replays, comparisons and captions made elsewhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.writers.clean import cleaned
from geomeld.caption.writers.template import Draft
from geomeld.core.errors import CaptionError, ConfigError


def drafts(
    tile_id: int, facts: Sequence[Fact], plan: Plan, config: CaptionConfig, round_number: int = 0
) -> list[Draft]:
    """The first `config.candidates` usable sentences that the file holds for the tile. Raises CaptionError where it
    holds nothing of the tile, ConfigError where it cannot be read."""
    texts = _recorded(config.recorded, _stamp(config.recorded)).get(tile_id)
    if texts is None:
        raise CaptionError(f"{config.recorded} holds nothing for tile {tile_id}; add a line for it.")
    sentences = dict.fromkeys(s for t in texts if (s := cleaned(t)[0]))
    return [Draft(s, "overview", "recorded") for s in list(sentences)[: config.candidates]]


def digest(name: str) -> str:
    """Hash of the file's content. Raises ConfigError where it cannot be read."""
    _stamp(name)
    return hashlib.blake2b(Path(name).read_bytes(), digest_size=16).hexdigest()


def _stamp(name: str) -> tuple[int, int]:
    if not name:
        raise ConfigError('--writer recorded needs --recorded FILE: lines of {"tile_id": 1, "text": "..."}.')
    try:
        there = Path(name).stat()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}.") from None
    return there.st_mtime_ns, there.st_size


@lru_cache(maxsize=1)
def _recorded(name: str, stamp: tuple[int, int]) -> Mapping[int, list[str]]:
    """Sentences by tile id, from JSON lines {"tile_id", "text"} or {"tile_id", "texts"}; lines of one tile add up."""
    found: dict[int, list[str]] = {}
    for number, line in enumerate(Path(name).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            texts = row["texts"] if "texts" in row else [row["text"]]
            found.setdefault(int(row["tile_id"]), []).extend(str(t) for t in texts)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f'{name}, line {number}, is no {{"tile_id": 1, "text": "..."}} ({error!r}).') from None
    return found
