"""SIGHUP and changed files: what is new comes into force as a whole, or nothing does; nobody who
polls or scrapes notices. Where it is cheap each claim is made for both ways: by SIGHUP, and by the
changed file alone.

Here: the configuration. The other files: test_reload_secrets, test_reload_edges.
"""

import re
import statistics
import threading
import time

import pytest
from exporter_under_fault import SCRAPE_TOKEN, UPSTREAM_TOKEN, replace_file
from fake_node import HEALTH, METRICS
from reloads import (NEW_SCRAPE_TOKEN, REFUSED, Scraping, both_ways, check_no_gap, config_state,
                     good_lines, problems, put, put_pair, read, reloading, renew, replaceable_rigs,
                     role_story, sent_tokens, shown_certificate, what_changed)


@pytest.fixture
def make(make_rig, certificates):
    with replaceable_rigs(make_rig, certificates) as made:
        yield made


@pytest.fixture(scope="module")
def renewed(certificates, tmp_path_factory):
    return renew(certificates, tmp_path_factory.mktemp("renewed"))


@both_ways
def test_a_node_that_was_added_appears(make, way):
    rig = make()
    new = rig.nodes.pop()
    with reloading(rig, way):
        rig.write_config()
    rig.wait(lambda s: f'node_name="{new.name}"' not in s.text, 1, "two nodes")
    good = good_lines(rig)
    stories = {name: role_story(rig.scrape(), name) for name in good}
    asked = len(new.requests)
    with Scraping(rig) as scraping:
        rig.nodes.insert(0, new)  # the places of all others move
        with reloading(rig, way):
            rig.write_config()
        scrape = rig.wait(lambda s: s.find("bao_node_up", node_name=new.name) != []
                          and s.up(new.name), rig.timeout, "the new node is up")
        assert scrape.lines_of(new.name) and len(new.requests) > asked
        after = rig.wait_rounds("n1", 2)
    check_no_gap(scraping, good)
    assert {name: role_story(after, name) for name in good} == stories
    assert after.value("bao_cluster_expected_nodes") == 3
    assert after.value("bao_cluster_failovers_total") == 0
    assert after.polls(new.name) < after.polls("n1")
    after.check_valid()


@both_ways
def test_a_node_that_was_removed_ends_at_once(make, way):
    rig = make()
    gone = rig.nodes.pop(0)  # the places of all others move
    good = good_lines(rig)
    rig.wait_rounds("n2", 2)
    stories = {name: role_story(rig.scrape(), name) for name in good}
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config()
        rig.wait(lambda s: f'node_name="{gone.name}"' not in s.text, 0.5, "no trace of n1")
        rig.wait_rounds("n2", 1)
        asked = len(gone.requests)
        after = rig.wait_rounds("n2", 3)
    check_no_gap(scraping, good)
    seen = [f'node_name="{gone.name}"' in scrape.text for scrape in scraping.scrapes[0]]
    assert seen == sorted(seen, reverse=True), "it came back"
    assert len(gone.requests) == asked, "it is still polled"
    assert {name: role_story(after, name) for name in good} == stories
    assert after.value("bao_cluster_expected_nodes") == 2
    assert sum(float(s[2]) for s in after.find("bao_cluster_nodes")) == 2
    after.check_valid()


def test_a_poll_of_a_node_that_was_removed_is_cancelled(make):
    rig = make(interval="60s", timeout="50s", stale_after="180s")
    ended = threading.Event()

    def hang(exchange):
        exchange.hang()
        ended.set()

    node = rig.nodes.pop()
    mark = len(node.requests)
    node.faults[METRICS] = hang
    rig.nodes.append(node)
    with reloading(rig, "SIGHUP"):
        rig.write_config(interval="61s")  # everybody is polled anew
    deadline = time.monotonic() + 5
    while not node.requests_of(METRICS, mark):
        assert time.monotonic() < deadline, "not polled after the reload"
        time.sleep(0.02)
    assert not ended.is_set()
    rig.nodes.pop()
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    assert ended.wait(1), "its connection is still open"


def test_a_node_that_was_removed_ends_at_once_while_another_one_hangs(make):
    """The first publication does not wait for any poll."""
    rig = make(interval="30s", timeout="20s", stale_after="90s")
    rig.nodes[2].faults[HEALTH] = lambda exchange: exchange.hang()
    gone = rig.nodes.pop(0)
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    rig.wait(lambda s: f'node_name="{gone.name}"' not in s.text, 0.5, "no trace of n1")


