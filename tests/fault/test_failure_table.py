"""Every row of two tables: what OpenBao 2.7.2 (and older) answers to sys/metrics and to the
requests around it, and what operators meet. Where the test of each row is; most are elsewhere:

test_rhythm.py::test_the_rhythm_of_healthy_nodes
    200, own metrics of an active node and of a standby with its reads on
test_identity.py::test_a_standby_that_hands_on_the_body_of_the_active_is_identity_mismatch
    200 with the active node's metrics: a standby without reads that forwards; a load balancer
test_http_faults.py::test_status_and_body_give_the_reason
    200 JSON (no format=), 400 format unknown, 400 prometheus is not enabled (retention 0),
    400 operation unavailable in namespaces, 400 cannot forward local-only request,
    403 JSON (no, unknown, revoked, expired token), 403 JSON (no policy), 403 text
    (disallow_metrics),
    404 text (metrics_only listener, other path), 429 (quota), 500 no leader (<= 2.4), 503 sealed
test_http_faults.py::test_no_redirect_is_followed
    307 of a standby without reads, its leader alive or dead
test_http_faults.py::test_a_node_that_is_not_open_says_so_as_role_and_reason
    503 Vault is sealed: sealed, uninitialized
test_transport_faults.py::test_refused_port_is_connect
    node down; firewall or NetworkPolicy that rejects
test_transport_faults.py::test_hang_before_tls_is_timeout
    SIGSTOP; firewall or NetworkPolicy that drops
test_transport_faults.py::test_plain_http_on_that_port_is_tls_and_nothing_is_sent
    plain HTTP where TLS is expected
test_transport_faults.py::test_a_wrong_certificate_is_tls_and_nothing_is_sent
    x509: authority, name, date
test_rhythm.py::test_a_nameserver_that_never_answers_delays_nobody_else
    name not found
test_identity_peers.py::test_of_two_entries_for_one_server_the_first_has_it_from_the_first_poll_on
    two series point to the same node
test_failure_table.py::test_older_versions_say_it_with_500
    500 cannot forward local-only request (<= 2.4)
test_failure_table.py::test_without_a_leader_the_standbys_say_so
    500 active cluster node not found (<= 2.4), on every node
test_failure_table.py::test_a_bad_token_is_told_by_the_active_for_all
    no, unknown, revoked, expired token: 403 of the active, 400 (500) of the standbys
test_failure_table.py::test_a_token_without_policy_is_forbidden_on_every_node
    token without policy: 403 on active and standby
test_failure_table.py::test_what_only_standbys_reject_becomes_token_rejected_in_the_third_round
    num_uses token: 200 of the active, 400 of the standbys; a standby that cannot work (audit paths)
test_failure_table.py::test_a_token_that_is_a_moment_old_is_rejected_once
    token minted less than 0.1 s ago: 400, then 200
test_failure_table.py::test_a_step_down_is_no_bad_token
    400 of the former active node for a second, with a good token
test_failure_table.py::test_each_request_of_a_poll_is_a_get_as_openbao_wants_it
    403 on HEAD, 404 on LIST, 403 on POST, namespace header: never asked so
test_failure_table.py::test_an_api_url_that_is_a_metrics_only_listener
    404 text of sys/health and sys/leader
test_failure_table.py::test_the_role_is_what_health_says_not_its_status
    429 of sys/health is a standby; status codes changed by a query
test_failure_table.py::test_sealed_without_health
    503 Vault is sealed, and no health
test_failure_table.py::test_a_sealed_node_whose_metrics_listener_answers
    200 of a sealed node's metrics_only listener
test_failure_table.py::test_no_core_active_is_unknown_not_standby
    freshly started: no core_active
test_failure_table.py::test_an_http_request_to_a_tls_port
    TLS where plain HTTP is expected
test_failure_table.py::test_fewer_nodes_than_expected_are_seen
    only one target appears; no active node, but the API has a leader

Without a row here: the demo's (test_profiles.py), Kubernetes' (tests/deploy).
"""

import os
import pathlib
import re
import subprocess

import pytest
from exporter_under_fault import UPSTREAM_TOKEN, never_two, prove_fault, rigs
from fake_node import (CAPABILITIES, HEALTH, JSON, LEADER, LOOK_UP, METRICS, TEXT, exposition,
                       health_json)

FAST = {"interval": "300ms", "timeout": "280ms", "stale_after": "3s"}
PLAIN = "text/plain; charset=utf-8"
HERE = pathlib.Path(__file__).parent


def errors(text):
    return b'{"errors":["' + text.encode() + b'"]}'


