"""The caption quality report: its figures against plain loops and hand counts, and its gates on the simulated Earth."""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators import by_signals
from geomeld.caption.facts import facts_of
from geomeld.caption.quality import injection
from geomeld.caption.quality.diversity import distinct, diversity, entropy, mtld, self_bleu, words_of
from geomeld.caption.quality.injection import changed, inject
from geomeld.caption.quality.judge import Assertion, assertions, is_told, salient
from geomeld.caption.quality.study import Run, in_order, ranking, study
from geomeld.caption.quality.tally import Place, f1_of, invented, is_true, tally
from geomeld.caption.writers import WRITERS
from geomeld.caption.writers.author import Asked, Revision, Written
from geomeld.caption.writers.template import Draft
from geomeld.cli.build import main as build
from geomeld.cli.caption import main as caption
from geomeld.core.caption import Score, Signals
from geomeld.core.errors import UsageError
from geomeld.dataset import Dataset, open_dataset
from geomeld.evaluate.truth import earth_of, true_signals
from geomeld.signals.land_cover import FROM_WORLDCOVER
from geomeld.sources.simulated import truth as latent
from geomeld.testing import tiny_dataset
from geomeld.testing.scenes import SCENES, cover

FARM, FOREST, TOWN, LAKE = (SCENES[name] for name in ("farm", "forest", "town", "lake"))


# --- diversity, against plain loops ---

TEXTS = [
    "Forest covers the hills, with a river.",
    "Forest covers the hills, with a small lake.",
    "A road crosses cropland on flat land.",
    "Grass grows on hills and hills and hills.",
]
SPLIT = [words_of(t) for t in TEXTS]


def grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def plain_bleu(words: list[str], references: list[list[str]]) -> float:
    logs = []
    for n in range(1, 5):
        counts = Counter(grams(words, n))
        if not counts:
            continue
        hits = 0
        for gram, count in counts.items():
            hits += min(count, max(Counter(grams(r, n))[gram] for r in references))
        logs.append(math.log((hits or 0.5) / sum(counts.values())))
    nearest = sorted((abs(len(r) - len(words)), len(r)) for r in references)[0][1]
    return (1 if len(words) > nearest else math.exp(1 - nearest / len(words))) * math.exp(sum(logs) / len(logs))


def test_self_bleu_is_the_mean_bleu_against_all_others() -> None:
    wanted = [plain_bleu(w, SPLIT[:k] + SPLIT[k + 1 :]) for k, w in enumerate(SPLIT)]
    assert self_bleu(SPLIT) == pytest.approx(sum(wanted) / 4)
    twice = [*SPLIT, SPLIT[0]]
    wanted = [plain_bleu(w, twice[:k] + twice[k + 1 :]) for k, w in enumerate(twice)]
    assert self_bleu(twice) == pytest.approx(sum(wanted) / 5)
    assert self_bleu([SPLIT[0]] * 3) == pytest.approx(1)
    steps = [words_of(t) for t in ("grass on hills", "grass on low hills", "grass on very low hills")]
    wanted = [plain_bleu(w, steps[:k] + steps[k + 1 :]) for k, w in enumerate(steps)]
    assert self_bleu(steps) == pytest.approx(sum(wanted) / 3)  # the second has neighbours one shorter and one longer
    assert self_bleu(SPLIT[:1]) == 0


def test_distinct_counts_ngrams_once() -> None:
    for n in (1, 2, 3):
        seen, total = set(), 0
        for words in SPLIT:
            for i in range(len(words) - n + 1):
                seen.add(" ".join(words[i : i + n]))
                total += 1
        assert distinct(SPLIT, n) == len(seen) / total
    assert distinct([], 2) == 0


def test_mtld_is_the_mean_length_of_varied_stretches() -> None:
    def one_way(words: list[str]) -> float:
        factors, seen, n = 0.0, [], 0
        for w in words:
            n += 1
            if w not in seen:
                seen.append(w)
            if len(seen) / n < 0.72:
                factors, seen, n = factors + 1, [], 0
        if n:
            factors += (1 - len(seen) / n) / (1 - 0.72)
        return len(words) / factors if factors else len(words)

    words = [w for text in SPLIT * 3 for w in text]
    assert mtld(words) == pytest.approx((one_way(words) + one_way(words[::-1])) / 2)
    assert mtld(["a"] * 12) == pytest.approx(2)  # every second word fills a factor
    assert mtld(list("abcdef")) == 6
    assert mtld([]) == 0


