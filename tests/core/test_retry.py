"""Trying again: which errors are met with a further try, how long the waits are, and who shares a host's patience."""

import threading
import time
from pathlib import Path

import pytest

from geomeld.core.errors import AuthError, ConfigError, CorruptAsset, SourceError, TransientError
from geomeld.core.retry import LONGEST_ASKED_S, Retry
from geomeld.sources.pace import Pace, paced, parsed_rates, rest, take

PLACE = "https://example.org/a.tif"


def failing(*errors: SourceError):
    left = list(errors)

    def work() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return work


def test_only_errors_that_time_may_cure_are_tried_again() -> None:
    waits: list[float] = []
    retry = Retry(tries=4)
    assert retry.call(failing(TransientError("x"), AuthError("y")), "k", waits.append) == ("done", 3)
    assert len(waits) == 2
    with pytest.raises(CorruptAsset) as caught:
        retry.call(failing(TransientError("x"), CorruptAsset("y")), "k", waits.append)
    assert caught.value.tries == 2
    with pytest.raises(TransientError, match="d") as last:
        retry.call(failing(*(TransientError(c) for c in "abcde")), "k", waits.append)
    assert last.value.tries == 4


def test_waits_double_are_spread_by_key_and_bounded() -> None:
    retry = Retry(tries=9, first_wait_s=2.0, longest_wait_s=40.0)
    for made in range(1, 9):
        doubled = 2.0 * 2 ** (made - 1)
        waits = [retry.wait_s(f"tile {k}", made) for k in range(400)]
        assert all(min(0.5 * doubled, 40.0) <= w <= min(1.5 * doubled, 40.0) for w in waits)
        assert waits == [retry.wait_s(f"tile {k}", made) for k in range(400)]
        if made < 4:
            assert sum(waits) / 400 == pytest.approx(doubled, rel=0.05)
            assert len(set(waits)) > 390


def test_a_server_that_names_a_time_gets_it() -> None:
    retry, waits = Retry(first_wait_s=1.0, longest_wait_s=5.0), []
    retry.call(failing(TransientError("429", retry_after=17.0), TransientError("429", 1e9)), "k", waits.append)
    assert waits == [17.0, LONGEST_ASKED_S]


def test_a_policy_without_a_try_is_refused() -> None:
    for bad in ({"tries": 0}, {"first_wait_s": -1.0}, {"first_wait_s": 90.0}, {"first_wait_s": float("nan")}):
        with pytest.raises(ConfigError, match="no policy"):
            Retry(**bad)


class Clock:
    """Time passes only in sleep."""

    def __init__(self) -> None:
        self.seconds = 1e9

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize("rate", [0.5, 1.0, 5.0, 50.0])
def test_a_bucket_gives_its_rate_and_a_second_in_advance(tmp_path: Path, rate: float) -> None:
    clock = Clock()
    pace = Pace(tmp_path, {"example.org": rate}, clock.now, clock.sleep)
    times = []
    for _ in range(100):
        pace.take(PLACE)
        times.append(clock.seconds)
    for first in range(100):  # no window holds more than the rate allows, and one second's worth besides
        for last in range(first, 100):
            assert last - first + 1 <= rate * (times[last] - times[first]) + max(rate, 1.0) + 1e-3
    assert times[-1] - times[0] == pytest.approx((100 - max(rate, 1.0)) / rate, rel=0.02)


def test_local_paths_and_hosts_without_a_rate_wait_for_nothing_but_a_rest(tmp_path: Path) -> None:
    clock = Clock()
    pace = Pace(tmp_path, {}, clock.now, clock.sleep)
    begun = clock.seconds
    with paced(pace):
        take(PLACE)
        take("/data/a.tif")
        assert clock.seconds == begun
        rest(PLACE, 30.0)
        rest(PLACE, None)
        take("https://other.org/a.tif")
        take("/data/a.tif")
        assert clock.seconds == begun
        take(PLACE)
        assert clock.seconds == pytest.approx(begun + 30.0)
        take(PLACE)
        assert clock.seconds == pytest.approx(begun + 30.0)
    rest(PLACE, 30.0)
    take(PLACE)  # outside of a run there is no pace
    assert clock.seconds == pytest.approx(begun + 30.0)


def test_those_who_share_a_folder_share_a_bucket(tmp_path: Path) -> None:
    def taking() -> None:
        pace = Pace(tmp_path, {"example.org": 20.0})  # of its own, as in another process: only the folder is common
        for _ in range(15):
            pace.take(PLACE)

    workers = [threading.Thread(target=taking) for _ in range(2)]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert time.monotonic() - start >= 0.45, "30 tokens at 20 a second, 20 of them in advance"


def test_rates_are_words_of_the_form_host_and_number() -> None:
    assert parsed_rates(("example.org=2.5",))["example.org"] == 2.5
    for bad in ("example.org", "=5", "example.org=0", "example.org=-1", "example.org=nan", "example.org=inf"):
        with pytest.raises(ConfigError, match="no rate"):
            parsed_rates((bad,))
