"""Contrast: ranks captions by how near a tile's picture and a text lie for a contrastive model, once that has proved
on this dataset that it can tell a tile's caption from another's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geomeld.caption.claims import extract
from geomeld.caption.evaluators import signals as by_signals
from geomeld.caption.facts import Fact
from geomeld.caption.lexicon import GROUP_OF
from geomeld.core.caption import Score, Signals

WEIGHTS = {"caption": 0.25, "phrases": 0.25, "agreement": 0.35, "coverage": 0.15}
"""Of the total (captions study 1.4): standing of the caption's and of its phrases' cosine among a tile's candidates,
agreement with the signals, coverage of salient facts."""
EARNED_FROM = 0.60
"""AUC of matched against shuffled pairs under which a model's opinion counts for nothing (captions study 1.4)."""
TEST_TILES = 200
"""Tiles of the test, at most, per ground sampling distance."""
FEWEST = 20
"""Tiles under which a test proves nothing."""
CACHE = 4096
"""Phrases whose embedding is kept; captions of a dataset share most of theirs."""

Vectors = NDArray[np.float32]


class Model(Protocol):
    """A contrastive model, with embeddings of unit length."""

    def identity(self) -> dict[str, Any]:
        """What made the embeddings: name and hash of the weights, plain JSON."""

    def image(self, tile_id: int) -> Vectors | None:
        """(d,) of a tile; None for one that the model cannot see."""

    def texts(self, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """((n, d), whether each text was too long and cut)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A tile and a sentence that is known to fit it."""

    tile_id: int
    gsd_m: float
    text: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a model has shown on tiles of one ground sampling distance."""

    auc: float
    """Of matched against shuffled pairs; NaN where no test was possible."""
    tiles: int

    @property
    def earned(self) -> bool:
        """Whether the model's cosines enter the total."""
        return self.tiles >= FEWEST and self.auc >= EARNED_FROM


@dataclass
class Contrast:
    """The evaluator of a model with its proofs by ground sampling distance in metres."""

    model: Model
    proofs: Mapping[float, Proof]
    known: dict[str, Vectors] = field(default_factory=dict, repr=False)

    def __call__(self, candidates: Sequence[str], signals: Signals, facts: Sequence[Fact]) -> list[Score]:
        """The score table, best first. The model's parts are raw cosines; without a proof, or for a tile that the model
        cannot see, the total rests on signals alone."""
        plain = sorted(by_signals.rank(candidates, signals, facts), key=lambda s: s.candidate)
        found = self._cosines(candidates, signals.tile_id)
        proof = self.proofs.get(signals.gsd_m)
        counts = found is not None and proof is not None and proof.earned
        totals = np.array([_of_signals(s.parts) for s in plain])
        parts = [dict(s.parts) for s in plain]
        if found is not None:
            for k, part in enumerate(parts):
                part |= {name: round(float(values[k]), 6) for name, values in found.items()}
                part["weight"] = WEIGHTS["caption"] + WEIGHTS["phrases"] if counts else 0.0
            if counts:
                totals = totals + sum(WEIGHTS[n] * standing(found[n]) for n in ("caption", "phrases"))
        scores = [Score(k, round(float(t), 6), p) for k, (t, p) in enumerate(zip(totals, parts, strict=True))]
        return sorted(scores, key=lambda s: (-s.total, s.candidate))

    def identity(self) -> dict[str, Any]:
        """What a record keeps of the evaluator: the model, and per ground sampling distance its AUC and weight."""
        tests = {
            f"{gsd:g} m": {"auc": None if np.isnan(p.auc) else round(p.auc, 4), "tiles": p.tiles,
                           "weight": WEIGHTS["caption"] + WEIGHTS["phrases"] if p.earned else 0.0}
            for gsd, p in sorted(self.proofs.items())
        }  # fmt: skip
        return {**self.model.identity(), "tests": tests}

    def _cosines(self, candidates: Sequence[str], tile_id: int) -> dict[str, NDArray] | None:
        image = self.model.image(tile_id) if candidates else None
        if image is None:
            return None
        texts, cut = self.model.texts(candidates)
        phrases = [phrases_of(t) for t in candidates]
        self._learn(sorted({p for found in phrases for p in found}))
        near = [float(np.mean([self.known[p] @ image for p in found])) if found else 0.0 for found in phrases]
        cosines = {"caption": texts @ image, "phrases": np.array(near), "cut": cut.astype(float)}
        return cosines if all(np.isfinite(v).all() for v in cosines.values()) else None

    def _learn(self, phrases: Sequence[str]) -> None:
        if len(self.known) > CACHE:
            self.known.clear()
        new = [p for p in phrases if p not in self.known]
        if new:
            self.known |= dict(zip(new, self.model.texts(new)[0], strict=True))


def _of_signals(parts: Mapping[str, float]) -> float:
    weighed = WEIGHTS["agreement"] * parts["agreement"] + WEIGHTS["coverage"] * parts["coverage"]
    return weighed - by_signals.PENALTY * parts["conflicts"]


def standing(values: NDArray) -> NDArray[np.float64]:
    """Values as standard scores among themselves; zeros where all are alike."""
    spread = float(np.std(values))
    return (values - np.mean(values)) / spread if spread > 1e-6 else np.zeros(len(values))


def phrases_of(text: str) -> list[str]:
    """The noun phrases that a caption claims: from a claim's first adjective or quantity to its noun."""
    words = text.lower()
    out = []
    for claim in extract(text):
        if GROUP_OF[claim.concept] == "style" or claim.negated:
            continue
        said = [w for w in (claim.quantity, *claim.modifiers) if w]
        starts = [at for w in said if (at := words.rfind(w, 0, claim.start)) >= 0 and claim.start - at < 40]
        out.append(words[min([claim.start, *starts]) : claim.end])
    return out


def auc(matched: NDArray, shuffled: NDArray) -> float:
    """Chance that a matched pair scores above a shuffled one, ties counted half (Mann and Whitney 1947); NaN without
    one of each."""
    if not len(matched) or not len(shuffled):
        return float("nan")
    order = np.sort(shuffled)
    below, upto = np.searchsorted(order, matched, "left"), np.searchsorted(order, matched, "right")
    return float((below + upto).mean() / 2 / len(order))


def prove(model: Model, pairs: Sequence[Pair]) -> dict[float, Proof]:
    """Test a model by ground sampling distance: every tile's own sentence against all others' that read otherwise."""
    out = {}
    for gsd in sorted({p.gsd_m for p in pairs}):
        seen = [(p.text, v) for p in pairs if p.gsd_m == gsd and (v := model.image(p.tile_id)) is not None][:TEST_TILES]
        if not seen:
            out[gsd] = Proof(float("nan"), 0)
            continue
        texts = [t for t, _ in seen]
        similarity = np.stack([v for _, v in seen]) @ model.texts(texts)[0].T
        others = np.array([[a != b for b in texts] for a in texts])
        finite = bool(np.isfinite(similarity).all())
        out[gsd] = Proof(auc(np.diag(similarity), similarity[others]) if finite else float("nan"), len(seen))
    return out


def best_auc(proofs: Mapping[float, Proof]) -> float:
    """Mean AUC over tested tiles; -1 where none could be tested."""
    tested = [p for p in proofs.values() if p.tiles and not np.isnan(p.auc)]
    return sum(p.auc * p.tiles for p in tested) / sum(p.tiles for p in tested) if tested else -1.0
