import pytest
from fake_node import FakeNode
from rig_fixtures import certificates, make_rig  # noqa: F401


@pytest.fixture
def one_node(certificates):
    """A fake that nobody was told of."""
    node = FakeNode(certificates, "elsewhere", "active", 9)
    yield node
    node.stop()
