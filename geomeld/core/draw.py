"""Keyed random draws: every random choice is a hash of (seed, stream, id), never the state of a generator."""

from hashlib import blake2b

import numpy as np


def draw_words(seed: int, stream: str, key: int | str) -> tuple[int, int]:
    """Two uniform unsigned 64-bit integers for (seed, stream, key).

    `blake2b("geomeld/v1|{seed}|{stream}|{key}", digest_size=16)` read as two little-endian words: the same on any
    machine, in any language, for any number of workers.
    """
    digest = blake2b(f"geomeld/v1|{seed}|{stream}|{key}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def below(word: int, n: int) -> int:
    """Map a uniform 64-bit word to 0..n-1 by multiply and shift (no modulo bias worth the name)."""
    return (word * n) >> 64


def unit(word: int) -> float:
    """Map a uniform 64-bit word to a float in [0, 1), using its upper 53 bits."""
    return (word >> 11) * 2.0**-53


def generator(seed: int, stream: str, key: int | str) -> np.random.Generator:
    """A NumPy generator that belongs to (seed, stream, key) alone, for draws of whole arrays."""
    first, second = draw_words(seed, stream, key)
    return np.random.Generator(np.random.Philox(key=np.array([first, second], dtype=np.uint64)))
