"""Captions as people write them: claims are found in nearly all of them, and those of sixty labelled ones are right.

`human_captions.txt` has a caption per line, spelled as people spell. After a tab stand the claims that a reader finds in
it: a concept, "!" where it is denied, "?" where it is hedged, "=" and the words that say how much, "@" and the place.
"""

from collections import Counter
from pathlib import Path

import pytest

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import GROUP_OF, MISSPELT, known
from geomeld.core.caption import Claim

LINES = [
    line.split("\t") for line in Path(__file__).with_name("human_captions.txt").read_text(encoding="utf-8").splitlines()
]
LABELLED = {text: labels[0].split() for text, *labels in LINES if labels}


def noted(claim: Claim) -> str:
    """A claim in the notation of the labels."""
    amount = "=" + claim.quantity.replace(" ", "_") if claim.quantity else ""
    place = f"@{claim.location}" if claim.location else ""
    return claim.concept + "!" * claim.negated + "?" * claim.hedged + amount + place


def test_the_sample_is_varied() -> None:
    texts = [text for text, *_ in LINES]
    assert len(set(texts)) == len(texts) == 200
    assert len(LABELLED) == 60
    assert len({c.concept for t in texts for c in extract(t)}) >= 75
    assert len({" ".join(t.lower().split()[:2]) for t in texts}) >= 120


def test_nearly_every_caption_makes_a_claim_of_the_place() -> None:
    silent = [t for t, *_ in LINES if not any(GROUP_OF[c.concept] != "style" for c in extract(t))]
    assert len(silent) <= 0.02 * len(LINES), silent


def test_claims_are_those_that_a_reader_finds() -> None:
    wanted = {text: Counter(labels) for text, labels in LABELLED.items()}
    found = {text: Counter(noted(c) for c in extract(text)) for text in LABELLED}
    right = sum((wanted[t] & found[t]).total() for t in LABELLED)
    wrong = {t: (sorted((found[t] - wanted[t]).elements()), sorted((wanted[t] - found[t]).elements())) for t in LABELLED
             if found[t] != wanted[t]}  # fmt: skip
    assert right / sum(c.total() for c in found.values()) >= 0.98, wrong
    assert right / sum(c.total() for c in wanted.values()) >= 0.98, wrong


@pytest.mark.parametrize(("wrong", "right"), sorted(MISSPELT.items()))
def test_misspelt_words_are_read_as_meant(wrong: str, right: str) -> None:
    assert known(right)
    assert not known(wrong)
