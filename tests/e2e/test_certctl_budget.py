"""What we cost certctl: each request with a key is a row in its audit log for good. It is we who ask, at a
pace of our own, so it is the same however many scrape us.

The pace is that of the defaults (60 s and 15 min), 60 times as fast; the figures of a day are those of the
defaults. All servers are watched at once, from their second inventory to their sixth: of the costly lists
each is read in every sixth."""

import contextlib
import dataclasses
import math
import os
import statistics
import threading
import time

import pytest
from certctl import METRICS, READY
from certctl_rig import CertctlRig, counts, inventories, reasons
from certctl_state import FakeState
from certctl_truth import inventory_runs, published, truth
from prometheus_server import running_prometheus

FASTER = 60
PACE = {"interval": "1s", "inventory_interval": "15s", "timeout": "900ms"}
NO_PACE = dict.fromkeys(PACE)  # the defaults
POLLS_A_DAY, INVENTORIES_A_DAY = 24 * 60, 24 * 4
BUDGET = 2880  # what a Prometheus writes that scrapes certctl itself each 30 s
CYCLE = 6  # inventories
REQUESTS_AT_1000 = 12
# Lists of 1,000 certificates read twice, the five others, auth/me: those with a key.
PAGES_AT_1000, PAGES_AT_10332 = 2, 21
KEYED_BESIDES = 6
HEALTH_CHECKS_EVERY = 24  # while they are switched off at the server

SCRAPERS = int(os.environ.get("BAO_CERTCTL_SCRAPERS", "5"))


def states():
    return {
        "one scraper": FakeState(certificates=1000),
        "five scrapers": FakeState(certificates=1000),
        "10,332": FakeState(certificates=10_332),
        "5,000 jobs, 3,000 notifications": FakeState(certificates=1000, jobs=5000, notifications=3000),
        "the defaults": FakeState(certificates=1000),
    }


@dataclasses.dataclass
class Measured:
    """Of one server, from the start of its second inventory to that of its sixth."""

    rig: CertctlRig
    polls: int
    rows: int
    seconds: float
    inventories: list  # the requests of each
    scrapes: list  # of each Prometheus

    @property
    def keyed(self) -> list[int]:
        return [sum(request.audited for request in one) for one in self.inventories]

    @property
    def requests(self) -> list[int]:
        return [sum(request.path != READY for request in one) for one in self.inventories]

    @property
    def rows_a_day(self) -> float:
        """The mean of the cycle, and the health checks, which are looked for four times a day."""
        off = 0 if self.rig.fake.health_checks_enabled else INVENTORIES_A_DAY / HEALTH_CHECKS_EVERY
        return POLLS_A_DAY + INVENTORIES_A_DAY * statistics.mean(self.keyed) + off

    @property
    def rows_a_day_counted(self) -> float:
        return self.rows / self.seconds * 86400 / FASTER

    def tell(self, name: str) -> None:
        print(
            f"\n{name}: {self.rows} rows in {self.seconds:.1f} s = {self.polls} polls + inventories of {self.keyed}"
            f" rows ({self.requests} requests); a day at the defaults: {self.rows_a_day:.0f} (as counted:"
            f" {self.rows_a_day_counted:.0f}); scrapes {self.scrapes}; requests, seconds: {inventories(self.rig)}"
        )


def measure(rig: CertctlRig, scrapes: list) -> Measured:
    runs = inventory_runs(rig.fake)[1 : 1 + CYCLE + 1]
    start, end = runs[0][0].arrived, runs[CYCLE][0].arrived
    within = [request for request in list(rig.fake.requests) if start <= request.arrived < end]
    return Measured(
        rig,
        sum(request.path == METRICS for request in within),
        sum(request.audited for request in within),
        end - start,
        runs[:CYCLE],
        scrapes,
    )


