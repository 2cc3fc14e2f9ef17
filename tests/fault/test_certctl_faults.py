"""What can go wrong with a certctl server, each kind at a server of its own, all of them at the same
time behind one exporter: each has its reason, nothing else is affected, each is back within one
interval after it ended, and none is asked more than before."""

import contextlib
import dataclasses
import pathlib
import signal
import socket
import threading
import time

import pytest
from certctl import LISTS as LIST_PATHS, ME, METRICS, READY, VERSION_PATH, FakeCertctl
from certctl_keys import json_text
from certctl_server import Response
from certctl_under_fault import (COLLECTORS, INTERVAL, INVENTORY, LISTS, TIMEOUT, Watch, busiest,
                                 key_in, make_server, make_ward, material)  # noqa: F401
from exporter_process import wait_until
from exporter_under_fault import CANARIES, replace_file
from reloads import REFUSED, reloading

HEALTH_SUMMARY, DISCOVERY_SUMMARY = "/api/v1/health-checks/summary", "/api/v1/discovery-summary"
PATHS = {  # what each collector asks
    "certificates": "/api/v1/certificates", "agents": "/api/v1/agents", "jobs": "/api/v1/jobs",
    "issuers": "/api/v1/issuers", "notifications": "/api/v1/notifications",
    "discovery": DISCOVERY_SUMMARY, "health_checks": HEALTH_SUMMARY}
FAMILIES = {
    "certificates": "certctl_state_certificates", "agents": "certctl_state_agents",
    "jobs": "certctl_state_jobs", "issuers": "certctl_state_issuers",
    "notifications": "certctl_state_notifications",
    "discovery": "certctl_state_discovered_certificates",
    "health_checks": "certctl_state_health_checks"}
SLACK = 1.2    # requests, publishing, a scrape; on a machine that has other work
USUAL = 20     # requests in an interval: an inventory, its lists once more, the metrics of both ends
LIMITED = b'{"error":"Rate limit exceeded"}\n'
TEXT = "text/plain; charset=utf-8"


class Case:
    """A server and what happens to it."""

    def __init__(self, server, ward, watch, elsewhere):
        self.server, self.fake, self.name = server, server.fake, server.name
        self.ward, self.watch, self.elsewhere = ward, watch, elsewhere
        self.told = ""
        self.error = None
        self.gaps = None  # scrapes that told of a rotation that nobody should notice

    def wait(self, condition, within, what, since=None):
        return self.watch.wait(lambda moment: condition(moment.of(self.name)),
                               time.monotonic() if since is None else since, within,
                               f"{self.name}: {what}")

    def seen_since(self, when, until=float("inf")):
        return [moment.of(self.name) for moment in self.watch.since(when) if moment.when < until]

    def always_well(self, since, collectors=COLLECTORS):
        seen = self.seen_since(since)
        bad = [one.reason for one in seen if not one.all_ok(collectors) or not one.upstream]
        assert bad == [] and len(seen) > 10, (len(bad), len(seen), bad[:2])

    def log_lines(self, *words):
        return self.ward.log_lines(f"certctl={self.name}", *words)

    def asked(self, path, since=0.0):
        return [request for request in self.fake.requests_of(path) if request.arrived > since]

    def count_requests(self, since, usual=USUAL):
        requests = [one for one in list(self.fake.requests) if one.arrived > since]
        seconds = time.monotonic() - since
        most = busiest(requests)
        self.told += (f" {len(requests)} requests in {seconds:.1f} s, {busiest(requests)} in the "
                      "busiest interval;")
        assert most <= usual, f"{most} requests in an interval"

    def suffer(self, inflict, reasons, ready=True, lasts=INVENTORY + 1.5, heal=None,
               back_within=INTERVAL + SLACK, usual=USUAL):
        """`reasons`: collector: what it fails with; the others must not notice. Until all have
        failed, those lists that were not asked for since may still be what they were."""
        before = self.wait(lambda seen: seen.all_ok(), 8, "well at first")
        began = time.monotonic()
        inflict(self.fake)

        def failed(seen):
            return all(seen.reason[one] == why for one, why in reasons.items())

        fell = self.wait(failed, INVENTORY + 3, f"became {reasons}", began)
        self.told += f" {sorted(set(reasons.values()))} after {fell.when - began:.1f} s;"
        time.sleep(max(0.0, began + lasts - time.monotonic()))
        healed = time.monotonic()
        self._check_meanwhile(before.of(self.name), began, fell.when, reasons, ready)
        self._check_own_path(reasons.get("metrics"))
        self.count_requests(began + TIMEOUT, usual)
        self._check_log(reasons)
        healed = time.monotonic()
        (heal or FakeCertctl.heal)(self.fake)
        self.fake.health_checks_enabled = True
        back = self.wait(lambda seen: seen.all_ok() and seen.ready and seen.upstream, back_within,
                         "back", healed)
        self.told += f" back after {back.when - healed:.2f} s"
        assert back.of(self.name).families == before.of(self.name).families
        assert back.when - healed <= back_within
        self.count_requests(healed, usual + 2)
        return began, healed

    def _check_meanwhile(self, before, began, fell, reasons, ready):
        for seen in self.seen_since(began):
            for one in COLLECTORS:
                assert seen.reason[one] in ("ok", reasons.get(one)), (one, seen.reason[one])
                assert seen.up[one] == (seen.reason[one] == "ok")
            for one in LISTS:
                assert (FAMILIES[one] in seen.families) == seen.up[one], one
            assert bool(seen.upstream) == seen.up["metrics"]
            if seen.upstream:
                assert len(seen.upstream) == len(before.upstream)
        for seen in self.seen_since(fell):
            assert {one: why for one, why in seen.reason.items() if why != "ok"} == reasons
            assert seen.ready == ready

    def _check_own_path(self, reason):
        own = self.ward.scrape(path=f"/metrics/certctl/{self.name}", timeout=3)
        if reason is None:
            assert own.status == 200 and b"certctl_certificate_total" in own.body
            return
        assert own.status == 503 and reason in own.text and own.text.count("\n") <= 1, own.text

    def _check_log(self, reasons):
        """Once for each, however long it lasts."""
        for one, why in reasons.items():
            lines = self.log_lines('msg="certctl collector failed"', f"collector={one}")
            assert len(lines) == 1 and f" reason={why} " in lines[0] and " remedy=" in lines[0], lines


