"""Relabel rules and the preset, from the configuration to the scrape."""

import re

import pytest
from fake_node import exposition, family
from reloads import REFUSED, problems, reloading, replaceable_rigs, what_changed

MOUNTS = [("", {"mount_point": "secret/", "op": "read"}, 2),
          ("", {"mount_point": "team-a/", "op": "read"}, 40),
          ("", {"mount_point": "team-a/", "op": "write"}, 0.5)]
OWN = (family("vault_kv", "counter", MOUNTS) +
       family("vault_ttl", "summary", [
           (suffix, {"mount_point": mount, **quantile}, value)
           for mount, value in (("a/", 1), ("b/", 10))
           for suffix, quantile in (("", {"quantile": "0.5"}), ("_sum", {}), ("_count", {}))]) +
       family("vault_token_count_by_policy", "gauge", [("", {"policy": "root"}, 3)]) +
       family("vault_plain", "gauge", [("", {"type": "x"}, "1e+00")]))


@pytest.fixture
def make(make_rig, certificates):
    with replaceable_rigs(make_rig, certificates) as make_one:
        yield make_one


@pytest.fixture
def rig(make):
    one = make(roles=("active", "standby", "standby"))
    one.nodes[0].body = exposition("active", 1) + OWN.encode()
    one.wait(lambda s: s.find("vault_kv"), 3, "the node's own families are served")
    return one


def rules(*tables, more=()):
    lines = ["[output]", *more]
    for table in tables:
        lines += ["[[output.relabel]]", *table]
    return lines


def load(rig, lines, until):
    with reloading(rig, "SIGHUP"):
        rig.write_config(more=lines)
    assert what_changed(rig)[-1] == "output"
    scrape = rig.wait(until, 3, "the rules are in force")
    scrape.check_valid()
    return scrape


def told(scrape, name):
    """Labels but the identity, and value, of each sample."""
    identity = ("cluster", "node_name", "instance", "scrape_profile")
    return sorted((sorted((key, value) for key, value in labels.items() if key not in identity),
                   value) for _, labels, value, _ in scrape.find(name, node_name="n1"))


def test_a_dropped_label_sums_counters_and_ends_quantiles(rig):
    before = rig.scrape()
    assert len(before.find("vault_kv")) == 3
    scrape = load(rig, rules(['action = "labeldrop"', 'regex = "mount_point"']),
                  lambda s: len(s.find("vault_kv")) == 2)
    assert told(scrape, "vault_kv") == [([("op", "read")], "42"), ([("op", "write")], "0.5")]
    assert told(scrape, "vault_ttl") == []
    assert told(scrape, "vault_ttl_sum") == [([], "11")]
    assert told(scrape, "vault_ttl_count") == [([], "11")]
    assert told(scrape, "vault_plain") == [([("type", "x")], "1e+00")]
    assert scrape.dropped("n1", "duplicate_after_relabel") >= 2
    for name in ("n2", "n3"):
        assert scrape.lines_of(name) == [re.sub(r',mount_point="[^"]*"', "", line)
                                         for line in before.lines_of(name)]
        assert scrape.dropped(name, "duplicate_after_relabel") == 0
    assert scrape.value("bao_node_samples", node_name="n1") == len(scrape.lines_of("n1"))
    # What the node says is left as it is on its own path.
    alone = rig.scrape(path="/metrics/nodes/fake/n1").text
    assert OWN in alone


def test_the_preset_takes_unsafe_labels_away_and_rules_come_before_it(rig):
    scrape = load(rig, rules(['source_labels = ["mount_point"]', 'regex = "([a-z]+)-.*"',
                              'target_label = "kind"'], more=['relabel_preset = "safe"']),
                  lambda s: not s.find("vault_token_count_by_policy"))
    assert told(scrape, "vault_kv") == [([("kind", "team"), ("op", "read")], "40"),
                                        ([("kind", "team"), ("op", "write")], "0.5"),
                                        ([("op", "read")], "2")]
    assert not re.search(r'[{,](mount_point|policy|openbao_namespace|creation_ttl|role)="',
                         "\n".join(scrape.lines_of("n1") + scrape.lines_of("n2")))
    assert scrape.dropped("n1", "relabel") >= 1


def test_the_first_stays_where_duplicates_are_to_be_dropped(rig):
    scrape = load(rig, rules(['action = "labeldrop"', 'regex = "mount_point"'],
                             more=['on_duplicate = "drop"']),
                  lambda s: len(s.find("vault_kv")) == 2)
    assert told(scrape, "vault_kv") == [([("op", "read")], "2"), ([("op", "write")], "0.5")]
    assert told(scrape, "vault_ttl_sum") == [([], "1")]
    assert told(scrape, "vault_ttl") == [([("quantile", "0.5")], "1")]


def test_without_rules_again_everything_is_as_before(rig):
    good = rig.scrape().lines_of("n1")
    load(rig, rules(['action = "keep"', 'source_labels = ["node_name"]', 'regex = "n[23]"']),
         lambda s: s.up("n1") and not s.lines_of("n1"))
    assert rig.scrape().dropped("n1", "relabel") >= len(good)
    load(rig, [], lambda s: s.lines_of("n1") == good)


def test_what_rules_may_not_do_leaves_the_label_and_is_logged_once(rig):
    before = rig.scrape().lines_of("n1")
    scrape = load(rig, rules(['action = "replace"', 'source_labels = ["op"]', 'regex = "(read)"',
                              'target_label = "node_${1}"', 'replacement = "stolen"'],
                             ['action = "labelmap"', 'regex = "mount_(point)"',
                              'replacement = "__$1"']),
                  lambda s: s.find("vault_kv", node_read="stolen"))
    assert [line.replace(',node_read="stolen"', "") for line in scrape.lines_of("n1")] == before
    rig.wait_rounds("n1", 2)
    line, = rig.log_lines('msg="relabel"', "node=fake/n1")
    assert "level=warn" in line and "times=" in line


def test_a_rule_that_would_change_the_identity_is_refused_with_its_line(rig):
    good = rig.scrape().lines_of("n1")
    with reloading(rig, "SIGHUP", REFUSED):
        rig.write_config(more=rules(['action = "labeldrop"', 'regex = "node_.*"']))
    assert re.search(r"exporter\.toml:\d+: output\.relabel\.regex: takes in the label 'node_name'",
                     problems(rig)[-1])
    rig.wait_rounds("n1", 1)
    assert rig.scrape().lines_of("n1") == good
