"""Retrieval both ways on a gallery of pairs, streamed, beside the whole matrix where that fits; time and memory."""

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geomeld.evaluate.ranking import rank_pairs
from geomeld.evaluate.retrieval import ranks_in

WIDTH = 512
WHOLE = 20_000
"""Largest gallery whose matrix is made for comparison (three copies of its float32 scores: 5 GB)."""


def gallery(size: int, sentences: int, spread: float) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray]:
    """Images near their captions, of which `sentences` are different; with a small spread all lie in a narrow cone."""
    rng = np.random.default_rng(0)
    group = np.arange(size) if sentences == size else rng.integers(0, sentences, size)
    texts = rng.standard_normal((size, WIDTH), np.float32)[group]
    images = texts + 4 * rng.standard_normal((size, WIDTH), np.float32)
    if spread < 1:
        texts, images = 1 + spread * texts, 1 + spread * images
    for x in (texts, images):
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return images, texts, group


def whole_matrix(images: NDArray[np.float32], texts: NDArray[np.float32]) -> None:
    """What it takes without blocks."""
    scores, own = images @ texts.T, np.eye(len(images), dtype=bool)
    ranks_in(scores, own)
    ranks_in(scores.T, own)


def timed(what: str, work: Callable[[], object], products: float, threads: int) -> float:
    """Processor seconds of `work` on all threads, printed with the clock's, its rate and the most memory ever had."""
    with threadpool_limits(threads):
        start, busy = time.perf_counter(), time.process_time()
        work()
        clock, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  {what:30} {clock:7.1f} s   {busy:7.1f} processor s   {products / busy / 1e9:5.0f} GFLOP per processor s   "
        f"{peak:5.2f} GB at most so far",
        flush=True,
    )
    return busy


def main() -> None:
    """Print the time of each kind of gallery, the worst case last."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--size", type=int, default=8192, help="pairs; 100000 for the published figure")
    ask.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    size, threads = (given := ask.parse_args()).size, given.threads
    products = 2.0 * size * size * WIDTH
    images, texts, group = gallery(512, 512, 1.0)
    rank_pairs(images, texts, group)  # compiles

    print(f"{size} x {size} x {WIDTH}, both directions, {threads} threads")
    images, texts, group = gallery(size, size, 1.0)

    def product() -> None:
        for start in range(0, size, 4096):
            images[start : start + 4096] @ texts.T

    if size <= WHOLE:
        bare = timed("product alone", product, products, threads)
    streamed = timed("streamed", lambda: rank_pairs(images, texts, group, threads=threads), products, threads)
    if size <= WHOLE:
        print(f"  streamed / product alone: {streamed / bare:.2f}")
        full = timed("whole matrix", lambda: whole_matrix(images, texts), products, threads)
        print(f"  whole matrix / streamed: {full / streamed:.2f}")
    for what, sentences, spread in (
        ("half of the captions repeated", size // 2, 1.0),
        ("collapsed (float64)", size, 1e-4),
    ):
        images, texts, group = gallery(size, sentences, spread)
        timed(what, lambda: rank_pairs(images, texts, group, threads=threads), products, threads)  # noqa: B023


if __name__ == "__main__":
    main()
