"""The template writer: what its sentences claim of layout and amount is measured, and they read well."""

import re
from dataclasses import replace

import pytest

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import facts_of
from geomeld.caption.plan import plan_of
from geomeld.caption.rules import share_of
from geomeld.caption.writers.template import drafts, repeats
from geomeld.core.caption import Signals
from geomeld.testing.scenes import SCENES, cover

SCATTERED = re.compile("scatter|patch|pocket|isolated|dotted|interspersed|mosaic|broken up|in places|here and there")
MIX = {"grass": 0.46, "tree": 0.3, "shrub": 0.14, "bare": 0.1}


def written(signals: Signals, tiles: int = 60) -> list[str]:
    """Drafts for the same place under many identifiers."""
    facts = facts_of(signals)
    plan = plan_of(facts, signals)
    return [d.text for tile_id in range(tiles) for d in drafts(tile_id, facts, plan, CaptionConfig())]


def laid_out(pattern: str) -> Signals:
    """A place of four covers that all have one pattern."""
    return replace(
        SCENES["farm"], land_cover=replace(cover(MIX), patterns=dict.fromkeys(MIX, pattern)), map_features=()
    )


def test_what_lies_in_one_piece_is_not_called_scattered() -> None:
    single = ("a patch of", "a small patch of")  # these are one piece
    texts = [re.sub("|".join(single), "", t) for t in written(laid_out("block"))]
    assert [t for t in texts if SCATTERED.search(t)] == []
    assert any(SCATTERED.search(t) for t in written(laid_out("scattered")))
    assert [t for t in written(laid_out("scattered")) if "side by side" in t or "a block of" in t] == []


def test_what_is_everywhere_leaves_no_cover_over() -> None:
    texts = written(SCENES["desert"]) + written(
        replace(SCENES["forest"], land_cover=cover({"tree": 0.93, "grass": 0.07}))
    )
    wholly = [t for t in texts if re.search("[Nn]othing but|the entire|completely|[Ww]all-to-wall", t)]
    assert wholly
    assert [t for t in wholly if re.search("grass|meadow", t)] == []


def test_the_rest_is_the_rest() -> None:
    told = {
        "grass": "grass|meadow|sward|herbage|leas",
        "tree": "tree|wood|forest|timber|copse|grove|coppice|spinney",
        "shrub": "shrub|scrub|bush|brush|thicket",
        "bare": "bare|barren|unvegetated|naked|exposed",
    }
    texts = [t for t in written(laid_out("patches"), 200) if "make up the rest" in t or "makes up the rest" in t]
    assert texts
    for text in texts:
        said = sum(
            share_of(c, laid_out("patches"))[0] or 0.0 for c, words in told.items() if re.search(words, text.lower())
        )
        assert said >= 0.97, text


@pytest.mark.parametrize("scene", sorted(set(SCENES) - {"blind"}))
def test_sentences_read_well(scene: str) -> None:
    texts = written(SCENES[scene], 20)
    assert texts
    for text in texts:
        assert re.fullmatch(r"[A-Z][A-Za-z ,-]+\.", text), text
        assert not re.search(r"\b(\w+) \1\b| ,|,,|\ba [aeiou]|\ban [^aeiou ]|\{|\+|\*", text), text
        assert not re.search(
            r"\b(?:with|where|and|of|in)\.|\bland of land\b|^(?:\w+ )?\w*[^s]s (?:covers|lies|fills)\b", text
        ), text
        assert text.count(" where ") + text.startswith("Where ") <= 1, text


def test_the_best_sentences_use_no_word_twice() -> None:
    assert repeats("A flat area of wooded areas, covered by tree cover.") == 2
    texts = written(laid_out("patches"))
    assert sum(repeats(t) for t in texts) == 0
