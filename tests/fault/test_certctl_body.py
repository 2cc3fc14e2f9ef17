"""certctl's own exposition: it passes through as it is, and one that is cut anywhere is never
published.

Many servers share one fake here, told apart by their keys; each of its answers to a poll is the next
cut of that server's list.
"""

import collections
import os
import pathlib
import re
import subprocess
import threading
import time

import pytest
from certctl import EXPOSITION, METRICS, FakeCertctl
from certctl_exposition import ODD_WORDS, Events, exposition
from certctl_lists import Lists
from certctl_server import LONGEST_WITH_LENGTH, Response
from certctl_under_fault import Server, Watch, make_ward, material, small_state  # noqa: F401
from exporter_under_fault import new_token
from exposition import Exposition
from prometheus_client.parser import text_string_to_metric_families

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMTOOL = pathlib.Path(os.environ.get("BAO_EXPORTER_PROMETHEUS_DIR")
                        or ROOT / "build/deps/prometheus/usr/bin") / "promtool"
QUICK = {"interval": "1s", "timeout": "950ms", "inventory_interval": "1h",
         "collectors": ["metrics"]}
# What it says today (facts/certctl.md section 5), and nothing else: the names are certctl's.
COMPLAINTS = {
    'certctl_agent_total non-counter metrics should not have "_total" suffix',
    'certctl_certificate_total non-counter metrics should not have "_total" suffix',
    "certctl_ocsp_counter_total metric name should not include type 'counter'",
}
SMALL = ("# HELP certctl_a —.\n# TYPE certctl_a gauge\ncertctl_a 332\n\n"
         "# TYPE certctl_b counter\n\n"
         '# TYPE certctl_c gauge\ncertctl_c{label="a\\tb"} 1.5e+03\n').encode()
FRAMINGS = [(framing, end) for framing in ("length", "chunked", "chunk", "close")
            for end in ("close", "reset")] + [("whole", "close")]
SERVERS_EACH = 5
SERVERS_OF_LARGE = 22
LARGE_STEP = 7


class Cutting(FakeCertctl):
    """What it says to a poll is the key's: (body, cuts), one cut for each poll, then the last again."""

    def __init__(self, **options):
        self.plans = {}
        self.polls = collections.Counter()
        self._cut = threading.local()
        super().__init__(state=small_state(), **options)

    def respond(self, request, connection):
        self._cut.it = None
        if request.path != METRICS:
            return super().respond(request, connection)
        key, refusal = self._key_of(request)
        if key is None:
            return refusal
        body, cuts = self.plans[key.name]
        self._cut.it = cuts[min(self.polls[key.name], len(cuts) - 1)] if cuts else None
        self.polls[key.name] += 1
        return Response(200, body, EXPOSITION)

    def cut_for(self, path):
        return self._cut.it


@pytest.fixture(scope="module")
def cutting(material):  # noqa: F811
    with Cutting(material=material) as fake:
        yield fake


@pytest.fixture(scope="module")
def serve(cutting, tmp_path_factory):
    """serve(name, body, cuts): a server that sends this."""
    folder = tmp_path_factory.mktemp("keys")

    def make(name, body, cuts=(), **over):
        secret = cutting.keys.add(name, secret=new_token(f"the key of {name}"))
        cutting.plans[name] = (body, list(cuts))
        server = Server(name, cutting, folder / f"{name}.key", {**QUICK, **over})
        server.put_key(secret)
        return server
    return make


def line_ends(body):
    return [at + 1 for at, byte in enumerate(body) if byte == ord("\n")]


def whole_body(odd):
    """The fake's body, as it is after a start; `odd`: with some of everything in it, and with labels
    that it never has."""
    events = Events()
    if odd:
        events.happen()
        events.odd_labels()
    return exposition(Lists(small_state()), events)


def cuts_of(body, framing, end, step=1):
    """Each cut that leaves something out, or that leaves it open whether it does."""
    last = len(body) if framing in ("length", "whole") else len(body) + 1
    complete = set(line_ends(body)) if framing == "whole" else set()
    return [(at, framing, end) for at in range(0, last, step) if at not in complete]


# --- cut ----------------------------------------------------------------------------------------

class Ran:
    def __init__(self, watch, groups, cutting):
        self.moments, self.groups, self.cutting = watch.moments, groups, cutting

    def reasons(self, group):
        return collections.Counter(moment.of(server.name).reason.get("metrics")
                                   for moment in self.moments for server in self.groups[group])


