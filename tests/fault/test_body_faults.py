"""Bodies that are no exposition, and bodies of a node that wants to be another: on node 1 of 3."""

import time

import pytest
from exporter_under_fault import prove_fault
from fake_node import exposition, family

LINE_MAX, SAMPLES_MAX, FAMILY_MAX, LABELS_MAX = 8192, 500, 300, 20


@pytest.fixture(scope="module")
def rig(make_rig):
    return make_rig(limits=[f"line_bytes_max = {LINE_MAX}", f"samples_max = {SAMPLES_MAX}",
                            f"series_per_family_max = {FAMILY_MAX}",
                            f"labels_per_sample_max = {LABELS_MAX}"])


GOOD = exposition("standby", 1)


def sending(body):
    return lambda node: setattr(node, "body", body)


def many(count, name="vault_many"):
    return b"".join(b'%s{i="%d"} 1\n' % (name.encode(), i) for i in range(count))


def labels(count):
    return b"vault_wide{" + b",".join(b'l%d="x"' % i for i in range(count)) + b"} 1\n"


CASES = {
    "random_bytes": (bytes((i * 167 + 13) % 256 for i in range(4096)) + b"\n", "malformed"),
    "prose": (b"the quick brown fox\n", "malformed"),
    "nul": (GOOD + b"vault_\x00x 1\n", "malformed"),
    "nul_in_help": (GOOD + b"# HELP vault_x a\x00b\nvault_x 1\n", "malformed"),
    "carriage_returns": (GOOD.replace(b"\n", b"\r\n"), "malformed"),
    "carriage_return_in_a_value": (GOOD + b'vault_x{a="b\rc"} 1\n', "malformed"),
    "byte_order_mark": (b"\xef\xbb\xbf" + GOOD, "malformed"),
    "invalid_utf8_in_a_label_value": (GOOD + b'vault_x{a="\xff"} 1\n', "malformed"),
    "overlong_utf8_in_a_label_value": (GOOD + b'vault_x{a="\xc0\xaf"} 1\n', "malformed"),
    "surrogate_in_a_label_value": (GOOD + b'vault_x{a="\xed\xa0\x80"} 1\n', "malformed"),
    "invalid_utf8_in_help": (GOOD + b"# HELP vault_x \xfe\xfe\nvault_x 1\n", "malformed"),
    "invalid_utf8_in_a_comment": (GOOD + b"# \xfe\xfe\n", "malformed"),
    "utf8_in_a_name": (GOOD + "vault_gr\u00f6\u00dfe 1\n".encode(), "malformed"),
    "no_value": (GOOD + b"vault_x\n", "malformed"),
    "hexadecimal_value": (GOOD + b"vault_x 0x10\n", "malformed"),
    "two_values_and_more": (GOOD + b"vault_x 1 2 3\n", "malformed"),
    "label_without_end": (GOOD + b'vault_x{a="b} 1\n', "malformed"),
    "label_twice": (GOOD + b'vault_x{a="b",a="c"} 1\n', "malformed"),
    "bad_escape": (GOOD + b'vault_x{a="\\t"} 1\n', "malformed"),
    "second_type": (GOOD + b"# TYPE vault_x gauge\n# TYPE vault_x gauge\nvault_x 1\n", "malformed"),
    "second_help": (GOOD + b"# HELP vault_x a\n# HELP vault_x a\nvault_x 1\n", "malformed"),
    "unknown_type": (GOOD + b"# TYPE vault_x gaugehistogram\nvault_x 1\n", "malformed"),
    "type_after_samples": (GOOD + b"vault_x 1\n# TYPE vault_x gauge\n", "malformed"),
    "family_split_in_two": (GOOD + b'vault_x{a="1"} 1\nvault_y 1\nvault_x{a="2"} 1\n', "malformed"),
    "summary_split_in_two": (
        GOOD + b"# TYPE vault_x summary\nvault_x_sum 1\nvault_y 1\nvault_x_count 1\n", "malformed"),
    "no_final_newline": (GOOD[:-1], "truncated"),
    "nothing": (b"", "truncated"),
    "half_a_line": (GOOD[:len(GOOD) // 2], "truncated"),
    "duplicate_series": (GOOD + b'vault_x{a="1"} 1\nvault_x{a="1"} 1\n', "duplicate_series"),
    "duplicate_series_in_other_order": (
        GOOD + b'vault_x{a="1",b="2"} 1\nvault_x{b="2",a="1"} 2\n', "duplicate_series"),
    "line_over_the_limit": (GOOD + b"# " + b"x" * (LINE_MAX - 1) + b"\n", "limit_line"),
    "samples_over_the_limit": (
        many(FAMILY_MAX) + many(SAMPLES_MAX - FAMILY_MAX + 1, "vault_more"), "limit_samples"),
    "series_of_a_family_over_the_limit": (many(FAMILY_MAX + 1), "limit_samples"),
    "labels_over_the_limit": (GOOD + labels(LABELS_MAX + 1), "limit_labels"),
}
assert not GOOD[:len(GOOD) // 2].endswith(b"\n")


@pytest.mark.parametrize("body, reason", CASES.values(), ids=CASES)
def test_a_bad_body_is_refused_as_a_whole(rig, body, reason):
    verdict = prove_fault(rig, sending(body), reason)
    assert verdict.scrape.role("n1") == "standby"


def serve(rig, change, until, within=3.0):
    """Lets nodes say something: the scrape before, and the one in which `until` held."""
    before = rig.wait_all_up()
    for node, body in change.items():
        node.body = body
    return before, rig.wait(until, within, "the body is served")


@pytest.fixture
def healing(rig):
    yield
    for node in rig.nodes:
        node.heal()
    time.sleep(rig.interval + rig.timeout)  # one whole round of what is good
    rig.wait_all_up()


@pytest.mark.usefixtures("healing")
def test_bodies_at_the_limits_are_taken(rig):
    body = (b"# " + b"x" * (LINE_MAX - 2) + b"\n" + labels(LABELS_MAX) + many(FAMILY_MAX) +
            many(SAMPLES_MAX - FAMILY_MAX - 1, "vault_more"))
    _, scrape = serve(rig, {rig.nodes[0]: body},
                      lambda s: s.value("bao_node_samples", node_name="n1") == SAMPLES_MAX)
    assert scrape.up("n1")


# --- a node that says it is another -------------------------------------------------------------

STOLEN = {"node_name": "n2", "instance": "10.9.9.9:8200", "scrape_profile": "active",
          "node_role": "active", "pod": "openbao-2", "node": "worker-2", "job": "openbao",
          "kubernetes_namespace": "kube-system", "certctl": "main", "__name2__": "x",
          "__name__": "bao_node_up", "openbao_namespace": "stolen", "seal_state_source": "cluster"}


@pytest.mark.usefixtures("healing")
def test_a_reserved_label_of_a_node_becomes_exported(rig):
    body = GOOD + b"".join(family("vault_hostile_" + name.strip("_"), "gauge",
                                  [("", {name: value}, 666)]).encode()
                           for name, value in STOLEN.items())
    before, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_hostile_pod"))
    for name, value in STOLEN.items():
        (_, found, number, _), = scrape.find("vault_hostile_" + name.strip("_"))
        assert number == "666"
        assert found["exported_" + name] == value
        check_identity_of_n1(rig, scrape, found)
        assert {key for key in found if not key.startswith("exported_")} == {
            "cluster", "node_name", "instance", "scrape_profile"}
    for other in ("n2", "n3"):
        assert scrape.lines_of(other) == before.lines_of(other)
    scrape.check_valid()


def check_identity_of_n1(rig, scrape, found):
    mine = next(s[1] for s in scrape.samples if s[0] == "bao_node_up" and s[1]["node_name"] == "n1")
    for name in ("cluster", "node_name", "instance", "scrape_profile"):
        assert found[name] == mine[name]
    assert found["instance"] == f"127.0.0.1:{rig.nodes[0].port}"


@pytest.mark.usefixtures("healing")
def test_the_cluster_label_of_a_node_is_removed(rig):
    body = GOOD + family("vault_hostile", "gauge", [("", {"cluster": "prod"}, 666)]).encode()
    _, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_hostile"))
    (_, found, _, line), = scrape.find("vault_hostile")
    assert found["cluster"] == "fake" and "prod" not in line


@pytest.mark.usefixtures("healing")
def test_all_reserved_labels_at_once_and_their_exported_names_taken(rig):
    sent = {**STOLEN, **{"exported_" + name: "mine" for name in ("node_name", "instance")}}
    body = GOOD + family("vault_hostile", "gauge", [("", sent, 1)]).encode()
    _, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_hostile"))
    (_, found, _, _), = scrape.find("vault_hostile")
    check_identity_of_n1(rig, scrape, found)
    assert found["exported_node_name"] == "mine" and found["exported_exported_node_name"] == "n2"
    scrape.check_valid()


@pytest.mark.usefixtures("healing")
def test_labels_that_become_equal_leave_one_series(rig):
    """`cluster` is removed, an empty label is none: two samples may become one series."""
    body = GOOD + (b'vault_twin{cluster="a",x="1"} 1\nvault_twin{cluster="b",x="1"} 2\n'
                   b'vault_twin{x="1",y=""} 3\n')
    before, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_twin"))
    assert len(scrape.find("vault_twin")) == 1
    assert scrape.dropped("n1", "duplicate_after_relabel") > before.dropped(
        "n1", "duplicate_after_relabel")
    scrape.check_valid()


OURS = ("bao_node_up", "bao_node_role", "bao_cluster_nodes", "bao_token_generation",
        "bao_exporter_build_info", "bao_exporter_x", "certctl_state_x")


@pytest.mark.usefixtures("healing")
def test_families_with_our_names_are_dropped_and_counted(rig):
    body = GOOD + b"".join(
        family(name, "gauge", [("", {"node_name": "n3", "who": "liar"}, 777)]).encode()
        for name in OURS) + b"vault_marker 1\n"
    before, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_marker"))
    assert [s for s in scrape.samples if "liar" in s[3] or s[2] == "777"] == []
    grown = scrape.dropped("n1", "reserved_name") - before.dropped("n1", "reserved_name")
    assert grown > 0 and grown % len(OURS) == 0
    assert scrape.up("n1") and scrape.up("n3")
    for name in ("n2", "n3"):
        assert scrape.dropped(name, "reserved_name") == 0
    scrape.check_valid()


@pytest.mark.usefixtures("healing")
@pytest.mark.parametrize("kind, samples", [
    ("summary", [("_sum", {}, 777), ("_count", {}, 777)]),
    ("histogram", [("_bucket", {"le": "+Inf"}, 777), ("_sum", {}, 777), ("_count", {}, 777)])],
    ids=["summary", "histogram"])
def test_no_series_of_a_node_gets_our_prefix_by_its_suffix(rig, kind, samples):
    """A histogram "bao_node" would give bao_node_count."""
    names = ("bao_node", "bao_cluster", "bao_token", "bao_exporter", "certctl_state")
    body = GOOD + b"".join(family(name, kind, samples).encode() for name in names)
    _, scrape = serve(rig, {rig.nodes[0]: body + b"vault_marker 1\n"},
                      lambda s: s.find("vault_marker"))
    assert [s[3] for s in scrape.samples if s[2] == "777"] == []


@pytest.mark.usefixtures("healing")
def test_help_stays_one_line(rig):
    evil = r'evil\n# TYPE bao_node_up gauge\nbao_node_up{node_name=\"n1\"} 1\\n'.replace('\\"', '"')
    body = GOOD + family("vault_hostile", "gauge", [("", {}, 1)], help_text=evil).encode()
    _, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: s.find("vault_hostile"))
    helps = [line for line in scrape.text.split("\n") if line.startswith("# HELP vault_hostile")]
    assert helps == [f"# HELP vault_hostile {evil}"]
    assert len(scrape.find("bao_node_up", node_name="n1")) == 1
    scrape.check_valid()


@pytest.mark.usefixtures("healing")
def test_label_values_that_look_like_lines_stay_values(rig):
    evil = r'\"} 1\nbao_node_up{node_name=\"n2'
    body = GOOD + f'vault_hostile{{a="{evil}"}} 1\n'.encode()
    _, scrape = serve(rig, {rig.nodes[0]: body}, lambda s: "vault_hostile" in s.text)
    lines = [line for line in scrape.text.split("\n") if line.startswith("vault_hostile")]
    assert len(lines) == 1 and lines[0].endswith(f'a="{evil}"}} 1')
    assert len(scrape.find("bao_node_up", node_name="n2")) == 1
    scrape.check_valid()


# --- nodes that disagree ------------------------------------------------------------------------

def conflict(role, index, kind, values):
    samples = [("", {"part": str(i)}, value) for i, value in enumerate(values)]
    return exposition(role, index) + family("vault_conflict", kind, samples).encode()


@pytest.mark.usefixtures("healing")
def test_the_first_node_decides_the_type_also_while_it_is_down(rig):
    first, second, third = rig.nodes
    bodies = {first: conflict("standby", 1, "gauge", [11]),
              second: conflict("active", 2, "counter", [21, 22]),
              third: conflict("standby", 3, "gauge", [31])}

    def types(scrape):
        return [line for line in scrape.text.splitlines()
                if line.startswith("# TYPE vault_conflict")]

    def who(scrape):
        return {s[1]["node_name"] for s in scrape.find("vault_conflict")}

    before, scrape = serve(rig, bodies, lambda s: who(s) == {"n1", "n3"})
    assert types(scrape) == ["# TYPE vault_conflict gauge"]
    scrape.check_valid()
    grown = scrape.dropped("n2", "type_conflict") - before.dropped("n2", "type_conflict")
    assert grown > 0 and grown % 2 == 0  # its two samples, in each poll
    assert scrape.dropped("n1", "type_conflict") == scrape.dropped("n3", "type_conflict") == 0
    # Only that family is lost.
    lost = set(before.lines_of("n2")) - set(scrape.lines_of("n2"))
    assert lost == set() and scrape.up("n2")

    first.refuse()
    down = rig.wait(lambda s: not s.up("n1"), 3, "n1 is down")
    for _ in range(2):
        down = rig.wait_rounds("n2", 1)
        assert who(down) == {"n3"}
        assert types(down) == ["# TYPE vault_conflict gauge"]
        down.check_valid()
    assert down.dropped("n2", "type_conflict") > scrape.dropped("n2", "type_conflict")

    third.body = None  # now only n2 has it: what n1 said still stands
    alone = rig.wait(lambda s: who(s) == set(), 3, "nobody of the right type has it")
    assert types(alone) == []
    alone.check_valid()


@pytest.mark.usefixtures("healing")
def test_a_name_that_is_a_family_here_and_a_part_of_one_there(rig):
    """n1: summary vault_odd with vault_odd_count; n2: a gauge of the name vault_odd_count."""
    first, second, _ = rig.nodes
    whole = b"# TYPE vault_odd summary\nvault_odd_sum 1\nvault_odd_count 11\n"
    part = b"# TYPE vault_odd_count gauge\nvault_odd_count 22\n"
    bodies = {first: GOOD + whole, second: exposition("active", 2) + part}
    _, scrape = serve(rig, bodies, lambda s: s.find("vault_odd_count", node_name="n1"))
    assert {s[1]["node_name"]: s[2] for s in scrape.find("vault_odd_count")}["n1"] == "11"
    scrape.check_valid()
