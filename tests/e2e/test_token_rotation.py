"""The token file is replaced all the time, under load, and the old tokens revoked: no poll fails.

BAO_ROTATIONS: of each way (40; two ways). Tokens are minted before, so that what the audit logs have
of a run is what the exporter sent, and what revokes.
"""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
from pathlib import Path

import pytest
from cluster import Cluster
from exporter_process import ClusterEntry, Exporter, openbao_auth, wait_until, write_private
from token_methods import Audit, mint_many, replace_file, revoke
from token_watch import Scrapers, Told, log_tail, told, wait_told
from watch import Figures, check_down, role

ROTATIONS = int(os.environ.get("BAO_ROTATIONS", 40))
SCRAPERS = 4
ROTATION_PAUSE_S = 0.85
REVOKED_AFTER_S = 1.0
QUICK = {"interval": "500ms", "timeout": "450ms", "stale_after": "1500ms"}
METRICS = "sys/metrics"


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openbao")
    with Cluster.start(folder, audit=True, die_with_parent=True, usage_gauge_period="24h") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def figures(request):
    columns = ["way", "rotations", "scrapes", "polls", "failed polls", "requests for metrics", "refused", "of unknown"]
    table = Figures(f"Rotations, polls each {QUICK['interval']}, {SCRAPERS} scraping threads:", columns)
    yield table
    table.show(request.config)


def mint(cluster: Cluster, count: int) -> list[str]:
    return mint_many(cluster, count, policies=["metrics-read"], period="24h")


# --- two ways to replace a file ------------------------------------------------------


class Renamed:
    """As an agent writes its sink: a new file takes the place of the old one."""

    def __init__(self, folder: Path, token: str):
        self.file = write_private(folder / "token", token + "\n")

    def replace(self, token: str) -> None:
        replace_file(self.file, token)


class Swapped:
    """As the kubelet writes a volume: `token` leads through the link `..data`, which is swapped, and
    the folder that it led to is removed."""

    def __init__(self, folder: Path, token: str):
        self._folder = folder
        self._count = 0
        (folder / "token").symlink_to("..data/token")
        self.file = folder / "token"
        self._old: Path | None = None
        self.replace(token)

    def replace(self, token: str) -> None:
        self._count += 1
        new = self._folder / f"..{self._count}"
        new.mkdir()
        write_private(new / "token", token + "\n")
        link = self._folder / "..data_tmp"
        link.symlink_to(new.name)
        link.replace(self._folder / "..data")
        if self._old is not None:
            (self._old / "token").unlink()
            self._old.rmdir()
        self._old = new


def entry_of(cluster: Cluster, file: Path, **keys) -> ClusterEntry:
    return openbao_auth(cluster, "token_file", token_file=file, **keys)


# --- rotations -----------------------------------------------------------------------