def test_diversity_of_a_set() -> None:
    found = diversity([*TEXTS, TEXTS[0]], ["a", "a", "b", "b", "a"])
    assert found["unique captions"] == 4 / 5
    assert found["commonest frame"] == 3 / 5
    assert found["commonest first three words"] == 3 / 5
    assert found["captions with digits"] == 0
    assert entropy("aabb") == 1
    assert entropy([]) == 0


# --- the judge ---


def judged(text: str, truth: Signals) -> list[tuple[str, str, bool | None]]:
    return [(a.facet, a.concept, a.true) for a in assertions(text, truth)]


@pytest.mark.parametrize(
    ("text", "truth", "wanted"),
    [
        ("Cropland dominates the land.", FARM, [("presence", "crop", True), ("amount", "crop", True)]),
        ("Trees dominate the land.", FARM, [("presence", "tree", True), ("amount", "tree", False)]),
        ("Snow dominates the land.", FARM, [("presence", "snow", False)]),
        ("A lake in cropland.", FARM, [("presence", "lake", True), ("kind", "lake", False), ("presence", "crop", True)]),
        ("A narrow river.", FARM, [("presence", "river", True), ("kind", "river", True), ("adjective", "river", True)]),
        ("A wide river.", FARM, [("presence", "river", True), ("kind", "river", True), ("adjective", "river", False)]),
        ("Forest on hills.", FOREST, [("presence", "tree", True), ("presence", "hilly", True)]),
        ("Forest on flat land.", FOREST, [("presence", "tree", True), ("presence", "flat", False)]),
        ("Forest on undulating land.", FOREST, [("presence", "tree", True), ("presence", "undulating", False)]),
        ("Forest on rolling land.", FOREST, [("presence", "tree", True), ("presence", "rolling", True)]),
        ("Dense forest without any trees.", FOREST,
         [("presence", "tree", True), ("adjective", "tree", True), ("presence", "tree", False)]),
        ("No snow.", FOREST, [("presence", "snow", True)]),
        ("A solar farm beside a road.", FARM, [("presence", "solar_farm", False), ("presence", "road", True)]),
        ("Many houses.", TOWN, [("presence", "house", True), ("number", "house", True)]),
        ("Many houses.", FARM, [("presence", "house", True), ("number", "house", False)]),
        ("A couple of houses.", TOWN, [("presence", "house", True), ("number", "house", False)]),
        ("Trees in the west.", LAKE, [("presence", "tree", True), ("place", "tree", True)]),
        ("Trees in the south-east.", LAKE, [("presence", "tree", True), ("place", "tree", False)]),
        ("A lake in the south.", LAKE, [("presence", "lake", True), ("kind", "lake", True), ("place", "lake", False)]),
        ("Possibly a forest.", FOREST, [("style", "hedge", False), ("presence", "tree", True)]),
        ("Forest in summer.", FOREST, [("presence", "tree", True), ("style", "season", True)]),
        ("Sparse vegetation below cliffs.", FOREST, [("presence", "veg_sparse", None), ("presence", "cliff", None)]),
    ],
)  # fmt: skip
def test_the_judge(text: str, truth: Signals, wanted: list[tuple[str, str, bool | None]]) -> None:
    assert judged(text, truth) == wanted


def test_amounts_keep_what_was_said_and_what_is() -> None:
    amount = next(a for a in assertions("Patches of trees.", FARM) if a.facet == "amount")
    assert amount == Assertion("amount", "tree", 11, 16, True, pytest.approx(0.165), 0.15)


def test_what_should_be_told() -> None:
    facts = {f.fact_id: f for f in salient(FARM)}
    assert {"cover-crop", "water-river"} <= set(facts)
    assert is_told(facts["cover-crop"], "Fields stretch across the land.")
    assert is_told(facts["water-river"], "Open water in cropland.")
    assert not is_told(facts["water-river"], "Cropland without a river.")


def test_the_tally_is_a_count() -> None:
    """Two captions of the farm: 3 true (crop, its amount, river, its kind = 4), 2 false (snow; trees dominate)."""
    told = tally([
        ("Cropland dominates the land, crossed by a river.", Place(FARM, FARM)),
        ("Trees dominate the land, with snow, perhaps.", Place(FARM, FARM)),
    ])  # fmt: skip
    figures = told.figures()
    assert (sum(told.true.values()), sum(told.false.values()), told.style) == (5, 2, 1)
    assert figures["assertion precision"] == pytest.approx(5 / 7)
    assert figures["invented"] == pytest.approx(2 / 7)
    assert figures["captions with a false assertion"] == 0.5
    assert figures["amount error"] == pytest.approx((abs(0.7 - 0.64) + abs(0.7 - 0.15)) / 2)
    assert figures["amount words within their band"] == 0.5
    assert told.by_concept()["snow"] == {"claims": 1, "share false": 1, "facts": 0, "share told": 0}
    assert told.waters == {("river", "river"): 1}
    assert f1_of("", FARM) == 0


