"""Tally: how much of what captions say is true, and how much of what is true they say."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.quality.judge import FACETS, RELIEF, RELIEF_WORD, WATERS, Assertion, assertions, is_told, salient
from geomeld.core.caption import Signals


@dataclass(frozen=True, slots=True)
class Place:
    """One tile: what was measured, and what is so."""

    measured: Signals
    truth: Signals


@dataclass
class Tally:
    """Counts over captions; style faults are no hallucinations and are counted apart."""

    captions: int = 0
    empty: int = 0
    faulty: int = 0
    """Captions with at least one false assertion."""
    true: Counter[str] = field(default_factory=Counter)
    """By facet."""
    false: Counter[str] = field(default_factory=Counter)
    invented: Counter[str] = field(default_factory=Counter)
    """Of the false ones those that no measurement supports either; the others repeat an error of the sensors."""
    unknown: Counter[str] = field(default_factory=Counter)
    style: int = 0
    """Things that no caption says: hedges, talk of pictures, stories."""
    salient: int = 0
    told: int = 0
    amounts: list[float] = field(default_factory=list)
    """Middle of the word's band less the true share, per amount."""
    concepts: dict[str, Counter[str]] = field(default_factory=dict)
    """Per concept: true and false claims that it is there, and true facts told and untold."""
    waters: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind said, kinds there)."""
    reliefs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(class said, class there)."""

    def add(self, text: str, truth: Signals, measured: Signals) -> None:
        """Count one caption of a place."""
        said = assertions(text, truth)
        self.invented.update(a.facet for a in invented(text, truth, measured))
        self.captions += 1
        self.empty += not text
        self.style += sum(a.facet == "style" and a.true is False for a in said)
        content = [a for a in said if a.facet != "style"]
        self.faulty += any(a.true is False for a in content)
        for a in content:
            {True: self.true, False: self.false, None: self.unknown}[a.true][a.facet] += 1
            if a.facet == "presence" and a.true is not None:
                self._of(a.concept)["claims true" if a.true else "claims false"] += 1
            if a.said is not None and a.found is not None:
                self.amounts.append(a.said - a.found)
        for fact in salient(truth):
            told = is_told(fact, text)
            self.salient += 1
            self.told += told
            self._of(fact.concept if fact.role != "relief" else fact.detail)["facts told" if told else "untold"] += 1
        self._confusions(text, truth)

    def _of(self, concept: str) -> Counter[str]:
        return self.concepts.setdefault(concept, Counter())

    def _confusions(self, text: str, truth: Signals) -> None:
        kinds = " and ".join(sorted({b.kind for b in truth.water.bodies})) if truth.water else ""
        for claim in extract(text):
            if claim.negated:
                continue
            if claim.concept in WATERS:
                self.waters[claim.concept, kinds or "none"] += 1
            if claim.concept in RELIEF_WORD and truth.terrain is not None:
                self.reliefs[RELIEF[RELIEF_WORD[claim.concept]], truth.terrain.relief_class] += 1

    def figures(self) -> dict[str, float]:
        """The counts as shares; NaN-free: a share of nothing is 0."""
        true, false = sum(self.true.values()), sum(self.false.values())
        precision, coverage = _share(true, true + false), _share(self.told, self.salient)
        in_band = _share(self.true["amount"], self.true["amount"] + self.false["amount"])
        return {
            "captions": float(self.captions),
            "assertions": float(true + false),
            "assertion precision": precision,
            "hallucination rate": _share(false, true + false),
            "invented": _share(sum(self.invented.values()), true + false),
            "captions with a false assertion": _share(self.faulty, self.captions),
            "style faults per caption": _share(self.style, self.captions),
            "empty captions": _share(self.empty, self.captions),
            "coverage": coverage,
            "F1": _harmonic(precision, coverage),
            "amount error": _share(sum(map(abs, self.amounts)), len(self.amounts)),
            "amount words within their band": in_band,
            "not verifiable": _share(sum(self.unknown.values()), true + false + sum(self.unknown.values())),
        }

    def facets(self) -> dict[str, dict[str, float]]:
        """True, false and share false per facet."""
        return {
            f: {"true": float(self.true[f]), "false": float(self.false[f]), "invented": float(self.invented[f]),
                "share false": _share(self.false[f], self.true[f] + self.false[f])}
            for f in FACETS if self.true[f] + self.false[f]
        }  # fmt: skip

    def by_concept(self) -> dict[str, dict[str, float]]:
        """Per concept: claims, share of them false, salient facts and share of them told; commonest first."""
        rows = {}
        for concept, n in sorted(self.concepts.items(), key=lambda kv: (-sum(kv[1].values()), kv[0])):
            claims, facts = n["claims true"] + n["claims false"], n["facts told"] + n["untold"]
            rows[concept] = {"claims": float(claims), "share false": _share(n["claims false"], claims),
                             "facts": float(facts), "share told": _share(n["facts told"], facts)}  # fmt: skip
        return rows


def f1_of(text: str, truth: Signals) -> float:
    """Harmonic mean of one caption's assertion precision and coverage, 0..1."""
    judged = [a for a in assertions(text, truth) if a.true is not None]
    facts = salient(truth)
    precision = _share(sum(bool(a.true) for a in judged), len(judged))
    coverage = _share(sum(is_told(f, text) for f in facts), len(facts)) if facts else 1.0
    return _harmonic(precision, coverage)


def tally(captions: Iterable[tuple[str, Place]]) -> Tally:
    """The tally of captions of places."""
    out = Tally()
    for text, place in captions:
        out.add(text, place.truth, place.measured)
    return out


def invented(text: str, truth: Signals, measured: Signals) -> list[Assertion]:
    """Assertions about the place that are false, and false of the measurements too: what a sensor shows that is not
    there is no invention of the writer."""
    shown = {(a.facet, a.start) for a in assertions(text, measured) if a.true}
    return [
        a for a in assertions(text, truth)
        if a.true is False and a.facet != "style" and (a.facet, a.start) not in shown
    ]  # fmt: skip


def is_true(text: str, truth: Signals) -> bool:
    """Whether a caption says something, and nothing false or unfit of it."""
    said = assertions(text, truth)
    return any(a.true for a in said) and not any(a.true is False for a in said)


def content(text: str) -> list[tuple[str, bool]]:
    """(concept, negated) of all claims about the place."""
    return [(c.concept, c.negated) for c in extract(text) if GROUP_OF[c.concept] != "style"]


def matrix(pairs: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts of (said, there) as rows of what was said."""
    out: dict[str, dict[str, int]] = {}
    for (said, there), n in sorted(pairs.items()):
        out.setdefault(said, {})[there] = n
    return out


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


__all__ = ["Place", "Tally", "content", "f1_of", "invented", "is_true", "matrix", "tally"]
