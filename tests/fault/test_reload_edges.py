"""Reloads under load, many at once, at the start and at the end."""

import re
import signal
import time

import pytest
from exporter_under_fault import ServiceManager, replace_file
from fake_node import HEALTH
from reloads import (DONE, REFUSED, Scraping, check_no_gap, config_state, good_lines,
                     reloading, reloads, replaceable_rigs)


@pytest.fixture
def make(make_rig, certificates):
    with replaceable_rigs(make_rig, certificates) as made:
        yield made


def threads_of(rig):
    with open(f"/proc/{rig.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"^Threads:\s+(\d+)", status.read(), re.MULTILINE)[1])


def open_files(rig):
    return rig.scrape(path="/metrics/exporter").value("process_open_fds")


def test_thirty_reloads_under_load(make):
    rig = make()
    good = good_lines(rig)
    *rest, third = rig.nodes
    del good[third.name]
    threads, files = threads_of(rig), open_files(rig)
    with Scraping(rig, threads=3) as scraping:
        for number in range(1, 31):
            rig.nodes = rest if number % 2 else [third, *rest]
            rig.settings["limits"] = [f"samples_max = {1000 + number}"]
            before = len(reloads(rig))
            rig.write_config()
            rig.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 5
            while len(reloads(rig)) == before:
                assert time.monotonic() < deadline, f"SIGHUP {number} was not followed"
                time.sleep(0.005)
        assert reloads(rig) == [("SIGHUP", DONE)] * 30
        assert config_state(rig) == (1, 31)
        rig.wait(lambda s: s.find("bao_node_up", node_name=third.name) != []
                 and s.up(third.name), 2, "the last configuration is in force")
        rig.wait_rounds(third.name, 2)
    check_no_gap(scraping, good)
    assert threads_of(rig) == threads
    deadline = time.monotonic() + 5
    while open_files(rig) > files:
        assert time.monotonic() < deadline, f"{open_files(rig)} descriptors, before {files}"
        time.sleep(0.05)


def test_a_burst_of_signals_ends_with_the_last_configuration(make):
    """Signals that come while one is handled become one: it is the last file that counts."""
    rig = make()
    good = good_lines(rig)
    with Scraping(rig, threads=3) as scraping:
        for number in range(1, 31):
            rig.write_config(limits=[f"samples_max = {1000 + number}"])
            rig.process.send_signal(signal.SIGHUP)
        rig.write_config(limits=["samples_max = 10"])
        rig.process.send_signal(signal.SIGHUP)
        rig.wait(lambda s: all(s.reason(name) == "limit_samples" for name in good), 5,
                 "the last configuration is in force")
        rig.write_config(limits=[])
        rig.process.send_signal(signal.SIGHUP)
        rig.wait_all_up()
    for scrapes in scraping.scrapes:
        for scrape in scrapes:
            assert {scrape.reason(name) for name in good} <= {"ok", "limit_samples"}


def test_reloads_one_after_another_do_no_harm(make):
    """To whatever other threads are doing at that moment: most of what is found so is rare."""
    rig = make(roles=("active",))
    for number in range(1500):
        rig.write_config(limits=[f"samples_max = {1000 + number}"])
        rig.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)  # else many become one
        assert rig.process.poll() is None, f"signal {number}: it ended with {rig.process.poll()}"
    rig.wait_all_up()
    successful, generation = config_state(rig)
    assert successful == 1 and generation > 100


def test_a_reload_before_the_first_round_has_ended(make):
    """The round that then has to end is that of the new configuration."""
    rig = make(start=False, interval="30s", timeout="20s", stale_after="90s")
    rig.nodes[0].faults[HEALTH] = lambda exchange: exchange.hang()
    rig.start()
    deadline = time.monotonic() + 5
    while not all(node.requests for node in rig.nodes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert rig.scrape().status == 503
    rig.nodes.pop(0)
    with reloading(rig, "SIGHUP"):
        rig.write_config()
    scrape = rig.wait_published(within=2)
    assert all(scrape.up(node.name) for node in rig.nodes)
    assert 'node_name="n1"' not in scrape.text


def test_a_change_during_a_reload_is_not_lost(make, tmp_path):
    """The exporter reads the files, and some time later looks whether they change from now on."""
    manager = ServiceManager(tmp_path)
    rig = make(start=False, environment=manager.environment)
    rig.start()
    rig.wait_all_up()
    reading_takes_long = ["# " + "x" * 78] * 10_000  # so that the change comes in the middle
    for attempt in range(1, 4):
        first = rig.config_text(limits=["samples_max = 1000", *reading_takes_long])
        last = rig.config_text(limits=["samples_max = 10", *reading_takes_long])
        replace_file(rig.config_file, first)
        so_far = len(manager.times_of("RELOADING=1"))
        rig.process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1", 1, more_than=so_far)
        replace_file(rig.config_file, last)
        rig.wait(lambda s: s.reason("n1") == "limit_samples", 5,
                 f"attempt {attempt}: the last configuration is in force")


def test_systemd_is_told_of_each_reload(make, tmp_path):
    manager = ServiceManager(tmp_path)
    rig = make(start=False, environment=manager.environment)
    rig.start()
    rig.wait_all_up()
    for number, broken in enumerate((False, True), start=1):
        if broken:
            replace_file(rig.config_file, "nonsense")
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        with reloading(rig, "SIGHUP", REFUSED if broken else DONE):
            pass
        begun = manager.wait_for("RELOADING=1", 1, more_than=number - 1)
        stamp = int(re.search(r"^MONOTONIC_USEC=(\d+)$", begun, re.MULTILINE)[1]) / 1e6
        assert before <= stamp <= time.clock_gettime(time.CLOCK_MONOTONIC)
        ready = manager.wait_for("READY=1", 1, more_than=number)
        assert ("refused" in ready) == broken
        words = [message for _, message in manager.said if "WATCHDOG=1" not in message]
        assert words.index(begun) + 1 == words.index(ready)


@pytest.mark.parametrize("polling", ["idle", "hanging"])
def test_sighup_and_sigterm_at_once_end_in_time(make, polling):
    for attempt in range(3):
        rig = make(interval="30s", timeout="20s", stale_after="90s")
        if polling == "hanging":
            rig.nodes[0].faults[HEALTH] = lambda exchange: exchange.hang()
        rig.nodes.pop()
        rig.write_config(interval="29s")
        started = time.monotonic()
        rig.process.send_signal(signal.SIGHUP)
        rig.process.send_signal(signal.SIGTERM)
        assert rig.process.wait(10) == 0, f"attempt {attempt}:\n{rig.log()}"
        assert time.monotonic() - started < 5
        assert 'msg="stopping"' in rig.log()
