"""Places: signals of any number of random but coherent places, for tests that need many."""

from dataclasses import replace

import numpy as np

from geomeld.core.caption import LandCover, MapFeature, Signals
from geomeld.core.draw import generator
from geomeld.signals.phrases import PHRASES
from geomeld.testing.scenes import QUADRANTS, SCENES, relief, thing, water

COVERS = ("tree", "grass", "bare", "crop", "shrub", "wetland", "moss", "mangrove", "built", "snow")
LIKELY = np.array((0.32, 0.25, 0.12, 0.11, 0.08, 0.03, 0.026, 0.019, 0.012, 0.006))
"""How common each is in the published shards (captions study 0)."""
RELIEFS = ("flat", "gently undulating", "rolling", "hilly", "mountainous")
SECTORS = ("north", "south", "west", "east", "north-west", "north-east", "south-west", "south-east", "centre")
THINGS = sorted(
    {(p.concept, p.phrase, p.plural) for p in PHRASES if p.salience >= 0.3 and p.concept not in ("building", "house")}
)


def random_place(number: int, seed: int = 0) -> Signals:
    """Signals of a place, a pure function of its arguments: two to six covers with patterns and places, greenness that
    fits them, relief, and water and map objects about as often as on the simulated Earth."""
    rng = generator(seed, "random-place", number)
    cover = _cover(rng)
    hot = "mangrove" in cover.shares
    latitude = float(rng.uniform(-20, 20) if hot else rng.uniform(24, 66))
    kind = str(rng.choice(RELIEFS, p=(0.5, 0.12, 0.08, 0.18, 0.12)))
    ndvi = {
        c: float(rng.uniform(0.05, 0.15) if c in ("bare", "snow") else rng.uniform(0.2, 0.85)) for c in cover.shares
    }
    indices = {f"ndvi@{c}": v for c, v in ndvi.items()} | {
        "ndvi": float(np.mean(list(ndvi.values()))),
        "ndsi@snow": 0.7,
    }
    indices |= {f"ndmi@{c}": v - 0.4 for c, v in ndvi.items()}
    return replace(
        SCENES["farm"],
        tile_id=1 + number,
        latitude=latitude,
        season=None if hot else "summer",
        land_cover=cover,
        spectral={k: {"p5": v - 0.05, "p50": v, "p95": v + 0.05} for k, v in indices.items()},
        canopy={"p50": float(rng.uniform(4, 22)), "p95": 26.0, "stddev": float(rng.uniform(2, 12))},
        terrain=relief(kind),
        water=_water(rng),
        map_features=tuple(_feature(rng) for _ in range(rng.choice(4, p=(0.76, 0.12, 0.07, 0.05)))),
    )


def _cover(rng: np.random.Generator) -> LandCover:
    names = rng.choice(COVERS, size=rng.integers(2, 7), replace=False, p=LIKELY / LIKELY.sum())
    parts = rng.dirichlet(12 * rng.dirichlet(np.full(len(names), 0.6)) + 0.02, size=4)
    quarters = {
        q: dict(zip(map(str, names), map(float, p), strict=True)) for q, p in zip(QUADRANTS, parts, strict=False)
    }
    means = dict(zip(map(str, names), map(float, parts.mean(axis=0)), strict=True))
    shares = dict(sorted(means.items(), key=lambda item: -item[1]))
    patterns = {n: str(rng.choice(("block", "patches", "scattered", "strip"))) for n in shares}
    return LandCover(shares, {**quarters, "centre": shares}, patterns, 0.8, 1.0, "random place")


def _water(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    if rng.random() < 0.8:
        return water()
    kind = str(rng.choice(("river", "lake", "pond", "sea"), p=(0.4, 0.3, 0.2, 0.1)))
    share = {"river": 0.06, "lake": 0.2, "pond": 0.004, "sea": 0.4}[kind] * float(rng.uniform(0.3, 1.5))
    body = (kind, share, str(rng.choice(SECTORS)), 12.0 if kind == "river" else 1.5)
    return water(*[body] * int(1 if kind in ("sea", "river") else rng.integers(1, 4)))


def _feature(rng: np.random.Generator) -> MapFeature:
    concept, phrase, plural = THINGS[rng.integers(len(THINGS))]
    count = int(rng.choice((1, 1, 1, 2, 3, 5, 9, 20)))
    made = thing(concept, phrase, count, str(rng.choice(SECTORS)))
    return replace(made, plural=plural)
