"""What a certctl key may not read is not asked for: it is told as forbidden, once, until the key may do
more or is another. A key that may do more than read is warned of, or not used at all."""

import time

import pytest
from certctl import ME, METRICS, READY, VERSION_PATH
from certctl_keys import ADMIN, METRICS_ONLY, VIEWER
from certctl_rig import (
    COLLECTORS,
    CertctlRig,
    inventories,
    last_success,
    reasons,
    up,
    wait_inventory,
    wait_reasons,
)
from certctl_state import FakeState
from certctl_tls import Material
from certctl_truth import FAMILIES, PATHS, published, truth

INTERVAL_S, INVENTORY_S = 1, 2  # of PACE
LISTED = tuple(PATHS)  # all collectors but metrics
WITHIN_S = INTERVAL_S + 1.5  # a look at the key's file each second, and the answers
FORBIDDEN = dict.fromkeys(LISTED, "forbidden")
WORKS = dict.fromkeys((*LISTED, "metrics"), "ok")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def rig_of(tmp_path, material):
    """Not started; health checks are switched on at the server."""

    def make(key, **certctl):
        state = FakeState(certificates=60, jobs=30, notifications=20)
        rig = CertctlRig(tmp_path, state=state, key=key, certctl=certctl, material=material)
        rig.fake.health_checks_enabled = True
        return rig

    return make


def asked_of(rig, since=0) -> dict[str, int]:
    """{path: requests}, from the start of an inventory, or a poll, on."""
    found = {}
    for request in rig.fake.requests[since:]:
        found[request.path] = found.get(request.path, 0) + 1
    return found


def families_of(scrape, collector) -> list[str]:
    return [family for family in FAMILIES[collector] if scrape.samples(f"certctl_state_{family}")]


def passed_through(rig, scrape) -> bool:
    value = scrape.value("certctl_certificate_total", certctl="ctl", instance=f"127.0.0.1:{rig.fake.port}")
    return float(value) == rig.fake.summary()["certificate_total"]


def told_of(rig, collector, what="certctl collector failed") -> list[str]:
    return [line for line in rig.log_lines(f'"{what}"') if f"collector={collector} " in line + " "]


# --- too little -----------------------------------------------------------------------------------


def test_with_metrics_read_alone_the_metrics_come_and_the_lists_are_never_asked_for(rig_of):
    with rig_of("metrics-only") as rig:
        wait_reasons(rig, metrics="ok", **FORBIDDEN)
        since, before = len(rig.fake.requests), len(inventories(rig))
        began = time.monotonic()
        scrape = wait_inventory(rig, 5)
        seconds = time.monotonic() - began
        assert reasons(scrape) == FORBIDDEN | {"metrics": "ok"} and passed_through(rig, scrape)
        for collector in LISTED:
            assert up(scrape, collector) is False and families_of(scrape, collector) == []
            assert len(told_of(rig, collector)) == 1, told_of(rig, collector)
        assert set(asked_of(rig)) == {READY, METRICS, ME, VERSION_PATH}
        assert {request.status for request in rig.fake.requests} == {200}
        # Two each interval, two each inventory: no storm.
        asked = asked_of(rig, since)
        assert asked[METRICS] <= seconds / INTERVAL_S + 2 and abs(asked[READY] - asked[METRICS]) <= 1
        assert asked[ME] == len(inventories(rig)) - before and asked[VERSION_PATH] == asked[ME]
        a_minute = asked[METRICS] * INTERVAL_S / seconds, asked[ME] * INVENTORY_S / seconds
        a_minute_at_defaults = 2 * a_minute[0] + 2 * a_minute[1] / 15
        print(f"\n{asked} in {seconds:.1f} s; at the defaults {a_minute_at_defaults:.2f} requests a minute")
        assert a_minute_at_defaults < 3


def test_a_key_that_may_more_is_used_for_all_within_an_interval(rig_of):
    with rig_of("metrics-only", inventory_interval="60s") as rig:
        wait_reasons(rig, metrics="ok", **FORBIDDEN)
        assert rig.scrape().value("bao_token_generation", credential="ctl") == "1"
        rig.use_key("viewer")
        began = time.monotonic()
        scrape = wait_reasons(rig, 10, **WORKS)
        seconds = time.monotonic() - began
        print(f"\nall collectors {seconds:.2f} s after the key")
        assert seconds < WITHIN_S
        assert scrape.value("bao_token_generation", credential="ctl") == "2"
        now = rig.fake.state.history.now(soonest=80)
        for collector in LISTED:
            assert published(scrape, collector) == truth(now, collector)
            assert len(told_of(rig, collector, "certctl collector recovered")) == 1
        # And back: what it may not read any more ends with the key.
        rig.use_key("metrics-only")
        scrape = wait_reasons(rig, 10, metrics="ok", **FORBIDDEN)
        assert [families_of(scrape, collector) for collector in LISTED] == [[]] * len(LISTED)
        assert all(last_success(scrape, collector) > 0 for collector in LISTED)


def test_a_permission_that_is_granted_meanwhile_is_used_at_the_next_inventory(rig_of):
    with rig_of("metrics-only") as rig:
        wait_reasons(rig, metrics="ok", **FORBIDDEN)
        rig.fake.keys.permit("metrics-only", (*METRICS_ONLY, "agent.read"))
        began = time.monotonic()
        scrape = wait_reasons(rig, 10, metrics="ok", agents="ok")
        print(f"\nagents {time.monotonic() - began:.2f} s after the permission")
        assert time.monotonic() - began < INVENTORY_S + 1
        assert reasons(scrape) == FORBIDDEN | {"metrics": "ok", "agents": "ok"}
        assert published(scrape, "agents") == truth(rig.fake.state.history.now(), "agents")
        wait_inventory(rig, 2)
        assert set(asked_of(rig)) == {READY, METRICS, ME, VERSION_PATH, PATHS["agents"]}
        # Taken away again.
        rig.fake.keys.permit("metrics-only", METRICS_ONLY)
        scrape = wait_reasons(rig, 10, metrics="ok", **FORBIDDEN)
        assert families_of(scrape, "agents") == []
        since = len(rig.fake.requests)
        wait_inventory(rig, 2)
        assert PATHS["agents"] not in asked_of(rig, since)


