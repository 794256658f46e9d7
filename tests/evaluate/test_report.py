"""Tables and pages of evaluation: printed numbers as printed, seeds together, what may not stand side by side marked."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from geomeld.core.errors import CorruptFile
from geomeld.evaluate.beside import column_of, family_of, other_models, paper_tables
from geomeld.evaluate.card import Card
from geomeld.evaluate.floor import best_constant
from geomeld.evaluate.jobs import outcome_scores
from geomeld.evaluate.metrics import main_score
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.published import PUBLISHED, SOURCES, TABLE_2, TABLE_3, published
from geomeld.evaluate.report import class_figures, tile_tables, write_report
from geomeld.evaluate.results import ENDING, Described, LeftOut, Results, TileSet, keep_part
from geomeld.evaluate.score import Score
from geomeld.evaluate.score_table import score_lines
from geomeld.evaluate.summary import baseline, cell, labels_of, summaries
from geomeld.evaluate.task import TaskKind
from geomeld.evaluate.tile_answers import TileAnswers, kept_answers
from geomeld.evaluate.tile_view import tile_figures

PAPER = Path(__file__).parents[3] / "shared" / "paper" / "geomeld-paper.txt"
SO2SAT = (19992, 986, 986)


def score(task="m-so2sat", protocol="paper linear probe", metric="overall accuracy", value=0.5, **more) -> Score:
    given = {"low": 0.4, "high": 0.6, "seed": 0, "n": 986, "encoder": "GeoMeld-FM atto", "checkpoint": "aaaaaaaaaaaa"}
    return Score(task, protocol, metric, value, **(given | {"data": "d" * 12, "scale": "own"} | more))


def card(kind=TaskKind.MULTICLASS, classes=17, splits=SO2SAT, names=("a", "b"), size=8, **more) -> Card:
    pictures = np.zeros((len(names), size, size, 3), np.uint8)
    given = {
        "name": "m-so2sat",
        "data": "d" * 12,
        "published": SO2SAT,
        "partition": "default",
        "traps": ("a trap",),
    } | more
    return Card(given.pop("name"), kind, classes, (), size, given.pop("traps"), given.pop("data"), splits, given.pop("published"), given.pop("partition"), names, pictures)  # fmt: skip


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not at hand")
def test_numbers_of_the_paper_are_as_printed() -> None:
    text = PAPER.read_text()
    for source, columns, first, last in (
        ("table 2", TABLE_2, "ImageNet 55.7", "Table 3:"),
        ("table 3", TABLE_3, "S2-MAE baseline", "Text encoder."),
    ):
        part = text[text.index(first) : text.index(last)]
        rows = [re.findall(r"\d+\.\d", line) for line in part.splitlines()]
        printed = [[float(x) for x in row] for row in rows if len(row) >= 4]
        models = list(dict.fromkeys(p.model for p in PUBLISHED if p.source == source))
        ours = [[100 * p.value for c in columns for p in published(c, source) if p.model == m] for m in models]
        assert [pytest.approx(row) for row in printed] == ours
    assert all(p.source in SOURCES for p in PUBLISHED)


@pytest.mark.parametrize("kind", list(TaskKind))
def test_the_best_constant_answer_is_the_best_of_all(kind: TaskKind) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        if kind is TaskKind.MULTICLASS:
            truth = rng.integers(0, 3, 7)
            answers = [np.tile(np.eye(3)[c], (7, 1)) for c in range(3)]
        elif kind is TaskKind.MULTILABEL:
            truth = rng.integers(0, 2, (7, 3))
            truth[0] = 1
            answers = [np.tile(np.array(row) * 2.0 - 1, (7, 1)) for row in product((0, 1), repeat=3)]
        else:
            truth = rng.integers(0, 3, (2, 4, 4)).astype(np.uint8)
            answers = [np.full((2, 4, 4), c, np.uint8) for c in range(3)]
        best = max(main_score(kind, answer, truth, 3) for answer in answers)
        assert best_constant(kind, truth) == pytest.approx(best)


def test_seeds_are_one_number_with_their_outermost_bounds() -> None:
    (one,) = summaries([score(value=0.5), score(value=0.6, seed=1, low=0.45, high=0.7)])
    assert (one.value, one.low, one.high, one.seeds) == (pytest.approx(0.55), 0.4, 0.7, 2)
    assert cell(one) == "55.0 [40.0, 70.0]"
    (rank,) = summaries([score(metric="median rank", value=15.0, low=11.0, high=19.0)])
    assert cell(rank) == "15.0 [11.0, 19.0]"
    (rank,) = summaries([score(metric="median rank", value=23_751.5, low=237.5, high=None, baseline=50_000.5)])
    assert (cell(rank), baseline(rank)) == ("23,751.5", "50,000.5")
    (rank,) = summaries([score(metric="effective rank", value=1237.25, low=None, high=None)])
    assert cell(rank) == "1,237.2"
    (all_right,) = summaries([score(value=1.0, low=None, high=None), score(value=0.5, seed=1)])
    assert (cell(all_right), all_right.low, all_right.high) == ("75.0", None, None)
    assert len(summaries([score(), score(scale="pretraining"), score(data="e" * 12)])) == 3


def test_encoders_of_one_title_are_told_apart() -> None:
    scores = [score(checkpoint=c * 12) for c in "abc"]
    known = {c * 12: Described(c * 12, "GeoMeld-FM atto", f"runs/{c}/checkpoint", ("B2",), 320, 7) for c in "ab"}
    assert list(labels_of(known, scores).values()) == [
        "GeoMeld-FM atto (a/checkpoint)", "GeoMeld-FM atto (b/checkpoint)", "GeoMeld-FM atto",
    ]  # fmt: skip


def test_our_rows_stand_below_the_papers_and_other_sets_are_marked() -> None:
    names = {"aaaaaaaaaaaa": "ours"}
    found = summaries([score(), score(protocol="paper fine-tuning", value=0.7)])
    assert family_of("paper linear probe, 2 epochs") == "paper, 2 epochs"
    (two, three) = paper_tables(found, {"d" * 12: card()}, names, {})
    assert [row[0] for row in two.rows] == ["ImageNet", "MMEarth (MP-MAE)", "GeoMeld-S2", "GeoMeld-FM (full)", "ours"]
    assert two.rows[-1] == ["ours", "paper", "own", "", "", "70.0 [40.0, 60.0]", "50.0 [40.0, 60.0]", "", ""]
    assert len(three.rows) == 6
    others = {t.title: t for t in other_models(found, {"d" * 12: card()}, names)}
    ranked = [row[1] for row in others["m-so2sat, linear probe: beside other models"].rows]
    values = [float(text.split()[0]) for text in ranked]
    assert values == sorted(values, reverse=True)
    assert "50.0 [40.0, 60.0]" in ranked
    (mine,) = (row for row in others["m-so2sat, linear probe: beside other models"].rows if row[0] == "ours")
    assert mine[2:] == ["here: paper linear probe", "own statistics; a linear layer on frozen features, 50 epochs"]
    assert "Ours by paper linear probe: a linear layer on frozen features, 50 epochs." in two.notes
    for small in (card(splits=(12, 4, 6)), card(partition="0.10x")):
        (two, _) = paper_tables(found, {"d" * 12: small}, names, {})
        assert two.rows[-1][5:7] == ["70.0 [40.0, 60.0] *", "50.0 [40.0, 60.0] *"]
        assert any("not comparable" in note for note in two.notes)
        last = {t.title: t.rows[-1] for t in other_models(found, {"d" * 12: small}, names)}
        assert last["m-so2sat, linear probe: beside other models"][1].endswith(" *")


def test_what_differs_is_said_of_the_rows_that_it_is_true_of() -> None:
    by_model = {(p.source, p.model, p.column): p for p in PUBLISHED}
    assert len(by_model) == len(PUBLISHED), "a number stands twice"
    assert all(SOURCES[p.source].differs in p.differs for p in PUBLISHED)
    script = {(p.model, p.column.task) for p in PUBLISHED if "MMEarth's script" in p.differs}
    assert script == {("MMEarth (MP-MAE)", c.task) for c in TABLE_2}
    assert {p.column.task for p in PUBLISHED if "divided by 10,000" in p.differs} == {"m-so2sat"}
    found = summaries([score("m-cashew-plant", "paper U-Net", "macro Jaccard")])
    (beside,) = other_models(found, {"d" * 12: card(name="m-cashew-plant")}, {"aaaaaaaaaaaa": "ours"})
    printed = {(row[0], row[1]): row[3] for row in beside.rows}
    assert "TerraFM, GEO-Bench performance has 24.2 for the same encoder" in printed["MMEarth (MP-MAE)", "79.8"]
    assert "GeoMeld paper, table 2 has 79.8 for the same encoder" in printed["MMEarth atto", "24.2"]
    (two, _) = paper_tables(found, {"d" * 12: card(name="m-cashew-plant")}, {"aaaaaaaaaaaa": "ours"}, {})
    (note,) = (note for note in two.notes if "24.2" in note)
    assert note.startswith("MMEarth (MP-MAE), m-cashew-plant U-Net: ")
    assert sum("divided by 10,000" in note for note in two.notes) == 1


def test_a_choice_of_printed_rows_is_said_to_be_one() -> None:
    for source, rows in (
        ("TerraFM kNN", 14),
        ("TerraFM pixels", 13),
        ("torchgeo-bench", 27),
        ("torchgeo-bench kNN", 27),
    ):
        assert len({p.model for p in PUBLISHED if p.source == source}) == rows
        assert f"{rows} " in SOURCES[source].protocol
    assert "left out are" in SOURCES["torchgeo-bench"].protocol


def test_numbers_of_simulated_images_are_said_to_be_that() -> None:
    found = summaries([score()])
    simulated = card(splits=(24, 10, 10), published=None, traps=("images and labels are of the simulated Earth",))
    (two, _) = paper_tables(found, {"d" * 12: simulated}, {"aaaaaaaaaaaa": "ours"}, {})
    (note,) = (note for note in two.notes if note.startswith("*"))
    assert note == (
        "* m-so2sat, 24/10/10 images of train/valid/test: simulated, images and labels; not comparable with numbers on "
        "real ones."
    )
    (two, _) = paper_tables(found, {"d" * 12: card(splits=(24, 10, 10))}, {"aaaaaaaaaaaa": "ours"}, {})
    assert not any("simulated" in note for note in two.notes)


def test_tiles_of_datasets_are_told_apart_and_never_pass_for_the_papers() -> None:
    way, gallery = "image to text, same sentence", "retrieval among 500"
    found = summaries(
        [score(task=way, protocol=gallery, metric="R@5", value=v, data=d) for v, d in ((0.1, "x"), (0.2, "y"))]
    )
    sets = {d: TileSet(d, f"tiles-{d}", "simulated", 500) for d in "xy"}
    (three,) = paper_tables(found, {}, {"aaaaaaaaaaaa": "ours"}, sets)
    ours = [[text for text in row if text] for row in three.rows if row[0] == "ours"]
    assert ours == [
        ["ours", f"{gallery}, tiles of tiles-{d}", "own", f"{v} [40.0, 60.0] *"]
        for d, v in (("x", "10.0"), ("y", "20.0"))
    ]
    assert sum("tiles-y (500 tiles, source: simulated): not the paper's" in note for note in three.notes) == 1
    tables = tile_tables(found, {"aaaaaaaaaaaa": "ours"}, sets)
    assert [(len(t.rows), t.text) for t in tables] == [(1, f"Tiles of {sets[d]}. Shares in percent.") for d in "xy"]


def test_sets_of_one_name_do_not_hide_one_another() -> None:
    cards = {"d" * 12: card(), "e" * 12: card(data="e" * 12, partition="0.10x"), "f" * 12: card(data="f" * 12)}
    found = summaries([score(data=c * 12, value=v) for c, v in zip("def", (0.1, 0.2, 0.3), strict=True)])
    (two, _) = paper_tables(found, cards, {"aaaaaaaaaaaa": "ours"}, {})
    ours = [[row[1], row[6]] for row in two.rows if row[0] == "ours"]
    assert ours == [
        ["paper", "10.0 [40.0, 60.0]"], ["paper, partition 0.10x", "20.0 [40.0, 60.0] *"], ["paper", "30.0 [40.0, 60.0]"],
    ]  # fmt: skip


def test_galleries_of_neighbours_stand_beside_nobodys() -> None:
    same = "image to text, same sentence"
    (plain,) = summaries([score(task=same, protocol="retrieval among 500", metric="R@5")])
    (hard,) = summaries([score(task=same, protocol="retrieval among the 20 nearest tiles", metric="R@5")])
    assert column_of(plain) in TABLE_3
    assert column_of(hard) is None


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A folder with one task of each kind, two encoders, one of them with a learning curve."""
    kept, rng = Results(tmp_path / "out"), np.random.default_rng(0)
    names = tuple(f"id_{i}" for i in range(6))
    for kind in TaskKind:
        truth = {
            TaskKind.MULTICLASS: rng.integers(0, 3, 6),
            TaskKind.MULTILABEL: rng.integers(0, 2, (6, 3)),
            TaskKind.SEGMENTATION: rng.integers(0, 3, (6, 8, 8)).astype(np.uint8),
        }[kind]
        made = card(kind, 3, (1, 1, 6), names, name=f"<b>{kind.name}", data=kind.name)
        (kept.folder / "tasks").mkdir(parents=True, exist_ok=True)
        made.save(kept.folder / "tasks" / f"{kind.name}.npz")
        for encoder in ("one", "two"):
            predicted = truth if kind is TaskKind.SEGMENTATION else rng.standard_normal((6, 3)).astype(np.float32)
            rule = {"rule": "the last epoch" if kind is TaskKind.MULTICLASS else "best on validation"}
            curve = ({"epoch": 1, "loss": 2.0, "valid": 0.1}, {"epoch": 2, "loss": 1.0, "valid": 0.2})
            outcome = Outcome(
                made.name, "knn", encoder, encoder, made.data, "own", 0, names, predicted, truth, rule, curve
            )
            path = kept.outcome_path(made.name, encoder, made.data, "knn", "own", 0)
            path.parent.mkdir(parents=True, exist_ok=True)
            outcome.save(path)
            keep_part(path.with_suffix(ENDING), outcome_scores(made, outcome))  # type: ignore[arg-type]
    kept.describe([Described(e, e, f"random:{e}", ("B2", "B3"), 4, 10) for e in ("one", "two")])
    kept.leave_out([LeftOut("three", "m-so2sat", "knn", "own", "it has <i>no</i> bands")])
    return kept


