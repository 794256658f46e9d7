"""Run: everything that is asked about some encoders, in order, to a folder with scores.jsonl and a page."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geomeld.core.errors import DatasetError, GeoMeldError, UsageError
from geomeld.dataset import Dataset
from geomeld.dataset.files import alone, remove_partials
from geomeld.evaluate.beside import family_of
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders import is_checkpoint, open_encoder
from geomeld.evaluate.geobench import SETS
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.images import Statistics
from geomeld.evaluate.jobs import Asked, described, run_tasks
from geomeld.evaluate.menu import Opener, chosen, geobench_tasks, simulated_menu, stands_in
from geomeld.evaluate.on_tiles import run_on_tiles
from geomeld.evaluate.origin import held_out_of
from geomeld.evaluate.protocols import PROTOCOLS, Protocol
from geomeld.evaluate.report import write_report
from geomeld.evaluate.results import LeftOut, Results
from geomeld.evaluate.score import Score, write_scores
from geomeld.evaluate.text_answers import told_by_text
from geomeld.loader import Split

ZERO_SHOT = "zero-shot"
"""A protocol for checkpoints that read text: the class whose description is nearest."""
FROZEN = ("knn", "lbfgs probe", "segmentation probe")
"""Protocols where none is named: minutes, not days."""
FAMILIES: Mapping[str, Sequence[str]] = {
    "frozen": FROZEN,
    **{
        family: [name for name in PROTOCOLS if family_of(name) == family]
        for family in map(family_of, PROTOCOLS)
        if family not in PROTOCOLS
    },
}
"""What means several protocols -> their names: a name without its way of reading ("paper"; "mmearth, tiny" for all of
MMEarth's with this ending, "mmearth" for those without any)."""


@dataclass(frozen=True)
class Request:
    """What is to be evaluated, on what, and how."""

    encoders: tuple[str, ...]
    """As `open_encoder` takes them."""
    geobench: Path | None = None
    """Folder of GEO-Bench v1.0."""
    dataset: Dataset | None = None
    tasks: tuple[str, ...] = ()
    """Names; all that are found without any."""
    protocols: tuple[str, ...] = ()
    """Names, FAMILIES, or what follows "paper "; FROZEN without any."""
    scales: tuple[Statistics, ...] = ()
    """Without any, each protocol's own choice (`Protocol.statistics`)."""
    seeds: int = 1
    epochs: int | None = None
    """Instead of the protocols' own, for trials."""
    partition: str = "default"
    neighbours: bool = False
    """Whether other bands stand in for those that a set lacks, where MMEarth's evaluation does so."""
    split: Split | None = None
    """How tiles of the dataset were held out, for checkpoints that do not tell, and for encoders that are none; the
    usual split for these without it."""
    robustness: bool = False
    device: str = "cpu"


def evaluate(request: Request, out: Path) -> list[Score]:
    """Do all of it that is not in the folder `out` yet; the scores of everything that the folder then holds.

    With a dataset alone: what a checkpoint makes of its held-out tiles. With tasks or protocols named as well, a
    dataset of the simulated Earth is asked about its truth. A set that is partial or damaged costs no other set;
    `Results.left_out` then says so. Raises UsageError for what does not fit together, DatasetError where nothing can be
    evaluated and where another process is at work in the folder.
    """
    if request.geobench is None and request.dataset is None:
        raise UsageError("There is nothing to evaluate on: give --geobench DIR, --data DATASET, or both.")
    if request.robustness and (request.dataset is None or not any(map(is_checkpoint, request.encoders))):
        raise UsageError(
            "--robustness is of a checkpoint on the tiles of a dataset: name one, and give --data DATASET."
        )
    if request.split is not None and request.dataset is None:
        raise UsageError("--held-out is of the tiles of a dataset: give --data DATASET, or leave it out.")
    encoders = {spec: open_encoder(spec) for spec in dict.fromkeys(request.encoders)}
    results = Results(out)
    held_out = None if request.dataset is None else _held_out(request)
    menu, unasked = menu_of(request, results.cache, held_out)
    left_out = [LeftOut("every encoder", name, "all", "all", why) for name, why in unasked.items()]
    tiled = request.dataset is not None and any(map(is_checkpoint, encoders))
    asked = Asked(encoders, menu, protocols_of(request), request.scales, request.seeds, request.device)
    if unasked and not menu and not tiled:
        raise _nothing(left_out)
    _check_used(request, asked)
    out.mkdir(parents=True, exist_ok=True)
    with alone(out):
        remove_partials(out)
        results.describe([described(spec, encoder) for spec, encoder in encoders.items()])
        if request.dataset is not None:
            left_out += _on_tiles(request, encoders, request.dataset, held_out, results)
        if menu and asked.protocols:
            left_out += run_tasks(asked, results, alone=not tiled)
        if ZERO_SHOT in request.protocols:
            left_out += told_by_text(encoders, menu, results, request.device)
        results.leave_out(left_out)
        for each in left_out:
            if not each.broken and not each.partly:
                print(f"left out: {each}", file=sys.stderr)
        scores = results.scores()
        if not scores:
            raise _nothing(left_out)
        write_scores(out, scores)
        write_report(results)
    return scores


def _nothing(left_out: Sequence[LeftOut]) -> GeoMeldError:
    reasons = "\n  ".join(map(str, left_out))
    if any(each.broken for each in left_out):
        return DatasetError(f"Nothing that is asked for could be evaluated.\n  {reasons}")
    return UsageError(f"Nothing that is asked for fits together.\n  {reasons}")


def menu_of(request: Request, cache: Path, held_out: HeldOut | None) -> tuple[dict[str, Opener], dict[str, str]]:
    """The tasks that are asked for; and those of them that a dataset is too small for, with that reason. Raises
    UsageError for a name that is in none of the folders."""
    menu: dict[str, Opener | str] = {}
    if request.geobench is not None:
        menu |= geobench_tasks(request.geobench, request.partition, request.neighbours, cache / "statistics")
    if request.dataset is not None and (request.tasks or request.protocols):
        asked, unasked = simulated_menu(request.dataset, held_out or HeldOut(Split()), cache / "truth")
        menu.update(asked)
        menu.update(unasked)
    found = chosen(menu, request.tasks)
    openers = {name: opener for name, opener in found.items() if not isinstance(opener, str)}
    return openers, {name: why for name, why in found.items() if isinstance(why, str)}


def _check_used(request: Request, asked: Asked) -> None:
    """Raises UsageError for an option that would change nothing of what is asked for."""
    protocols = asked.protocols if asked.tasks else []
    if request.partition != "default" and not any(name in SETS for name in asked.tasks):
        raise UsageError("--partition is of sets of GEO-Bench v1.0, and none of these is asked for; leave it out.")
    fitting = (stands_in(name, encoder) for name in asked.tasks for encoder in asked.encoders.values())
    if request.neighbours and not any(fitting):
        lacking = ", ".join(name for name, record in SETS.items() if record.neighbours)
        raise UsageError(
            f"--neighbours is for bands that a set lacks and that others can stand in for ({lacking}), and no encoder "
            "here has such bands on a set that is asked for; leave it out."
        )
    if request.scales and not any(p.statistics_used(scale) == scale for p in protocols for scale in request.scales):
        why = "these protocols know the set's own alone" if protocols else "what is asked for knows one kind alone"
        raise UsageError(f"--scale chooses between statistics, and {why}; leave it out.")
    if request.seeds > 1 and not protocols:
        raise UsageError(f"--seeds {request.seeds}: none of what is asked for draws anything; leave it out.")


def _held_out(request: Request) -> HeldOut:
    """What all of the checkpoints may be tested on: the tiles that were held out of their pretraining, but for those by
    which the weights of any of them were chosen. Raises UsageError where they differ in what they held out, or one does
    not tell."""
    given = None if request.split is None else HeldOut(request.split)
    found = {spec: held_out_of(Path(spec), given) for spec in request.encoders if is_checkpoint(spec)}
    splits = list(dict.fromkeys(held_out.split for held_out in found.values()))
    if len(splits) > 1:
        one, other = (next(spec for spec, h in found.items() if h.split == split) for split in splits[:2])
        raise UsageError(
            f"{one} and {other} held out different tiles of their pretraining: what is a test for one was seen by the "
            "other. Evaluate them apart."
        )
    if not found:
        return given or HeldOut(Split())
    return HeldOut(splits[0], frozenset().union(*(held_out.chosen_by for held_out in found.values())))


def protocols_of(request: Request) -> list[Protocol]:
    """The protocols that are asked for, in the order of the table, in another number of epochs where they have any.

    Raises UsageError for a word that means none, for less than one epoch, and for epochs where no protocol
    has any.
    """
    if request.epochs is not None and request.epochs < 1:
        raise UsageError(f"--epochs is {request.epochs}; give at least 1.")
    words = [word for word in request.protocols or FROZEN if word != ZERO_SHOT]
    wanted = {name for word in words for name in named_so(word)}
    found = [protocol for name, protocol in PROTOCOLS.items() if name in wanted]
    if request.epochs is None or not found:
        return found
    lasting = [_lasting(protocol, request.epochs) for protocol in found]
    if all(a is None for a in lasting):
        raise UsageError(f"None of {', '.join(sorted(wanted))} has epochs; leave --epochs out.")
    return [changed or protocol for changed, protocol in zip(lasting, found, strict=True)]


def named_so(word: str) -> Sequence[str]:
    """The protocols that a word means: the one of this name, else of "paper" and this name, else all of a family.

    Raises UsageError for any other word, with all that there are.
    """
    for name in (word, f"paper {word}"):
        if name in PROTOCOLS:
            return [name]
    if word not in FAMILIES:
        raise UsageError(
            f"There is no protocol {word!r}; there are {', '.join(map(repr, PROTOCOLS))}, and for several of them at "
            f"once {', '.join(map(repr, FAMILIES))}."
        )
    return FAMILIES[word]


def _lasting(protocol: Protocol, epochs: int) -> Protocol | None:
    try:
        return protocol.lasting(epochs)
    except UsageError:
        return None


def _on_tiles(
    request: Request, encoders: Mapping[str, Encoder], dataset: Dataset, held_out: HeldOut | None, results: Results
) -> list[LeftOut]:
    """Run what is read off tiles for every checkpoint; what was left out of it, the other encoders among that."""
    others = [encoder for spec, encoder in encoders.items() if not is_checkpoint(spec)]
    if len(others) == len(encoders) and not (request.tasks or request.protocols or request.geobench):
        raise UsageError(
            f"{others[0].title} is no checkpoint of this project, and only those are held against captions and tiles; "
            'name --protocols (for example knn "lbfgs probe") to have the tasks of the simulated Earth.'
        )
    why = "retrieval and the probe of tiles are for checkpoints of this project"
    left_out = [LeftOut(e.title, dataset.path.name, "held-out tiles", "all", why) for e in others]
    for spec in filter(is_checkpoint, encoders):
        left_out += run_on_tiles(Path(spec), dataset, results, held_out, request.device, robustness=request.robustness)
    return left_out
