"""A Ray cluster of two nodes on this machine, with the least that Ray takes."""

from pathlib import Path

import holdfast


def two_nodes(monkeypatch, store=80 * 2**20):
    """Yields a cluster of two nodes of one core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(Path(holdfast.__file__).parents[1]))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # on a busy machine
    node = {"num_cpus": 1, "object_store_memory": store, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(num_cpus=1, object_store_memory=store)
    yield cluster
    cluster.shutdown()
