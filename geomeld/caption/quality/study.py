"""Study: the caption pipeline on places whose truth is known: gates, stages, ladders, ablations and diversity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from tqdm import tqdm

from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators import Evaluator, identity_of
from geomeld.caption.graph import caption_chunk, caption_graph
from geomeld.caption.quality.diversity import diversity
from geomeld.caption.quality.injection import inject
from geomeld.caption.quality.judge import assertions
from geomeld.caption.quality.tally import Place, Tally, f1_of, matrix, tally
from geomeld.caption.rules import verify
from geomeld.caption.writers import WRITERS
from geomeld.caption.writers.author import Author
from geomeld.core.caption import Score, Signals
from geomeld.core.config import to_json

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""The noise ladder: share of drafts that the noisy writer spoils."""
GATE_RATE = 0.3
EXAMPLES = 24


@dataclass(frozen=True, slots=True)
class Run:
    """The pipeline on all places at one error rate with one evaluator."""

    records: list[dict[str, Any]]
    """core `Caption` as JSON, one per place."""
    places: Sequence[Place]

    def told(self) -> list[tuple[dict[str, Any], Place]]:
        """(record, place)."""
        return list(zip(self.records, self.places, strict=True))

    def candidates(self) -> Iterable[tuple[str, Place]]:
        """Every candidate: what the Captioner alone gives."""
        return ((text, place) for record, place in self.told() for text in record["candidates"])

    def chosen(self) -> Iterable[tuple[str, Place]]:
        """The Evaluator's first."""
        return ((chosen_of(record), place) for record, place in self.told())

    def final(self) -> Iterable[tuple[str, Place]]:
        """What Verification wrote."""
        return ((record["text"], place) for record, place in self.told())

    def oracle(self) -> Iterable[tuple[str, Place]]:
        """The best candidate by the truth: no evaluator can do better."""
        return ((max(r["candidates"], key=partial(_f1, place=p), default=""), p) for r, p in self.told())


def chosen_of(record: Mapping[str, Any]) -> str:
    """The candidate with the best score; empty without candidates."""
    return record["candidates"][record["scores"][0]["candidate"]] if record["scores"] else ""


def in_order(candidates: Sequence[str], signals: Signals, facts: Sequence[Any]) -> list[Score]:
    """No evaluator: the first draft is taken."""
    return [Score(k, 0.0, {}) for k in range(len(candidates))]


def study(
    places: Sequence[Place],
    config: CaptionConfig,
    evaluators: Mapping[str, Evaluator],
    rates: Sequence[float] = RATES,
    reviser: Author | None = None,
) -> dict[str, Any]:
    """Everything that the report shows, as plain JSON. `evaluators` come first the one that ladders use; a `reviser`
    adds an ablation in which a model rewrites what is beyond repair."""
    names = {"none": in_order, **evaluators}
    first = next(iter(evaluators))
    wanted = [(rate, first) for rate in sorted({*rates, GATE_RATE})]
    wanted += [(GATE_RATE, name) for name in names if name != first]
    runs = {
        (rate, name): _run(places, replace(config, writer="noisy-template", error_rate=rate), names[name])
        for rate, name in tqdm(wanted, desc="study", unit="run", dynamic_ncols=True)
    }
    spoiled = replace(config, writer="noisy-template", error_rate=GATE_RATE)
    revised = _run(places, spoiled, names[first], reviser) if reviser else None
    injected = inject(places, config).figures()
    ladder = {rate: _stages(runs[rate, first]) for rate in sorted({*rates, GATE_RATE})}
    final = tally(runs[GATE_RATE, first].final())
    stages = {name: t.figures() for name, t in ladder[GATE_RATE].items()}
    out = {
        "places": len(places),
        "config": to_json(config),
        "evaluator": first,
        "gates": _gates(injected, {r: {n: t.figures() for n, t in s.items()} for r, s in ladder.items()}),
        "injection": injected,
        "stages": stages,
        "facets": {name: t.facets() for name, t in ladder[GATE_RATE].items()},
        "ladder": [{"error rate": r, **{n: t.figures() for n, t in s.items()}} for r, s in ladder.items()],
        "ablations": _ablations({n: runs[GATE_RATE, n] for n in names}, (first, revised) if revised else None),
        "evaluators": {n: ranking(runs[GATE_RATE, n]) for n in names},
        "models": {n: identity for n, e in evaluators.items() if (identity := identity_of(e))},
        "concepts": final.by_concept(),
        "waters": matrix(final.waters),
        "reliefs": matrix(final.reliefs),
        "diversity": _diversity(places, config, runs[GATE_RATE, first]),
        "statuses": {r: _statuses(runs[r, first]) for r in ladder},
        "examples": [_example(r, p) for r, p in _telling(runs[max(ladder), first])],
    }
    return to_json(out)


def _run(places: Sequence[Place], config: CaptionConfig, evaluator: Evaluator, reviser: Author | None = None) -> Run:
    graph = caption_graph(evaluator, reviser=reviser)
    records: list[dict[str, Any]] = []
    for start in range(0, len(places), config.chunk):
        state = caption_chunk(graph, [to_json(p.measured) for p in places[start : start + config.chunk]], config)
        records += [r or _EMPTY for r in state["records"]]
    return Run(records, places)


