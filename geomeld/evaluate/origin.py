"""Origin: how a checkpoint was pretrained, as the run.json beside its weights says, and what follows for its scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geomeld.core.config import from_json
from geomeld.loader import Split
from geomeld.models.geomeld_fm import GeoMeldFM

RUN = "run.json"
OBJECTIVES = {"error": "MAE", "tau": "JEPA", "spare_duplicates": "ITC"}
"""A field that one objective alone has -> what the objective is called."""
ALL = tuple(OBJECTIVES.values())

NO_TEXT = "it reads no text; only a checkpoint that was trained on captions does"


@dataclass(frozen=True)
class Origin:
    """What is known of a pretraining."""

    split: Split = field(default_factory=Split)
    """How tiles were held out; the usual one where nothing tells."""
    objectives: tuple[str, ...] | None = None
    """Of ALL those that had a weight, in this order; None where nothing tells."""


def origin_of(checkpoint: Path) -> Origin:
    """The origin of a checkpoint's folder, or of one within it: the best model of a run lies inside the run's folder.

    What is not told, or not in words of today, is left at its default.
    """
    for folder in (checkpoint, checkpoint.parent):
        try:
            config = json.loads((folder / RUN).read_text())["config"]
            return Origin(from_json(Split, config["split"]), _objectives(config))
        except (OSError, KeyError, TypeError, ValueError):
            continue
    return Origin()


def _objectives(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "objectives" not in config:
        return None
    weighed = [objective for objective in config["objectives"] if objective["weight"] > 0]
    return tuple(name for key, name in OBJECTIVES.items() if any(key in objective for objective in weighed))


def title_of(model: GeoMeldFM, origin: Origin) -> str:
    """What a checkpoint is called: GeoMeld-FM with all objectives and several targets (or where nothing tells), else by
    what it learned from, as the rows of the paper's table 3; with its size."""
    several = [target.name for target in model.config.targets] != [model.config.input.name]
    if origin.objectives is None or (origin.objectives == ALL and several):
        name = "GeoMeld-FM"
    else:
        masked = "MP-MAE" if several else "S2-MAE"
        name = " + ".join(masked if objective == "MAE" else objective for objective in origin.objectives)
    return f"{name} {model.config.size}"


def why_no_text(model: GeoMeldFM, origin: Origin) -> str:
    """Why a checkpoint cannot be asked by text; empty where it can."""
    if model.tokenizer is None:
        return NO_TEXT
    if origin.objectives is not None and "ITC" not in origin.objectives:
        return (
            f"its text side was never trained: as its {RUN} says, it learned by {' and '.join(origin.objectives)}, not "
            "from captions; a pretraining with the objective contrast (geomeld_fm, mp_mae_itc) has these scores"
        )
    return ""
