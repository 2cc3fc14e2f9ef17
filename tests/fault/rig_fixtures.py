"""Fixtures of all tests with fakes; a conftest.py imports them."""

import contextlib

import pytest
from exporter_under_fault import UPSTREAM_TOKEN, ExporterUnderFault
from fake_node import Certificates, FakeNode, Tokens


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def make_rig(certificates, tmp_path_factory):
    """Makes fakes and an exporter that polls them: make_rig(roles, start=True, **options).
    Node 1 is the first role's, and so on. All of it ends with the test file."""
    with contextlib.ExitStack() as stack:
        def make(roles=("standby", "active", "standby"), start=True, **options):
            nodes = []
            tokens = Tokens(UPSTREAM_TOKEN)
            for index, role in enumerate(roles, start=1):
                node = FakeNode(certificates, f"n{index}", role, index, tokens=tokens)
                stack.callback(node.stop)
                nodes.append(node)
            exporter = ExporterUnderFault(certificates, nodes, tmp_path_factory.mktemp("exporter"),
                                          **options)
            stack.callback(exporter.stop)
            return exporter.start() if start else exporter
        yield make
