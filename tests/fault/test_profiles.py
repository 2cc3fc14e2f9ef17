"""The profiles active and demo, nodes with other names of metrics, and what the log warns of."""

import http.client
import json
import os
import re
import subprocess
import time

import pytest
from exporter_under_fault import UPSTREAM_TOKEN, never_two, rigs
from fake_node import HEALTH, LEADER, METRICS, exposition, family, health_json

FAST = {"interval": "300ms", "timeout": "280ms", "stale_after": "3s"}
TERMS = [f"2026-11-23T00:2{i}:00Z" for i in range(10)]


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, **FAST) as made:
        yield made


def marks(rig):
    return {node.name: len(node.requests) for node in rig.nodes}


def asked(rig, path, since):
    """How often each node was asked for this since then."""
    return {node.name: len(node.requests_of(path, since[node.name])) for node in rig.nodes}


# --- active: one node's metrics -----------------------------------------------------------------

def check_active_profile(scrape, rig, active):
    """Everybody is up and has its role; the active node alone has samples."""
    for node in rig.nodes:
        assert scrape.up(node.name) and scrape.reason(node.name) == "ok"
        assert scrape.role(node.name) == ("active" if node.name == active else "standby")
        assert bool(scrape.lines_of(node.name)) == (node.name == active)
        for sample in scrape.find("bao_node_up", node_name=node.name):
            assert sample[1]["scrape_profile"] == "active"
    assert all('scrape_profile="active"' in line for line in scrape.lines_of(active))
    assert scrape.value("bao_cluster_nodes", node_role="active") == 1
    assert scrape.value("bao_cluster_nodes", node_role="standby") == len(rig.nodes) - 1
    scrape.check_valid()


def test_in_profile_active_only_the_active_node_is_asked_for_metrics(make):
    rig = make(profile="active")
    check_active_profile(rig.wait_all_up(), rig, "n2")
    rig.wait_rounds("n2", 4)
    nothing = {node.name: 0 for node in rig.nodes}
    metrics, health, leader = (asked(rig, path, nothing) for path in (METRICS, HEALTH, LEADER))
    assert metrics["n1"] == metrics["n3"] == 0, "a standby has an entry in its audit log"
    assert metrics["n2"] >= 4 and leader["n2"] >= 4
    assert min(health.values()) >= 4
    assert leader["n1"] == leader["n3"] == 0


def test_in_profile_active_a_failover_moves_the_samples(make):
    rig = make(profile="active")
    before = rig.wait_all_up()
    _, old, new = rig.nodes
    old.role = "standby"
    new.active_time = TERMS[5]
    new.role = "active"
    rig.wait(lambda s: s.role("n3") == "active" and s.lines_of("n3"), 3, "n3 took over", never_two)
    after = rig.wait_rounds("n3", 2, never_two)
    check_active_profile(after, rig, "n3")
    assert after.value("bao_cluster_failovers_total") == before.value(
        "bao_cluster_failovers_total") + 1
    since = marks(rig)
    rig.wait_rounds("n3", 3)
    counts = asked(rig, METRICS, since)
    assert counts["n1"] == counts["n2"] == 0 and counts["n3"] >= 2
    paths = {node.name: rig.scrape(path=f"/metrics/nodes/fake/{node.name}") for node in rig.nodes}
    assert {name: answer.status for name, answer in paths.items()} == {
        "n1": 503, "n2": 503, "n3": 200}
    assert "fake/n2" in paths["n2"].text and paths["n2"].text.count("\n") == 1


def test_in_profile_active_a_standby_of_another_cluster_is_refused(make):
    def configure(rig):
        rig.nodes[0].be(health={"cluster_id": "99999999-9999-9999-9999-999999999999"})

    rig = make(configure=configure, profile="active")
    rig.wait_published()
    scrape = rig.wait(lambda s: s.reason("n1") == "identity_mismatch" and s.up("n2"), 3, "refused")
    assert not scrape.up("n1") and scrape.role("n1") == "unknown"
    assert scrape.up("n3") and scrape.lines_of("n2")


def test_in_profile_active_the_older_of_two_actives_is_superseded(make):
    rig = make(profile="active")
    rig.wait_all_up()
    old, new, _ = rig.nodes
    new.active_time = TERMS[5]
    rig.wait_rounds("n2", 1)
    old.role = "active"
    scrape = rig.wait(lambda s: s.reason("n1") == "superseded", 3, "n1 is superseded", never_two)
    assert scrape.lines_of("n1") == [] and scrape.role("n2") == "active"


