"""Report: a folder of results as one page."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from geomeld.evaluate.beside import other_models, paper_tables
from geomeld.evaluate.results import TILES, Described, LeftOut, Results, TileSet
from geomeld.evaluate.summary import Summary, baseline, cell, labels_of, summaries
from geomeld.evaluate.task_view import task_views
from geomeld.evaluate.tile_answers import kept_answers
from geomeld.evaluate.tile_view import tile_figures
from geomeld.figures.evaluation_page import EvaluationView, Table, write_evaluation_page
from geomeld.figures.predictions import class_bars

PAGE = "evaluation.html"


def write_report(results: Results) -> Path:
    """Write evaluation.html of a folder of results and return its path."""
    return write_evaluation_page(view_of(results), results.folder / PAGE)


def view_of(results: Results) -> EvaluationView:
    """Everything that the page shows."""
    scores, encoders, cards = results.scores(), results.encoders(), results.cards()
    names, found = labels_of(encoders, scores), summaries(scores)
    tile_sets = results.tile_sets()
    on_tasks = [s for s in found if s.data in cards]
    commits = ", ".join(sorted({s.commit for s in scores if s.commit}))
    broken = ", ".join(dict.fromkeys(each.task for each in results.left_out() if each.broken))
    return EvaluationView(
        "Evaluation",
        f"{len(scores):,} numbers; encoders: {len(names)}, tasks: {len(cards)}, datasets: {len(tile_sets)}; "
        f"code {commits or 'unknown'}. "
        "Intervals are 95 %, by bootstrap over test images or queries, none where every draw agrees; of several seeds: "
        "mean, outermost bounds." + (f" Not evaluated in full: {broken}; why stands at the end." if broken else ""),
        [*paper_tables(found, cards, names, tile_sets), *other_models(on_tasks, cards, names)],
        task_views(results, cards, names, on_tasks),
        tile_tables([s for s in found if s.data not in cards], names, tile_sets),
        [
            *class_figures([s for s in found if s.data not in cards], names, tile_sets),
            *tile_figures(kept_answers(results.folder / TILES), names, tile_sets),
            *results.figures(),
        ],
        _encoder_table(encoders.values(), names),
        _left_out(results.left_out()),
    )


def tile_tables(found: Sequence[Summary], names: Mapping[str, str], tile_sets: Mapping[str, TileSet]) -> list[Table]:
    """Numbers on the tiles of datasets, a table per dataset and protocol."""
    tables = []
    for data, protocol in dict.fromkeys((s.data, s.protocol) for s in found):
        rows = [
            [names[s.checkpoint], s.task, s.metric, cell(s), s.baseline_name, baseline(s), s.n]
            for s in found
            if (s.data, s.protocol) == (data, protocol) and "/" not in s.metric
        ]
        header = ("", "what", "metric", "value", "beside it", "its value", "tiles or queries")
        about = f"Tiles of {tile_sets.get(data, data)}. Shares in percent."
        tables.append(Table(f"Held-out tiles: {protocol}", about, header, rows))
    return tables


def class_figures(
    found: Sequence[Summary], names: Mapping[str, str], tile_sets: Mapping[str, TileSet]
) -> list[tuple[str, Figure]]:
    """Captions and figures of what is scored class by class on tiles, one per dataset, task and metric."""
    groups: dict[tuple[str, str, str], dict[str, dict[str, float]]] = {}
    for s in found:
        metric, _, name = s.metric.partition("/")
        if name:
            by_encoder = groups.setdefault((s.data, f"{s.task}, {s.protocol}", metric), {})
            by_encoder.setdefault(names[s.checkpoint], {})[name] = s.value
    return [
        (
            f"{about}: {metric} of every class on held-out tiles of {tile_sets.get(data, data)}.",
            class_bars(held, metric),
        )
        for (data, about, metric), held in groups.items()
    ]


def _encoder_table(encoders: Iterable[Described], names: Mapping[str, str]) -> Table:
    rows = [
        [names.get(e.identity, e.title), e.spec, f"{e.parameters:,}", e.width, " ".join(e.bands), e.identity]
        for e in encoders
    ]
    return Table("Encoders", "", ("", "opened by", "parameters", "width", "bands", "weights' SHA-256"), rows)


def _left_out(left_out: Sequence[LeftOut]) -> Table:
    rows = [[each.encoder, each.task, each.protocol, each.scale, each.why] for each in left_out]
    text = "What the latest run was asked for and did not do."
    return Table("Left out", text, ("encoder", "task", "protocol", "statistics", "why"), rows)
