import os

import pytest
from cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The cluster in BAO_CLUSTER_DIR, shared with other tests, so only to be looked at; without
    that variable (a run by hand) one of this run's own."""
    if directory := os.environ.get("BAO_CLUSTER_DIR"):
        yield Cluster.load(directory)
        return
    with Cluster.start(tmp_path_factory.mktemp("openbao"), die_with_parent=True) as own:
        yield own
