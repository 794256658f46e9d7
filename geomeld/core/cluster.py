"""Cluster: one function over many jobs on a Ray cluster, results in the order of the jobs or as they are ready."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from geomeld.core.errors import GeoMeldError, MissingExtra

J = TypeVar("J")
R = TypeVar("R")

AHEAD = 4
"""Jobs in flight per core of the cluster."""
TRIES = 3
"""How often a job is given to another node after its own was lost."""


def on_ray(work: Callable[[J], R], jobs: Iterable[J], workers: int, *, ordered: bool = True) -> Iterator[R]:
    """`work(job)` for every job, in order or as they are ready, on the cluster that RAY_ADDRESS (or an earlier
    `ray.init`) names, else on one of `workers` cores that is started on this machine for the time of the call.

    Jobs must give the same result wherever and however often they run: one whose node is lost runs again elsewhere.
    All nodes see the same files. Raises MissingExtra without Ray, what `work` raises, and GeoMeldError where a job
    was lost more than `TRIES` times.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("--engine ray needs Ray: pip install 'geomeld[ray]'") from None
    mine = not ray.is_initialized()
    if mine:
        # Without an address Ray would look for any cluster of this machine, even somebody else's.
        address = os.environ.get("RAY_ADDRESS", "local")
        local = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    try:
        yield from _results(ray, work, jobs, ordered)
    finally:
        if mine:
            ray.shutdown()


def _results(ray: Any, work: Callable[[J], R], jobs: Iterable[J], ordered: bool) -> Iterator[R]:
    call = ray.remote(num_cpus=1, max_retries=TRIES)(_call)
    shared, waiting = ray.put(work), iter(jobs)
    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    flying = deque(call.remote(shared, job) for job in islice(waiting, AHEAD * cores))
    while flying:
        first = flying[0] if ordered else ray.wait(list(flying), num_returns=1)[0][0]
        flying.remove(first)
        try:
            result = ray.get(first)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise GeoMeldError(
                f"The cluster lost a job more than {TRIES} times ({type(error).__name__}). Run the same command again "
                "to go on."
            ) from None
        flying.extend(call.remote(shared, job) for job in islice(waiting, 1))
        yield result


def _call(work: Callable[[Any], Any], job: Any) -> Any:
    return work(job)