def test_the_page_shows_every_kind_of_task_offline_with_data_escaped(results: Results) -> None:
    page = write_report(results).read_text()
    assert page.count("<h3>Predictions</h3>") == 3
    assert page.count("<h3>Learning curves</h3>") == 3
    assert page.count("<h3>What is taken for what</h3>") == 3
    assert page.count("<h3>By class</h3>") == 3
    assert page.count("<img") == 3 * 3 + 2 * 6 + 1  # bars, matrices, curves; pictures of images; one figure of maps
    assert "a trap." in page
    assert page.count("<figcaption>By epoch. Tested: the last epoch.") == 1
    assert page.count("<figcaption>By epoch. Tested: best on validation.") == 2
    assert "it has &lt;i&gt;no&lt;/i&gt; bands" in page
    assert "<b>MULTI" not in page
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "<td>100.0 *</td>" in page, "a segmentation that equals the truth"
    assert write_report(results).read_text() == page


def test_what_is_scored_by_class_on_tiles_is_drawn() -> None:
    given = {"task": "zero-shot", "protocol": "templates", "data": "x"}
    found = summaries(
        [
            score(metric=m, value=v, **given)
            for m, v in (("accuracy", 0.5), ("recall/Trees", 0.1), ("recall/Water", 0.9))
        ]
    )
    ((caption, figure),) = class_figures(found, {"aaaaaaaaaaaa": "ours"}, {"x": TileSet("x", "mine", "stac", 9)})
    assert caption == "zero-shot, templates: recall of every class on held-out tiles of mine (9 tiles, source: stac)."
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == "ours")
    assert line.get_xdata().tolist() == [0.1, 0.9]