ALL = dict.fromkeys(COLLECTORS)
CASES = {}
OPTIONS = {}


def case(name, **options):
    """A case by its name; `options` are keys of its server's table, or of make_server()."""
    def register(play):
        CASES[name], OPTIONS[name] = play, options
        return play
    return register


def everything(reason):
    return dict.fromkeys(COLLECTORS, reason)


def lists_only(reason):
    return dict.fromkeys(LISTS, reason)


# --- the database -------------------------------------------------------------------------------

@case("database-down")
def database_down(case):
    def inflict(fake):
        fake.faults.database_down = True

    began, healed = case.suffer(inflict, everything("database_down"), ready=False)
    keyed = [one for one in case.asked(METRICS, began) if one.arrived < healed]
    assert len(keyed) <= 1, "the key is sent to a server that is not ready"


@case("all-locked")
def all_tables_locked(case):
    case.suffer(lambda fake: fake.faults.lock(None), everything("timeout"), lasts=INVENTORY + 3)


@case("metrics-locked")
def metrics_locked(case):
    case.suffer(lambda fake: fake.faults.lock(METRICS), {"metrics": "timeout"}, lasts=5 * INTERVAL)


@case("jobs-locked")
def one_table_locked(case):
    """It is tried again ever more rarely while the metrics come, up to an inventory_interval."""
    case.suffer(lambda fake: fake.faults.lock(PATHS["jobs"]), {"jobs": "timeout"},
                back_within=INVENTORY + INTERVAL + SLACK)


@case("jobs-locked-briefly")
def one_table_locked_for_one_interval(case):
    """As a lock of a minute is at the defaults."""
    case.suffer(lambda fake: fake.faults.lock(PATHS["jobs"]), {"jobs": "timeout"}, lasts=0)


# --- the rate limit -----------------------------------------------------------------------------

@case("rate-limited")
def rate_limited(case):
    case.suffer(lambda fake: fake.limiter.set(0, 0), everything("rate_limited"), ready=False)


@case("metrics-limited")
def only_metrics_limited(case):
    case.suffer(lambda fake: fake.faults.answer(METRICS, 429, LIMITED, TEXT, ["Retry-After: 1"]),
                {"metrics": "rate_limited"})