@pytest.mark.parametrize("role", ["sealed", "uninitialized"])
def test_in_profile_active_a_node_that_is_not_open_says_so(make, role):
    rig = make((role, "active", "standby"), profile="active")
    rig.wait_published()
    scrape = rig.wait(lambda s: s.up("n2"), 3, "n2 is up")
    assert scrape.role("n1") == role and scrape.reason("n1") == role and not scrape.up("n1")
    rig.wait_rounds("n1", 2)
    assert rig.nodes[0].requests_of(METRICS) == []


@pytest.mark.parametrize("status", [200, 500])
def test_in_profile_active_health_that_cannot_be_read_is_a_failure(make, status):
    """Whether it is active is not known: so it is not asked for metrics, and is not up."""
    rig = make(profile="active")
    rig.wait_all_up()
    first, active, _ = rig.nodes
    for node in (first, active):
        node.faults[HEALTH] = lambda exchange: exchange.answer(status, b"<html>", "text/html")
    scrape = rig.wait(lambda s: s.reason("n1") == "protocol" and not s.up("n2"), 3, "neither is up")
    assert scrape.lines_of("n1") == scrape.lines_of("n2") == []
    assert scrape.role("n1") == scrape.role("n2") == "unknown"
    assert first.requests_of(METRICS) == []


@pytest.mark.parametrize("status", [299, 429])
def test_in_profile_active_health_decides_not_its_status(make, status):
    """An active node that is up and has no samples would be a failure that nobody sees."""
    rig = make(profile="active")
    rig.wait_all_up()
    rig.nodes[1].faults[HEALTH] = lambda exchange: exchange.answer(status, health_json("active"))
    scrape = rig.wait_rounds("n2", 3)
    assert scrape.role("n2") == "active"
    assert scrape.up("n2") == bool(scrape.lines_of("n2"))


def test_in_profile_active_a_node_without_api_url_is_judged_by_core_active(make):
    """Nothing but its metrics can be asked."""
    rig = make(profile="active", without_api=["n1", "n2", "n3"])
    scrape = rig.wait_all_up()
    check_active_profile(scrape, rig, "n2")
    assert {scrape.role_source(node.name) for node in rig.nodes} == {"core_active"}
    first, old, new = rig.nodes
    old.role = "standby"
    new.role = "active"
    rig.wait(lambda s: s.role("n3") == "active" and s.role("n2") == "standby", 3, "n3 took over",
             never_two)
    check_active_profile(rig.wait_rounds("n3", 1, never_two), rig, "n3")
    assert first.requests_of(HEALTH) == [] and first.requests_of(METRICS)


# --- active: one address ------------------------------------------------------------------------

def active_address(make, **says):
    def configure(rig):
        rig.nodes[0].be(process_start=time.time() - 3600, **says)

    rig = make(["active"], configure, profile="active")
    rig.wait_all_up()
    return rig


def moves(rig, **says):
    node = rig.nodes[0]
    node.active_time = TERMS[7]
    node.be(process_start=time.time() - 7200, **says)


def check_never_refused(scrape):
    assert scrape.reason("n1") in ("ok", "timeout"), scrape.reason("n1")


def test_an_active_address_may_lead_to_another_server(make):
    """A Service or a load balancer that follows the active node."""
    rig = active_address(make)
    moves(rig, peer_id="raft-7")
    peers = []

    def look(scrape):
        check_never_refused(scrape)
        peers.append(scrape.find("bao_node_info")[0][1].get("peer_id"))

    rig.wait(lambda s: s.find("bao_node_info", peer_id="raft-7"), 3, "it moved", look)
    scrape = rig.wait_rounds("n1", 4, look)
    assert scrape.role("n1") == "active" and scrape.lines_of("n1")
    assert set(peers) <= {"raft-1", "raft-7"}
    assert set(scrape.poll_counts("n1")) <= {"ok", "timeout"}


def test_an_active_address_may_move_back_and_forth(make):
    rig = active_address(make)
    for turn in range(4):
        moves(rig, peer_id=f"raft-{turn % 2 + 1}")
        rig.wait_rounds("n1", 2, check_never_refused)
    assert rig.scrape().lines_of("n1")


def test_an_active_address_without_raft_may_move_to_an_older_process(make):
    rig = active_address(make, peer_id="", last_gc=time.time() - 60)
    moves(rig, peer_id="", last_gc=time.time() - 90)
    scrape = rig.wait_rounds("n1", 4, check_never_refused)
    assert scrape.lines_of("n1")