@pytest.fixture(scope="module")
def ran(serve, make_ward, cutting):  # noqa: F811
    """An exporter that has polled every cut of the small body and of the large one."""
    large = whole_body(odd=False)
    assert len(large) > LONGEST_WITH_LENGTH
    groups = {}
    for framing, end in FRAMINGS:
        cuts = cuts_of(SMALL, framing, end)
        groups[framing, end] = [serve(f"{framing}-{end}-{n}", SMALL, cuts[n::SERVERS_EACH])
                                for n in range(SERVERS_EACH)]
    # Every seventh byte, and at each another framing; each framing meets each seventh of them.
    cuts = [cuts_of(large, framing, end, LARGE_STEP) for framing, end in FRAMINGS]
    mixed = [one[at] for at in range(max(map(len, cuts)))
             for one in [cuts[at % len(cuts)]] if at < len(one)]
    groups["large"] = [serve(f"large-{n}", large, mixed[n::SERVERS_OF_LARGE])
                       for n in range(SERVERS_OF_LARGE)]
    servers = [server for group in groups.values() for server in group]
    ward = make_ward(servers)
    ward.wait_published(20)
    began = time.monotonic()
    with Watch(ward, pause=0.4) as watch:
        while not all(cutting.polls[one.name] > len(cutting.plans[one.name][1])
                      for one in servers):
            assert time.monotonic() < began + 200, "too slow"
            time.sleep(0.2)
    count = sum(len(cutting.plans[one.name][1]) for one in servers)
    print(f"{count} cuts in {time.monotonic() - began:.0f} s, {len(watch.moments)} scrapes")
    ran = Ran(watch, groups, cutting)
    for group in groups:
        print(group, dict(ran.reasons(group)))
    yield ran
    ward.stop()


@pytest.mark.parametrize("framing, end", FRAMINGS)
def test_a_body_cut_at_each_byte_is_never_published(ran, framing, end):
    """`close`: without any length a whole body cannot be told from a cut one, so neither is."""
    servers = ran.groups[framing, end]
    never_published(ran, servers)
    assert set(ran.reasons((framing, end))) - {"timeout"} <= {"truncated", "reset"}


def test_a_large_body_cut_at_every_seventh_byte_is_never_published(ran):
    never_published(ran, ran.groups["large"])


def never_published(ran, servers):
    for server in servers:
        for moment in ran.moments:
            seen = moment.of(server.name)
            assert seen.upstream == [] and seen.up == {"metrics": False}, server.name
            assert not seen.had_success, server.name


def test_what_is_cut_meets_no_slow_machine(ran):
    """A poll that timed out has shown nothing of its cut."""
    seen = sum((ran.reasons(group) for group in ran.groups), collections.Counter())
    assert seen["timeout"] < 0.1 * sum(seen.values()), seen


def test_a_cut_between_lines_with_a_length_that_fits_is_a_whole_body(serve, make_ward):  # noqa: F811
    """Nothing tells it from one; HTTP says that these bytes are all."""
    ends = line_ends(SMALL)
    places = [0, *ends]
    servers = [serve(f"lines-{at}", SMALL, [(at, "whole", "close")]) for at in places]
    wanted = {f"lines-{at}": "ok" if at else "truncated" for at in places}
    ward = make_ward(servers)
    ward.wait_published(20)
    moment = ward.wait_for(lambda m: wanted == {one.name: m.of(one.name).reason.get("metrics")
                                                for one in servers}, 10, f"{wanted}")
    for at, server in zip(places, servers, strict=True):
        samples = [line for line in SMALL[:at].decode().split("\n")
                   if line and not line.startswith("#")]
        assert len(moment.of(server.name).upstream) == len(samples)
    ward.stop()


# --- whole --------------------------------------------------------------------------------------

GO_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def meant(quoted):
    """What a label value of Go's %q means, as far as a label can hold it."""
    def letter(found):
        word = found[1]
        if len(word) == 1:
            return GO_LETTERS.get(word, word)
        code = int(word[1:], 16)
        return "\ufffd" if word[0] == "x" and code >= 0x80 else chr(code)
    text = re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)", letter, quoted)
    return text.replace("\0", "\ufffd").replace("\r", "\ufffd")


