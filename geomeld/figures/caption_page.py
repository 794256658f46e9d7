"""The caption quality report: gates, stages, errors by type, ladders, ablations and coloured captions on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from geomeld.figures.captions import marked_caption
from geomeld.figures.page import Page, escape, table

STAGES = ("captioner", "evaluator", "verification", "best candidate by the truth")
COLOURS = ("#9a9a9a", "#c98a1b", "#1f5f8b", "#1b7f4b")
SHOWN = (
    "assertion precision", "hallucination rate", "invented", "captions with a false assertion",
    "style faults per caption", "coverage", "F1", "amount error", "amount words within their band", "not verifiable",
)  # fmt: skip
"""Figures of a stage, in the order in which they are read."""
CURVES = ("hallucination rate", "invented", "coverage", "F1")


def write_caption_page(study: Mapping[str, Any], out: Path) -> Path:
    """Write the report of a study (the JSON of `geomeld caption --evaluate`) as one offline HTML file."""
    page = Page(
        "Caption quality",
        f"{study['places']} tiles of the simulated Earth; every assertion of a caption is held against the latent "
        "truth, which no agent sees.",
    )
    _gates(page, study["gates"])
    _stages(page, study)
    _ladder(page, study["ladder"])
    _injections(page, study["injection"])
    _ablations(page, study)
    _concepts(page, study)
    _diversity(page, study["diversity"])
    _examples(page, study["examples"])
    _missed(page, study["injection"])
    return page.write(out)


def _gates(page: Page, gates: Sequence[Mapping[str, Any]]) -> None:
    page.section("Gates", "What was aimed at, and what was reached.")
    page.table(
        ("gate", "aim", "reached", ""),
        [
            (g["gate"], f"{'at least' if g['at least'] else 'at most'} {g['limit']:g}", round(g["value"], 4),
             "met" if g["met"] else "not met")
            for g in gates
        ],
    )  # fmt: skip


def _stages(page: Page, study: Mapping[str, Any]) -> None:
    page.section(
        "Stages",
        "At 30 % spoiled drafts: all candidates, the Evaluator's choice, what Verification made of it, and the best "
        "candidate that anyone could have chosen. Invented is what is false and not shown by any sensor either.",
    )
    page.table(("", *STAGES), [(figure, *(round(study["stages"][s][figure], 4) for s in STAGES)) for figure in SHOWN])
    page.add("<h3>What is said wrongly, after verification</h3>")
    facets = study["facets"]["verification"]
    page.table(
        ("of a thing", "true", "false", "invented", "share false"),
        [(f, int(v["true"]), int(v["false"]), int(v["invented"]), v["share false"]) for f, v in facets.items()],
    )


def _ladder(page: Page, ladder: Sequence[Mapping[str, Any]]) -> None:
    page.section("Noise ladder", "The same figures as ever more drafts are spoiled.")
    page.figure(ladder_figure(ladder), "Share over the share of spoiled drafts; one line per stage.")
    page.table(
        ("error rate", *(f"{c}, {s}" for c in CURVES for s in STAGES[:3])),
        [(row["error rate"], *(round(row[s][c], 4) for c in CURVES for s in STAGES[:3])) for row in ladder],
    )


def ladder_figure(ladder: Sequence[Mapping[str, Any]]) -> Figure:
    """One chart per figure, one line per stage, over the error rate."""
    figure = Figure(figsize=(11, 2.9), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(CURVES))
    rates = [row["error rate"] for row in ladder]
    for axis, curve in zip(axes, CURVES, strict=True):
        for stage, colour in zip(STAGES, COLOURS, strict=True):
            axis.plot(rates, [row[stage][curve] for row in ladder], color=colour, marker="o", markersize=3, label=stage)
        axis.set_title(curve, fontsize=9)
        if max(row["captioner"][curve] for row in ladder) < 0.5:
            axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=7)
        axis.grid(color="#dddddd", linewidth=0.4)
    axes[0].legend(fontsize=6, frameon=False)
    return figure


def _injections(page: Page, injection: Mapping[str, Any]) -> None:
    page.section(
        "Errors by type",
        f"One error of each type put into a true caption of {injection['places']} tiles. Detected: a rule objects; "
        "located: on the changed words; repaired: what comes out is true, in place or by another sentence.",
    )
    columns = ("made", "detected", "located", "repaired", "repaired in place", "repaired, sensors' errors apart",
               "over-correction")  # fmt: skip
    rows = {"all": injection["all"], **injection["types"]}
    page.table(("error", *columns), [(n, *(_rounded(o[c]) for c in columns)) for n, o in rows.items()])
    page.table(
        ("captions without an error", "share of claims"),
        [(n, round(injection[n], 4))
         for n in ("false alarms", "over-correction of clean captions", "alarms on captions of the truth")],
    )  # fmt: skip


def _ablations(page: Page, study: Mapping[str, Any]) -> None:
    page.section("Ablations", "Each evaluator with and without verification, at 30 % spoiled drafts.")
    columns = ("assertion precision", "hallucination rate", "invented", "style faults per caption", "coverage", "F1")
    page.table(
        ("evaluator", "verification", *columns),
        [(r["evaluator"], r["verification"], *(round(r[c], 4) for c in columns)) for r in study["ablations"]],
    )
    page.add("<h3>Evaluators against an oracle</h3>")
    page.table(
        ("evaluator", "uplift, share of the oracle's", "F1 gained", "F1 an oracle gains", "Kendall tau"),
        [
            (n, *(round(r[c], 4) for c in ("uplift", "F1 gained", "F1 an oracle gains", "Kendall tau")))
            for n, r in study["evaluators"].items()
        ],
    )
    tests = [(n, gsd, t) for n, model in study["models"].items() for gsd, t in model["tests"].items()]
    if tests:
        page.add("<h3>What contrastive models proved</h3>")
        page.table(
            ("model", "at", "AUC, matched against shuffled", "tiles", "weight"),
            [(n, gsd, "none" if t["auc"] is None else t["auc"], t["tiles"], t["weight"]) for n, gsd, t in tests],
        )


def _concepts(page: Page, study: Mapping[str, Any]) -> None:
    page.section("Concepts", "After verification: how often a claim is false, and how often a true fact is told.")
    page.table(
        ("concept", "claims", "share false", "salient facts", "share told"),
        [
            (c, int(v["claims"]), round(v["share false"], 4), int(v["facts"]), round(v["share told"], 4))
            for c, v in list(study["concepts"].items())[:40]
        ],
    )
    for title, name in (("Water: said against there", "waters"), ("Relief: said against there", "reliefs")):
        there = sorted({k for row in study[name].values() for k in row})
        page.add(f"<h3>{title}</h3>")
        page.table(("said", *there), [(s, *(row.get(k, 0) for k in there)) for s, row in study[name].items()])


def _diversity(page: Page, diversity: Mapping[str, Mapping[str, float]]) -> None:
    page.section("Diversity", "How much captions repeat themselves; the tags baseline strings map features together.")
    figures = list(dict.fromkeys(f for row in diversity.values() for f in row))
    page.table(
        ("", *diversity), [(f, *(_rounded(row[f]) if f in row else "" for row in diversity.values())) for f in figures]
    )


def _examples(page: Page, examples: Sequence[Mapping[str, Any]]) -> None:
    page.section(
        "Captions",
        "Each phrase in the colour of its verdict, before and after verification; at the highest error rate.",
    )
    page.cards(_card(e) for e in examples)


def _card(example: Mapping[str, Any]) -> str:
    edits = ", ".join(f"{e['rule']}" for e in example["edits"])
    wrong = ", ".join(example["false by truth"])
    notes = [f"tile {example['tile_id']}", example["status"]] if "tile_id" in example else [example["status"]]
    notes += [f"edited by {edits}"] if edits else []
    notes += [f"false by the truth: {wrong}"] if wrong else []
    after = marked_caption(example)
    before = marked_caption(example["before"])
    shown = f"<p>{before}</p><p>&darr;</p>" if example["before"]["text"] != example["text"] else ""
    return f'{shown}<p>{after}</p><p class="note">{escape("; ".join(notes))}</p>{_score_table(example)}'


def _score_table(example: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(n for s in example["scores"] for n in s["parts"]))
    rows = [
        (
            example["candidates"][s["candidate"]],
            round(s["total"], 3),
            *(round(s["parts"].get(n, 0.0), 3) for n in names),
        )
        for s in example["scores"]
    ]
    return f"<details><summary>score table</summary>{table(('candidate', 'total', *names), rows)}</details>"


def _missed(page: Page, injection: Mapping[str, Any]) -> None:
    page.section("What went wrong", "Injected errors that were not detected, or not repaired to a true sentence.")
    page.table(
        ("error", "spoiled", "conflicts", "edits", "after", "still false"),
        [
            (name, m["spoiled"], m["conflicts"], m["edits"], m["after"], m["still false"])
            for name, outcome in injection["types"].items()
            for m in outcome["missed"]
        ],
    )


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