@case("agents-limited")
def a_list_limited(case):
    """What comes after it is not asked for: it would fare no better."""
    rest = dict.fromkeys(LISTS[1:], "rate_limited")
    case.suffer(lambda fake: fake.faults.answer(PATHS["agents"], 429, LIMITED, TEXT,
                                                ["Retry-After: 1"]),
                rest, back_within=INVENTORY + INTERVAL + SLACK)


@case("retry-after")
def a_429_is_waited_out_within_the_poll(case):
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    case.fake.faults.answer(METRICS, 429, LIMITED, TEXT, ["Retry-After: 1"], times=1)
    case.fake.faults.answer(PATHS["agents"], 429, LIMITED, TEXT, ["Retry-After: 1"], times=1)
    time.sleep(INVENTORY + 3)
    case.always_well(began)
    for path in (METRICS, PATHS["agents"]):
        asked = case.asked(path, began)
        [limited] = [at for at, one in enumerate(asked) if one.status == 429]
        waited = asked[limited + 1].arrived - asked[limited].finished
        assert waited >= 1 and asked[limited + 1].status == 200
        if path == METRICS:  # in the same poll, which begins with /ready
            assert not [one for one in case.asked(READY, asked[limited].arrived)
                        if one.arrived < asked[limited + 1].arrived]
        case.told += f" asked again after {waited:.2f} s;"


@case("drained")
def a_neighbour_drains_the_limiter(case):
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    case.fake.limiter.set(5, 5)
    for _ in range(8):
        case.fake.limiter.drain()
        time.sleep(1)
    limited = [one for one in list(case.fake.requests)
               if one.arrived > began and one.status == 429]
    assert limited
    seen = case.seen_since(began)
    assert {why for one in seen for why in one.reason.values()} <= {
        "ok", "rate_limited", "timeout"}  # the last: the rest of a poll after it had waited
    case.count_requests(began)
    healed = time.monotonic()
    case.fake.limiter.set(None)
    case.wait(lambda seen: seen.all_ok(), INVENTORY + SLACK, "back", healed)
    case.told += (f" {len(limited)} times 429, and well in {sum(one.all_ok() for one in seen)} of "
                  f"{len(seen)} scrapes;")


# --- the key ------------------------------------------------------------------------------------

def is_rejected(seen):
    return seen.reason == dict.fromkeys(COLLECTORS, "token_rejected")


@case("key-revoked")
def key_revoked(case):
    """One poll of the metrics an interval, and no list at all, until there is another key."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    secret = case.fake.keys.secret("viewer")
    began = time.monotonic()
    case.fake.keys.revoke(secret=secret)
    fell = case.wait(is_rejected, INTERVAL + SLACK, "rejected", began)
    case.told += f" token_rejected after {fell.when - began:.2f} s;"
    time.sleep(INVENTORY + 2.5)
    asked = [one for one in list(case.fake.requests) if one.arrived > fell.when]
    assert {one.path for one in asked} == {READY, METRICS}
    case.count_requests(fell.when, usual=4)
    assert all(one.ready for one in case.seen_since(fell.when))
    assert len(case.log_lines('msg="certctl key is rejected"')) == 1
    fresh = case.server.new_key("the key after the revoked one")
    healed = time.monotonic()
    case.server.put_key(fresh)
    back = case.wait(lambda seen: seen.all_ok(), INTERVAL + SLACK, "back", healed)
    case.told += f" back {back.when - healed:.2f} s after the file was replaced"


@case("key-known-again")
def key_is_known_again(case):
    """The server forgets the key and learns it again; the file stays."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    secret = case.fake.keys.secret("viewer")
    began = time.monotonic()
    case.fake.keys.revoke(secret=secret)
    case.wait(is_rejected, INTERVAL + SLACK, "rejected", began)
    time.sleep(3 * INTERVAL)
    healed = time.monotonic()
    case.fake.keys.add("viewer", secret=secret)
    back = case.wait(lambda seen: seen.all_ok(), INTERVAL + SLACK, "back", healed)
    case.told += f" back after {back.when - healed:.2f} s"