DENIED = errors("permission denied")
NO_POLICY = errors("1 error occurred:\\n\\t* permission denied\\n\\n")
CANNOT_FORWARD = errors("cannot forward local-only request")
NO_LEADER = errors("local node not active but active cluster node not found")
SEALED = errors("Vault is sealed")
ONLY_METRICS = b"this listener only serves the metrics endpoint"


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


@pytest.fixture(scope="module")
def slow_rig(make_rig):
    """For prove_fault()."""
    rig = make_rig()
    rig.wait_all_up()
    return rig


def answering(status, body=b"", content_type=JSON):
    return lambda exchange: exchange.answer(status, body, content_type)


def answer(node, status, body=b"", content_type=JSON, path=METRICS):
    node.faults[path] = answering(status, body, content_type)


# --- the token ----------------------------------------------------------------------------------

def test_a_bad_token_is_told_by_the_active_for_all(make):
    """The active says 403, and what the standbys say means the same then."""
    rig = make()
    rig.wait_all_up()
    first, active, third = rig.nodes
    answer(first, 400, CANNOT_FORWARD)
    answer(third, 500, CANNOT_FORWARD)
    answer(active, 403, DENIED)
    scrape = rig.wait(lambda s: {s.reason(n.name) for n in rig.nodes} == {"token_rejected"}, 5,
                      "all say that it is the token")
    assert (scrape.role("n1"), scrape.role("n2"), scrape.role("n3")) == (
        "standby", "active", "standby")
    for node in rig.nodes:
        assert not scrape.up(node.name) and scrape.lines_of(node.name) == []
    scrape = rig.wait_rounds("n1", 4)
    for name in ("n1", "n3"):
        # Of the round that was under way when the token went bad.
        assert scrape.polls(name, "standby_rejected") <= 1
        assert scrape.polls(name, "token_rejected") >= 3
    for node in rig.nodes:
        node.heal()
    rig.wait(lambda s: all(s.up(n.name) for n in rig.nodes), 3, "all are back")


def test_a_bad_token_from_the_start_is_told_for_all(make):
    def configure(rig):
        for node in rig.nodes:
            answer(node, *((403, DENIED) if node.role == "active" else (400, CANNOT_FORWARD)))

    rig = make(configure=configure)
    rig.wait_published()
    scrape = rig.wait_rounds("n1", 2)
    for node in rig.nodes:
        assert scrape.reason(node.name) == "token_rejected"
        assert set(scrape.poll_counts(node.name)) <= {"token_rejected", "timeout", "standby_rejected"}
        # Of the first round only, where a standby may answer before the active does.
        assert scrape.polls(node.name, "standby_rejected") <= (node.role == "standby")


def test_a_token_without_policy_is_forbidden_on_every_node(make):
    rig = make()
    rig.wait_all_up()
    for node in rig.nodes:
        answer(node, 403, NO_POLICY)
    scrape = rig.wait(lambda s: {s.reason(n.name) for n in rig.nodes} == {"forbidden"}, 5,
                      "all are forbidden")
    assert scrape.role("n1") == "standby" and scrape.role("n2") == "active"
    assert not any(scrape.up(n.name) or scrape.lines_of(n.name) for n in rig.nodes)


def test_what_the_active_forbids_does_not_make_the_token_wrong(make):
    rig = make()
    rig.wait_all_up()
    answer(rig.nodes[1], 403, NO_POLICY)
    rig.wait(lambda s: s.reason("n2") == "forbidden", 3, "the active forbids")
    seen = []

    def note(scrape):
        if scrape.reason("n1") not in ("ok", *seen[-1:]):
            seen.append(scrape.reason("n1"))

    answer(rig.nodes[0], 400, CANNOT_FORWARD)
    rig.wait(lambda s: s.reason("n1") == "token_rejected", 5, "three rounds", note)
    assert seen[0] == "standby_rejected"


@pytest.mark.parametrize("status", [400, 500])
def test_what_only_standbys_reject_becomes_token_rejected_in_the_third_round(make, status):
    """As a num_uses token, or a standby that cannot work: the active takes the same token."""
    rig = make()
    before = rig.wait_all_up()
    first = rig.nodes[0]
    answer(first, status, CANNOT_FORWARD)
    scrape = rig.wait(lambda s: s.reason("n1") == "token_rejected", 5, "it lasts")
    assert scrape.polls("n1", "standby_rejected") == 2
    assert scrape.role("n1") == "standby" and not scrape.up("n1") and scrape.lines_of("n1") == []
    scrape = rig.wait_rounds("n1", 3)
    assert scrape.reason("n1") == "token_rejected"
    assert scrape.polls("n1", "standby_rejected") == 2 and scrape.polls("n1", "token_rejected") >= 3
    for name in ("n2", "n3"):
        assert scrape.lines_of(name) in (before.lines_of(name), [])
        assert set(scrape.poll_counts(name)) <= {"ok", "timeout"}
    first.heal()
    rig.wait(lambda s: s.up("n1"), 2, "it is back")


