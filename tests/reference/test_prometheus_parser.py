"""The exporter's parser, and the reference parser, against Prometheus' own (its scrape parser, and expfmt).

What ours accepts, Prometheus accepts, with the same series, values and timestamps: as it came, but for
what is in LENIENT, and always as we would publish it. What only Prometheus accepts is refused for a
reason that is in STRICTER. Both tables are of words of the parser that refused, not of the bodies.

BAO_PEER_RUNS: how many bodies. BAO_PEER_SEED: which.
"""

import collections
import os
import pathlib
import re
import struct
import subprocess

import pytest

RUNS = int(os.environ.get("BAO_PEER_RUNS", "4000"))
SEED = int(os.environ.get("BAO_PEER_SEED", "2026"))

# Our error -> why we refuse what Prometheus takes.
STRICTER = {
    "the body does not end with a newline": "a cut body is no body",
    "a NUL byte, a carriage return or invalid UTF-8": "no bytes that change on their way",
    "HELP and TYPE need a metric name": "#TYPE is a comment to Prometheus, and no blank needs to follow a name",
    "the lines of a family do not stand together": "families stand together",
    "the samples of a family do not stand together": "families stand together",
    "another family has samples of this name": "a series is of one family",
    "a second HELP for this family": "one HELP",
    "a second TYPE for this family": "one TYPE",
    "HELP after samples of its family": "HELP before samples",
    "TYPE after samples of its family": "TYPE before samples",
    "an escape in HELP that is neither \\\\ nor \\n": "only escapes that have a meaning",
    "an escape in a label value that is not \\\\, \\\" or \\n": "only escapes that have a meaning",
    "an escape in a quoted name that is not \\\\, \\\" or \\n": "only escapes that have a meaning",
    "a label value without closing quote": "a value ends on its line",
    "a quoted name without closing quote": "a name ends on its line",
    "an empty quoted name": "a name is not empty",
    "',' or '}' was expected after a label": "labels have commas between them",
    "a label name given twice": "Prometheus finds that after its parser",
    "this series was given before": "Prometheus finds that after its parser",
    "a histogram has _bucket, _sum and _count only": "the shape that TYPE says",
    "a summary's sample without quantile label": "the shape that TYPE says",
    "a histogram's bucket without le label": "the shape that TYPE says",
    "a number was expected": "no nonzero number that a double takes for zero",
    "a timestamp was expected": "at most 18 digits",
    "a byte that no metric name can have": "a blank between name and value",
    "a TYPE other than counter, gauge, histogram, summary, untyped": "#TYPE without a blank is a TYPE",
    "text after TYPE": "#TYPE without a blank is a TYPE",
    "more labels than limits.labels_per_sample_max": "a limit",
}

# The words of Prometheus' scrape parser, or of expfmt -> why we take what it refuses.
TYPE = r'"([ ]|\\t)*(counter|gauge|histogram|summary|untyped)([ ]|\\t)*"$'
LENIENT = {
    "invalid metric type " + TYPE: "blanks around a TYPE",
    "unknown metric type " + TYPE: "blanks around a TYPE",
    r'expected timestamp or new record, got "[+-]': "a timestamp with a sign",
    r'expected integer as timestamp, got ""$': "blanks at a line's end",
    r'spurious string after timestamp: "([ ]|\\t)+"$': "blanks at a line's end",
}
# Of expfmt only, which makes more of a body than series: what it refuses of what we would publish, too.
EXPFMT = {
    r"expected float as value for '(le|quantile)' label": "le and quantile are numbers",
    r'label name "__name__" is reserved': "relabelling renames it before it is published",
    r"negative (bucket population|count) for histogram": "buckets add up",
    r"second (HELP|TYPE) line for metric name": "HELP or TYPE of x_count after TYPE of x: it takes it for x",
}


def words_of(verdict):
    return verdict[3:].decode("utf-8", "replace")


def pieces(data):
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def framed(bodies):
    return b"".join(struct.pack("<I", len(body)) + body for body in bodies)