def test_what_a_sensor_shows_wrongly_is_not_invented() -> None:
    assert FARM.land_cover is not None
    shrubs = replace(FARM, land_cover=cover({"crop": 0.6, "tree": 0.15, "shrub": 0.25}))
    text = "Cropland with patches of shrubs and some snow."
    assert [a.concept for a in assertions(text, FARM) if a.true is False] == ["shrub", "snow"]
    assert [a.concept for a in invented(text, FARM, shrubs)] == ["snow"]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("Forest covers hills.", "Snow covers hills.", "Snow"),
        ("Forest covers hills.", "Forest covers hills and a lake.", " and a lake"),
        ("A river runs.", "A lake runs.", "lake"),
        ("Forest.", "The picture shows forest.", "The picture shows "),
    ],
)
def test_the_changed_words(before: str, after: str, words: str) -> None:
    start, end = changed(before, after)
    assert after[start:end] == words


# --- injection, stage by stage ---


def test_injected_errors_are_found_and_what_blindness_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place(replace(s, tile_id=k), replace(s, tile_id=k)) for k, s in enumerate((FARM, FOREST, LAKE, TOWN))]
    seen = inject(places, CaptionConfig()).figures()
    assert seen["places"] == 4
    assert seen["all"]["made"] > 35
    assert seen["all"]["detected"] == 1
    assert seen["all"]["repaired, sensors' errors apart"] == 1
    assert seen["false alarms"] == 0
    assert seen["all"]["over-correction"] < 0.01
    monkeypatch.setattr(injection, "conflicts", lambda verdicts: [])
    monkeypatch.setattr(injection, "repair", lambda text, measured: (text, []))
    blind = inject(places, CaptionConfig()).figures()["all"]
    assert blind["detected"] == blind["repaired"] == 0


def test_an_overzealous_repair_is_over_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "repair", lambda text, measured: ("Cropland covers the flat land.", []))
    found = inject([Place(FARM, FARM)], CaptionConfig()).figures()
    assert found["all"]["over-correction"] > 0.3
    assert found["over-correction of clean captions"] > 0


def test_an_oracle_has_all_of_the_uplift_and_its_opposite_less_than_none() -> None:
    texts = ["Cropland covers the flat land, crossed by a river.", "Cropland covers the land.", "Snow on mountains."]
    true = [f1_of(t, FARM) for t in texts]
    assert true[0] > true[1] > true[2]

    def record(totals: list[float]) -> dict:
        table = sorted((Score(k, t, {}) for k, t in enumerate(totals)), key=lambda s: -s.total)
        return {"candidates": texts, "scores": [{"candidate": s.candidate, "total": s.total} for s in table]}

    best = ranking(Run([record([3, 2, 1])], [Place(FARM, FARM)]))
    worst = ranking(Run([record([1, 2, 3])], [Place(FARM, FARM)]))
    assert best["uplift"] == best["Kendall tau"] == 1
    assert worst["uplift"] < 0
    assert worst["Kendall tau"] == -1
    assert best["F1 an oracle gains"] == pytest.approx(max(true) - np.mean(true))