def test_rounds_that_are_not_in_a_row_reject_no_token(make):
    rig = make()
    rig.wait_all_up()
    first = rig.nodes[0]
    turn = [0]

    def two_of_three(exchange):
        turn[0] += 1
        if turn[0] % 3 == 0:
            return exchange.node.answer(exchange)
        return exchange.answer(400, CANNOT_FORWARD)

    first.faults[METRICS] = two_of_three
    scrape = rig.wait(lambda s: s.polls("n1", "standby_rejected") >= 6, 8, "it comes and goes")
    assert scrape.polls("n1", "token_rejected") == 0


def test_a_token_that_is_a_moment_old_is_rejected_once(make):
    rig = make()
    rig.wait_all_up()
    first = rig.nodes[0]

    def not_yet(exchange):
        del first.faults[METRICS]
        exchange.answer(400, CANNOT_FORWARD)

    first.faults[METRICS] = not_yet
    rig.wait(lambda s: s.polls("n1", "standby_rejected") == 1, 3, "it is rejected")
    scrape = rig.wait(lambda s: s.up("n1"), 2, "it is taken")
    assert scrape.polls("n1", "token_rejected") == 0


def test_a_step_down_is_no_bad_token(make):
    """The former active node rejects a good token for a second; the new one takes it."""
    rig = make(interval="500ms", timeout="480ms")
    rig.wait_all_up()
    _, old, new = rig.nodes
    old.role = "standby"
    answer(old, 400, CANNOT_FORWARD)
    new.active_time = "2026-11-23T00:21:00Z"
    new.role = "active"
    rig.wait(lambda s: s.reason("n2") == "standby_rejected", 3, "rejected", never_two)
    old.faults = {}
    scrape = rig.wait(lambda s: s.up("n2") and s.role("n3") == "active", 3, "it is over", never_two)
    assert scrape.role("n2") == "standby" and scrape.polls("n2", "token_rejected") == 0


# --- older versions, no leader ------------------------------------------------------------------

def test_older_versions_say_it_with_500(slow_rig):
    verdict = prove_fault(slow_rig, lambda node: answer(node, 500, CANNOT_FORWARD),
                          "standby_rejected")
    assert verdict.scrape.role("n1") == "standby"


def test_without_a_leader_the_standbys_say_so(make):
    rig = make(("standby", "standby", "standby"))
    rig.wait_all_up()
    for node in rig.nodes:
        answer(node, 500, NO_LEADER)
        answer(node, 200, b'{"ha_enabled":true,"is_self":false}', path=LEADER)
    scrape = rig.wait(lambda s: {s.reason(n.name) for n in rig.nodes} == {"no_leader"}, 3, "all")
    for node in rig.nodes:
        assert scrape.role(node.name) == "standby" and not scrape.up(node.name)
    assert scrape.value("bao_cluster_nodes", node_role="active") == 0
    assert scrape.value("bao_cluster_nodes", node_role="standby") == 3


# --- role and listener --------------------------------------------------------------------------

@pytest.mark.parametrize("status", [200, 299, 429, 472, 473])
@pytest.mark.parametrize("role", ["active", "standby"])
def test_the_role_is_what_health_says_not_its_status(make, status, role):
    """429 is how a standby says it; others are what a proxy or ?standbycode= makes of it."""
    rig = make((role, "standby"))
    rig.wait_all_up()
    answer(rig.nodes[0], status, health_json(role), path=HEALTH)
    scrape = rig.wait_rounds("n1", 3)
    assert scrape.role("n1") == role and scrape.role_source("n1") == "health"
    assert scrape.up("n1") and scrape.lines_of("n1")


def test_an_api_url_that_is_a_metrics_only_listener(make):
    """health and leader are 404 there, as text; the samples are the node's own."""
    rig = make()
    before = rig.wait_all_up()
    for node in rig.nodes:
        for path in (HEALTH, LEADER):
            answer(node, 404, ONLY_METRICS, PLAIN, path)
    scrape = rig.wait(lambda s: {s.role_source(n.name) for n in rig.nodes} == {"core_active"}, 3,
                      "core_active tells")
    for node in rig.nodes:
        assert scrape.up(node.name) and scrape.role(node.name) == node.role
        assert scrape.lines_of(node.name) == before.lines_of(node.name)


