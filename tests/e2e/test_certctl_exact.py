"""What is published of a certctl server was true of it at one instant while it was read, or it is said
to be inconsistent: never silently wrong, however the rows change meanwhile."""

import collections
import contextlib
import itertools
import math
import os
import random
import statistics
import threading
import time

import pytest
from certctl_client import Client
from certctl_rig import CertctlRig, counts, inventories
from certctl_rows import seconds_of
from certctl_state import COUNTED_AS, FakeState, Row
from certctl_truth import PATHS, Watch, is_true, published, truth
from exporter_process import wait_until

INVENTORIES = int(os.environ.get("BAO_CERTCTL_INVENTORIES", "10"))
EACH_S = 3.0  # between two inventories, at least
# So it is told; the others are what a machine has that does much else: late answers, and late scrapes.
SAID = ("inconsistent", "timeout", "unseen")
OTHERS = ("agents", "jobs", "issuers", "notifications", "discovered", "health_checks")

# On an idle machine; what is inconsistent is counted at changes a second that are fewer by as much as it is slower.
REQUEST_S = 0.009
# Of ten inventories three are now and then inconsistent though in the long run one in ten is.
INCONSISTENT_MAX = 3

# (seconds, changes of certificates a second), over and over: in 10,332 certificates that live for 90
# days and are renewed after 60 there is one change each eight minutes.
ORDINARY = ((3, 0.25), (0.05, 200), (4, 0.25), (3, 0), (0.05, 400), (3, 0.25))
HEAVY = ((1, 20),)