class Revoker:
    """Revokes tokens a while after they were replaced, on a thread of its own."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._due: collections.deque[tuple[float, str]] = collections.deque()
        self._over = threading.Event()
        self.revoked = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Revoker":
        self._thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        """When all have been revoked."""
        self._over.set()
        self._thread.join()
        if kind is None and self._failure is not None:
            raise AssertionError("a token could not be revoked") from self._failure

    def later(self, token: str) -> None:
        self._due.append((time.monotonic() + REVOKED_AFTER_S, token))

    def _run(self) -> None:
        try:
            while self._due or not self._over.is_set():
                if self._due and time.monotonic() >= self._due[0][0]:
                    revoke(self._cluster, self._due.popleft()[1])
                    self.revoked += 1
                else:
                    time.sleep(0.01)
        except BaseException as failure:  # shown by __exit__
            self._failure = failure


def rotate(cluster: Cluster, place: Renamed | Swapped, tokens: list[str]) -> None:
    """tokens[0] is in the file already."""
    with Revoker(cluster) as revoker:
        for old, new in itertools.pairwise(tokens):
            began = time.monotonic()
            place.replace(new)
            revoker.later(old)
            time.sleep(max(0.0, began + ROTATION_PAUSE_S - time.monotonic()))
    assert revoker.revoked == len(tokens) - 1


def metrics_answers(audit: Audit) -> list[dict]:
    answers = [entry for i in range(3) for entry in audit.answers(i)]
    return [entry for entry in answers if entry["request"]["path"] == METRICS]


def check_generations(scrapers: Scrapers, count: int) -> None:
    generations = [seen.token["generation"] for seen in scrapers.seen]
    since = [seen.token["loaded_timestamp_seconds"] for seen in scrapers.seen]
    # Scrapes of several threads overlap: only those that began after another one had ended follow it.
    highest = 0.0
    ended: collections.deque[Told] = collections.deque()
    for seen in sorted(scrapers.seen, key=lambda one: one.began):
        ended.append(seen)
        while ended and ended[0].ended < seen.began:
            highest = max(highest, ended.popleft().token["generation"])
        assert seen.token["generation"] >= highest, "the generation went back"
    assert max(generations) == count, f"generations up to {max(generations)} of {count} tokens"
    assert len(set(generations)) > count / 2, "most generations were never told"
    assert min(since) > 0


@pytest.mark.parametrize("way", [Renamed, Swapped], ids=["rename", "data-swap"])
def test_rotations_under_load_cost_no_poll_and_no_torn_token_is_sent(audited, tmp_path, figures, way):
    tokens = mint(audited, ROTATIONS + 1)
    (tmp_path / "secrets").mkdir()
    place = way(tmp_path / "secrets", tokens[0])
    hashes = set(Audit(audited).hashes(tokens))
    audit = Audit(audited)
    exporter = Exporter(tmp_path / "exporter", [entry_of(audited, place.file)], authority=audited, poll=QUICK)
    with exporter, Scrapers(exporter, SCRAPERS, 0.05) as scrapers:
        rotate(audited, place, tokens)
        wait_told(exporter, "the last token", lambda seen: seen.token["generation"] == len(tokens), 5)
        scrapers.check_alive()
        time.sleep(0.3)  # each thread sees that, too
    answers = metrics_answers(audit)
    unknown = [entry for entry in answers if entry["request"].get("client_token") not in hashes]
    refused = [entry for entry in answers if entry.get("error")]
    last = scrapers.seen[-1]
    ok = sum(count for key, count in last.polls.items() if key[1] == "ok")
    failed = sum(last.failed().values())
    figures.add(
        way.__name__, ROTATIONS, len(scrapers.seen), ok, failed, len(answers), len(refused), len(unknown)
    )  # fmt: skip
    assert unknown == [], f"{len(unknown)} requests with a token that never was in the file"
    scrapers.check_never_failed()
    # Each is the first half of a poll that was made again with the new token.
    assert len(refused) <= 3 * ROTATIONS, len(refused)
    check_generations(scrapers, len(tokens))
    assert 'msg="token file"' not in exporter.log(), log_tail(exporter)
    assert "reload" not in exporter.log(), log_tail(exporter)


def test_a_token_can_be_revoked_as_soon_as_the_generation_has_grown(audited, tmp_path, figures):
    tokens = mint(audited, 13)
    (tmp_path / "secrets").mkdir()
    place = Renamed(tmp_path / "secrets", tokens[0])
    audit = Audit(audited)
    exporter = Exporter(tmp_path / "exporter", [entry_of(audited, place.file)], authority=audited, poll=QUICK)
    with exporter, Scrapers(exporter, 1, 0.05) as scrapers:
        delays = []
        for generation, (old, new) in enumerate(itertools.pairwise(tokens), 2):
            began = time.monotonic()
            place.replace(new)
            wait_told(exporter, f"generation {generation}", lambda seen: seen.token["generation"] == generation, 5)
            delays.append(time.monotonic() - began)
            revoke(audited, old)
        time.sleep(1)
    scrapers.check_never_failed()
    refused = [entry for entry in metrics_answers(audit) if entry.get("error")]
    print(f"\nfrom the rename until the old one can go: {min(delays):.2f} to {max(delays):.2f} s")
    assert refused == [], f"{len(refused)} requests were refused: with a token that was said to be out of use"
    assert max(delays) < 2.5, delays


# --- revoked, and replaced later -----------------------------------------------------

INTERVAL_S = 1.0
LATER_S = 10
TOLD_WITHIN_S = 4 * INTERVAL_S  # a standby needs three rounds, or the word of the active node


def authenticated(audit: Audit, i: int) -> list[dict]:
    return [entry for entry in audit.answers(i) if entry["request"].get("client_token")]


def recovered_at(exporter: Exporter, replaced: float) -> float:
    """When the last node had its first good poll after that."""

    def probe() -> float:
        samples = exporter.scrape().samples("bao_node_last_success_timestamp_seconds")
        successes = [float(sample.value) for sample in samples]
        assert len(successes) == 3 and min(successes) > replaced, successes
        return max(successes)

    return wait_until("a good poll of each node", probe, 10)


def test_a_revoked_token_is_told_asked_with_little_and_its_successor_taken_within_an_interval(audited, tmp_path):
    old, new = mint(audited, 2)
    (tmp_path / "secrets").mkdir()
    place = Renamed(tmp_path / "secrets", old)
    roles = {node.name: said for node, said in zip(audited.nodes, audited.roles())}
    with Exporter(tmp_path / "exporter", [entry_of(audited, place.file)], authority=audited) as exporter:
        wait_told(exporter, "two good polls of each node", lambda seen: seen.good_polls() >= 2)
        revoke(audited, old)
        audit, before = Audit(audited), told(exporter)
        revoked = time.monotonic()
        wait_told(
            exporter, "the active node's and the standbys' reason",
            lambda seen: set(seen.reason.values()) == {"token_rejected"}, TOLD_WITHIN_S,
        )  # fmt: skip
        told_after = time.monotonic() - revoked
        time.sleep(revoked + LATER_S - time.monotonic())
        after, asked = told(exporter), [len(authenticated(audit, i)) for i in range(3)]
        ours = exporter.scrape()
        replaced = time.time()
        place.replace(new)
        delay = recovered_at(exporter, replaced) - replaced
        wait_told(exporter, "all nodes up", Told.all_up, 2)
    for node, said in roles.items():
        check_down(ours, node, "token_rejected", was_up=True)
        assert role(ours, node) == said
    polled = polls_between(before, after)
    print(f"\ntold after {told_after:.2f} s; requests {asked} in {polled} polls; good {delay:.2f} s after the rename")
    for count, polls in zip(asked, polled, strict=True):
        # One poll may have been under way at either end.
        assert polls <= LATER_S / INTERVAL_S + 1, polled
        assert count <= 2 * (polls + 1), f"requests {asked} in {polled} polls"
    assert delay <= INTERVAL_S + 0.5, f"recovered {delay:.2f} s after the rename\n{log_tail(exporter)}"
    assert 'msg="token rejected"' in exporter.log(), log_tail(exporter)


def polls_between(before: Told, after: Told) -> list[int]:
    """Of each node, in the order of their names."""
    counts: collections.Counter[str] = collections.Counter()
    for (node, _), count in after.polls.items():
        counts[node] += count
    for (node, _), count in before.polls.items():
        counts[node] -= count
    return [counts[node] for node in sorted(counts)]
