"""Origin: how a checkpoint was pretrained, as the run.json beside its weights says, and what follows for its scores."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomeld.core.config import from_json
from geomeld.core.errors import CheckpointError, UsageError
from geomeld.evaluate.held_out import HeldOut
from geomeld.loader import Split
from geomeld.models.choice import CHOSEN_BY, choice_of
from geomeld.models.geomeld_fm import GeoMeldFM

RUN = "run.json"
OBJECTIVES = {"error": "MAE", "tau": "JEPA", "spare_duplicates": "ITC"}
"""A field that one objective alone has -> what the objective is called."""
ALL = tuple(OBJECTIVES.values())

NO_TEXT = "it reads no text; only a checkpoint that was trained on captions does"


@dataclass(frozen=True)
class Origin:
    """What is known of a pretraining."""

    split: Split | None = None
    """How tiles were held out; None where nothing tells."""
    objectives: tuple[str, ...] | None = None
    """Of ALL those that had a weight, in this order; None where nothing tells."""
    chosen_by: frozenset[int] | None = frozenset()
    """Held-out tiles by which the weights were chosen among those of other steps; None where nothing tells, though they
    were."""


def origin_of(checkpoint: Path) -> Origin:
    """The origin of a checkpoint's folder, or of one within it: the best model of a run lies inside the run's folder.

    What is not told is None. Raises CheckpointError for a run.json that is damaged or in other words than today's, and
    for a chosen_by.json likewise.
    """
    chosen_by = choice_of(checkpoint)
    for folder in (checkpoint, checkpoint.parent):
        try:
            config = json.loads((folder / RUN).read_text())["config"]
            if chosen_by is None and (folder == checkpoint or not config.get("best_of", True)):
                chosen_by = frozenset()  # the last weights of a run, or of one that chose none
            return Origin(from_json(Split, config["split"]), _objectives(config), chosen_by)
        except FileNotFoundError:
            continue
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / RUN} does not say how {checkpoint} was trained ({error!r}): copy it from the run again."
            ) from None
    return Origin(chosen_by=chosen_by or frozenset())


def held_out_of(checkpoint: Path, given: HeldOut | None = None) -> HeldOut:
    """What a checkpoint may be tested on: what `split_of` says, but for the tiles by which its weights were chosen and
    those that `given` leaves out as well.

    Raises UsageError as `split_of` does, and where nobody tells by which tiles the weights were chosen.
    """
    split = split_of(checkpoint, given.split if given else None)
    chosen_by = origin_of(checkpoint).chosen_by
    if chosen_by is None:
        raise UsageError(
            f"{checkpoint} is the best model of a run that chose it by held-out tiles, and does not say which, for it "
            f"has no {CHOSEN_BY}: a test on the same tiles is none. Evaluate the last weights of the run, "
            f"{checkpoint.parent}."
        )
    return HeldOut(split, chosen_by | (given.chosen_by if given else frozenset()))


def split_of(checkpoint: Path, given: Split | None = None) -> Split:
    """How tiles were held out of a pretraining, by its run.json or, where there is none, as `given`.

    Raises UsageError where nobody tells (any tile may have been trained on) and where the two differ.
    """
    told = origin_of(checkpoint).split
    if told is None and given is None:
        raise UsageError(
            f"{checkpoint} does not say which tiles its training held out, for it has no {RUN}, and a test on tiles "
            f"that it has seen is none. Copy {RUN} from the run's folder, or say it: --held-out 0.1 --held-out-by cell "
            "--held-out-seed 0."
        )
    if told is not None and given not in (None, told):
        raise UsageError(f"{checkpoint} held out {told} of its training, not {given}; leave --held-out out.")
    return told or given  # type: ignore[return-value]


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