@case("key-rotated")
def key_rotated(case):
    """Two good keys, the file is replaced, the old one is revoked: nobody notices."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    old = case.fake.keys.secret("viewer")
    for number in range(3):
        fresh = case.server.new_key(f"key {number}")
        case.server.put_key(fresh)
        time.sleep(1.5 * INTERVAL)
        case.fake.keys.revoke(secret=old)
        time.sleep(0.5 * INTERVAL)
        assert case.fake.requests_of(METRICS)[-1].secret == fresh
        old = fresh
    case.always_well(began)
    assert [one.status for one in list(case.fake.requests) if one.status == 401] == []
    case.count_requests(began)


@case("key-rotated-at-once")
def key_rotated_at_once(case):
    """Revoked and replaced in one moment: who is told 401 reads the file again, asks once more at
    once, and is good in that interval."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    case.fake.faults.slow(0.1)  # so that a scrape sees what lies between
    began = time.monotonic()
    again = []
    for number in range(6):
        mark = len(case.fake.requests)
        # Just before a poll, so that it comes before the file is looked at.
        latest = case.fake.requests_of(METRICS)[-1].arrived
        time.sleep((latest - 0.15 - time.monotonic()) % INTERVAL)
        old = case.fake.keys.secret("viewer")
        fresh = case.server.new_key(f"key {number}")
        case.fake.keys.revoke(secret=old)
        case.server.put_key(fresh)
        time.sleep(INTERVAL)
        new = list(case.fake.requests)[mark:]
        again += [other.arrived - one.arrived for one in new if one.status == 401
                  for other in new[:-1] if other.path == METRICS and other.secret == fresh][:1]
        case.wait(lambda seen: seen.all_ok(), SLACK, "well again")
    assert again and max(again) < 0.5 * INTERVAL, again
    case.told += f" {len(again)} times 401, metrics with the new key {max(again):.2f} s later;"
    case.gaps = [seen.reason for seen in case.seen_since(began) if not seen.all_ok()]
    case.told += f" not well in {len(case.gaps)} of {len(case.seen_since(began))} scrapes;"


# --- TLS and the connection ---------------------------------------------------------------------

@case("other-ca")
def renewed_with_another_authority(case):
    began, healed = case.suffer(lambda fake: fake.use_certificate("other_server"),
                                everything("tls"), ready=False)
    assert not [one for one in list(case.fake.requests) if began + 0.2 < one.arrived < healed]


@case("wrong-name")
def wrong_name(case):
    began, healed = case.suffer(lambda fake: fake.use_certificate("wrong_name"),
                                everything("tls"), ready=False)
    assert not [one for one in list(case.fake.requests) if began + 0.2 < one.arrived < healed]


@case("expired")
def expired(case):
    case.suffer(lambda fake: fake.use_certificate("expired"), everything("tls"), ready=False)


@case("plain-http")
def plain_http(case):
    """Something else has the port, and speaks no TLS: it gets no request."""
    received = []

    def answer(listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(1)
                    received.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP "
                                       b"request to an HTTPS server.\n")

    listeners = []

    def inflict(fake):
        fake.stop()
        listeners.append(socket.create_server(("127.0.0.1", fake.port), backlog=64))
        threading.Thread(target=answer, args=(listeners[0],), daemon=True).start()

    def heal(fake):
        listeners[0].shutdown(socket.SHUT_RDWR)
        listeners[0].close()
        fake.start()

    case.suffer(inflict, everything("tls"), ready=False, heal=heal)
    assert received and all(one[:1] == b"\x16" for one in received if one)
    assert not any(case.fake.keys.secret("viewer").encode() in one for one in received)


@case("stopped")
def stopped(case):
    case.suffer(lambda fake: fake.stop(), everything("connect"), ready=False)
    case.told += f" {len(case.fake.connections)} connections"


@case("dropped")
def each_request_dropped(case):
    case.suffer(lambda fake: fake.faults.drop(None), everything("reset"))


