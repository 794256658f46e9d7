"""Text answers: the zero-shot outcomes of checkpoints that read text, on tasks whose classes can be described."""

from collections.abc import Mapping
from pathlib import Path

from geomeld.core.errors import DatasetError, TrainingError, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders import is_checkpoint
from geomeld.evaluate.jobs import described, outcome_scores
from geomeld.evaluate.menu import Opener
from geomeld.evaluate.origin import NO_TEXT, origin_of, why_no_text
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.results import ENDING, LeftOut, Results, keep_part
from geomeld.evaluate.task import Task
from geomeld.evaluate.zero_shot import PROTOCOL, zero_shot
from geomeld.models.weights import load_model


def told_by_text(
    encoders: Mapping[str, Encoder], menu: Mapping[str, Opener], results: Results, device: str = "cpu"
) -> list[LeftOut]:
    """Compute what is not there yet and keep it; what does not fit, with the reason."""
    left_out = []
    results.describe([described(spec, encoder) for spec, encoder in encoders.items()])
    for name, opener in menu.items():
        for spec, encoder in encoders.items():
            try:
                task = opener(encoder)
                outcome = _outcome(spec, encoder, task, results, device)
            except UsageError as error:
                left_out.append(LeftOut(encoder.title, name, PROTOCOL, "all", str(error)))
                continue
            except (DatasetError, TrainingError) as error:
                left_out.append(LeftOut(encoder.title, name, PROTOCOL, "all", str(error), broken=True))
                continue
            path = _path(encoder, task, results)
            if not path.with_suffix(ENDING).exists():
                keep_part(path.with_suffix(ENDING), outcome_scores(task, outcome))
            results.keep_card(task)
    return left_out


def _outcome(spec: str, encoder: Encoder, task: Task, results: Results, device: str) -> Outcome:
    if not is_checkpoint(spec):
        raise UsageError(NO_TEXT)
    model = load_model(spec, device)
    if why := why_no_text(model, origin_of(Path(spec))):
        raise UsageError(why)
    path = _path(encoder, task, results)
    if path.exists():
        return Outcome.load(path)
    outcome = zero_shot(model, task, encoder.title, encoder.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    outcome.save(path)
    return outcome


def _path(encoder: Encoder, task: Task, results: Results) -> Path:
    data = task.fingerprint()
    return results.outcome_path(task.name, encoder.identity, data, PROTOCOL, "pretraining", 0)