def test_an_active_address_that_leads_to_a_standby_has_no_samples(make):
    rig = active_address(make)
    node = rig.nodes[0]
    node.role = "standby"
    scrape = rig.wait(lambda s: s.role("n1") == "standby", 3, "it is a standby")
    assert scrape.up("n1") and scrape.lines_of("n1") == []
    count = len(node.requests_of(METRICS))
    rig.wait_rounds("n1", 3)
    assert len(node.requests_of(METRICS)) <= count + 1  # of the poll that was under way


def test_of_several_listed_nodes_none_may_move_in_profile_active(make):
    def configure(rig):
        for node in rig.nodes:
            node.be(process_start=time.time() - 3600 + node.index)

    rig = make(configure=configure, profile="active")
    rig.wait_all_up()
    active = rig.nodes[1]
    active.says = {"peer_id": "raft-7", "process_start": time.time() - 7200}
    scrape = rig.wait(lambda s: s.reason("n2") == "identity_changed", 3, "n2 is refused", never_two)
    assert scrape.lines_of("n2") == [] and not scrape.up("n2") and scrape.role("n2") == "unknown"


# --- demo ---------------------------------------------------------------------------------------

def plain_nodes(rig):
    for node in rig.nodes:
        node.tls = False


DEMO = {"profile": "demo", "ca_file": None}
OPEN_PORT = {"cert_file": "", "key_file": "", "token_files": "[]"}


@pytest.mark.parametrize("method", ["none", "token_file"])
def test_a_demo_polls_over_plain_http(make, method):
    rig = make(configure=plain_nodes, auth_method=method, **DEMO)
    scrape = rig.wait_all_up()
    for node in rig.nodes:
        assert scrape.role(node.name) == node.role and scrape.lines_of(node.name)
        assert all('scrape_profile="all_nodes"' in line for line in scrape.lines_of(node.name))
        shown = {tuple(request.header("Authorization")) for request in node.requests_of(METRICS)}
        assert shown == {() if method == "none" else (f"Bearer {UPSTREAM_TOKEN}",)}
        assert [r for r in node.requests_of(HEALTH) if r.header("Authorization")] == []
    scrape.check_valid()
    assert rig.settings["cert_file"], "our port has TLS"


def test_a_demo_says_why_a_node_over_plain_http_is_down(make):
    rig = make(configure=plain_nodes, auth_method="none", **DEMO)
    rig.wait_all_up()
    first, second, third = rig.nodes
    first.refuse()
    second.role = "sealed"
    third.faults[METRICS] = lambda exchange: exchange.answer(
        403, b'{"errors":["permission denied"]}')
    rig.wait(lambda s: (s.reason("n1"), s.reason("n2"), s.reason("n3")) == (
        "connect", "sealed", "token_rejected"), 3, "each has its reason")


def test_the_port_of_a_demo_may_be_plain_and_open(make):
    rig = make(configure=plain_nodes, auth_method="none", **DEMO, **OPEN_PORT)
    scrape = rig.wait_all_up()
    assert scrape.lines_of("n2")
    connection = rig.connect()
    connection.request("GET", "/metrics")  # no Authorization
    answer = connection.getresponse()
    assert answer.status == 200 and b"bao_node_up{" in answer.read()
    for path, status in (("/metrics/nodes/fake/n1", 200), ("/metrics/exporter", 200), ("/sd", 200),
                         ("/nothing", 404)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status, path
    connection.request("POST", "/metrics")
    assert connection.getresponse().status == 405
    connection.close()


def test_service_discovery_of_a_plain_port_says_http(make):
    rig = make(configure=plain_nodes, auth_method="none", **DEMO, **OPEN_PORT)
    rig.wait_all_up()
    groups = json.loads(rig.scrape(path="/sd").text)
    assert len(groups) == 3
    for group in groups:
        assert group["targets"] == [f"127.0.0.1:{rig.port}"]
        assert group["labels"]["__scheme__"] == "http"
        assert group["labels"]["scrape_profile"] == "all_nodes"
        assert rig.scrape(path=group["labels"]["__metrics_path__"]).status == 200


def test_a_token_that_an_open_port_did_not_ask_for_does_no_harm(make):
    rig = make(["active"], plain_nodes, auth_method="none", **DEMO, **OPEN_PORT)
    rig.wait_all_up()
    connection = rig.connect()
    connection.request("GET", "/metrics", headers={"Authorization": "Bearer whatever"})
    assert connection.getresponse().status == 200
    connection.close()


def test_a_plain_port_may_still_ask_for_a_token(make):
    rig = make(["active"], plain_nodes, auth_method="none", cert_file="", key_file="", **DEMO)
    assert rig.wait_all_up().lines_of("n1")
    connection = rig.connect()
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 401
    connection.close()


def test_a_port_with_tls_may_be_open_in_a_demo(make):
    rig = make(["active"], plain_nodes, auth_method="none", token_files="[]", **DEMO)
    assert rig.wait_all_up().lines_of("n1")
    plain = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=1)
    with pytest.raises((OSError, http.client.HTTPException)):
        plain.request("GET", "/metrics")
        plain.getresponse()


