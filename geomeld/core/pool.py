"""Pool: one function over many jobs on several processes, results in the order of the jobs or as they are ready."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver
from typing import Any, Literal, TypeVar

from geomeld.core.cluster import on_ray
from geomeld.core.errors import GeoMeldError

J = TypeVar("J")
R = TypeVar("R")

Engine = Literal["processes", "ray"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables that numerical libraries take their number of threads from when they are loaded."""
AHEAD = 4
"""Jobs in flight per process: enough that one slow tile holds nobody up, few enough that results fit in memory."""


def in_order(
    work: Callable[[J], R],
    jobs: Iterable[J],
    workers: int,
    *,
    preload: tuple[str, ...] = (),
    engine: Engine = "processes",
) -> Iterator[R]:
    """`work(job)` for every job, in order; in this process for one worker, on a cluster with engine "ray".

    `work` is pickled once per process. `preload` names modules that are imported once and then shared by all
    processes. Raises what `work` raises, and GeoMeldError where the system ends a process.
    """
    return _results(work, jobs, workers, preload, engine, _oldest)


def as_they_come(
    work: Callable[[J], R],
    jobs: Iterable[J],
    workers: int,
    *,
    preload: tuple[str, ...] = (),
    engine: Engine = "processes",
) -> Iterator[R]:
    """The same with results in the order in which they are ready, so that a slow job holds nobody up."""
    return _results(work, jobs, workers, preload, engine, _ready)


def _results(
    work: Callable[[J], R],
    jobs: Iterable[J],
    workers: int,
    preload: tuple[str, ...],
    engine: Engine,
    chosen: Callable[[deque[Future[R]]], Future[R]],
) -> Iterator[R]:
    if engine == "ray":
        yield from on_ray(work, jobs, workers, ordered=chosen is _oldest)
        return
    if workers <= 1:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *preload])
    with _one_thread_each(), _interrupts_ignored():
        forkserver.ensure_running()
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(work,)) as pool:
        waiting = iter(jobs)
        flying: deque[Future[R]] = deque(pool.submit(_call, job) for job in islice(waiting, AHEAD * workers))
        try:
            while flying:
                result = chosen(flying).result()
                flying.extend(pool.submit(_call, job) for job in islice(waiting, 1))
                yield result
        except BrokenProcessPool:
            raise GeoMeldError(
                "The system ended a worker process, perhaps for want of memory. Run the same command again to go on, "
                "with fewer --workers."
            ) from None
        except BaseException:
            for process in list(pool._processes.values()):  # a tile may take long: do not wait for those in flight
                process.terminate()
            raise


def _oldest(flying: deque[Future[R]]) -> Future[R]:
    return flying.popleft()


def _ready(flying: deque[Future[R]]) -> Future[R]:
    done, _ = wait(flying, return_when=FIRST_COMPLETED)
    first = next(future for future in flying if future in done)
    flying.remove(first)
    return first


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start here use one thread for matrices: there is one of them per core already."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """What starts here ignores Ctrl-C from its first line on; it belongs to the parent."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_work: Callable[[Any], Any] | None = None
"""What this process does; set once when it starts."""


def _start(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent, which ends its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers; they would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(job: Any) -> Any:
    assert _work is not None
    return _work(job)