@both_ways
def test_a_node_with_another_address_starts_as_a_new_one(make, one_node, way):
    rig = make()
    old, moved = rig.nodes[0], "n1"
    good = good_lines(rig)
    del good[moved]
    before = rig.wait_rounds(moved, 3)
    started = time.time()
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config(urls={moved: one_node.url})
        after = rig.wait(lambda s: s.role(moved) == "active", rig.timeout, "n1 is the other one")
        assert f"127.0.0.1:{old.port}" not in after.text
        assert {s[1]["instance"] for s in after.samples if s[1].get("node_name") == moved} == {
            f"127.0.0.1:{one_node.port}"}
        assert after.polls(moved) < before.polls(moved)
        assert role_story(after, moved)[1] >= started  # its role is a new one, too
        asked = len(old.requests)
        # Two active nodes now, which is no business of this test: it becomes a standby.
        one_node.role = "standby"
        rig.wait(lambda s: s.up(moved) and s.role(moved) == "standby", 3 * rig.interval, "settled")
    assert len(old.requests) == asked, "the old address is still polled"
    assert any(scrape.up("n3") for scrape in scraping.scrapes[0])
    del good["n2"]  # its claim to be active was rivalled
    check_no_gap(scraping, good)


@both_ways
def test_a_changed_interval_is_in_force_at_once(make, way):
    rig = make()
    good = good_lines(rig)
    with Scraping(rig) as scraping:
        with reloading(rig, way):
            rig.write_config(interval="250ms", timeout="240ms")
        mark = len(rig.nodes[0].requests)
        rig.wait_rounds("n1", 8)
        arrivals = [request.arrived for request in rig.nodes[0].requests_of(HEALTH, mark)]
    gaps = [after - before for before, after in zip(arrivals, arrivals[1:])]
    assert 0.2 < statistics.median(gaps) < 0.3, gaps
    check_no_gap(scraping, good)


def test_a_changed_limit_and_a_changed_output_are_in_force_at_once(make):
    """Although the nodes say the same bytes as before."""
    rig = make()
    with reloading(rig, "SIGHUP"):
        rig.write_config(more=["[output]", 'role_label = "samples"'])
    scrape = rig.wait(lambda s: s.find("go_goroutines", node_role="active") != [], 1,
                      "the role is on the samples")
    assert len(scrape.find("go_goroutines", node_role="standby")) == 2
    scrape.check_valid()
    with reloading(rig, "SIGHUP"):
        rig.write_config(limits=["samples_max = 10"])
    rig.wait(lambda s: all(s.reason(node.name) == "limit_samples" and not s.lines_of(node.name)
                           for node in rig.nodes), 1, "all are beyond the limit")
    with reloading(rig, "SIGHUP"):
        rig.write_config(limits=[], more=[])
    scrape = rig.wait_all_up()
    assert not any("node_role" in labels for name, labels, _, _ in scrape.samples
                   if name not in ("bao_node_role", "bao_cluster_nodes"))


BROKEN = {
    "unknown key": (lambda text: text.replace("connections_max", "conections_max"),
                    "listener.conections_max"),
    "broken TOML": (lambda text: text.replace("[limits]", "[limits"), ""),
    "wrong value": (lambda text: text.replace("connections_max = 20", 'connections_max = "x"'),
                    "listener.connections_max"),
    "two nodes of one name": (lambda text: text.replace('"n2"', '"n1"'), "openbao"),
    "missing": (None, ""),
}


@both_ways
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_configuration_changes_nothing(make, how, way):
    rig = make()
    good = good_lines(rig)
    mutate, key = BROKEN[how]
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        when = rig.scrape().value("bao_exporter_config_last_reload_success_timestamp_seconds")
        with reloading(rig, way, REFUSED):
            if mutate is None:
                rig.config_file.unlink()
            else:
                text = rig.config_text(interval="2s")  # is not taken either
                assert mutate(text) != text
                replace_file(rig.config_file, mutate(text))
        assert config_state(rig) == (0, 1)
        assert rig.scrape().value(
            "bao_exporter_config_last_reload_success_timestamp_seconds") == when
        where = re.escape(str(rig.config_file)) + ("" if mutate is None else r":\d+")
        assert re.match(where + (f": {re.escape(key)}" if key else ": "), problems(rig)[-1]), (
            problems(rig))
        if how == "unknown key":
            line = mutate(text).splitlines().index("conections_max = 20") + 1
            assert f":{line}: {key}: " in problems(rig)[-1]
        rig.wait_rounds("n1", 3)  # of 1 s each
        with reloading(rig, way):
            rig.write_config()
        assert config_state(rig) == (1, 2)
        rig.wait_rounds("n1", 1)
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        assert len(node.requests_of(HEALTH, mark)) >= 4