def series_of(said):
    """As told, but for blanks before a name: Prometheus begins the name where the line begins."""
    series = []
    for told in said[2:].split(b"\xfe")[:-1]:
        *words, value, stamp = told.split(b"\xff")
        pairs = zip(words[0::2], words[1::2])
        labels = sorted((n, v.lstrip(b" \t") if n == b"__name__" else v) for n, v in pairs)
        series.append((labels, value, stamp))
    return series


@pytest.fixture(scope="module", params=["exporter", "reference"])
def readings(request):
    """(body, what ours says, what of it we publish, (Prometheus, expfmt) of the body, and of that)"""
    peers = pathlib.Path(os.environ.get("BAO_EXPORTER_PEERS", ""))
    if not peers.is_file():
        pytest.skip("Prometheus' parser is not built: ./dev deps builds it where Go is, as new as "
                    "go.mod says")
    ours = subprocess.run(
        [os.environ["BAO_PEER_BODIES"], "--runs", str(RUNS), "--seed", str(SEED),
         *(["--reference"] if request.param == "reference" else [])],
        check=True, stdout=subprocess.PIPE).stdout
    told = list(pieces(ours))
    bodies, said, published = told[0::3], told[1::3], told[2::3]
    assert len(bodies) == len(published) == RUNS
    answers = list(pieces(subprocess.run(
        [peers], input=framed(bodies) + framed(published), check=True, stdout=subprocess.PIPE).stdout))
    assert len(answers) == 4 * RUNS
    of_body = list(zip(answers[0 : 2 * RUNS : 2], answers[1 : 2 * RUNS : 2]))
    of_published = list(zip(answers[2 * RUNS :: 2], answers[2 * RUNS + 1 :: 2]))
    return list(zip(bodies, said, published, of_body, of_published))


def explained(table, words):
    return next((pattern for pattern in table if re.search(pattern, words)), None)


def report(title, wrong, counted=()):
    print(title, *(f"{count:8} {words}" for words, count in sorted(dict(counted).items())), sep="\n")
    if wrong:
        pytest.fail(f"{len(wrong)} not explained; the first:\n" + "\n".join(map(str, wrong[:5])), pytrace=False)


def test_what_ours_accepts_prometheus_reads_as_the_same_series(readings):
    wrong, counted = [], collections.Counter()
    for body, said, _, answers, _ in readings:
        if not said.startswith(b"ok"):
            continue
        counted["accepted by ours"] += 1
        for answer, table in zip(answers, (LENIENT, LENIENT | EXPFMT)):
            if answer.startswith(b"no "):
                pattern = explained(table, words_of(answer))
                counted[table.get(pattern, "?")] += 1
                if pattern is None:
                    wrong.append((words_of(answer), body))
        if answers[0].startswith(b"ok") and answers[0] != said:
            counted["blanks before a name"] += 1
            if series_of(said) != series_of(answers[0]):
                wrong.append(("other series", body, said, answers[0]))
    assert counted["accepted by ours"] > RUNS // 10
    report("Taken by ours:", wrong, counted)


def test_what_we_would_publish_both_of_prometheus_parsers_accept(readings):
    wrong = []  # the reference parser publishes nothing
    for _, said, published, _, (prometheus, expfmt) in readings:
        if said.startswith(b"ok") and published:
            series = re.sub(rb"\xff[0-9-]*\xfe", b"\xff\xfe", said)  # no timestamps
            if series != prometheus or (expfmt != b"ok" and not explained(EXPFMT, words_of(expfmt))):
                wrong.append((published, words_of(prometheus), words_of(expfmt)))
    report("Published:", wrong)


def test_what_only_prometheus_accepts_is_refused_for_a_reason_that_is_listed(readings):
    wrong, counted = [], collections.Counter()
    for body, said, _, (prometheus, _), _ in readings:
        if said.startswith(b"ok") or not prometheus.startswith(b"ok"):
            continue
        reason = words_of(said).split(": ", 1)[1]
        counted[reason] += 1
        if reason not in STRICTER:
            wrong.append((words_of(said), body))
    assert counted
    report("Refused by ours only:", wrong, counted)