@case("cut-once")
def idle_connections_cut(case):
    """A server that restarts between two requests is not noticed."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    for _ in range(5):
        latest = case.fake.requests[-1].arrived
        time.sleep(max(0.0, latest + 0.4 * INTERVAL - time.monotonic()))
        case.fake.drop_connections()
        time.sleep(0.8 * INTERVAL)
    case.always_well(began)
    case.count_requests(began)


@case("too-slow")
def too_slow(case):
    case.suffer(lambda fake: fake.faults.slow(2.3), everything("timeout"), lasts=INVENTORY + 3)


@case("slow")
def slow_but_in_time(case):
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    case.fake.faults.slow(0.2)
    time.sleep(INVENTORY + 3)
    case.always_well(began)
    took = {line.split('collector="')[1].split('"')[0]: float(line.rpartition(" ")[2])
            for line in case.ward.scrape(timeout=3).text.splitlines()
            if line.startswith("certctl_state_collector_duration_seconds{")
            and f'certctl="{case.name}"' in line}
    assert set(took) == set(COLLECTORS) and all(0.2 <= one < TIMEOUT for one in took.values()), took
    case.count_requests(began)


# --- what it answers ----------------------------------------------------------------------------

@case("500-while-ready")
def metrics_500(case):
    case.suffer(lambda fake: fake.faults.answer(METRICS, 500, b'{"error":"Internal error"}'),
                {"metrics": "server_error"})


PAGE = b"<html><head><title>502 Bad Gateway</title></head><body></body></html>\n"


@case("502-of-metrics")
def metrics_502(case):
    case.suffer(lambda fake: fake.faults.answer(METRICS, 502, PAGE, "text/html"),
                {"metrics": "server_error"})


@case("502-of-all")
def everything_502(case):
    def inflict(fake):
        for path in (READY, ME, METRICS, *PATHS.values()):
            fake.faults.answer(path, 502, PAGE, "text/html")

    case.suffer(inflict, everything("server_error"), ready=False)


@case("a-login-page")
def html_200(case):
    def inflict(fake):
        for path in (READY, ME, METRICS, *PATHS.values()):
            fake.faults.answer(path, 200, PAGE, "text/html")

    case.suffer(inflict, everything("protocol"), ready=False)


def redirecting(case, status, *paths):
    def inflict(fake):
        for path in paths:
            fake.faults.answer(path, status, b"", "text/html",
                               [f"Location: {case.elsewhere.url}{path}"])
    return inflict


@case("301-of-metrics")
def metrics_moved(case):
    case.suffer(redirecting(case, 301, METRICS), {"metrics": "redirect"})


@case("307-of-lists")
def lists_moved(case):
    case.suffer(redirecting(case, 307, *PATHS.values()), lists_only("redirect"),
                back_within=INVENTORY + INTERVAL + SLACK)


@case("308-of-me")
def powers_moved(case):
    case.suffer(redirecting(case, 308, ME), lists_only("redirect"),
                back_within=INVENTORY + INTERVAL + SLACK)


@case("302-of-ready")
def ready_moved(case):
    case.suffer(redirecting(case, 302, READY), {"metrics": "redirect"}, ready=False)


@case("me-404")
def no_auth_me(case):
    """An older certctl: each list says for itself."""
    case.wait(lambda seen: seen.all_ok(), 8, "well")
    began = time.monotonic()
    case.fake.faults.answer(ME, 404, b"404 page not found\n", TEXT)
    time.sleep(INVENTORY + 2)
    assert case.asked(ME, began)
    case.always_well(began)
    case.count_requests(began)


@case("me-500")
def auth_me_500(case):
    case.suffer(lambda fake: fake.faults.answer(ME, 500, b'{"error":"Internal error"}'),
                lists_only("server_error"), back_within=INVENTORY + INTERVAL + SLACK)


@case("me-garbage")
def auth_me_garbage(case):
    case.suffer(lambda fake: fake.faults.answer(ME, 200, b'{"admin":"perhaps",'),
                lists_only("protocol"), back_within=INVENTORY + INTERVAL + SLACK)


GARBAGE = [b'{"data":[{"id":"x"', b"[]", b'"certificates"', b'{"data":17,"total":"many"}',
           b"[" * 5000, b'{"data":null,"total":1,"total":2,"page":1,"per_page":500}',
           b'{"data":["\xff\xfe"],"total":-1,"page":1e99,"per_page":0}']


def answer_with_garbage(number):
    def play(case):
        def inflict(fake):
            for at, path in enumerate(PATHS.values()):
                fake.faults.answer(path, 200, GARBAGE[(at + number) % len(GARBAGE)])

        case.suffer(inflict, lists_only("protocol"), back_within=INVENTORY + INTERVAL + SLACK)
    return play


for number in range(len(GARBAGE)):
    case(f"garbage-{number}")(answer_with_garbage(number))


class Endless(FakeCertctl):
    """At `endless` there is another page behind each."""

    endless, same, total = None, False, 400_000

    def _content(self, request, key):
        if request.path != self.endless:
            return super()._content(request, key)
        page = int(request.asked["page"])
        first = 0 if self.same else 500 * page
        kind = LIST_PATHS[request.path][1]
        said = next(iter(self.state.rows[kind].values())).said
        rows = [said | {"id": f"{kind}-{first + row}"} for row in range(500)]
        return Response(200, json_text({"data": rows, "total": self.total, "page": page,
                                        "per_page": 500}))


def list_without_end(collector, reason, **how):
    def play(case):
        def inflict(fake):
            fake.faults.slow(0.1, PATHS[collector])
            for name, value in how.items():
                setattr(fake, name, value)
            fake.endless = PATHS[collector]

        def heal(fake):
            fake.heal()
            fake.endless = None

        case.suffer(inflict, {collector: reason}, heal=heal, usual=USUAL + 12,
                    back_within=INVENTORY + INTERVAL + SLACK)
    return play


case("endless-certificates", of=Endless)(list_without_end("certificates", "timeout"))
case("endless-agents", of=Endless)(list_without_end("agents", "timeout"))
case("huge-total", of=Endless)(list_without_end("certificates", "too_large", total=10**9))
case("same-page", of=Endless)(list_without_end("certificates", "inconsistent", same=True))


@case("health-checks-off")
def health_checks_off(case):
    """The server's default: its series are left out, and it is asked once."""
    collectors = [one for one in COLLECTORS if one != "health_checks"]
    began = time.monotonic()
    time.sleep(2 * INVENTORY + 1)
    case.always_well(began, collectors)
    assert len(case.asked(HEALTH_SUMMARY)) == 1
    assert len(case.log_lines('msg="certctl collector is switched off at the server"')) == 1
    assert case.log_lines('msg="certctl collector failed"') == []