class Churn:
    """Rows of certificates are added, removed, changed, swapped and renamed at the pace of the phases, those of
    the other kinds all the time. `slowness`: less than one change a second is as much less."""

    def __init__(self, state: FakeState, phases, slowness=lambda: 1.0, seed: int = 7):
        self.state = state
        self.phases = phases
        self.slowness = slowness
        self.dice = random.Random(seed)
        self.done = collections.Counter()
        self.certificates_at = []  # time.monotonic()
        self._end = threading.Event()

    def _pause(self, rate: float) -> float:
        return self.dice.expovariate(rate / self.slowness() if rate < 1 else rate)

    def _certificates(self):
        for seconds, rate in itertools.cycle(self.phases):
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self._end.wait(min(left, self._pause(rate)) if rate else left):
                    return
                if rate and time.monotonic() < until:
                    self.done[self.state.churn()] += 1
                    self.certificates_at.append(time.monotonic())

    def _others(self):
        while not self._end.wait(0.05):
            state, what = self.state, self.dice.random()
            if what < 0.1:
                state.beat()
            elif what < 0.2:
                state.add_job()
            elif what < 0.3:
                state.remove("jobs", self.dice.choice(list(state.rows["jobs"])))
            elif what < 0.4:
                state.add_notification()
            elif what < 0.5:
                state.remove("notifications", self.dice.choice(list(state.rows["notifications"])))
            else:
                state.churn(OTHERS)
            self.done["others"] += 1

    @contextlib.contextmanager
    def going_on(self):
        threads = [threading.Thread(target=work, daemon=True) for work in (self._certificates, self._others)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join()


def read_all(fake, sort="&sort=name"):
    """All rows of the certificates, read once: when that began and ended, and the rows."""
    with contextlib.closing(Client(fake.port, fake.ca_file, fake.keys.secret("viewer"))) as client:
        start = time.monotonic()
        rows = client.rows(PATHS["certificates"], 500, sort)[0]
        return start, time.monotonic(), rows


def set_pace(rig):
    """A collector has half of the interval: enough for the four readings that it may need, here and now.
    Both lanes have the same interval, so what failed is rarely tried in between."""
    start, end, _ = read_all(rig.fake)
    rig.each_s = max(EACH_S, 6 * (end - start))
    each = f"{rig.each_s * 1000:.0f}ms"
    rig.table |= {"interval": each, "inventory_interval": each, "timeout": "2s"}
    rig.exporter.write_certctl([rig.table])


def rig_of(folder, **options):
    made = CertctlRig(folder, log_level="info", **options)
    made.fake.health_checks_enabled = True
    set_pace(made)
    return made


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    # Where two of one name lie on two pages it is inconsistent until they do not, whatever changes.
    with rig_of(tmp_path_factory.mktemp("exact"), state=FakeState(same_name=0)) as made:
        yield made


def slowness(rig):
    """By how much the last inventory was slower than on an idle machine."""
    requests, seconds = (inventories(rig) or [(1, REQUEST_S)])[-1]
    return max(1.0, seconds / requests / REQUEST_S)


def watch(rig, phases, count):
    """`count` inventories while rows change: the Watch, the Churn, and what they took."""
    seen = Watch(rig)
    before = len(inventories(rig))
    seen.look()
    with Churn(rig.fake.state, phases, lambda: slowness(rig)).going_on() as churn:
        seen.look_until(lambda: len(inventories(rig)) >= before + count + 1, (count + 3) * rig.each_s)
    return seen, churn, inventories(rig)[before:]


def in_vain(seen, churn):
    """Readings of certificates that were inconsistent though nothing changed meanwhile."""
    runs = [run for run, said, _ in seen.verdicts("certificates") if said == "inconsistent"]
    return [run for run in runs if not any(run.start - 0.05 <= at <= run.end + 0.1 for at in churn.certificates_at)]


def told(name, seen, churn, took):
    """{collector: {verdict: how many of whole inventories}}, and of what was tried once more."""
    whole, again = ({collector: collections.Counter() for collector in PATHS} for _ in range(2))
    for collector in PATHS:
        for run, said, _ in seen.verdicts(collector):
            (whole if run.whole else again)[collector][said] += 1
    requests, seconds = zip(*took)
    print(
        f"\n{name}: {len(took)} inventories, changes {dict(churn.done)}\n  "
        + "\n  ".join(f"{name}: {dict(whole[name])}, tried again: {dict(again[name])}" for name in PATHS)
        + f"\n  requests per inventory: median {statistics.median(requests):.0f}, {min(requests)} to {max(requests)}"
        + f"; seconds: median {statistics.median(seconds):.2f}, {min(seconds):.2f} to {max(seconds):.2f}"
    )
    assert all(set(said) <= {"exact", *SAID} for said in (*whole.values(), *again.values())), (whole, again)
    return whole


def test_each_count_of_an_inventory_was_true_at_one_instant_of_it(rig):
    seen, churn, took = watch(rig, ORDINARY, INVENTORIES)
    verdicts = told("ordinary changes", seen, churn, took)
    assert in_vain(seen, churn) == []
    for collector, said in verdicts.items():
        assert said.total() >= INVENTORIES, (collector, said)
        assert said["inconsistent"] <= max(INCONSISTENT_MAX, 0.1 * said.total()), (collector, said)
        assert said["exact"] >= said.total() / 2, (collector, said)  # the rest is late answers and scrapes
    what = {collector: [w for _, _, w in seen.verdicts(collector)] for collector in PATHS}
    for collector, of_collector in what.items():  # what never changes is always exact
        assert any(one != of_collector[0] for one in of_collector), collector
    first = next(w for w in what["certificates"] if w is not None)
    assert {status for status, _, _ in first["certificates"]} >= {"Active", "Expired", "Revoked"}
    # The judge can tell: what was published is not true of the reading before it.
    readings = [(run, w) for run, said, w in seen.verdicts("certificates") if said == "exact"]
    pairs = zip(readings, readings[1:])
    shifted = [is_true(rig.fake.state, before, "certificates", w) for (before, _), (_, w) in pairs]
    print(f"  of the reading before it {shifted.count(False)} of {len(shifted)} would be wrong")
    assert shifted.count(False) >= len(shifted) / 4


def test_it_is_never_wrong_but_inconsistent_where_rows_change_all_the_time(rig):
    seen, churn, took = watch(rig, HEAVY, max(3, INVENTORIES // 5))
    verdicts = told("20 changes a second", seen, churn, took)
    for collector, said in verdicts.items():
        assert said.total() >= 3, (collector, said)
    assert verdicts["certificates"]["inconsistent"] >= 1


def test_it_is_exact_again_as_soon_as_rows_are_left_alone(rig):
    seen = Watch(rig)
    seen.look()
    before = len(inventories(rig))
    seen.look_until(lambda: len(inventories(rig)) >= before + 2, 5 * rig.each_s)
    # The first may have begun while rows still changed.
    assert {said for _, said, _ in seen.verdicts("certificates")[1:]} <= {"exact", "timeout", "unseen"}

    def at_rest():
        scrape = rig.scrape()
        now = rig.fake.state.history.now(soonest=80)
        return scrape if published(scrape, "certificates") == truth(now, "certificates") else None

    scrape = wait_until("what is published is what is there", at_rest, 5 * rig.each_s)
    jobs = [row.said for row in rig.fake.state.rows["jobs"].values()]
    waiting = [job["scheduled_at"] for job in jobs if job["status"] in ("Pending", "AwaitingCSR", "AwaitingApproval")]
    oldest = counts(scrape, "job_oldest_pending_timestamp_seconds")[None]
    assert oldest == math.floor(min(map(seconds_of, waiting)))
    wrong = {family for family, value in counts(scrape, "upstream_count_mismatch", "family").items() if value}
    assert "certctl_certificate_expired" in wrong and "certctl_certificate_total" not in wrong, wrong


def test_it_is_never_wrong_where_names_are_not_unique(tmp_path):
    """A third of the rows has the name of another."""
    made = rig_of(tmp_path, state=FakeState(same_name=3000))
    made.fake.lists.ties = "random"
    with made as rig:
        seen, churn, took = watch(rig, ((1, 0.5),), max(2, INVENTORIES // 5))
        assert told("names that are not unique", seen, churn, took)["certificates"].total() >= 2


@pytest.mark.parametrize("sort", ["&sort=name", ""])
def test_who_reads_each_page_once_is_found_wrong_by_the_same_check(rig, sort):
    """That is what this file would show of an exporter which does not look twice."""
    fake = rig.fake
    wrong = 0
    tries = 4
    with Churn(fake.state, ((1, 60),)).going_on():
        for _ in range(tries):
            start, end, found = read_all(fake, sort)
            rows = {row["id"]: Row(row) for row in found}
            counted = dict(collections.Counter(COUNTED_AS["certificates"](row.said) for row in rows.values()))
            wrong += not fake.state.history.matching(start, end, certificates=counted)
    print(f"\nread once{' in the order of the names' if sort else ', as they come'}: {wrong} of {tries} are wrong")
    assert wrong >= 1