def run(rig, text, *command):
    path = rig.folder / "tried.toml"
    path.write_text(text)
    return subprocess.run([os.environ["BAO_EXPORTER"], *command, "--config.file", str(path)],
                          capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                          check=False)


def check(rig, text):
    return run(rig, text, "check")


def demo_text(rig, port=8200, url="http://127.0.0.1:{port}", more="", **changes):
    """A whole demo, with the first node at this URL, and other tables behind it."""
    urls = {"n1": url.format(port=port)}
    settings = {"auth_method": "none", "urls": urls, **DEMO, **OPEN_PORT, **changes}
    return rig.config_text(**settings) + more


@pytest.fixture
def paper(make):
    """Never started: what would be its configuration."""
    return make(["active"], start=False)


OTHER_CLUSTER = """\
[[openbao]]
cluster = "prod"
ca_file = "system"
[openbao.auth]
method = "none"
[[openbao.node]]
name = "openbao-0"
api_url = "https://10.0.0.10:8200"
"""

ACCEPTED = {
    "all of it": {},
    "IPv6": {"url": "http://[::1]:{port}"},
    "another loopback address": {"url": "http://127.1.2.3:{port}"},
    "two addresses": {"address": '127.0.0.1:0", "[::1]:0'},
}
REFUSED = {
    "http outside of a demo": ({"profile": "all_nodes", "ca_file": "system"},
                               ["openbao.node.api_url", "https://"]),
    "http in profile active": ({"profile": "active", "ca_file": "system"},
                               ["openbao.node.api_url", "https://"]),
    "localhost by name": ({"url": "http://localhost:{port}"},
                          ["openbao.node.api_url", "127.0.0.1"]),
    "another host": ({"url": "http://10.0.0.10:{port}"}, ["openbao.node.api_url", "127.0.0.1"]),
    "a name that begins so": ({"url": "http://127.0.0.1.example.org:{port}"},
                              ["openbao.node.api_url"]),
    "all addresses": ({"url": "http://0.0.0.0:{port}"}, ["openbao.node.api_url"]),
    "an address in hexadecimal": ({"url": "http://0x7f000001:{port}"}, ["openbao.node.api_url"]),
    "plain port, not loopback": ({"address": "0.0.0.0:0"}, ["listener.tls_cert_file"]),
    "open port, not loopback": ({"address": "0.0.0.0:0"}, ["listener.token_files"]),
    "plain port, one of two not loopback": ({"address": '127.0.0.1:0", "10.0.0.1:0'},
                                            ["listener.tls_cert_file"]),
    "plain port, localhost by name": ({"address": "localhost:0"}, ["listener."]),
    "plain port, not all are demo": ({"more": OTHER_CLUSTER}, ["listener.tls_cert_file"]),
    "open port, not all are demo": ({"more": OTHER_CLUSTER}, ["listener.token_files"]),
    "no authority for https": ({"url": "https://127.0.0.1:{port}", "ca_file": "nowhere.pem"},
                               ["openbao.ca_file"]),
}


def with_addresses(text):
    """A list of addresses, where two are given."""
    return re.sub(r'^address = ("[^"\n]+", "[^"\n]+")$', r"address = [\1]", text,
                  flags=re.MULTILINE)


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_check_accepts_a_demo_on_loopback_addresses(paper, changes):
    ended = check(paper, with_addresses(demo_text(paper, **changes)))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("changes, words", REFUSED.values(), ids=REFUSED)
def test_what_only_a_demo_may_is_refused_elsewhere(paper, changes, words):
    changes = dict(changes)
    more = changes.pop("more", "")
    ended = check(paper, with_addresses(demo_text(paper, more=more, **changes)))
    assert ended.returncode == 2, ended.stdout + ended.stderr
    lines = [line for line in ended.stderr.splitlines() if all(word in line for word in words)]
    assert lines, ended.stderr