def test_encoders_that_score_alike_do_not_hide_one_another() -> None:
    given = {"task": "zero-shot", "protocol": "templates", "data": "x", "metric": "recall/Trees", "value": 0.4}
    found = summaries([score(checkpoint=c * 12, **given) for c in "ab"])
    ((_, figure),) = class_figures(found, {"a" * 12: "one", "b" * 12: "two"}, {})
    one, two = (line for line in figure.axes[0].lines if line.get_label() in ("one", "two"))
    assert one.get_xdata() == two.get_xdata()
    assert abs(one.get_ydata()[0] - two.get_ydata()[0]) > 0.2
    assert abs(one.get_ydata()[0]) < 0.5 > abs(two.get_ydata()[0]), "no longer in the row of its class"


def test_encoders_stand_in_the_order_of_the_commands(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    for names in (("f", "b"), ("b", "a")):
        kept.describe([Described(c * 12, f"encoder {c}", f"random:{c}", ("B2",), 4, 10) for c in names])
    for c in "abf":
        keep_part(kept.outcome_path("m-so2sat", c * 12, "d" * 12, "knn", "own", 0).with_suffix(ENDING), [score(checkpoint=c * 12, encoder=c)])  # fmt: skip
        kept.keep_figure(f"{c * 12}-{'d' * 12}-map", c, "")
    assert [s.encoder for s in kept.scores()] == ["f", "b", "a"]
    assert [caption for caption, _ in kept.figures()] == ["f", "b", "a"]
    assert [line.split()[0] for line in score_lines(kept.scores(), kept.encoders())[1:]] == ["f", "b", "a"]


def test_tiles_are_shown_with_truth_and_answers_of_every_encoder(tmp_path: Path) -> None:
    truth, pictures = np.array([0, 0, 2, 2]), np.zeros((2, 4, 4, 3), np.uint8)
    for c, given in (("a", [0, 2, 2, 2]), ("b", [0, 0, 2, 0])):
        TileAnswers(c * 12, "x", ("Trees", "Grass", "<Water>"), truth, np.array(given), (1, 3), pictures).save(tmp_path)
    shown = list(tile_figures(kept_answers(tmp_path), {"b" * 12: "two", "a" * 12: "one"}, {}))
    (_, matrices), (caption, cards) = shown
    assert [axis.get_title() for axis in matrices.axes[:2]] == ["two", "one"]
    assert [t.get_text() for t in matrices.axes[0].get_xticklabels()] == ["Trees", "<Water>"], "Grass is nowhere"
    drawn = [axis.images[0].get_array().tolist() for axis in matrices.axes[:2]]
    assert drawn == [[[1, 0], [0.5, 0.5]], [[0.5, 0.5], [0, 1]]]
    assert "drawn by lot" in caption
    assert re.findall(r"<b>(.*?)</b>", cards) == ["Trees", "&lt;Water&gt;"]
    said = re.findall(r'<span class="(\w+)">(.*?)</span> <span class="note">(.*?)<', cards)
    assert said == [
        ("supported", "Trees", "two"), ("contradicted", "&lt;Water&gt;", "one"),
        ("contradicted", "Trees", "two"), ("supported", "&lt;Water&gt;", "one"),
    ]  # fmt: skip
    (path, *_) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:99])
    with pytest.raises(CorruptFile, match=path.name):
        kept_answers(tmp_path)