class Scraper(threading.Thread):
    """Asks for /metrics each second, as one more Prometheus does."""

    def __init__(self, rig: CertctlRig):
        super().__init__(daemon=True)
        self.rig = rig
        self.scrapes = 0
        self.end = threading.Event()

    def run(self):
        while not self.end.wait(1):
            assert self.rig.exporter.get(accept_encoding="gzip").status == 200
            self.scrapes += 1


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("budget")
    with contextlib.ExitStack() as stack:
        rigs = {}
        for name, state in states().items():
            (folder / name).mkdir()
            pace = NO_PACE if name == "the defaults" else PACE
            material = next(iter(rigs.values())).material if rigs else None
            rig = CertctlRig(folder / name, state=state, certctl=pace, material=material, log_level="info")
            rigs[name] = stack.enter_context(rig)
        scraped = [("one scraper", "first")] + [("five scrapers", str(number)) for number in range(SCRAPERS)]
        prometheus = [
            (name, stack.enter_context(running_prometheus(folder / name / number, "scrape.yml", rigs[name].exporter)))
            for name, number in scraped
        ]
        scrapers = [Scraper(rigs["the defaults"]) for _ in range(SCRAPERS)]
        for scraper in scrapers:
            scraper.start()
        deadline = time.monotonic() + 60 + (CYCLE + 1) * 15
        paced = [rig for name, rig in rigs.items() if name != "the defaults"]
        while min(len(inventory_runs(rig.fake)) for rig in paced) < CYCLE + 2:
            assert time.monotonic() < deadline, [len(inventory_runs(rig.fake)) for rig in paced]
            for rig in paced:
                rig.fake.state.beat()
            time.sleep(0.5)
        scrapes = {name: [] for name in rigs}
        for name, server in prometheus:
            scrapes[name].append(int(server.query('sum(count_over_time(up{job="bao-exporter"}[10m]))')[0][1]))
            assert server.query('min_over_time(up{job="bao-exporter"}[1m])')[0][1] == "1"
        for scraper in scrapers:
            scraper.end.set()
            scraper.join()
            scrapes["the defaults"].append(scraper.scrapes)
        yield {
            name: rig if name == "the defaults" else measure(rig, scrapes[name]) for name, rig in rigs.items()
        } | {"scrapes": scrapes}


def check(one: Measured, name: str) -> None:
    """The formula of the documents: rows are polls and what the inventories ask for, nothing else."""
    one.tell(name)
    assert one.rows == one.polls + sum(one.keyed)
    assert abs(one.polls - CYCLE * 15) <= 1
    assert set(filter(None, reasons(one.rig.scrape()).values())) == {"ok"}


def test_one_scraper_and_five_cost_the_same(measured):
    one, five = measured["one scraper"], measured["five scrapers"]
    check(one, "1,000 certificates, 1 Prometheus")
    check(five, f"1,000 certificates, {SCRAPERS} Prometheus servers")
    assert min(one.scrapes + five.scrapes) > 40 and len(five.scrapes) == SCRAPERS
    assert one.keyed == five.keyed == [KEYED_BESIDES + 2 * PAGES_AT_1000] * CYCLE
    assert one.rows_a_day == five.rows_a_day <= BUDGET


def test_an_inventory_of_1000_certificates_is_12_requests_at_most(measured):
    for name in ("one scraper", "five scrapers"):
        every = [sum(request.path != READY for request in one) for one in inventory_runs(measured[name].rig.fake)]
        print(f"\n{name}: requests of each inventory {every}")
        assert max(every) <= REQUESTS_AT_1000 and len(every) > CYCLE


def test_10332_certificates_cost_what_the_formula_says(measured):
    big = measured["10,332"]
    check(big, "10,332 certificates")
    assert big.keyed == [KEYED_BESIDES + 2 * PAGES_AT_10332] * CYCLE
    # More than the budget, which is for up to 1,000; in how many minutes an inventory would be within it:
    minutes = big.keyed[0] * 24 * 60 / (BUDGET - POLLS_A_DAY)
    print(f"  within {BUDGET} a day with inventory_interval = {math.ceil(minutes)}m")


def test_many_jobs_and_notifications_stay_within_the_budget(measured):
    many = measured["5,000 jobs, 3,000 notifications"]
    check(many, "1,000 certificates, 5,000 jobs, 3,000 notifications")
    print(f"  by path: {many.rig.fake.audit_rows_by_path()}")
    assert many.rows_a_day <= BUDGET
    scrape = many.rig.scrape()
    now = many.rig.fake.state.history.now(soonest=80)
    for collector in ("certificates", "jobs"):
        assert published(scrape, collector) == truth(now, collector)
    unsettled = {status: now["notifications"][status] for status in ("pending", "failed", "dead")}
    assert counts(scrape, "notifications", "status") == unsettled


def test_at_the_defaults_a_minute_costs_one_poll_whoever_scrapes(measured):
    rig = measured["the defaults"]
    fake, scrapes = rig.fake, measured["scrapes"]["the defaults"]
    seconds = time.monotonic() - fake.requests[0].arrived
    polls = sum(request.path == METRICS for request in fake.requests)
    assert sum(scrapes) >= SCRAPERS * 40 and polls == 1 + int(seconds // 60)
    inventory = inventory_runs(fake)
    assert len(inventory) == 1 and fake.audit_rows() == polls + sum(request.audited for request in inventory[0])
    print(f"\nthe defaults: {seconds:.0f} s, {sum(scrapes)} scrapes: {polls} polls, {fake.audit_rows()} rows")
