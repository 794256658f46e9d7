"""Diversity: a thousand places are told in many words and many ways, and no frame wears out."""

import re
from collections import Counter
from functools import cache
from itertools import pairwise

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import facts_of
from geomeld.caption.plan import plan_of
from geomeld.caption.writers import grammar
from geomeld.caption.writers.template import Draft, drafts
from geomeld.testing.places import random_place

PLACES = 1000
SHARD = 250


@cache
def written() -> tuple[Draft, ...]:
    """The first draft of each place."""
    told = ((s, facts_of(s)) for s in map(random_place, range(PLACES)))
    config = CaptionConfig(candidates=1)
    return tuple(d for s, facts in told for d in drafts(s.tile_id, facts, plan_of(facts, s), config)[:1])


def test_two_words_in_a_row_are_new_often_enough() -> None:
    split = [re.findall(r"[a-z]+(?:-[a-z]+)*", d.text.lower()) for d in written()]
    pairs = [pair for words in split for pair in pairwise(words)]
    assert len(split) == PLACES
    assert len(set(pairs)) / len(pairs) >= 0.35


def test_no_frame_opens_more_than_a_twentieth_of_a_shard() -> None:
    for start in range(0, PLACES, SHARD):
        frames = Counter(d.frame for d in written()[start : start + SHARD])
        frame, count = frames.most_common(1)[0]
        assert count <= 0.05 * SHARD, frame


def test_captions_are_unique_and_of_the_published_length() -> None:
    texts = [d.text for d in written()]
    assert len(set(texts)) == PLACES
    lengths = sorted(len(t.split()) for t in texts)
    assert lengths[PLACES // 20] >= 9  # where little is certain, little is said
    assert lengths[PLACES // 2] >= 12
    assert lengths[-1] <= 30


def test_every_choice_in_a_frame_is_closed() -> None:
    tables = [v for v in vars(grammar).values() if isinstance(v, tuple)]
    tables += list(grammar.THING_TAILS.values())
    frames = [f for table in tables for f in table]
    assert len(frames) >= 200
    for frame in frames:
        assert frame.count("[") == frame.count("]"), frame
        assert not re.search(r"\[[^|\]]*\]|\|\||\[\||\|\]", frame), frame
