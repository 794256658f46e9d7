"""Diversity: how much a set of captions repeats itself: distinct-n, self-BLEU, MTLD and shares of unique sentences."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

WORD = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
MTLD_FROM = 0.72
"""Type-token ratio at which a factor of MTLD is full (McCarthy and Jarvis 2010)."""


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation and digits."""
    return WORD.findall(text.lower())


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Distinct n-grams over all n-grams of all texts, 0..1 (Li et al. 2016); 0 without any."""
    grams = [g for words in texts for g in _grams(words, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[Sequence[str]], most: int = 4) -> float:
    """Mean BLEU of each text against all others, 0..1, low is diverse (Zhu et al. 2018).

    Uniform weights over 1..`most`-grams, clipped by the largest count in any one other text, brevity penalty by the
    nearest length (the shorter of two), a precision of zero smoothed to half a match. Each n-gram's two largest counts
    are kept, so the cost grows with the texts and not with their pairs.
    """
    if len(texts) < 2:
        return 0.0
    tables = [[Counter(_grams(words, n)) for words in texts] for n in range(1, most + 1)]
    peaks = [_two_largest(counts) for counts in tables]
    lengths = Counter(len(words) for words in texts)
    scores = []
    for k, words in enumerate(texts):
        logs = [
            _log_precision(table[k], {g: first if own < first or twice else second
                                      for g, own in table[k].items() for first, second, twice in [peak[g]]})
            for table, peak in zip(tables, peaks, strict=True)
            if table[k]
        ]  # fmt: skip
        scores.append(_brevity(len(words), lengths) * math.exp(sum(logs) / len(logs)) if logs else 0.0)
    return sum(scores) / len(scores)


def _two_largest(counts: Sequence[Counter]) -> dict[tuple[str, ...], tuple[int, int, bool]]:
    """By n-gram: the largest count in any text, the largest in the others, and whether two texts share the largest."""
    out: dict[tuple[str, ...], tuple[int, int, bool]] = {}
    for table in counts:
        for gram, count in table.items():
            first, second, twice = out.get(gram, (0, 0, False))
            if count > first:
                out[gram] = (count, first, False)
            elif count == first:
                out[gram] = (first, first, True)
            else:
                out[gram] = (first, max(second, count), twice)
    return out


def _log_precision(own: Counter, limit: dict[tuple[str, ...], int]) -> float:
    matches = sum(min(count, limit[gram]) for gram, count in own.items())
    return math.log((matches or 0.5) / sum(own.values()))


def _brevity(length: int, lengths: Counter) -> float:
    others = lengths - Counter([length])
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length > nearest or not length else math.exp(1 - nearest / length)


def mtld(words: Sequence[str], full: float = MTLD_FROM) -> float:
    """Measure of textual lexical diversity: mean length of stretches whose type-token ratio stays above `full`, read
    forwards and backwards (McCarthy and Jarvis 2010). The whole length where no stretch ever falls so low."""
    if not words:
        return 0.0
    return (_one_way(words, full) + _one_way(words[::-1], full)) / 2


def _one_way(words: Sequence[str], full: float) -> float:
    factors, types, tokens = 0.0, set[str](), 0
    for word in words:
        types.add(word)
        tokens += 1
        if len(types) / tokens < full:
            factors, types, tokens = factors + 1, set(), 0
    if tokens:
        factors += (1 - len(types) / tokens) / (1 - full)
    return len(words) / factors if factors else float(len(words))


def entropy(names: Iterable[str]) -> float:
    """Shannon entropy of a list of names, bits."""
    counts = Counter(names)
    total = sum(counts.values())
    return -sum(c / total * math.log2(c / total) for c in counts.values()) if total else 0.0


def diversity(texts: Sequence[str], frames: Sequence[str] = ()) -> dict[str, float]:
    """All figures of a set of captions; `frames` name the opening frame of each, where a writer tells."""
    split = [words_of(t) for t in texts]
    joined = [w for words in split for w in words]
    opening = Counter(" ".join(words[:3]) for words in split)
    figures = {
        "captions": float(len(texts)),
        "words per caption": len(joined) / max(len(texts), 1),
        "vocabulary": float(len(set(joined))),
        "distinct-1": distinct(split, 1),
        "distinct-2": distinct(split, 2),
        "self-BLEU-4": self_bleu(split),
        "MTLD": mtld(joined),
        "unique captions": len(set(texts)) / max(len(texts), 1),
        "commonest first three words": max(opening.values(), default=0) / max(len(texts), 1),
        "captions with digits": sum(any(c.isdigit() for c in t) for t in texts) / max(len(texts), 1),
    }
    if frames:
        figures |= {
            "commonest frame": max(Counter(frames).values()) / len(frames),
            "entropy of frames, bits": entropy(frames),
        }
    return figures


__all__ = ["distinct", "diversity", "entropy", "mtld", "self_bleu", "words_of"]
