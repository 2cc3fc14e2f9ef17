"""Whether what was published of a certctl server was true of it: each reading, as the fake's log of
requests tells it, against the fake's history of states."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import time

from certctl import LISTS, ME, METRICS, READY
from certctl_rig import CertctlRig, counts, last_success, reason, up
from exposition import Exposition

PATHS = {kind: path for path, (_, kind) in LISTS.items() if kind not in ("discovered", "health_checks")}
PATHS |= {"discovery": "/api/v1/discovery-summary", "health_checks": "/api/v1/health-checks/summary"}
SOONEST = 20  # soonest_expiries, by default
FAMILIES = {
    "certificates": ("certificates", "certificates_expiring", "certificate_not_after_timestamp_seconds"),
    "agents": ("agents", "agent_oldest_heartbeat_timestamp_seconds", "agents_without_heartbeat"),
    "jobs": ("jobs", "job_oldest_pending_timestamp_seconds"),
    "issuers": ("issuers",),
    "notifications": ("notifications",),
    "discovery": ("discovered_certificates",),
    "health_checks": ("health_checks",),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """Requests of one list, one after the other: one reading of a collector."""

    start: float  # of time.monotonic()
    end: float
    end_wall: float
    requests: int
    whole: bool  # of a whole inventory, not one more try of what failed


def runs_of(fake, collector: str) -> list[Run]:
    lane = [r for r in list(fake.requests) if r.path not in (READY, METRICS) and r.finished is not None]
    runs = []
    whole = False
    for path, group in itertools.groupby(lane, key=lambda request: request.path):
        requests = list(group)
        whole = whole or path == ME
        if path == PATHS[collector]:
            last = requests[-1]
            end_wall = last.arrived_wall + (last.finished - last.arrived)
            runs.append(Run(requests[0].arrived, last.finished, end_wall, len(requests), whole))
            whole = False
    return runs


def inventory_runs(fake) -> list[list]:
    """The requests of the inventory lane of each whole inventory."""
    lane = [r for r in list(fake.requests) if r.path not in (READY, METRICS)]
    starts = [place for place, request in enumerate(lane) if request.path == ME]
    return [lane[begin:end] for begin, end in zip(starts, [*starts[1:], len(lane)])]


# --- what is published, as the fake's history says it ------------------------------------------------


def _present(found: dict) -> dict:
    """Without what is none: some are published as 0, which the history leaves out."""
    return {key: value for key, value in found.items() if value}


def published(scrape: Exposition, collector: str) -> dict | None:
    """None: its families are absent."""
    if not any(scrape.samples(f"certctl_state_{family}") for family in FAMILIES[collector]):
        return None
    if collector == "certificates":
        soonest = scrape.samples("certctl_state_certificate_not_after_timestamp_seconds")
        names = ("name", "common_name", "issuer_id", "environment", "owner_id")
        return {
            "certificates": _present(counts(scrape, "certificates", "status", "issuer_id", "environment")),
            "expiring": counts(scrape, "certificates_expiring", "within"),
            "soonest": {(float(s.value), *(s.labels[name] for name in names)) for s in soonest},
        }
    if collector == "agents":
        return {
            "agents": _present(counts(scrape, "agents", "status")),
            "agents_without_heartbeat": counts(scrape, "agents_without_heartbeat").get(None),
            "agent_oldest_heartbeat": counts(scrape, "agent_oldest_heartbeat_timestamp_seconds").get(None),
        }
    if collector == "jobs":
        return {"jobs": _present(counts(scrape, "jobs", "type", "status"))}
    if collector == "issuers":
        return {"issuers": _present(counts(scrape, "issuers", "type", "enabled", "test_status"))}
    if collector == "discovery":
        return {"discovered": _present(counts(scrape, "discovered_certificates", "status"))}
    return {collector: _present(counts(scrape, collector, "status"))}


def _soonest(rows: list[tuple]) -> set[tuple]:
    """As published: whole seconds, of several with the same labels the first, the first SOONEST."""
    told, chosen = set(), set()
    for row in sorted((math.floor(at), *labels) for at, *labels in rows):
        if row[1:] not in told and len(told) < SOONEST:
            told.add(row[1:])
            chosen.add(row)
    return chosen


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else math.floor(seconds)


def truth(said: dict, collector: str) -> dict:
    """What should be published of one instant of the history."""
    if collector == "certificates":
        return {name: said[name] for name in ("certificates", "expiring")} | {"soonest": _soonest(said["soonest"])}
    if collector == "agents":
        return {
            "agents": said["agents"],
            "agents_without_heartbeat": said["agents_without_heartbeat"],
            "agent_oldest_heartbeat": _whole(said["agent_oldest_heartbeat"]),
        }
    kind = "discovered" if collector == "discovery" else collector
    return {kind: said[kind]}


def is_true(state, run: Run, collector: str, what: dict) -> bool:
    """All of `what` was true at one and the same instant of the run."""
    instants = state.history.counts_between(run.start, run.end, soonest=SOONEST + 60)
    return any(truth(said, collector) == what for said in instants)


# --- to watch, and then to judge -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Seen:
    began: float
    ended: float
    reason: str | None
    last_success: float
    what: dict | None


class Watch:
    """What is published of some collectors, at each scrape."""

    def __init__(self, rig: CertctlRig, collectors=tuple(PATHS)):
        self.rig = rig
        self.collectors = collectors
        self.seen: dict[str, list[Seen]] = {collector: [] for collector in collectors}

    def look(self) -> Exposition:
        began = time.monotonic()
        scrape = self.rig.scrape()
        ended = time.monotonic()
        for collector in self.collectors:
            what = published(scrape, collector)
            why = reason(scrape, collector)
            assert (what is not None) == bool(up(scrape, collector)) == (why == "ok"), (collector, why, what)
            self.seen[collector].append(Seen(began, ended, why, last_success(scrape, collector), what))
        return scrape

    def look_until(self, done, timeout: float, every: float = 0.1) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline, f"not within {timeout} s:\n{self.rig.log()[-3000:]}"
            self.look()
            time.sleep(every)
        time.sleep(every)
        self.look()

    def verdicts(self, collector: str) -> list[tuple[Run, str, dict | None]]:
        """For each reading that ended between the first scrape and the last: exact, WRONG, the reason that it
        failed for, or unseen; and what was published."""
        runs = runs_of(self.rig.fake, collector)
        ends = [run.end_wall for run in runs]
        seen = self.seen[collector]
        of_run: dict[int, dict] = {}
        for look in seen:
            if look.what is None:
                continue
            place = bisect.bisect_right(ends, look.last_success + 0.002) - 1
            assert place >= 0, (collector, look.last_success, ends[:3])
            assert of_run.setdefault(place, look.what) == look.what, f"{collector}: changed without a reading"
        found = []
        for place, run in enumerate(runs):
            if run.end < seen[0].began:
                continue
            if run.end > seen[-1].began - 0.1:
                break
            if place in of_run:
                true = is_true(self.rig.fake.state, run, collector, of_run[place])
                found.append((run, "exact" if true else "WRONG", of_run[place]))
                continue
            # The next may fail before its last answer was written, or without a request that came.
            until = runs[place + 1].start if place + 1 < len(runs) else math.inf
            reasons = [look.reason for look in seen if look.began > run.end + 0.05 and look.ended < until]
            first = next(filter(None, reasons), "unseen")  # None: before its first reading had ended
            found.append((run, first, None))
        return found
