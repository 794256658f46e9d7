"""Prompt: what a model is told of a tile: the facts of its plan in words of our own tables, and nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.repair import count_word
from geomeld.caption.writers.author import Revision
from geomeld.caption.writers.words import LINES
from geomeld.signals.phrases import PHRASES
from geomeld.signals.quantities import QUANTITIES

COVERS: Mapping[str, str] = {
    "tree": "trees", "shrub": "shrubland", "grass": "grassland", "crop": "cropland", "built": "buildings",
    "bare": "bare ground", "snow": "snow", "wetland": "marshland", "mangrove": "mangroves", "moss": "moss and lichen",
    "veg": "vegetation", "veg_dense": "dense vegetation", "veg_sparse": "sparse vegetation",
}  # fmt: skip
AMOUNTS: Mapping[str, str] = {
    "all": "nearly everything", "most": "most", "large": "a large part", "some": "patches", "few": "a few patches",
}  # fmt: skip
"""By quantity band."""
WATERS = {"lake": "lake", "pond": "pond", "river": "river", "sea": "sea"}
RELIEFS = ("flat", "gently undulating", "rolling", "hilly", "mountainous")
TRAITS = ("dense", "tall", "green", "lush", "dry", "large", "small", "narrow", "wide")
SECTORS = ("north", "south", "west", "east", "north-west", "north-east", "south-west", "south-east", "centre")
PATTERNS = {"block": "in one block", "patches": "in patches", "scattered": "scattered", "strip": "in a strip"}
SEASONS = ("winter", "spring", "summer", "autumn")
OBJECTS = frozenset(f"{p.phrase}|{p.plural}" for p in PHRASES)
DONTS = 5
"""Things to leave out that are named: a longer list would leak into captions."""
WORDS_SHOWN = 6
"""Words per amount in the prompt's table."""


def messages(
    facts: Sequence[Fact], plan: Plan, season: str | None, gsd_m: float, angle: str, image: str | None
) -> list[dict[str, Any]]:
    """The chat of one request, the constant part first so that servers can keep it; `image` is a data URL."""
    payload = json.dumps(payload_of(facts, plan, season, gsd_m), ensure_ascii=True)
    text = prompts()["user"].replace("{payload}", payload).replace("{angle}", _angles()[angle])
    shown = [{"type": "image_url", "image_url": {"url": image}}] if image else []
    content: Any = [*shown, {"type": "text", "text": text.strip()}] if image else text.strip()
    return [{"role": "system", "content": system_prompt()}, {"role": "user", "content": content}]


def revision_messages(revision: Revision) -> list[dict[str, Any]]:
    """The chat that asks for a caption without its contradictions: words alone, no picture."""
    asked = revision.asked
    payload = json.dumps(payload_of(asked.facts, asked.plan, asked.season, asked.gsd_m), ensure_ascii=True)
    problems = "\n".join(f"- {json.dumps(words)}: {demand}" for words, demand in revision.problems)
    text = prompts()["revise"].replace("{payload}", payload).replace("{problems}", problems)
    text = text.replace("{caption}", revision.text)
    return [{"role": "system", "content": system_prompt()}, {"role": "user", "content": text.strip()}]


def payload_of(facts: Sequence[Fact], plan: Plan, season: str | None, gsd_m: float) -> dict[str, Any]:
    """Facts as JSON words. A value that no table holds (a map's free text, say) is left out with its fact."""
    told = {f.fact_id: word for f in facts if (word := word_for(f)) is not None}
    covers = [f for f in facts if f.role == "cover" and f.fact_id in told]
    payload = {
        "detail": "fine" if gsd_m < 5 else "coarse",
        "season": season if season in SEASONS else None,
        "land_cover": [_cover(f, told[f.fact_id]) for f in covers],
        "where": {told[f.fact_id]: f.sector for f in facts if f.fact_id in told and f.sector in SECTORS},
        "water": [_water(f) for f in facts if f.role == "water" and f.fact_id in told],
        "relief": [told[f.fact_id] for f in facts if f.role == "relief" and f.fact_id in told],
        "objects": [_objects(f) for f in facts if f.role == "object" and f.fact_id in told],
        "must_mention": [told[i] for i in plan.mandatory if i in told],
        "may_mention": [told[i] for i in plan.optional if i in told],
        "do_not_mention": [w for c in plan.forbidden if (w := COVERS.get(c) or WATERS.get(c))][:DONTS],
    }
    return {key: value for key, value in payload.items() if value}


def word_for(fact: Fact) -> str | None:
    """The table's word for a fact; None where no table holds it."""
    match fact.role:
        case "cover":
            return COVERS.get(fact.concept)
        case "water":
            return WATERS.get(fact.concept)
        case "relief":
            known = (*RELIEFS, "valley", "ridge")
            return fact.detail if fact.detail in known else None
        case "object":
            return fact.detail.split("|")[fact.count > 1] if fact.detail in OBJECTS else None
    return None


def _cover(fact: Fact, word: str) -> list[str]:
    traits = [t for t in fact.traits if t in TRAITS]
    laid = PATTERNS.get(fact.pattern)
    return [" ".join([*traits[:1], word]), AMOUNTS.get(fact.detail, "some"), *([laid] if laid else [])]


def _water(fact: Fact) -> str:
    traits = [t for t in fact.traits if t in TRAITS]
    single = " ".join([*traits[:1], WATERS[fact.concept]])
    return single if fact.count == 1 or fact.concept == "sea" else f"{count_word(fact.count)} {WATERS[fact.concept]}s"


def _objects(fact: Fact) -> str:
    single, plural = fact.detail.split("|")
    # The map cuts a road into many pieces: their number says nothing.
    return single if fact.count == 1 else plural if fact.concept in LINES else f"{count_word(fact.count)} {plural}"


@cache
def system_prompt() -> str:
    """The constant part of every request, with the words of the one table of amounts."""
    rows = [f"- {_percent(q.low)} of the ground or more: {', '.join(q.words[:WORDS_SHOWN])}" for q in QUANTITIES]
    return prompts()["system"].replace("{quantities}", "\n".join(rows)).strip()


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


@cache
def prompts() -> dict[str, str]:
    """The prompt files by name."""
    folder = resources.files("geomeld.caption").joinpath("prompts")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".txt")), key=lambda f: f.name)
    return {f.name.removesuffix(".txt"): f.read_text(encoding="utf-8") for f in files}


@cache
def _angles() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in prompts()["angles"].splitlines() if line)


@cache
def prompt_hash() -> str:
    """Hash of the prompts as sent, for the record of every caption."""
    text = json.dumps([system_prompt(), prompts()], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
