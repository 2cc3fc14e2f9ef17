"""Claim: `bao-exporter doctor` finds what is wrong with a cluster, says it in one line with what to
do, and ends with 0 without a FAIL, 1 with one, 2 when the configuration is wrong.

The cluster is this file's own: the last tests seal, freeze and kill nodes, and put them back."""

import dataclasses
import json
import time

import pytest
from cluster import LOOPBACK, Cluster
from exporter_process import Exporter, NodeEntry, openbao, write_private
from tls_sink import TlsSink

NODE_CHECKS = ["dns", "tcp", "tls", "health", "token", "metrics", "retention", "clock", "identity"]
CLUSTER_CHECKS = ["capability", "active", "nodes", "versions", "names"]
# One second, since a frozen node costs it twice.
POLL = {"interval": "5s", "timeout": "1s", "stale_after": "15s"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    with Cluster.start(tmp_path_factory.mktemp("openbao"), die_with_parent=True, max_lifetime_s=600) as cluster:
        yield cluster


class Report:
    """What `doctor --json` printed."""

    def __init__(self, run):
        assert run.returncode in (0, 1), (run.returncode, run.stdout, run.stderr)
        assert run.stderr == ""
        self.code = run.returncode
        self.text = run.stdout
        said = json.loads(run.stdout)
        self.result = said["result"]
        self.findings = {(one["node"], check["check"]): check for one in said["nodes"] for check in one["checks"]}
        self.order = [(one["node"], check["check"]) for one in said["nodes"] for check in one["checks"]]
        for finding in self.findings.values():
            assert finding["finding"]
            assert ("remedy" in finding) == (finding["result"] != "OK"), finding

    def failed(self) -> dict[tuple[str, str], str | None]:
        """The reasons of all that failed."""
        return {at: check.get("reason") for at, check in self.findings.items() if check["result"] == "FAIL"}

    def words(self, node: str, check: str) -> str:
        finding = self.findings[node, check]
        return f"{finding['finding']} -> {finding.get('remedy', '')}"


def examine(own, folder, entry, **tables) -> Report:
    return Report(Exporter(folder, [entry], authority=own, poll=POLL, **tables).command("doctor", "--json"))


def names(own) -> list[str]:
    return [node.name for node in own.nodes]


def other_than(own, *not_these: int) -> int:
    return next(i for i in range(3) if i not in not_these)


# --- a cluster that is well ----------------------------------------------------------


def test_a_healthy_cluster_has_every_line_and_no_fail(own, tmp_path):
    report = examine(own, tmp_path, openbao(own))
    assert report.code == 0 and report.failed() == {}
    wanted = [(node, check) for node in names(own) for check in NODE_CHECKS]
    assert report.order == wanted + [("-", check) for check in CLUSTER_CHECKS]
    active = own.nodes[own.active()].name
    assert report.words("-", "capability").startswith("it may read sys/metrics, and nothing else")
    assert f"{active} is the active node" in report.words("-", "active")
    for node in names(own):
        role = "active" if node == active else "standby"
        assert report.words(node, "health").startswith(f"{role}, version 2.")
        assert report.words(node, "clock").startswith("agrees with ours")
        assert "127.0.0.1, localhost" in report.words(node, "tls")


def test_the_lines_for_people_say_the_same(own, tmp_path):
    exporter = Exporter(tmp_path, [openbao(own)], authority=own, poll=POLL)
    report, run = Report(exporter.command("doctor", "--json")), exporter.command("doctor")
    assert (run.returncode, run.stderr) == (0, "")
    head, *lines, last = run.stdout.splitlines()
    assert head.split() == ["NODE", "CHECK", "RESULT", "FINDING"]
    rows = [line.split(None, 3) for line in lines]
    assert [(row[0].removeprefix("e2e/"), row[1]) for row in rows] == report.order
    assert [row[2] for row in rows] == [check["result"] for check in report.findings.values()]
    assert last.startswith(f"{report.result}: ")


def test_metrics_only_listeners_are_looked_at_too(own, tmp_path):
    entry = openbao(own, token=None)
    for node, listed in zip(own.nodes, entry.nodes):
        listed.metrics_url, listed.metrics_auth = node.metrics_url, "none"
    report = examine(own, tmp_path, entry)
    assert report.code == 0, report.failed()
    tcp = [at for at in report.order if at[1] == "tcp"]
    assert len(tcp) == 6
    assert report.words("openbao-0", "token") == "no token is sent -> "
    assert ("-", "capability") not in report.findings


# --- tokens --------------------------------------------------------------------------


def test_a_wrong_token_fails_at_each_node_and_nowhere_else(own, tmp_path):
    report = examine(own, tmp_path, openbao(own, token="wrong"))
    active = own.nodes[own.active()].name
    assert report.code == 1
    assert report.failed() == {(node, "token"): "token_rejected" for node in names(own)}
    assert "bao token create" in report.words(active, "token")


def test_a_token_without_policy_is_told_the_policy(own, tmp_path):
    report = examine(own, tmp_path, openbao(own, token="nopolicy"))
    assert report.code == 1
    assert report.failed() == {(node, "token"): "forbidden" for node in names(own)}
    for node in names(own):
        assert 'path "sys/metrics" { capabilities = ["read"] }' in report.words(node, "token")
    assert ("-", "capability") not in report.findings


def test_a_root_token_must_not_be_here(own, tmp_path):
    report = examine(own, tmp_path, openbao(own, token="root"))
    assert report.code == 1
    assert report.failed() == {("-", "capability"): "token_excess"}
    assert "it is a root token" in report.words("-", "capability")
    assert report.words("-", "capability").endswith("; then revoke the old one")


def with_token(own, token: str):
    own.wait_token(token)
    return dataclasses.replace(openbao(own), token=token)


def test_a_token_that_may_do_more_is_a_warning_that_names_it(own, tmp_path):
    rules = 'path "sys/metrics" { capabilities = ["read"] }\npath "sys/mounts" { capabilities = ["read", "update"] }'
    status, _, body = own.request(
        own.active(), "PUT", "/v1/sys/policies/acl/much", json={"policy": rules}, token=own.token("root")
    )
    assert status == 204, body
    report = examine(own, tmp_path, with_token(own, own.mint(["much"], period="24h")))
    assert (report.code, report.result) == (0, "WARN")
    finding = report.findings["-", "capability"]
    assert (finding["result"], finding["reason"]) == ("WARN", "token_excess")
    assert "sys/mounts: read, update" in finding["finding"]


def test_a_token_without_the_default_policy_cannot_be_asked_and_is_no_failure(own, tmp_path):
    token = own.mint(["metrics-read"], period="24h", no_default_policy=True)
    report = examine(own, tmp_path, with_token(own, token))
    assert report.code == 0, report.failed()
    assert "no default policy" in report.words("-", "capability")
    assert report.findings["openbao-0", "metrics"]["result"] == "OK"


# --- certificates --------------------------------------------------------------------


def test_another_authority_is_named_and_gets_no_token(own, tmp_path):
    with TlsSink(tmp_path) as sink:
        entry = openbao(own)
        entry.nodes.append(NodeEntry("alien", api_url=f"https://{LOOPBACK}:{sink.port}"))
        report = examine(own, tmp_path, entry)
        assert report.code == 1
        assert report.failed() == {("alien", "tls"): "tls"}
        assert "signed by itself" in report.words("alien", "tls")
        assert sink.connections >= 2 and sink.bytes_ == b""

        wrong = dataclasses.replace(openbao(own), ca_file=tmp_path / "sink.pem")
        report = examine(own, tmp_path, wrong)
    assert report.failed().keys() == {(node, "tls") for node in names(own)}
    assert ("-", "active") not in report.findings
    assert "an authority that ca_file" in report.words("openbao-0", "tls")
    assert "sink.pem" in report.words("openbao-0", "tls")


def test_another_name_is_told_with_the_names_that_there_are(own, tmp_path):
    entry = openbao(own)
    standby = other_than(own, own.active())
    entry.nodes[standby].server_name = "openbao-9.test"
    report = examine(own, tmp_path, entry)
    name = own.nodes[standby].name
    assert report.failed() == {(name, "tls"): "tls"}
    assert f"{name}.test, not for openbao-9.test" in report.words(name, "tls")
    assert f"take server_name out: the certificate has {LOOPBACK}" in report.words(name, "tls")


# --- the configuration ---------------------------------------------------------------


def test_a_wrong_configuration_is_told_as_check_does(own, tmp_path):
    exporter = Exporter(tmp_path, [openbao(own)], authority=own)
    write_private(tmp_path / "e2e.token", "two words\n").chmod(0o644)
    run, check = exporter.command("doctor"), exporter.command("check")
    assert run.returncode == check.returncode == 2
    assert run.stderr == check.stderr != ""
    assert run.stdout == ""


def test_it_never_prints_a_token(own, tmp_path):
    exporter = Exporter(tmp_path, [openbao(own)], authority=own, poll=POLL)
    for arguments in ([], ["--json"], ["--log.level", "debug"]):
        run = exporter.command("doctor", *arguments)
        assert run.returncode == 0
        assert own.token("metrics") not in run.stdout + run.stderr


# --- nodes that are not well; from here on the cluster changes -----------------------


def test_a_sealed_node_is_told_to_be_unsealed(own, tmp_path):
    standby = other_than(own, own.active())
    own.seal(standby)
    try:
        report = examine(own, tmp_path, openbao(own))
    finally:
        own.unseal(standby)
    name = own.nodes[standby].name
    assert report.failed() == {(name, "health"): "sealed"}
    assert "unseal it" in report.words(name, "health")
    assert (name, "metrics") not in report.findings


def test_a_frozen_node_is_told_and_delays_no_other(own, tmp_path):
    standby = other_than(own, own.active())
    own.freeze(standby)
    began = time.monotonic()
    try:
        report = examine(own, tmp_path, openbao(own))
        took = time.monotonic() - began
    finally:
        own.thaw(standby)
        own.wait_active()
    name = own.nodes[standby].name
    assert report.failed() == {(name, "tls"): "timeout"}
    assert "does not answer the TLS handshake within 1 s" in report.words(name, "tls")
    assert 2.0 <= took < 8.0  # its poll and its handshake, a second each


def test_a_killed_node_is_told_to_be_started(own, tmp_path):
    standby = other_than(own, own.wait_active())
    own.kill(standby)
    try:
        report = examine(own, tmp_path, openbao(own))
    finally:
        own.restart(standby)
    name = own.nodes[standby].name
    assert report.failed() == {(name, "tcp"): "connect"}
    assert ": connection refused -> " in report.words(name, "tcp")
    assert "start OpenBao" in report.words(name, "tcp")
    assert [check for node, check in report.order if node == name] == ["dns", "tcp"]


def test_a_cluster_without_active_node_fails_as_a_whole(own, tmp_path):
    active = own.wait_active()
    others = [i for i in range(3) if i != active]
    for i in others:
        own.seal(i)
    own.seal(active)
    try:
        report = examine(own, tmp_path, openbao(own))
    finally:
        for i in range(3):
            own.unseal(i)
        own.wait_active()
    assert report.failed().keys() == {(node, "health") for node in names(own)} | {("-", "active")}
    assert "none of the 3 that answer is active" in report.words("-", "active")
