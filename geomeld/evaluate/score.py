"""Score: one number of an evaluation, with all that must be known to believe it; a line of scores.jsonl."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically

SCORES = "scores.jsonl"


@dataclass(frozen=True, slots=True)
class Score:
    """One number."""

    task: str
    protocol: str
    metric: str
    value: float
    low: float | None
    """Bounds of the 95 % bootstrap interval over test images or queries; None where there is none."""
    high: float | None
    seed: int
    n: int
    """Test images, tiles or queries."""
    encoder: str
    checkpoint: str
    """First 12 digits of the weights' SHA-256."""
    data: str
    """Fingerprint of the task, or of a dataset and which of its tiles are tested."""
    scale: str = "pretraining"
    """Whose statistics normalised the images: "own" or "pretraining"."""
    baseline: float | None = None
    """Chance, or what a method without the model reaches."""
    baseline_name: str = ""
    baseline_low: float | None = None
    """Bounds of the baseline's interval over the same draws; None where it has none, as chance."""
    baseline_high: float | None = None
    commit: str = ""
    """Commit of the code where it is known, else its version."""
    held_out: str = ""
    """Which tiles of a dataset were tested, e.g. "25 % of tiles"; empty for a task that has a test split of its own."""


def write_scores(folder: Path, scores: Sequence[Score]) -> None:
    """Write scores.jsonl, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SCORES, "".join(json.dumps(asdict(s)) + "\n" for s in scores).encode())


def read_scores(folder: Path) -> list[Score]:
    """Read scores.jsonl; empty where there is none. Raises CorruptFile for lines of another kind."""
    try:
        lines: Iterable[str] = (folder / SCORES).read_text().splitlines()
        return [Score(**json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise CorruptFile(
            f"{folder / SCORES} holds other lines than scores ({error}); remove it and evaluate again."
        ) from None
