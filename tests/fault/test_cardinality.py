"""A node whose series explode hits itself: not the exporter's memory, and no other node."""

import pathlib
import re

import pytest
from fake_node import exposition

MILLION = 1_000_000
MEMORY = 256 << 20


def many(count, name="vault_many"):
    return b"".join(b'%s{i="%d"} 1\n' % (name.encode(), i) for i in range(count))


def most_resident_bytes(rig):
    status = pathlib.Path(f"/proc/{rig.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.parametrize("limits, reason", [
    ([], "too_large"), (['body_bytes_max = "64MiB"'], "limit_samples")])
def test_a_node_of_a_million_series_costs_no_memory_and_no_other_node(make_rig, limits, reason):
    rig = make_rig(interval="3s", timeout="2900ms", stale_after="9s", limits=limits)
    good = {name: rig.wait_all_up().lines_of(name) for name in ("n2", "n3")}
    polls = {name: rig.scrape().polls(name, "ok") for name in good}
    rig.nodes[0].body = exposition("standby", 1) + many(MILLION)

    def others_are_good(scrape):
        for name, lines in good.items():
            assert scrape.up(name) and scrape.lines_of(name) == lines

    rig.wait(lambda s: s.reason("n1") == reason, 15, "the node is refused", each=others_are_good)
    scrape = rig.wait_rounds("n1", 2, each=others_are_good, within=15)
    assert scrape.reason("n1") == reason and scrape.lines_of("n1") == []
    assert scrape.role("n1") == "standby"
    for name in good:
        assert scrape.polls(name, "ok") > polls[name]
        assert {key for key, count in scrape.poll_counts(name).items() if count} == {"ok"}
    assert most_resident_bytes(rig) <= MEMORY


def series_of(rig):
    return {node.name: len(rig.wait_all_up().lines_of(node.name)) for node in rig.nodes}


def test_beyond_series_max_the_largest_node_is_refused_whole_until_it_fits(make_rig):
    rig = make_rig(limits=["series_max = 1000"])
    small = series_of(rig)
    assert sum(small.values()) < 600
    good = {name: rig.scrape().lines_of(name) for name in ("n2", "n3")}
    rig.nodes[0].body = exposition("standby", 1) + many(1000)
    scrape = rig.wait(lambda s: s.reason("n1") == "limit_samples", 4, "the node is refused")
    assert not scrape.up("n1") and scrape.role("n1") == "standby" and scrape.lines_of("n1") == []
    dropped = scrape.dropped("n1", "series_limit")
    assert dropped >= 1000 and dropped % (1000 + small["n1"]) == 0
    for name, lines in good.items():
        assert scrape.up(name) and scrape.lines_of(name) == lines
        assert scrape.dropped(name, "series_limit") == 0
    assert rig.scrape(path="/metrics/nodes/fake/n1").status == 503
    line = rig.log_lines("node=fake/n1", "reason=limit_samples")[-1]
    assert "limits.series_max (1000)" in line and "(1000) in vault_many" in line
    scrape.check_valid()

    # The active node, though it has more of its own, stays: n1 is the one that exploded.
    scrape = rig.wait_rounds("n2", 3)
    assert scrape.up("n2") and scrape.reason("n1") == "limit_samples"

    rig.nodes[0].body = exposition("standby", 1) + many(100)
    scrape = rig.wait(lambda s: s.up("n1"), 4, "the node fits again")
    assert len(scrape.lines_of("n1")) == small["n1"] + 100


def test_at_series_max_every_node_is_served(make_rig):
    rig = make_rig()
    total = sum(series_of(rig).values())
    rig.stop()
    rig.write_config(limits=[f"series_max = {total}"])
    rig.start()
    rig.wait_all_up()
    rig.stop()
    rig.write_config(limits=[f"series_max = {total - 1}"])
    rig.start()
    rig.wait_published()
    scrape = rig.wait_rounds("n1", 2)
    reasons = {name: scrape.reason(name) for name in ("n1", "n2", "n3")}
    assert sorted(reasons.values()) == ["limit_samples", "ok", "ok"]


def test_the_largest_families_of_a_node_are_told(make_rig):
    rig = make_rig()
    rig.wait_all_up()
    families = {f"vault_f{i:02}": 20 + i for i in range(15)}
    rig.nodes[0].body = exposition("standby", 1) + b"".join(
        many(count, name) for name, count in families.items())
    scrape = rig.wait(lambda s: s.find("vault_f00"), 3, "they are served")
    found = {labels["family"]: float(value) for _, labels, value, _ in scrape.find(
        "bao_node_family_series", node_name="n1")}
    assert found == {name: count for name, count in families.items() if count >= 25}