def test_sealed_without_health(make):
    """An uninitialized node says the same, so the role is not known."""
    rig = make(without_api=["n1"])
    rig.wait_all_up()
    answer(rig.nodes[0], 503, SEALED)
    scrape = rig.wait(lambda s: s.reason("n1") == "sealed", 3, "it is sealed")
    assert not scrape.up("n1") and scrape.lines_of("n1") == []
    assert scrape.role("n1") == "unknown" and scrape.role_source("n1") == "none"


def without(body, *names):
    lines = body.decode().splitlines(keepends=True)
    return "".join(line for line in lines
                   if not re.match(rf"(# \w+ )?({'|'.join(names)})[ {{]", line)).encode()


FRESH = without(exposition("standby", 1), "vault_core_active")
assert b"core_active" not in FRESH


def test_a_sealed_node_whose_metrics_listener_answers(make):
    """metrics_only and unauthenticated: 200 while sealed. The role is health's."""
    rig = make()
    rig.wait_all_up()
    first = rig.nodes[0]
    first.role = "sealed"
    answer(first, 200, FRESH, TEXT)
    scrape = rig.wait(lambda s: s.role("n1") == "sealed", 3, "it is sealed")
    assert scrape.reason("n1") == "ok" and scrape.up("n1")
    assert scrape.lines_of("n1")
    assert scrape.value("bao_cluster_nodes", node_role="sealed") == 1


def test_no_core_active_is_unknown_not_standby(make):
    rig = make(without_api=["n1"])
    rig.wait_all_up()
    rig.nodes[0].body = FRESH
    scrape = rig.wait(lambda s: s.role("n1") == "unknown", 3, "nothing tells its role")
    assert scrape.reason("n1") == "ok" and scrape.up("n1") and scrape.lines_of("n1")
    assert scrape.role_source("n1") == "none"


def test_an_http_request_to_a_tls_port(make):
    """What Go's server says to plain HTTP: version 1.0, no length, and the end."""
    def tls_expected(exchange):
        exchange.send(b"HTTP/1.0 400 Bad Request\r\n\r\n"
                      b"Client sent an HTTP request to an HTTPS server.\n")

    rig = make()
    before = rig.wait_all_up()
    rig.nodes[0].faults = {HEALTH: tls_expected, METRICS: tls_expected}
    scrape = rig.wait(lambda s: s.reason("n1") not in ("ok", "timeout"), 3, "it is refused")
    assert scrape.reason("n1") == "unexpected_status"
    assert scrape.role("n1") == "unknown"
    assert scrape.lines_of("n2") == before.lines_of("n2")


def test_fewer_nodes_than_expected_are_seen(make):
    """Three voters of which only the standbys are listed, or found: that can be alerted on."""
    rig = make(("standby", "standby"))
    text = rig.config_text().replace('cluster = "fake"', 'cluster = "fake"\nexpected_nodes = 3')
    rig.stop()
    rig.config_file.write_text(text)
    rig.start()
    rig.wait_published()
    scrape = rig.wait(lambda s: s.up("n1") and s.up("n2"), 3, "both are up")
    assert scrape.value("bao_cluster_expected_nodes") == 3
    assert sum(float(s[2]) for s in scrape.find("bao_cluster_nodes")) == 2
    assert scrape.value("bao_cluster_nodes", node_role="active") == 0


# --- what is asked ------------------------------------------------------------------------------

def test_each_request_of_a_poll_is_a_get_as_openbao_wants_it(make):
    rig = make()
    rig.wait_all_up()
    rig.wait_rounds("n2", 1)
    for node in rig.nodes:
        for request in list(node.requests):
            assert request.header("X-Vault-Namespace") == []
            if request.path in (CAPABILITIES, LOOK_UP):  # of the token, not of a poll
                continue
            assert request.method == "GET"
            if request.path == METRICS:
                assert request.query == "format=prometheus"
                assert request.header("X-Vault-No-Request-Forwarding") == ["true"]
                assert request.header("Authorization") == [f"Bearer {UPSTREAM_TOKEN}"]
            else:
                assert request.path in (HEALTH, LEADER)
                assert request.header("Authorization") == []


# --- no reason without a test -------------------------------------------------------------------

