"""What the fake certctl's database holds, and what it held: every change is an instant of its own,
and `state.history` tells the exact counts at each instant, as the exporter should publish them."""

import bisect
import collections
import contextlib
import json
import operator
import threading
import time

import certctl_rows as rows_of
from certctl_rows import DAY, seconds_of, spelled

KINDS = ("certificates", "agents", "jobs", "issuers", "notifications", "discovered",
         "health_checks")
WINDOWS = {"7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
LEFT_OUT = ("Revoked", "Archived")  # of the expiring and of the soonest


def certificate_status(said):
    return spelled(said["status"], rows_of.CERTIFICATE_STATUSES)


# What a row is counted as: the values of the labels that its kind is published with.
COUNTED_AS = {
    "certificates": lambda said: (certificate_status(said), said.get("issuer_id", ""),
                                  said.get("environment", "")),
    "agents": lambda said: spelled(said["status"], rows_of.AGENT_STATUSES),
    "jobs": lambda said: (spelled(said["type"], rows_of.JOB_TYPES),
                          spelled(said["status"], rows_of.JOB_STATUSES)),
    "issuers": lambda said: (said["type"], "true" if said["enabled"] else "false",
                             spelled(said["test_status"], rows_of.TEST_STATUSES)),
    "notifications": lambda said: spelled(said["status"], rows_of.NOTIFICATION_STATUSES),
    "discovered": lambda said: spelled(said["status"], rows_of.DISCOVERED_STATUSES),
    "health_checks": lambda said: spelled(said["status"], rows_of.HEALTH_STATUSES),
}


class Row:
    """A row of one moment; to change it is to put another in its place."""

    __slots__ = ("id", "said", "expires", "created", "_texts")

    def __init__(self, said):
        self.id = said["id"]
        self.said = said
        self.expires = seconds_of(said["expires_at"]) if "expires_at" in said else None
        created = said.get("created_at") or said.get("registered_at")
        self.created = seconds_of(created) if created else 0.0
        self._texts = {}

    def text(self, fields=None):
        """Its JSON, or that of some fields, in the order of their names."""
        known = self._texts.get(fields)
        if known is None:
            said = self.said
            if fields is not None:
                said = {key: said[key] for key in sorted(fields) if key in said}
            known = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
            self._texts[fields] = known
        return known

    def soonest_key(self):
        """None for what is neither expiring nor among the soonest, whatever its date."""
        said = self.said
        if self.expires is None or certificate_status(said) in LEFT_OUT:
            return None
        return (self.expires, self.id, said["name"], said["common_name"],
                said.get("issuer_id", ""), said.get("environment", ""), said.get("owner_id", ""))


class FakeState:
    """All rows under one lock. Made from a seed, `now` (the clock's, unless given) and how many of
    each kind there are; the issuers are always the same seven."""

    def __init__(self, certificates=10_332, agents=14, jobs=240, notifications=120, discovered=60,
                 health_checks=24, seed=1, now=None, same_name=20, issuers=True):
        self.lock = threading.RLock()
        self.dice = dice = rows_of.dice_of(seed)
        now = time.time() if now is None else now
        self.rows = {kind: {} for kind in KINDS}
        self.versions = dict.fromkeys(KINDS, 0)
        self._counts = {kind: collections.Counter() for kind in KINDS}
        self._soonest = []  # soonest_key of each, sorted
        self._pending = {}  # jobs that are Pending
        self._records = []
        self._depth = 0
        self._dirty = set()
        self._moved = []    # (key taken from _soonest or None, key put into it or None)
        self._number = 1_000_000
        self.history = History(self)
        made = {
            "certificates": rows_of.certificates(certificates, dice, now, same_name),
            "agents": rows_of.agents(agents, dice, now),
            "jobs": rows_of.jobs(jobs, dice, now),
            "issuers": rows_of.issuers(now) if issuers else [],
            "notifications": rows_of.many(rows_of.notification, notifications, dice, now,
                                          rows_of.NOTIFICATION_STATUSES),
            "discovered": rows_of.many(rows_of.discovered, discovered, dice, now,
                                       rows_of.DISCOVERED_STATUSES),
            "health_checks": rows_of.many(rows_of.health_check, health_checks, dice, now,
                                          rows_of.HEALTH_STATUSES),
        }
        with self.transaction():
            self._dirty.update(KINDS)
            for kind, of_kind in made.items():
                for said in of_kind:
                    self.add(kind, said)

    @classmethod
    def empty(cls, **named):
        none = dict.fromkeys(("certificates", "agents", "jobs", "notifications", "discovered",
                              "health_checks"), 0)
        return cls(**(none | {"issuers": False} | named))

    # Changes. Each is one instant, unless a transaction is around several.

    def add(self, kind, said):
        self._put(kind, said["id"], Row(said))
        return said["id"]

    def change(self, kind, row_id, **changes):
        """`changes` over the row's fields, where None takes a field out."""
        with self.lock:
            said = self.rows[kind][row_id].said | changes
            said = {key: value for key, value in said.items() if value is not None}
            self._put(kind, row_id, Row(said))

    def remove(self, kind, row_id):
        self._put(kind, row_id, None)

    def add_certificate(self, **changes):
        """A plausible one; its id."""
        with self.lock:
            now = time.time()
            return self.add("certificates",
                            rows_of.certificate(self._next(), self.dice, now, now, **changes))

    def add_job(self, **changes):
        with self.lock:
            return self.add("jobs", rows_of.job(self._next(), self.dice, time.time(), **changes))

    def add_notification(self, **changes):
        with self.lock:
            return self.add("notifications", rows_of.notification(self._next(), self.dice,
                                                                  time.time(), **changes))

    def beat(self):
        """A heartbeat of each agent that is Online and ever sent one."""
        with self.transaction():
            now = rows_of.rfc3339(time.time())
            for row in list(self.rows["agents"].values()):
                if row.said["status"] == "Online" and "last_heartbeat_at" in row.said:
                    self.change("agents", row.id, last_heartbeat_at=now)

    @contextlib.contextmanager
    def transaction(self):
        with self.lock:
            self._depth += 1
            try:
                yield self
            finally:
                self._depth -= 1
                if self._depth == 0 and self._dirty:
                    self._commit()

    def churn(self, kinds=("certificates",)):
        """One change of the kind that certctl's work makes; what it was."""
        with self.lock:
            kind = self.dice.choice(kinds)
            ids = list(self.rows[kind])
            if kind == "certificates":
                return self._churn_certificates(ids)
            row_id = self.dice.choice(ids)
            statuses = {"agents": rows_of.AGENT_STATUSES, "jobs": rows_of.JOB_STATUSES,
                        "notifications": rows_of.NOTIFICATION_STATUSES,
                        "discovered": rows_of.DISCOVERED_STATUSES,
                        "health_checks": rows_of.HEALTH_STATUSES}
            if kind == "issuers":
                self.change(kind, row_id, test_status=self.dice.choice(rows_of.TEST_STATUSES))
            else:
                self.change(kind, row_id, status=self.dice.choice(statuses[kind]))
            return f"{kind}: change"

    def _churn_certificates(self, ids):
        what = self.dice.choice(("add", "remove", "change", "swap", "rename"))
        row_id = self.dice.choice(ids)
        if what == "add":
            self.add_certificate()
        elif what == "remove":
            self.remove("certificates", row_id)
        elif what == "change":
            self.change("certificates", row_id,
                        status=self.dice.choice(rows_of.CERTIFICATE_STATUSES))
        elif what == "swap":  # `total` does not tell
            with self.transaction():
                self.remove("certificates", row_id)
                self.add_certificate()
        else:  # goes to another page when pages are sorted by name
            self.change("certificates", row_id, name=f"renamed-{self._next()}")
        return f"certificates: {what}"

    @contextlib.contextmanager
    def churning(self, per_second, kinds=("certificates",)):
        """Changes go on in a thread of their own."""
        end = threading.Event()

        def work():
            while not end.wait(1 / per_second):
                self.churn(kinds)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    # How it keeps count.

    def _next(self):
        self._number += 1
        return self._number

    def _put(self, kind, row_id, row):
        with self.transaction():
            old = self.rows[kind].pop(row_id, None)
            assert row is not None or old is not None, f"no {kind} with the id {row_id}"
            for gone, step in ((old, -1), (row, 1)):
                if gone is not None:
                    self._count(kind, COUNTED_AS[kind](gone.said), step)
            if row is not None:
                self.rows[kind][row_id] = row
            self._dirty.add(kind)
            if kind == "certificates":
                self._move(old.soonest_key() if old else None, row.soonest_key() if row else None)
            if kind == "jobs":
                self._pending.pop(row_id, None)
                if row is not None and COUNTED_AS["jobs"](row.said)[1] == "Pending":
                    self._pending[row_id] = row

    def _count(self, kind, counted_as, step):
        counts = self._counts[kind]
        counts[counted_as] += step
        if counts[counted_as] == 0:
            del counts[counted_as]

    def _move(self, taken, put):
        if taken == put:
            return
        if taken is not None:
            del self._soonest[bisect.bisect_left(self._soonest, taken)]
        if put is not None:
            bisect.insort(self._soonest, put)
        self._moved.append((taken, put))

    def _commit(self):
        said = dict(self._records[-1].said) if self._records else {}
        for kind in self._dirty:
            said[kind] = dict(self._counts[kind])
            self.versions[kind] += 1
        if "agents" in self._dirty:
            beats = [row.said["last_heartbeat_at"] for row in self.rows["agents"].values()
                     if "last_heartbeat_at" in row.said]
            said["agents_without_heartbeat"] = len(self.rows["agents"]) - len(beats)
            said["agent_oldest_heartbeat"] = min(map(seconds_of, beats), default=None)
        if "jobs" in self._dirty:
            said["job_oldest_pending"] = {
                field: min((seconds_of(row.said[field]) for row in self._pending.values()),
                           default=None)
                for field in ("created_at", "scheduled_at")}
        moved = tuple(self._moved) if self._records else ()
        self._dirty, self._moved = set(), []
        self._records.append(Record(time.monotonic(), time.time(), said, moved))


Record = collections.namedtuple("Record", "monotonic wall said moved")


class History:
    """The counts of every instant since the state was made."""

    def __init__(self, state):
        self._state = state

    def __len__(self):
        with self._state.lock:
            return len(self._state._records)

    def now(self, soonest=50):
        """What is published of the present."""
        moment = time.monotonic()
        return self.counts_between(moment, moment, soonest=soonest)[-1]

    def counts_between(self, start, end, now=None, soonest=50, clock="monotonic"):
        """The distinct counts that were true at an instant between two times of time.monotonic(), or
        with clock="wall" of time.time(), in order. In each: certificates{(status, issuer, environment)},
        expiring{"7d" "30d" "90d"} seen from `now` (else from that instant), soonest (the `soonest`
        first (not_after, name, common_name, issuer, environment, owner) that end after `now`),
        agents{status}, agents_without_heartbeat, agent_oldest_heartbeat, jobs{(type, status)},
        job_oldest_pending{"created_at" "scheduled_at"}, issuers{(type, enabled, test_status)},
        notifications, discovered and health_checks{status}. What is none is left out of a dict."""
        with self._state.lock:
            records = list(self._state._records)
            keys = list(self._state._soonest)
        time_of = operator.attrgetter(clock)
        first = max(0, bisect.bisect_right(records, start, key=time_of) - 1)
        last = max(0, bisect.bisect_right(records, end, key=time_of) - 1)
        seen = []
        for place in range(len(records) - 1, first - 1, -1):
            record = records[place]
            if place <= last:
                moment = record.wall if place > first or clock == "monotonic" else start
                if place == first and clock == "monotonic":
                    moment += max(0.0, start - record.monotonic)
                said = record.said | _dated(keys, moment if now is None else now, soonest)
                if not seen or seen[-1] != said:
                    seen.append(said)
            _undo(keys, record.moved)
        seen.reverse()
        return seen

    def matching(self, start, end, now=None, soonest=50, clock="monotonic", **published):
        """Those of counts_between() in which each of `published` is as said: certificates={...},
        expiring={...} together are true at one and the same instant, or there is none."""
        return [said for said in self.counts_between(start, end, now, soonest, clock)
                if all(said[family] == value for family, value in published.items())]


def _dated(keys, now, soonest):
    def place(moment):
        return bisect.bisect_right(keys, moment, key=operator.itemgetter(0))

    begin = place(now)
    return {"expiring": {name: place(now + width) - begin for name, width in WINDOWS.items()},
            "soonest": [key[:1] + key[2:] for key in keys[begin:begin + soonest]]}


def _undo(keys, moved):
    for taken, put in reversed(moved):
        if put is not None:
            del keys[bisect.bisect_left(keys, put)]
        if taken is not None:
            bisect.insort(keys, taken)