@both_ways
@pytest.mark.parametrize("key", ["listener.address", "listener.connections_max"])
def test_what_needs_a_restart_is_refused_with_all_else_in_that_file(make, renewed, key, way):
    rig = make()
    good = good_lines(rig)
    old = shown_certificate(rig)
    change = {"address": "127.0.0.2:0"} if key == "listener.address" else {"connections_max": 21}
    everybody, settings = list(rig.nodes), dict(rig.settings)
    with Scraping(rig) as scraping:
        with reloading(rig, way, REFUSED):
            put(rig, "scrape.token", NEW_SCRAPE_TOKEN + "\n")
            put_pair(rig, *renewed)
            rig.nodes.pop()
            rig.write_config(interval="2s", **change)
        rig.nodes, rig.settings = everybody, settings
        assert config_state(rig) == (0, 1)
        assert f"{key} changed: restart required" in problems(rig)[-1]
        rig.interval = 1
        rig.wait_rounds("n3", 2)
        assert shown_certificate(rig) == old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
        with reloading(rig, way):
            put(rig, "scrape.token", f"{SCRAPE_TOKEN}\n{NEW_SCRAPE_TOKEN}\n")
            rig.write_config()
        assert config_state(rig) == (1, 2)
        assert shown_certificate(rig) != old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 200
    check_no_gap(scraping, good)


@pytest.mark.parametrize("bad", ["scrape.token", "openbao.token", "port.key", "ca.pem",
                                 "exporter.toml"])
def test_one_bad_file_keeps_all_the_good_ones_out(make, renewed, bad):
    rig = make()
    good = good_lines(rig)
    old = shown_certificate(rig)
    everybody, settings = list(rig.nodes), dict(rig.settings)
    with Scraping(rig) as scraping:
        with reloading(rig, "SIGHUP", REFUSED):
            put(rig, "scrape.token", NEW_SCRAPE_TOKEN + "\n")
            put_pair(rig, *renewed)
            rig.nodes.pop()
            rig.write_config(interval="2s")
            put(rig, bad, "-----BEGIN CERTIFICATE-----\n")
        rig.nodes, rig.settings, rig.interval = everybody, settings, 1
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / bad) in problems(rig)[-1]
        rig.wait_rounds("n3", 2)
        assert shown_certificate(rig) == old
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
    check_no_gap(scraping, good)
    assert {token for node in everybody for token in sent_tokens(node)} == {UPSTREAM_TOKEN}


def test_the_log_says_what_changed(make, certificates, renewed):
    rig = make()
    ours, other = read(certificates.pem("ca")), read(certificates.pem("other_ca"))
    both_tokens = f"{SCRAPE_TOKEN}\n{NEW_SCRAPE_TOKEN}\n"
    for change, told in [
            (lambda: None, "nothing"),
            (lambda: put_pair(rig, *renewed), "tls"),
            (lambda: put(rig, "scrape.token", both_tokens), "tokens"),
            (lambda: put(rig, "ca.pem", ours + other), "authorities"),
            (lambda: rig.write_config(limits=["samples_max = 1000"]), "limits"),
            (lambda: (rig.nodes.pop(), rig.write_config(interval="2s")), "poll,openbao"),
            (lambda: (put(rig, "scrape.token", SCRAPE_TOKEN + "\n"), rig.write_config(limits=[]),
                      put_pair(rig, certificates.pem("node"), certificates.key("node"))),
             "limits,tls,tokens")]:
        with reloading(rig, "SIGHUP"):
            change()
        assert what_changed(rig)[-1] == told
    with reloading(rig, "SIGHUP", REFUSED):
        put_pair(rig, *renewed)
        put(rig, "scrape.token", "")
    assert what_changed(rig)[-1] == "nothing"