@case("bystander")
def bystander(case):
    """The server beside, of which nothing was wrong."""
    began = time.monotonic()
    time.sleep(3 * INVENTORY + 2)
    case.always_well(began)
    requests = [one for one in list(case.fake.requests) if one.arrived > began]
    assert {one.status for one in requests} == {200}
    case.count_requests(began)


# --- all of them at once ------------------------------------------------------------------------

class Played:
    def __init__(self, ward, cases, watch, good, elsewhere):
        self.ward, self.cases, self.watch = ward, cases, watch
        self.good, self.elsewhere = good, elsewhere


def play(case):
    try:
        CASES[case.name](case)
    except BaseException as error:
        case.error = error


@pytest.fixture(scope="module")
def played(make_server, make_ward, material):  # noqa: F811
    servers = [make_server(name, **OPTIONS[name]) for name in CASES]
    off = next(one for one in servers if one.name == "health-checks-off")
    off.fake.health_checks_enabled = False
    ward = make_ward(servers)
    with FakeCertctl(state=servers[0].fake.state, material=material) as elsewhere:
        ward.wait_well(*(one for one in servers if one is not off))
        good = ward.moment().node
        with Watch(ward) as watch:
            cases = {one.name: Case(one, ward, watch, elsewhere) for one in servers}
            threads = [threading.Thread(target=play, args=(one,)) for one in cases.values()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for one in cases.values():
            print(f"{one.name}:{one.told}{' FAILED' if one.error else ''}")
        yield Played(ward, cases, watch, good, elsewhere)


@pytest.mark.parametrize("name", CASES)
def test_a_fault_has_its_reason_and_ends_with_it(played, name):
    if played.cases[name].error is not None:
        raise played.cases[name].error


def test_nobody_notices_a_key_that_is_revoked_and_replaced_in_one_moment(played):
    assert played.cases["key-rotated-at-once"].gaps == []


def test_the_node_of_openbao_was_in_every_scrape(played):
    moments = played.watch.moments
    assert len(moments) > 50 and played.good
    assert all(moment.node_up and moment.node == played.good for moment in moments)


def test_the_port_answered_all_the_time(played):
    slowest = max(moment.seconds for moment in played.watch.moments)
    print(f"{len(played.watch.moments)} scrapes, the slowest took {slowest:.2f} s")
    assert slowest < 1.5


def test_no_redirect_was_followed(played):
    assert played.elsewhere.connections == [] and played.elsewhere.requests == []


def test_each_key_was_sent_to_its_server_only(played):
    for one in played.cases.values():
        own = {token for name, token in CANARIES.items() if name.endswith(f" of {one.name}")}
        sent = {request.path: key_in(request) for request in one.fake.requests}
        assert {key_in(request) for request in one.fake.requests} <= own | {None}, one.name
        assert {path for path, key in sent.items() if key is None} <= {READY, VERSION_PATH}


# --- SIGHUP and reloads -------------------------------------------------------------------------

LAZY = {"interval": "30s", "inventory_interval": "10m"}


@pytest.fixture
def run(make_ward):  # noqa: F811
    """run(*servers): a ward that is well, watched all the time; neither its node nor the first
    server may be missing in any scrape."""
    with contextlib.ExitStack() as stack:
        def start(*servers):
            ward = make_ward(list(servers))
            stack.callback(ward.stop)
            good = ward.wait_well().node
            ward.watch = stack.enter_context(Watch(ward))
            stack.callback(check, ward, good, servers[0].name)
            return ward
        yield start


def check(ward, good, name):
    ward.watch.wait(lambda moment: True, 0, 5, "a scrape")
    moments = ward.watch.moments
    assert all(moment.node_up and moment.node == good for moment in moments)
    assert all(moment.of(name).all_ok() and moment.of(name).upstream for moment in moments)


def reload(ward, *servers):
    ward.servers = list(servers)
    ward.write_config()
    with reloading(ward, "SIGHUP"):
        pass
    return time.monotonic()


def wait_round(ward, server, count):
    """Its round of this number is over. A SIGHUP meanwhile would begin no other: what it tries is under
    way."""
    def told():
        polls = server.fake.requests_of(METRICS)
        success = ward.scrape().value("certctl_state_collector_last_success_timestamp_seconds",
                                      certctl=server.name, collector="metrics")
        return (len(polls) >= count and success > polls[count - 1].arrived_wall
                and len(ward.log_lines('msg="certctl inventory"', f"certctl={server.name}")) >= count)

    wait_until(f"round {count} of {server.name}", told, 5)


def test_sighup_tries_what_failed_at_once(make_server, run):  # noqa: F811
    beside, away = make_server("beside-1", **LAZY), make_server("away-1", **LAZY)
    ward = run(beside, away)
    wait_round(ward, beside, 1)
    wait_round(ward, away, 1)
    away.fake.stop()
    with reloading(ward, "SIGHUP"):
        pass
    ward.wait_for(lambda m: set(m.of("away-1").reason.values()) == {"connect"}, 2, "away")
    wait_round(ward, beside, 2)
    away.fake.start()
    began = time.monotonic()
    with reloading(ward, "SIGHUP"):
        pass
    back = ward.wait_for(lambda m: m.of("away-1").all_ok(), 1, "back")
    print(f"back {back.when - began:.2f} s after SIGHUP; the interval is 30 s")
    wait_round(ward, beside, 3)
    asked = [one.path for one in beside.fake.requests]
    assert all(asked.count(path) == 3 for path in (METRICS, ME, *PATHS.values())), asked


def test_many_sighups_make_no_storm(make_server, run):  # noqa: F811
    beside = make_server("beside-2", **LAZY)
    ward = run(beside)
    mark = len(beside.fake.requests)
    beside.fake.faults.slow(0.3)
    for _ in range(40):
        ward.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    time.sleep(1)
    asked = beside.fake.requests[mark:]
    print(f"{len(asked)} requests in 3 s of 40 SIGHUPs")
    spans = [(one.arrived, one.finished or time.monotonic()) for one in asked]
    under_way = [sum(a <= begin < b for a, b in spans) for begin, _ in spans]
    assert max(under_way) <= 2  # one in each lane


def test_a_server_that_is_added_is_told_of_when_it_is_known(make_server, run):  # noqa: F811
    beside, added = make_server("beside-3"), make_server("added-3")
    ward = run(beside)
    began = reload(ward, beside, added)
    first = ward.wait_for(lambda m: "added-3" in m.servers, 2, "it is there")
    assert first.of("added-3").all_ok() and first.of("added-3").upstream
    print(f"told of after {first.when - began:.2f} s")
    assert "added-3" in ward.scrape(path="/sd/certctl").text
    assert ward.scrape(path="/metrics/certctl/added-3").status == 200


def test_a_server_that_is_removed_is_asked_no_more(make_server, run):  # noqa: F811
    beside, removed = make_server("beside-4"), make_server("removed-4")
    ward = run(beside, removed)
    removed.fake.faults.lock(None)  # its requests are under way
    time.sleep(INTERVAL)
    reload(ward, beside)
    ward.wait_for(lambda m: "removed-4" not in m.servers, 1, "it is gone")
    removed.fake.heal()
    mark = len(removed.fake.requests)
    since = time.monotonic()
    time.sleep(2 * INTERVAL)
    assert removed.fake.requests[mark:] == []
    assert not any("removed-4" in m.servers for m in ward.watch.since(since))
    own = ward.scrape(path="/metrics/exporter").text
    assert 'credential="removed-4"' not in own and 'credential="beside-4"' in own
    assert ward.scrape(path="/metrics/certctl/removed-4").status == 404
    assert "removed-4" not in ward.scrape(path="/sd/certctl").text


def test_a_server_that_is_renamed_is_never_there_twice(make_server, run):  # noqa: F811
    beside, old = make_server("beside-5"), make_server("old-5")
    ward = run(beside, old)
    since = time.monotonic()
    new = dataclasses.replace(old, name="new-5")
    reload(ward, beside, new)
    first = ward.wait_for(lambda m: "new-5" in m.servers, 2, "it is there")
    assert first.of("new-5").all_ok()
    time.sleep(INTERVAL)
    seen = [m.servers & {"old-5", "new-5"} for m in ward.watch.since(since)]
    print(f"in {seen.count(set())} of {len(seen)} scrapes under neither name")
    assert {"old-5", "new-5"} not in seen and seen[-1] == {"new-5"}
    assert ward.scrape(path="/metrics/certctl/old-5").status == 404


def test_a_server_with_another_url_is_asked_there_only(make_server, run):  # noqa: F811
    beside, moved, target = make_server("beside-6"), make_server("moved-6"), make_server("at-6")
    target.fake.keys.add("viewer", secret=moved.fake.keys.secret("viewer"))
    ward = run(beside, moved)
    at_target = dataclasses.replace(moved, fake=target.fake)
    reload(ward, beside, at_target)
    here = f'instance="127.0.0.1:{target.fake.port}"'
    first = ward.wait_for(lambda m: any(here in line for line in m.of("moved-6").upstream), 2,
                          "it is asked there")
    mark = len(moved.fake.requests)
    assert first.of("moved-6").all_ok()
    assert all(here in line for line in first.of("moved-6").upstream)
    since = time.monotonic()
    time.sleep(2 * INTERVAL)
    assert moved.fake.requests[mark:] == []
    assert all(here in line for m in ward.watch.since(since) for line in m.of("moved-6").upstream)


def test_an_authority_that_is_replaced_is_taken_by_itself(make_server, run, material, tmp_path):  # noqa: F811
    """Renewed with another authority: `tls`, until its ca_file is replaced."""
    ca_file = tmp_path / "certctl-ca.pem"
    replace_file(ca_file, pathlib.Path(material.pem("ca")).read_bytes())
    beside, renewed = make_server("beside-7"), make_server("renewed-7", ca_file=str(ca_file))
    ward = run(beside, renewed)
    renewed.fake.use_certificate("other_server")
    ward.wait_for(lambda m: m.of("renewed-7").reason["metrics"] == "tls", 2, "another authority")
    with reloading(ward, "a file has changed", REFUSED):
        replace_file(ca_file, "no certificate\n")
    assert ward.moment().of("renewed-7").reason["metrics"] == "tls"
    began = time.monotonic()
    with reloading(ward, "a file has changed"):
        replace_file(ca_file, pathlib.Path(material.pem("other_ca")).read_bytes())
    noticed = time.monotonic()
    back = ward.wait_for(lambda m: m.of("renewed-7").all_ok(), INTERVAL + SLACK, "back")
    print(f"noticed after {noticed - began:.2f} s, back {back.when - noticed:.2f} s later")


def test_a_key_file_that_goes_bad_leaves_the_key_in_use(make_server, run):  # noqa: F811
    beside, bad = make_server("beside-8"), make_server("bad-8")
    ward = run(beside, bad)
    since = time.monotonic()
    replace_file(bad.key_file, "")
    time.sleep(1.5 * INTERVAL)
    bad.key_file.unlink()
    time.sleep(1.5 * INTERVAL)
    assert all(m.of("bad-8").all_ok() for m in ward.watch.since(since))
    lines = ward.log_lines("certctl=bad-8", 'msg="certctl key file"')
    assert len(lines) == 2 and all('in_use="the key before"' in line for line in lines), lines