def test_a_403_that_auth_me_did_not_tell_of_is_asked_once_for(rig_of):
    rig = rig_of("viewer")
    rig.fake.faults.answer(PATHS["jobs"], 403, b'{"error":"Insufficient permissions"}')
    with rig:
        wait_reasons(rig, **WORKS | {"jobs": "forbidden"})
        wait_inventory(rig, 3)
        assert asked_of(rig)[PATHS["jobs"]] == 1 and len(told_of(rig, "jobs")) == 1


def test_without_metrics_read_only_what_needs_no_permission_is_asked_for(rig_of):
    with rig_of("none") as rig:
        scrape = wait_reasons(rig, metrics="forbidden", **FORBIDDEN)
        assert scrape.samples("certctl_certificate_total") == [] and scrape.value("certctl_state_ready") == "1"
        answer = rig.exporter.get("/metrics/certctl/ctl")
        assert answer.status == 503 and b"forbidden" in answer.body and answer.body.count(b"\n") == 1
        wait_inventory(rig, 3)
        assert asked_of(rig).get(METRICS, 0) <= 1  # a first one may be on its way before auth/me is answered
        assert set(asked_of(rig)) - {METRICS} == {READY, ME, VERSION_PATH}
        rig.fake.keys.permit("none", VIEWER)
        wait_reasons(rig, 10, **WORKS)


# --- collectors = [...] ---------------------------------------------------------------------------


def test_only_the_listed_collectors_are_asked_for_and_told(rig_of):
    with rig_of("viewer", collectors=["metrics", "certificates"]) as rig:
        wait_inventory(rig, 2)
        scrape = rig.scrape()
        assert reasons(scrape) == dict.fromkeys(COLLECTORS) | {"metrics": "ok", "certificates": "ok"}
        assert set(asked_of(rig)) == {READY, METRICS, ME, VERSION_PATH, PATHS["certificates"]}


def test_a_listed_collector_that_the_key_may_not_read_is_told_likewise(rig_of):
    with rig_of("metrics-only", collectors=["metrics", "agents"]) as rig:
        scrape = wait_reasons(rig, metrics="ok", agents="forbidden")
        wait_inventory(rig, 2)
        assert reasons(scrape) == dict.fromkeys(COLLECTORS) | {"metrics": "ok", "agents": "forbidden"}
        assert PATHS["agents"] not in asked_of(rig) and len(told_of(rig, "agents")) == 1


def test_without_the_metrics_collector_they_are_not_asked_for(rig_of):
    with rig_of("viewer", collectors=["agents"]) as rig:
        wait_inventory(rig, 2)
        scrape = rig.scrape()
        assert reasons(scrape) == dict.fromkeys(COLLECTORS) | {"agents": "ok"}
        assert set(asked_of(rig)) == {READY, ME, VERSION_PATH, PATHS["agents"]}
        assert rig.exporter.get("/metrics/certctl/ctl").status == 200


# --- too much -------------------------------------------------------------------------------------


def excess(scrape) -> float:
    return float(scrape.value("bao_token_excess_capabilities", credential="ctl"))


def test_a_key_that_may_write_works_and_is_warned_of_once(rig_of):
    with rig_of("admin") as rig:
        scrape = wait_reasons(rig, **WORKS)
        writes = [permission for permission in ADMIN if not permission.endswith(".read")]
        assert excess(scrape) == len(writes) + 1  # admin itself
        wait_inventory(rig, 3)
        warned = rig.log_lines('"certctl key may do more than read"')
        assert len(warned) == 1 and "level=warn" in warned[0] and "cert.write" in warned[0], warned
        rig.use_key("viewer")
        rig.wait("no excess", lambda scrape: excess(scrape) == 0, 10)
        wait_reasons(rig, **WORKS)


def test_a_key_that_may_write_is_used_for_nothing_where_it_is_refused(rig_of):
    with rig_of("admin", on_excess_capabilities="refuse") as rig:
        scrape = wait_reasons(rig, **dict.fromkeys((*LISTED, "metrics"), "token_excess"))
        assert excess(scrape) > 0 and scrape.samples("certctl_certificate_total") == []
        time.sleep(3 * INVENTORY_S)
        used = [request.path for request in rig.fake.requests if request.key == "admin"]
        assert used == [ME], used
        assert len(rig.log_lines('"certctl key is not used"')) == 1
        answer = rig.exporter.get("/metrics/certctl/ctl")
        assert answer.status == 503 and b"token_excess" in answer.body
        rig.use_key("viewer")
        began = time.monotonic()
        scrape = wait_reasons(rig, 10, **WORKS)
        print(f"\nall collectors {time.monotonic() - began:.2f} s after the key that may only read")
        assert excess(scrape) == 0 and passed_through(rig, scrape)
        # It comes to be too powerful while it runs.
        rig.fake.keys.permit("viewer", (*VIEWER, "cert.write"))
        scrape = wait_reasons(rig, 10, **dict.fromkeys((*LISTED, "metrics"), "token_excess"))
        assert excess(scrape) == 1 and scrape.samples("certctl_certificate_total") == []
        since = len(rig.fake.requests)
        time.sleep(2 * INVENTORY_S)
        assert [request.path for request in rig.fake.requests[since:] if request.key] == []