TESTED = {
    "ok": "test_http_faults.py::test_without_health_the_role_is_read_from_core_active",
    "not_polled": "test_start.py::test_nothing_is_told_before_the_first_round_has_ended",
    "dns": "test_rhythm.py::test_a_nameserver_that_never_answers_delays_nobody_else",
    "connect": "test_transport_faults.py::test_refused_port_is_connect",
    "timeout": "test_transport_faults.py::test_hang_before_tls_is_timeout",
    "tls": "test_transport_faults.py::test_a_wrong_certificate_is_tls_and_nothing_is_sent",
    "reset": "test_transport_faults.py::test_reset_mid_body_is_reset",
    "truncated": "test_transport_faults.py::test_half_a_body_is_truncated",
    "too_large":
        "test_transport_faults.py::test_a_body_above_the_limit_is_too_large_and_costs_no_memory",
    "overdue": "test_stall.py::test_after_stale_after_no_sample_of_a_node_is_served",
    "redirect": "test_http_faults.py::test_no_redirect_is_followed",
    "standby_redirect": "test_http_faults.py::test_no_redirect_is_followed",
    "standby_rejected": "test_failure_table.py::test_older_versions_say_it_with_500",
    "token_rejected": "test_failure_table.py::test_a_bad_token_is_told_by_the_active_for_all",
    "forbidden": "test_failure_table.py::test_a_token_without_policy_is_forbidden_on_every_node",
    "metrics_disabled": "test_http_faults.py::test_status_and_body_give_the_reason",
    "telemetry_disabled": "test_http_faults.py::test_status_and_body_give_the_reason",
    "namespace_restricted": "test_http_faults.py::test_status_and_body_give_the_reason",
    "not_found": "test_http_faults.py::test_status_and_body_give_the_reason",
    "rate_limited": "test_http_faults.py::test_status_and_body_give_the_reason",
    "no_leader": "test_failure_table.py::test_without_a_leader_the_standbys_say_so",
    "sealed": "test_http_faults.py::test_a_node_that_is_not_open_says_so_as_role_and_reason",
    "uninitialized": "test_http_faults.py::test_a_node_that_is_not_open_says_so_as_role_and_reason",
    "server_error": "test_http_faults.py::test_status_and_body_give_the_reason",
    "unexpected_status": "test_http_faults.py::test_status_and_body_give_the_reason",
    "protocol": "test_http_faults.py::test_status_and_body_give_the_reason",
    "malformed": "test_body_faults.py::test_a_bad_body_is_refused_as_a_whole",
    "duplicate_series": "test_body_faults.py::test_a_bad_body_is_refused_as_a_whole",
    "limit_samples": "test_body_faults.py::test_a_bad_body_is_refused_as_a_whole",
    "limit_line": "test_body_faults.py::test_a_bad_body_is_refused_as_a_whole",
    "limit_labels": "test_body_faults.py::test_a_bad_body_is_refused_as_a_whole",
    "identity_mismatch":
        "test_identity_peers.py::test_a_known_node_that_leads_to_another_one_is_identity_mismatch",
    "identity_changed":
        "test_identity_peers.py::test_who_shows_the_known_identity_again_is_served_again",
    "duplicate_node":
        "test_identity_peers.py::test_who_was_served_with_it_keeps_it_from_a_new_one",
    "superseded": "test_identity.py::test_of_two_actives_the_older_is_superseded",
    "login_failed": "test_token_faults.py::"
                    "test_a_login_that_fails_delays_nobody_and_is_tried_again_elsewhere",
    "token_excess": "test_token_faults.py::"
                    "test_excess_is_counted_and_where_it_is_refused_the_token_is_not_used",
}
UNREACHABLE = {"cancelled"}  # polls that a reload or the end cancels are not counted
NOT_OF_A_POLL = {"token_unreadable", "database_down", "inconsistent", "config", "io", "internal"}


def test_every_reason_of_a_poll_has_a_test():
    told = subprocess.run([os.environ["BAO_EXPORTER"], "reference", "reasons"],
                          capture_output=True, text=True, timeout=20, check=True).stdout.split()
    assert len(told) == len(set(told)) > 40
    untested = set(told) - TESTED.keys() - UNREACHABLE - NOT_OF_A_POLL
    assert untested == set(), "reasons without a test"
    assert (TESTED.keys() | UNREACHABLE | NOT_OF_A_POLL) - set(told) == set(), "no such reason"


def test_the_tables_name_tests_that_exist_and_that_name_the_reason():
    rows = set(re.findall(r"^(\w+\.py)::(\w+)$", __doc__, re.MULTILINE))
    assert len(rows) > 20
    for reason, place in TESTED.items():
        file, name = place.split("::")
        rows.add((file, name))
        assert f'"{reason}' in (HERE / file).read_text(), f"{file} never says {reason}"
    for file, name in rows:
        assert f"\ndef {name}(" in (HERE / file).read_text(), f"{file} has no {name}"