def test_a_protocol_cut_short_is_not_described_as_the_whole(results: Results) -> None:
    for path in results.folder.glob(f"outcomes/*/*{ENDING}"):
        path.write_text(path.read_text().replace('"knn"', '"paper U-Net, 3 epochs"'))
    page = write_report(results).read_text()
    assert "paper U-Net, 3 epochs: a trial of 3 epochs in all; in full, " in page


def test_lines_for_the_terminal_name_every_encoder_and_task(results: Results) -> None:
    lines = score_lines(results.scores(), results.encoders())
    assert [line for line in lines if line and not line.startswith(" ")] == [f"<b>{k.name}" for k in sorted(TaskKind, key=lambda k: f"b-{k.name}")]  # fmt: skip
    assert sum("macro Jaccard" in line for line in lines) == 2
    assert not any("IoU/" in line for line in lines)


def test_a_number_stands_on_one_line_with_all_that_it_is_held_against() -> None:
    floors = (("commonest class", 0.3), ("mean spectrum", 0.45))
    (head, line) = score_lines([score(baseline=v, baseline_name=n) for n, v in floors], {})
    assert head == "m-so2sat"
    assert line.split("  ")[-2:] == ["commonest class 30.0, mean spectrum 45.0", "n = 986"]


def test_scores_of_another_kind_are_refused(results: Results) -> None:
    path = next(results.folder.glob(f"outcomes/*/*{ENDING}"))
    path.write_text('{"value": 1}\n')
    with pytest.raises(CorruptFile, match=re.escape(path.name)):
        results.scores()
    (results.folder / "encoders.json").write_text("[{}]")
    with pytest.raises(CorruptFile, match=r"encoders\.json"):
        results.encoders()
