"""What a wrong token, a token without policy, no token and a wrong authority become."""

import dataclasses
import ssl

import pytest
from cluster import LOOPBACK
from exporter_process import ClusterEntry, Exporter, NodeEntry, openbao, wait_until
from tls_sink import TlsSink
from watch import check_down, check_up, role, scrape_once_up


@pytest.fixture
def roles(cluster):
    """By node name, as the nodes themselves say."""
    return {node.name: role for node, role in zip(cluster.nodes, cluster.roles())}


def test_a_wrong_token_is_told_apart_from_a_wrong_role(cluster, tmp_path, roles):
    with Exporter(tmp_path, [openbao(cluster, token="wrong")], authority=cluster) as exporter:
        ours = exporter.scrape()
        table = exporter.table()
    assert sorted(roles.values()) == ["active", "standby", "standby"]
    for node, truth in roles.items():
        # A standby says no more than that it cannot forward; the active node says what that means.
        check_down(ours, node, "token_rejected")
        assert role(ours, node) == truth
        assert (table[node]["ROLE"], table[node]["AGE"]) == (truth, "never")
    assert ours.value("bao_cluster_nodes", node_role="active") == "1"


def test_a_token_without_policy_is_forbidden_everywhere(cluster, tmp_path, roles):
    with Exporter(tmp_path, [openbao(cluster, token="nopolicy")], authority=cluster) as exporter:
        ours = exporter.scrape()
    for node, truth in roles.items():
        check_down(ours, node, "forbidden")
        assert role(ours, node) == truth


def test_metrics_only_listeners_need_no_token(cluster, tmp_path, roles):
    entry = openbao(cluster, token=None)
    for node, entry_node in zip(cluster.nodes, entry.nodes):
        entry_node.metrics_url = node.metrics_url
        entry_node.metrics_auth = "none"
    with Exporter(tmp_path, [entry], authority=cluster) as exporter:
        ours = scrape_once_up(exporter, [node.name for node in cluster.nodes])
    for node in cluster.nodes:
        check_up(ours, node.name)
        assert role(ours, node.name) == roles[node.name]
        # `instance` is where the metrics come from.
        instances = {sample.labels["instance"] for sample in ours.samples(node_name=node.name)}
        assert instances == {f"{LOOPBACK}:{node.metrics_port}"}


def test_a_metrics_only_listener_alone_tells_the_role(cluster, tmp_path, roles):
    nodes = [NodeEntry(node.name, metrics_url=node.metrics_url, metrics_auth="none") for node in cluster.nodes]
    with Exporter(tmp_path, [ClusterEntry("e2e", cluster.ca_file, None, nodes)], authority=cluster) as exporter:
        ours = scrape_once_up(exporter, [node.name for node in cluster.nodes])
    for node in cluster.nodes:
        check_up(ours, node.name)
        assert role(ours, node.name) == roles[node.name]
        assert ours.value("bao_node_info", node_name=node.name, role_source="core_active") == "1"


def test_metrics_auth_none_sends_no_token(cluster, tmp_path, roles):
    # At the API a request without a token is refused, so this shows that none was sent.
    entry = openbao(cluster)
    entry.nodes[0].metrics_auth = "none"
    with Exporter(tmp_path, [entry], authority=cluster) as exporter:
        ours = scrape_once_up(exporter, ["openbao-1", "openbao-2"])
    check_down(ours, "openbao-0", "token_rejected" if roles["openbao-0"] == "active" else "standby_rejected")
    for node in ["openbao-1", "openbao-2"]:
        check_up(ours, node)


def test_a_node_with_another_authority_is_asked_nothing(cluster, tmp_path):
    with TlsSink(tmp_path) as sink:
        entry = openbao(cluster)
        entry.nodes.append(NodeEntry("alien", api_url=f"https://{LOOPBACK}:{sink.port}"))
        with Exporter(tmp_path, [entry], authority=cluster) as exporter:
            wait_until("a third poll of it", lambda: sink.connections >= 3)
            ours = scrape_once_up(exporter, [node.name for node in cluster.nodes])
            table = exporter.table()
        assert sink.bytes_ == b""

        # It would have noted a request.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        exporter.port = sink.port
        with exporter.connect(context=context) as connection:
            connection.sendall(b"GET /v1/sys/health")
            wait_until("the request at the sink", lambda: sink.bytes_ == b"GET /v1/sys/health")
    check_down(ours, "alien", "tls")
    assert role(ours, "alien") == table["alien"]["ROLE"] == "unreachable"
    for node in cluster.nodes:
        check_up(ours, node.name)


def test_a_certificate_for_another_name_is_refused(cluster, tmp_path, roles):
    entry = openbao(cluster)
    entry.nodes[0].server_name = "openbao-0.test"  # which its certificate has
    entry.nodes[1].server_name = "openbao-0.test"  # which that of openbao-1 has not
    with Exporter(tmp_path, [entry], authority=cluster) as exporter:
        ours = scrape_once_up(exporter, ["openbao-0", "openbao-2"])
    check_down(ours, "openbao-1", "tls")
    assert role(ours, "openbao-1") == "unreachable"
    for node in ["openbao-0", "openbao-2"]:
        check_up(ours, node)
        assert role(ours, node) == roles[node]


def test_an_authority_that_is_not_the_nodes_makes_only_its_cluster_fail(cluster, tmp_path):
    with TlsSink(tmp_path) as sink:
        del sink  # only its certificate is used
        good = openbao(cluster)
        apart = good.nodes.pop()
        wrong = dataclasses.replace(good, cluster="apart", ca_file=tmp_path / "sink.pem", nodes=[apart])
        with Exporter(tmp_path, [good, wrong], authority=cluster) as exporter:
            ours = scrape_once_up(exporter, [node.name for node in good.nodes])
    check_down(ours, apart.name, "tls")
    assert role(ours, apart.name) == "unreachable"
    assert {s.labels["cluster"] for s in ours.samples(node_name=apart.name)} == {"apart"}
    for node in good.nodes:
        check_up(ours, node.name)
