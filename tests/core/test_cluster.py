"""A Ray cluster does what processes do: the same results in the same order, errors as they were, lost nodes made up."""

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.caption.config import CaptionConfig
from geomeld.caption.run import caption_dataset
from geomeld.core.cluster import on_ray
from geomeld.core.errors import GeoMeldError
from geomeld.testing import FakeSource

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)  # nodes cannot import a test
    yield nodes
    ray.cloudpickle.unregister_pickle_by_value(here)
    ray.shutdown()
    nodes.shutdown()


def slow_square(number: int) -> tuple[int, str]:
    """Squares take their time."""
    time.sleep(0.3)
    if number == 999:
        raise GeoMeldError("999 is refused")
    return number**2, ray.get_runtime_context().get_node_id()


def test_order_errors_and_a_lost_node(cluster) -> None:
    results, lost = [], None
    for square, node in on_ray(slow_square, range(24), 2):
        results.append(square)
        if lost is None and node != cluster.head_node.node_id:  # with more of its jobs in flight
            lost = node
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert results == [n**2 for n in range(24)]
    with pytest.raises(GeoMeldError, match=r"^999 is refused$"):
        list(on_ray(slow_square, [1, 999, 2], 2))


def test_a_build_on_a_cluster_gives_the_same_bytes(cluster, tmp_path: Path) -> None:
    anchors = sampled_anchors([(-100.0 + 11 * i, 40.0 - 9 * i, "Tundra") for i in range(6)], "fake")
    for engine in ("processes", "ray"):
        build(anchors, FakeSource(), tmp_path / engine, BuildConfig(shard_size=3), engine=engine)
        caption_dataset(tmp_path / engine, CaptionConfig(chunk=2), engine=engine)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / e).glob("*[rt]")} for e in ("processes", "ray"))
    assert len(one) == 3
    assert one == other


@dataclass(frozen=True)
class SlowSource(FakeSource):
    """Tiles take their time."""

    def features(self, grid):
        time.sleep(0.5)


def test_a_build_outlives_a_lost_node(cluster, tmp_path: Path) -> None:
    anchors = sampled_anchors([(-100.0 + 11 * i, 40.0 - 6 * i, "Tundra") for i in range(12)], "fake")
    source = SlowSource(serves=frozenset({"sentinel2", "dynamic_world"}))
    config, node = BuildConfig(shard_size=5), next(iter(cluster.worker_nodes))
    lost = []

    def lose() -> None:
        while not list((tmp_path / "lost").rglob("*.h5")):
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)
        lost.append(len(list((tmp_path / "lost").glob("*.tar"))))

    saboteur = threading.Thread(target=lose)
    saboteur.start()
    manifest = build(anchors, source, tmp_path / "lost", config, engine="ray")
    saboteur.join()
    assert lost[0] < 3, "it was lost while tiles were left"
    assert manifest == build(anchors, source, tmp_path / "whole", config)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / e).glob("*[rt]")} for e in ("lost", "whole"))
    assert one == other