@pytest.mark.parametrize("empty", ["cert_file", "key_file"])
def test_half_a_plain_port_is_refused(paper, certificates, empty):
    pair = {"cert_file": certificates.pem("node"), "key_file": certificates.key("node")}
    ended = check(paper, demo_text(paper, **(pair | {empty: ""})))
    assert ended.returncode == 2
    assert f"listener.tls_{empty}" in ended.stderr


def test_the_start_refuses_what_check_refuses_and_listens_nowhere(paper):
    ended = run(paper, demo_text(paper, address="0.0.0.0:0"))
    assert ended.returncode == 2
    assert "listener.tls_cert_file" in ended.stderr and "listening" not in ended.stderr


def test_an_unknown_profile_is_refused_with_the_known_ones(paper):
    ended = check(paper, demo_text(paper, profile="everything"))
    assert ended.returncode == 2 and "openbao.profile" in ended.stderr
    for word in ("active", "all_nodes", "demo"):
        assert f'"{word}"' in ended.stderr


# --- names of metrics ---------------------------------------------------------------------------

def hosts(rig):
    for node in rig.nodes:
        node.be(host=f"box_{node.index}_example")


def own_prefix(rig):
    for node in rig.nodes:
        node.be(prefix="secrets_")


def name_of(node, name, kind="gauge"):
    host = node.says.get("host")
    prefix = node.says.get("prefix", "vault_")
    return prefix + (f"{host}_" if host and kind == "gauge" else "") + name


NAMES = {"host": hosts, "metrics_prefix": own_prefix,
         "openbao": lambda rig: [node.be(prefix="openbao_") for node in rig.nodes]}
LEADER_ONLY = ("autopilot_healthy", "raft_peers", "expire_num_leases", "token_count")


