"""Answers that OpenBao gives instead of metrics, and some that it never gives, on node 1 of 3."""

import pytest
from exporter_under_fault import prove_fault
from fake_node import HEALTH, JSON, LEADER, METRICS, TEXT, exposition

DENIED = b'{"errors":["permission denied"]}'
NO_POLICY = b'{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'


@pytest.fixture(scope="module")
def rig(make_rig):
    rig = make_rig()
    rig.wait_all_up()
    return rig


def errors(text):
    return b'{"errors":["' + text.encode() + b'"]}'


def answering(status, body=b"", content_type=JSON, headers=(), path=METRICS):
    def inflict(node):
        node.faults[path] = lambda exchange: exchange.answer(status, body, content_type, headers)
    return inflict


CASES = [
    (204, b"", None, "unexpected_status"),
    (206, exposition("standby", 1), TEXT, "unexpected_status"),
    (400, errors("cannot forward local-only request"), JSON, "standby_rejected"),
    (400, b"prometheus is not enabled", "text/plain; charset=utf-8", "telemetry_disabled"),
    (500, b"prometheus is not enabled", "text/plain; charset=utf-8", "telemetry_disabled"),
    (400, errors("operation unavailable in namespaces"), JSON, "namespace_restricted"),
    (400, b'metric response format "foo" unknown', "text/plain", "unexpected_status"),
    (401, b"", None, "unexpected_status"),
    (403, b"metrics endpoint is disabled for this listener", "text/plain; charset=utf-8",
     "metrics_disabled"),
    (403, DENIED, JSON, "token_rejected"),
    (403, NO_POLICY, JSON, "forbidden"),
    (404, b"this listener only serves the metrics endpoint", "text/plain; charset=utf-8",
     "not_found"),
    (404, errors(""), JSON, "not_found"),
    (418, b"short and stout", "text/plain", "unexpected_status"),
    (429, errors("request path rate limit quota exceeded"), JSON, "rate_limited"),
    (500, errors("internal error"), JSON, "server_error"),
    (500, errors("local node not active but active cluster node not found"), JSON, "no_leader"),
    (502, b"<html>bad gateway</html>", "text/html", "server_error"),
    (503, errors("Vault is sealed"), JSON, "sealed"),
    (200, b'{"Timestamp":"2026-11-23 00:21:50 +0000 UTC","Gauges":[]}', JSON, "protocol"),
    (200, b"<!DOCTYPE html><html><body>Sign in</body></html>\n", "text/html", "protocol"),
    (200, exposition("standby", 1), None, "protocol"),
]


@pytest.mark.parametrize("status, body, content_type, reason", CASES,
                         ids=[f"{case[0]}_{case[3]}_{i}" for i, case in enumerate(CASES)])
def test_status_and_body_give_the_reason(rig, status, body, content_type, reason):
    verdict = prove_fault(rig, answering(status, body, content_type), reason)
    assert verdict.scrape.role("n1") == "standby"  # as health says
    assert verdict.scrape.role_source("n1") == "health"


@pytest.mark.parametrize("status, reason", [
    (301, "redirect"), (302, "redirect"), (303, "redirect"), (308, "redirect"),
    (307, "standby_redirect")])
def test_no_redirect_is_followed(rig, one_node, status, reason):
    """The other place sees no connection at all: so neither a token."""
    location = f"Location: {one_node.url}{METRICS}?format=prometheus"
    prove_fault(rig, answering(status, headers=[location]), reason)
    assert one_node.connections == []


def test_an_answer_without_a_body_needs_no_length(rig):
    """304 never has a body (RFC 9110), so it is whole without Content-Length or chunks."""
    def inflict(node):
        node.faults[METRICS] = lambda exchange: exchange.send(
            b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")

    prove_fault(rig, inflict, "redirect")


@pytest.mark.parametrize("path", [HEALTH, LEADER])
def test_no_redirect_of_health_or_leader_is_followed(rig, one_node, path):
    before = rig.wait_all_up()
    active = rig.nodes[1]
    answering(307, headers=[f"Location: {one_node.url}{path}"], path=path)(active)
    try:
        scrape = rig.wait_rounds("n2", 2)
    finally:
        active.heal()
    assert scrape.up("n2") and scrape.role("n2") == "active"
    assert scrape.lines_of("n2") == before.lines_of("n2")
    assert one_node.connections == []
    rig.wait_rounds("n2", 1)


@pytest.mark.parametrize("role", ["sealed", "uninitialized"])
def test_a_node_that_is_not_open_says_so_as_role_and_reason(rig, role):
    verdict = prove_fault(rig, lambda victim: setattr(victim, "role", role), role)
    assert verdict.scrape.role("n1") == role


GARBAGE = [
    pytest.param(200, b"\x00\xff\xfe not JSON", JSON, id="bytes"),
    pytest.param(200, b"[]", JSON, id="a_list"),
    pytest.param(200, b'{"initialized":"yes","sealed":0,"standby":null}', JSON, id="wrong_types"),
    pytest.param(200, b"[" * 50_000, JSON, id="deep"),
    pytest.param(200, b"", None, id="nothing"),
    pytest.param(500, b"oops", "text/plain", id="500"),
    pytest.param(404, errors("no handler"), JSON, id="404"),
]


@pytest.mark.parametrize("status, body, content_type", GARBAGE)
@pytest.mark.parametrize("victim, role", [("n1", "standby"), ("n2", "active")])
def test_without_health_the_role_is_read_from_core_active(rig, victim, role, status, body,
                                                          content_type):
    """The samples are the node's own: they stay, and so does everybody else's."""
    before = rig.wait_all_up()
    node = next(node for node in rig.nodes if node.name == victim)
    answering(status, body, content_type, path=HEALTH)(node)

    def samples_untouched(scrape):
        for name in ("n1", "n2", "n3"):
            assert scrape.up(name) and scrape.lines_of(name) == before.lines_of(name)

    try:
        scrape = rig.wait(lambda s: s.role_source(victim) == "core_active", 3, "core_active tells",
                          samples_untouched)
        assert scrape.reason(victim) == "ok"
        assert scrape.role(victim) == role
    finally:
        node.heal()
    rig.wait(lambda s: s.role_source(victim) == "health", 2, "health tells", samples_untouched)