def read(body):
    """{(name, labels): value as it is written}, heads by family; of a body as certctl writes it."""
    samples, heads = {}, []
    for line in body.decode().split("\n"):
        if line.startswith("# "):
            heads.append(tuple(line.split(" ", 3)[1:]))
        elif line:
            name, labels, value = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line).groups()
            pairs = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")
            key = name, frozenset((word, meant(text)) for word, text in pairs)
            assert key not in samples
            samples[key] = value
    return samples, heads


def strictly(text):
    """Its empty lines are certctl's own, where one server is served as it is."""
    return Exposition(re.sub("\n{2,}", "\n", text))


class Passed:
    def __init__(self, body, own, full):
        self.body, self.own, self.full = body, own, full


@pytest.fixture(scope="module", params=["%q", "%+q"])
def passed(request, serve, make_ward):  # noqa: F811
    body = whole_body(odd=True)
    if request.param == "%+q":
        body = re.sub(r'(?<==")[^"]*[^\x00-\x7f][^"]*', lambda found: "".join(
            one if one < "\x80" else f"\\u{ord(one):04x}" if ord(one) < 0x10000
            else f"\\U{ord(one):08x}" for one in found[0]), body.decode()).encode()
    server = serve(f"good{len(request.param)}", body)
    ward = make_ward([server])
    ward.wait_published()
    ward.wait_for(lambda m: m.of(server.name).reason == {"metrics": "ok"}, 3, "good")
    own = ward.scrape(path=f"/metrics/certctl/{server.name}").text
    full = ward.scrape().text
    ward.stop()
    return Passed(body, own, full)


def test_the_body_is_of_the_real_ones_shape(passed):
    text = passed.body.decode()
    assert "\n\n# HELP" in text and "# TYPE certctl_agent_total gauge" in text
    assert re.search(r"# HELP certctl_audit_chain_rows .*[^\x00-\x7f]", text)
    assert "# TYPE certctl_issuance_duration_seconds histogram" in text
    assert all(word in text for word in (r"\x7f", r"\x00", r"\a", r"\xff", r"\t", r"\u200b"))
    assert len(ODD_WORDS) == sum(line.startswith("certctl_issuance_total") for line in
                                 text.splitlines()) - 2


def test_each_sample_comes_through_byte_for_byte(passed):
    theirs, heads = read(passed.body)
    for text, more in ((passed.own, set()), (passed.full, {"certctl", "instance"})):
        ours = {}
        for sample in strictly(text).samples():
            if not sample.name.startswith("certctl_") or "certctl_state_" in sample.name:
                continue
            assert {"certctl", "instance"} & set(sample.labels) == more
            labels = frozenset(pair for pair in sample.labels.items() if pair[0] not in more)
            ours[sample.name, labels] = sample.value
        assert ours == theirs and len(theirs) > 25


def test_heads_are_as_they_were(passed):
    _, heads = read(passed.body)
    with_samples = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in read(passed.body)[0]}
    families = strictly(passed.own).families
    told = {(word, name, text) for name, family in families.items()
            if not name.startswith("certctl_state_")
            for word, text in (("HELP", family.help), ("TYPE", family.type))}
    assert told == {head for head in heads if head[1] in with_samples | set(families)}
    print("families without samples:", sorted({head[1] for head in heads} - set(families)))


def promtool(text):
    return subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True,
                          text=True, timeout=60, check=False)


@pytest.mark.parametrize("which", ["own", "full"])
def test_promtool_reads_it_and_has_its_three_known_complaints(passed, which):
    text = getattr(passed, which)
    assert "parsing error" in promtool(text + "broken{ 1\n").stderr  # how it says that it cannot
    run = promtool(text)
    said = {line for line in (run.stdout + run.stderr).splitlines() if "certctl" in line}
    assert run.returncode == 3 and said == COMPLAINTS, said


@pytest.mark.parametrize("which", ["own", "full"])
def test_prometheus_client_reads_all_of_it(passed, which):
    text = getattr(passed, which)
    theirs = [s for family in text_string_to_metric_families(text) for s in family.samples]
    ours = strictly(text).samples()
    assert len(theirs) == len(ours)
    assert [s.labels for s in theirs] == [s.labels for s in ours]
    assert [s.value for s in theirs] == pytest.approx([float(s.value) for s in ours], rel=0, abs=0,
                                                      nan_ok=True)