# --- the truth, and the whole report, on the simulated Earth ---


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few tiles of a simulated Earth that nothing was tuned on."""
    path = tmp_path_factory.mktemp("earth") / "d"
    assert build(["--out", str(path), "--source", "simulated:97", "--sample", "28", "--workers", "2", "--no-naip"]) == 0
    return open_dataset(path)


@pytest.mark.slow
def test_the_truth_is_the_latent_landscape(dataset: Dataset) -> None:
    earth = earth_of(dataset)
    assert earth == 97
    hidden = 0
    for tile_id in dataset.tile_ids[:6]:
        tile = dataset[tile_id]
        found = true_signals(tile, earth)
        there = latent.truth(earth, tile.grid)
        assert found.land_cover is not None
        for code, concept in FROM_WORLDCOVER.items():
            assert found.land_cover.shares.get(concept, 0.0) == pytest.approx((there.land_cover == code).mean())
        assert found.terrain is not None
        assert found.terrain.elevation_m == pytest.approx(there.elevation[1::3, 1::3].mean(), abs=3)
        houses = [o for o in latent.objects_on(earth, tile.grid) if o.tags.get("building")]
        square = shapely.Polygon(tile.grid.footprint())
        wanted = sum(o.geometry.intersects(square) for o in houses)
        counted = sum(f.count for f in found.map_features or () if f.concept == "house")
        assert counted == pytest.approx(wanted, abs=2)  # the footprint's edges are straight in degrees
        hidden += sum(not o.mapped for o in houses)
    assert hidden >= 0


def test_only_simulated_places_have_a_known_truth(tmp_path: Path) -> None:
    real = tiny_dataset(tmp_path / "d", 2)
    with pytest.raises(UsageError, match="simulated Earth"):
        earth_of(real)
    with pytest.raises(UsageError, match="simulated Earth"):
        caption([str(real.path), "--evaluate", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_and_its_gates(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = {p.name: p.read_bytes() for p in dataset.path.iterdir() if p.suffix == ".json"}
    assert caption([str(dataset.path), "--evaluate", str(tmp_path / "out")]) == 0
    assert {p.name: p.read_bytes() for p in dataset.path.iterdir() if p.suffix == ".json"} == before
    assert not (dataset.path / "captions.parquet").exists()
    found = json.loads((tmp_path / "out" / "quality.json").read_text())
    gates = {g["gate"]: g["value"] for g in found["gates"]}
    assert gates["injected conflicts detected"] >= 0.98
    assert gates["the same, sensors' errors apart"] >= 0.95
    assert gates["false alarms"] <= 0.005
    assert gates["over-correction"] <= 0.01
    assert gates["the same, of what was invented"] <= 0.1
    assert gates["coverage gained by verification"] >= 0
    _check_figures(found, len(dataset))
    page = (tmp_path / "out" / "quality.html").read_text()
    assert not re.search(r"(?:src|href)=[\"']?https?:", page)
    coloured = set(re.findall(r'<mark class="(\w+)"', page))
    assert "supported" in coloured
    assert coloured & {"contradicted", "unsupported"}
    assert "NOT MET" in capsys.readouterr().out or all(g["met"] for g in found["gates"])


def _check_figures(found: dict, tiles: int) -> None:
    assert found["places"] == tiles
    assert [row["error rate"] for row in found["ladder"]] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    at = found["stages"]
    assert at["captioner"]["invented"] > at["evaluator"]["invented"] >= at["verification"]["invented"]
    assert at["verification"]["style faults per caption"] == 0
    assert at["best candidate by the truth"]["F1"] >= at["evaluator"]["F1"]
    first, last = found["ladder"][0]["captioner"], found["ladder"][-1]["captioner"]
    assert first["hallucination rate"] < last["hallucination rate"]
    ablations = {(r["evaluator"], r["verification"]): r for r in found["ablations"]}
    assert {e for e, _ in ablations} == {"none", "signals", "random"}
    for name in ("none", "signals", "random"):
        assert ablations[name, "rules"]["invented"] <= ablations[name, "none"]["invented"]
    assert found["evaluators"]["signals"]["uplift"] > 0.4 > found["evaluators"]["random"]["uplift"]


def test_the_same_places_give_the_same_report() -> None:
    places = [Place(replace(s, tile_id=k), replace(s, tile_id=k)) for k, s in enumerate((FARM, LAKE))]
    one, two = (study(places, CaptionConfig(), {"signals": by_signals.rank}, (0.0,)) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    assert in_order(TEXTS, FARM, facts_of(FARM))[0].candidate == 0
    assert is_true("Cropland covers the flat land.", FARM)
    assert not is_true("", FARM)


class Rewriter:
    """A model that rewrites everything to the same plain sentence."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, asked: Sequence[Asked], round_number: int) -> list[Written]:
        raise AssertionError("it is not asked to draft")

    def revise(self, revisions: Sequence[Revision]) -> list[Written]:
        self.asked += [r.text for r in revisions]
        return [Written([Draft("Cropland covers the flat land.", "revision", "model")], {}) for _ in revisions]

    def summary(self) -> dict:
        return {}


def test_a_model_that_rewrites_is_one_more_ablation(monkeypatch: pytest.MonkeyPatch) -> None:
    hopeless = [Draft("The open sea fills the whole place.", "overview", "none")]
    monkeypatch.setitem(WRITERS, "noisy-template", lambda *_: hopeless)
    places = [Place(replace(FARM, tile_id=k), replace(FARM, tile_id=k)) for k in range(3)]
    model = Rewriter()
    found = study(places, CaptionConfig(), {"signals": by_signals.rank}, (0.0,), model)
    assert model.asked == [hopeless[0].text] * 3
    rows = {(r["evaluator"], r["verification"]): r for r in found["ablations"]}
    assert rows["signals", "rules + model"]["invented"] == 0
    assert rows["signals", "none"]["invented"] > 0