@pytest.mark.parametrize("configure", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("api", [True, False], ids=["by_health", "by_core_active"])
def test_roles_are_read_whatever_the_names_begin_with(make, configure, api):
    rig = make(configure=configure, without_api=() if api else ("n1", "n2", "n3"))
    scrape = rig.wait_all_up()
    for node in rig.nodes:
        assert scrape.role(node.name) == node.role
        assert scrape.role_source(node.name) == ("health" if api else "core_active")
        found, = scrape.find(name_of(node, "core_active"), node_name=node.name)
        assert found[2] == ("1" if node.role == "active" else "0")
        assert "cluster" in found[1] and found[1]["cluster"] == "fake"
    scrape.check_valid()


@pytest.mark.parametrize("configure", NAMES.values(), ids=NAMES)
def test_leader_only_families_are_dropped_whatever_their_names_begin_with(make, configure):
    rig = make(configure=configure)
    rig.wait_all_up()
    first, active, _ = rig.nodes
    # A former active node keeps showing them.
    first.body = without_core_active(exposition("active", 1, **first.says), first)
    scrape = rig.wait_rounds("n1", 2)
    for name in LEADER_ONLY:
        assert scrape.find(name_of(active, name), node_name="n2"), name
        assert not scrape.find(name_of(first, name), node_name="n1"), name
    assert scrape.up("n1") and scrape.dropped("n1", "leader_only") >= len(LEADER_ONLY)
    assert scrape.dropped("n2", "leader_only") == 0


def without_core_active(body, node):
    """The active node's families, with core_active 0."""
    name = name_of(node, "core_active")
    text = body.decode()
    assert re.search(rf"^{name}\{{.*\}} 1$", text, re.MULTILINE)
    return re.sub(rf"^({name}\{{.*\}}) 1$", r"\1 0", text, flags=re.MULTILINE).encode()


@pytest.mark.parametrize("configure", NAMES.values(), ids=NAMES)
def test_both_kinds_of_core_unsealed_stay_apart_whatever_they_begin_with(make, configure):
    rig = make(configure=configure)
    scrape = rig.wait_all_up()
    for node in rig.nodes:
        states = {s[1]["seal_state_source"]: s[2]
                  for s in scrape.find(name_of(node, "core_unsealed"), node_name=node.name)}
        assert states == {"startup": "1", "cluster": "1"}


@pytest.mark.parametrize("configure", NAMES.values(), ids=NAMES)
def test_other_names_are_warned_of_once_for_each_node(make, configure):
    rig = make(configure=configure)
    rig.wait_all_up()
    rig.nodes[0].refuse()
    rig.wait(lambda s: not s.up("n1"), 3, "n1 is down")
    rig.nodes[0].listen()
    rig.wait_rounds("n2", 4)
    for node in rig.nodes:
        warnings = rig.log_lines('msg="names"', "level=warn", f"node=fake/{node.name}")
        assert len(warnings) == (0 if configure is NAMES["openbao"] else 1), rig.log()


def test_the_peer_is_read_whatever_the_names_begin_with(make):
    rig = make(configure=hosts)
    scrape = rig.wait_all_up()
    for node in rig.nodes:
        assert scrape.find("bao_node_info", node_name=node.name, peer_id=f"raft-{node.index}")


def test_usual_names_are_not_warned_of(make):
    rig = make()
    rig.wait_all_up()
    rig.wait_rounds("n1", 3)
    for name in ("names", "versions", "retention"):
        assert not rig.log_lines(f'msg="{name}"')


# --- versions -----------------------------------------------------------------------------------

def test_different_versions_are_warned_of_once(make):
    def configure(rig):
        rig.nodes[2].be(health={"version": "2.6.1"})

    rig = make(configure=configure)
    rig.wait_all_up()
    rig.wait_rounds("n1", 4)
    warning, = rig.log_lines('msg="versions"', "level=warn", "cluster=fake")
    assert "2.7.2" in warning and "2.6.1" in warning


def test_an_upgrade_is_warned_of_while_it_lasts_and_not_again_after_it(make):
    rig = make()
    rig.wait_all_up()
    assert not rig.log_lines('msg="versions"')
    for node in rig.nodes:
        node.be(health={"version": "2.8.0"})
        rig.wait_rounds(node.name, 2)
    rig.wait_rounds("n1", 3)
    assert len(rig.log_lines('msg="versions"', "level=warn")) == 1


# --- retention ----------------------------------------------------------------------------------

PASSING = family("vault_route_passing_by", "counter", [("", {}, 3)]).encode()


def scripted(node, script, **says):
    """The body of each poll: with PASSING or without, then as the last one of the script."""
    state = {"at": 0}

    def body(role):
        at = min(state["at"], len(script) - 1)
        state["at"] += 1
        return exposition(role, node.index, **says) + (PASSING if script[at] else b"")

    node.body = body
    return state


def run_script(rig, script, **says):
    state = scripted(rig.nodes[0], script, **says)
    deadline = time.monotonic() + 10
    while state["at"] < len(script) + 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state["at"] >= len(script) + 2
    rig.wait_rounds("n1", 1)
    return rig.log_lines('msg="retention"', "level=warn")


def test_series_that_come_and_go_are_warned_of_once(make):
    rig = make()
    rig.wait_all_up()
    said = run_script(rig, [0, 0, 0, 1, 0, 0, 1, 0, 0])
    assert len(said) == 1 and "node=fake/n1" in said[0]
    assert "prometheus_retention_time" in said[0]


@pytest.mark.parametrize("script", [[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]],
                         ids=["comes_and_stays", "was_there_for_long"])
def test_series_that_come_or_go_are_no_finding(make, script):
    rig = make()
    rig.wait_all_up()
    assert run_script(rig, script) == []


def test_series_that_end_while_a_node_is_down_are_no_finding(make):
    """They were there in one poll and not in the next good one, which is much later."""
    rig = make()
    rig.wait_all_up()
    first = rig.nodes[0]
    state = scripted(first, [0, 0, 0, 1])
    deadline = time.monotonic() + 10
    while state["at"] < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    rig.wait(lambda s: s.find("vault_route_passing_by"), 2, "it is seen")
    first.refuse()
    first.body = None
    rig.wait(lambda s: s.polls("n1", "connect") >= 6, 5, "it is down for a while")
    first.listen()
    rig.wait(lambda s: s.up("n1"), 2, "it is back")
    rig.wait_rounds("n1", 3)
    assert rig.log_lines('msg="retention"') == []


def test_series_that_end_with_their_process_are_no_finding(make):
    rig = make()
    rig.wait_all_up()
    first = rig.nodes[0]
    told = []

    def body(role):
        told.append(role)
        restarted = len(told) >= 5
        start = time.time() + 1 if restarted else time.time() - 3600
        starts.setdefault(restarted, start)
        return (exposition(role, 1, process_start=starts[restarted]) +
                (PASSING if len(told) == 4 else b""))

    starts = {}
    first.body = body
    deadline = time.monotonic() + 10
    while len(told) < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(told) >= 8
    assert rig.log_lines('msg="retention"') == []