_EMPTY: dict[str, Any] = {
    "text": "", "original": "", "status": "failed", "candidates": [], "scores": [], "claims": [], "verdicts": [],
    "edits": [], "provenance": {"frame": ""},
}  # fmt: skip


def _stages(run: Run) -> dict[str, Tally]:
    return {
        "captioner": tally(run.candidates()),
        "evaluator": tally(run.chosen()),
        "verification": tally(run.final()),
        "best candidate by the truth": tally(run.oracle()),
    }


def _gates(injected: Mapping[str, Any], ladder: Mapping[float, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The targets, each with what was reached. Sensors are wrong now and then, and nothing that is held against them
    can be truer than they are: rows called "the same" leave out what the sensors themselves show wrongly."""
    at = ladder[GATE_RATE]
    before, after = at["captioner"], at["verification"]
    told = at["verification"]["coverage"] - at["captioner"]["coverage"]
    rows = [
        ("injected conflicts detected", injected["all"]["detected"], 0.98, True),
        ("injected conflicts repaired to true", injected["all"]["repaired"], 0.95, True),
        ("the same, sensors' errors apart", injected["all"]["repaired, sensors' errors apart"], 0.95, True),
        ("false alarms", injected["false alarms"], 0.005, False),
        ("over-correction", injected["all"]["over-correction"], 0.01, False),
        ("hallucination after / before verification", _ratio(after, before, "hallucination rate"), 0.1, False),
        ("the same, of what was invented", _ratio(after, before, "invented"), 0.1, False),
        ("coverage gained by verification", told, 0.0, True),
    ]
    return [
        {"gate": name, "value": float(value), "limit": limit, "at least": least,
         "met": bool(value >= limit if least else value <= limit)}
        for name, value, limit, least in rows
    ]  # fmt: skip


def _ratio(after: Mapping[str, float], before: Mapping[str, float], figure: str) -> float:
    return after[figure] / before[figure] if before[figure] else 0.0


def _ablations(runs: Mapping[str, Run], revised: tuple[str, Run] | None) -> list[dict[str, Any]]:
    rows = []
    for name, run in runs.items():
        for verification, captions in (("none", run.chosen()), ("rules", run.final())):
            rows.append({"evaluator": name, "verification": verification, **tally(captions).figures()})
    if revised is not None:
        name, run = revised
        rows.append({"evaluator": name, "verification": "rules + model", **tally(run.final()).figures()})
    return rows


def ranking(run: Run) -> dict[str, float]:
    """How well an evaluator's scores follow the truth: uplift of its choice over the mean candidate as a share of what
    an oracle would gain, and Kendall's tau of scores and true F1 (tiles where either is constant say nothing)."""
    gained, possible, taus = [], [], []
    for record, place in run.told():
        true = [_f1(c, place) for c in record["candidates"]]
        if len(true) < 2:
            continue
        scores = {s["candidate"]: s["total"] for s in record["scores"]}
        gained.append(true[record["scores"][0]["candidate"]] - float(np.mean(true)))
        possible.append(max(true) - float(np.mean(true)))
        totals = [scores[k] for k in range(len(true))]
        if len(set(true)) > 1 and len(set(totals)) > 1:
            taus.append(float(kendalltau(totals, true).statistic))
    return {
        "F1 gained": float(np.mean(gained)) if gained else 0.0,
        "F1 an oracle gains": float(np.mean(possible)) if possible else 0.0,
        "uplift": float(np.sum(gained) / np.sum(possible)) if np.sum(possible) > 0 else 0.0,
        "Kendall tau": float(np.mean(taus)) if taus else 0.0,
        "tiles with a tau": float(len(taus)),
    }


def _f1(text: str, place: Place) -> float:
    return f1_of(text, place.truth)


def _diversity(places: Sequence[Place], config: CaptionConfig, run: Run) -> dict[str, dict[str, float]]:
    honest = _run(places, replace(config, writer="template"), in_order)
    out = {
        "template": diversity(
            [r["text"] for r in honest.records], [r["provenance"].get("frame", "") for r in honest.records]
        ),
        f"noisy-template at {GATE_RATE:.0%}, verified": diversity([r["text"] for r in run.records]),
    }
    if "tags" in WRITERS:
        tags = _run(places, replace(config, writer="tags"), in_order)  # type: ignore[arg-type]
        out["tags (baseline)"] = diversity([chosen_of(r) for r in tags.records])
    return out


def _statuses(run: Run) -> dict[str, int]:
    names = [r["status"] for r in run.records]
    return {n: names.count(n) for n in sorted(set(names))}


def _telling(run: Run) -> list[tuple[dict[str, Any], Place]]:
    """Records worth looking at: those that Verification changed before those that it let pass."""
    both = list(zip(run.records, run.places, strict=True))
    changed = [x for x in both if x[0]["status"] in ("repaired", "fallback")]
    passed = [x for x in both if x[0]["status"] == "verified"]
    return [*changed[: EXAMPLES * 2 // 3], *passed][:EXAMPLES]


def _example(record: dict[str, Any], place: Place) -> dict[str, Any]:
    """The record, with the verdicts on its text before edits and what is false of either by the truth."""
    first = chosen_of(record)
    claims = extract(first)
    judged = {"text": first, "claims": claims, "verdicts": verify(first, claims, place.measured)}
    said = assertions(record["text"], place.truth)
    false = [a.concept for a in said if a.true is False]
    return to_json({**record, "before": judged, "false by truth": false})
