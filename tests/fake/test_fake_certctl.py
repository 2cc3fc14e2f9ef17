"""The fake certctl does what the real one was measured to do (facts/certctl.md), defects included."""

import collections
import http.client
import json
import re
import socket
import ssl
import threading
import time

import certctl_exposition
import certctl_keys
import pytest
from certctl import CHECK, LISTS, ME, METRICS
from certctl_client import Client
from certctl_rows import rfc3339, seconds_of
from certctl_state import FakeState

CERTIFICATES = "/api/v1/certificates"
NOTIFICATIONS = "/api/v1/notifications"


def ids(rows):
    return [row["id"] for row in rows]


def samples(text):
    return dict(line.rsplit(" ", 1) for line in text.decode().splitlines()
                if line and not line.startswith("#"))


# --- TLS and HTTP -------------------------------------------------------------------------------

def test_tls_1_2_is_refused(pair):
    fake, _ = pair
    context = ssl.create_default_context(cafile=fake.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", fake.port)) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname="certctl-server")


def test_the_certificate_has_the_bootstrap_name_and_no_other(pair):
    fake, client = pair
    assert client.get("/health")[0] == 200
    for name in ("127.0.0.1", "localhost"):
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(fake.port, fake.ca_file, server_name=name).get("/health")


def test_plain_http_is_told_so(pair):
    fake, _ = pair
    plain = http.client.HTTPConnection("127.0.0.1", fake.port)
    plain.request("GET", "/health")
    answer = plain.getresponse()
    assert answer.status == 400 and b"HTTP request to an HTTPS server" in answer.read()


def test_a_connection_is_kept_alive(pair):
    fake, client = pair
    for _ in range(5):
        client.get("/ready")
        client.get(CERTIFICATES)
    assert len(fake.connections) == 1 and len(fake.requests) == 10


def test_longer_bodies_come_in_chunks(pair):
    _, client = pair
    assert "transfer-encoding" in client.get(METRICS)[1]
    assert "content-length" in client.get("/ready")[1]


def test_post_and_head_are_405_and_a_trailing_slash_404(pair):
    _, client = pair
    status, headers, body = client.get(METRICS, method="POST")
    assert (status, body, headers["allow"]) == (405, b"Method Not Allowed\n", "GET, HEAD")
    status, headers, body = client.get(METRICS, method="HEAD")
    assert (status, body, headers["content-length"]) == (405, b"", "62")
    assert client.get(METRICS + "/")[0] == 404


# --- keys ---------------------------------------------------------------------------------------

def test_without_a_key_the_401_is_plain_text_and_asks_for_a_bearer(pair):
    _, client = pair
    for headers in ({}, {"X_API_Key": client.secret}):
        status, said, body = client.get(METRICS, secret="", **headers)
        assert (status, body) == (401, b'{"error":"Authorization header required"}\n')
        assert said["content-type"] == "text/plain; charset=utf-8"
        assert said["www-authenticate"] == 'Bearer realm="certctl"'


def test_with_a_wrong_key_or_scheme_the_401_asks_for_nothing(pair):
    _, client = pair
    status, said, body = client.get(METRICS, secret="wrong")
    assert (status, body) == (401, b'{"error":"Invalid API key"}\n')
    assert said["content-type"].startswith("text/plain") and "www-authenticate" not in said
    status, said, body = client.get(METRICS, Authorization="Basic dTpw")
    assert status == 401 and b"expected: Bearer" in body and "www-authenticate" not in said


def test_what_needs_no_key(pair):
    _, client = pair
    for path, body in (("/ready", b'{"db":"reachable","status":"ready"}\n'),
                       ("/health", b'{"status":"healthy"}\n')):
        assert client.get(path, secret="")[::2] == (200, body)
    assert client.json("/api/v1/version", secret="")["version"] == "0.0.0-fake"
    for path in ("/metrics", "/healthz"):
        assert client.get(path, secret="")[0] == 401


def test_a_key_may_what_its_permissions_say(pair):
    fake, client = pair
    for path, (permission, _) in LISTS.items():
        if permission != "healthcheck.read":
            assert client.get(path)[0] == 200
        for name in ("metrics-only", "none"):
            status, said, body = client.get(path, secret=fake.keys.secret(name))
            assert (status, body) == (403, b'{"error":"Insufficient permissions"}')
            assert said["content-type"] == "application/json; charset=utf-8"
    assert client.get(METRICS, secret=fake.keys.secret("metrics-only"))[0] == 200
    assert client.get(METRICS, secret=fake.keys.secret("none"))[0] == 403


def test_auth_me_tells_each_key_its_permissions(pair):
    fake, client = pair
    said = client.json(ME)
    assert said["admin"] is False and said["roles"] == ["r-viewer"]
    assert len(said["effective_permissions"]) == 19
    assert {"permission": "cert.read", "scope_type": "global"} in said["effective_permissions"]
    assert client.json(ME, secret=fake.keys.secret("none"))["effective_permissions"] == []
    admin = client.json(ME, secret=fake.keys.secret("admin"))
    assert admin["admin"] and "cert.write" in str(admin["effective_permissions"])
    assert client.json(CHECK)["status"] == "authenticated"


def test_keys_come_and_go_while_it_runs(pair):
    fake, client = pair
    old = client.secret
    new = fake.keys.add("viewer")
    assert client.get(METRICS)[0] == 200 and client.get(METRICS, secret=new)[0] == 200
    fake.keys.revoke(secret=old)
    assert client.get(METRICS)[0] == 401 and client.get(METRICS, secret=new)[0] == 200
    fake.keys.permit("viewer", certctl_keys.METRICS_ONLY)
    assert client.get(CERTIFICATES, secret=new)[0] == 403
    fake.keys.revoke("viewer")
    assert client.get(METRICS, secret=new)[0] == 401


# --- lists --------------------------------------------------------------------------------------

def test_a_page_has_50_rows_also_when_501_or_junk_is_asked(pair):
    _, client = pair
    for asked in ("", "?per_page=501", "?per_page=100000", "?per_page=abc", "?page_size=2"):
        said = client.json(CERTIFICATES + asked)
        assert (len(said["data"]), said["per_page"], said["total"]) == (50, 50, 332)
    assert len(client.json(CERTIFICATES + "?per_page=500")["data"]) == 332


def test_empty_lists_are_null_but_those_of_certificates(fake_of):
    fake, client = fake_of(FakeState.empty())
    fake.health_checks_enabled = True
    for path in LISTS:
        said = client.json(path)
        empty = [] if path in (CERTIFICATES, "/api/v1/health-checks") else None
        assert said == {"data": empty, "total": 0, "page": 1, "per_page": 50}


def test_past_the_end_data_is_null_but_that_of_certificates(pair):
    _, client = pair
    assert client.json(CERTIFICATES + "?page=99") == {"data": [], "total": 332, "page": 99,
                                                      "per_page": 50}
    said = client.json("/api/v1/jobs?page=99")
    assert said["data"] is None and said["total"] == 60


def test_pages_without_a_sort_have_rows_twice_and_miss_others(fake_of, big):
    _, client = fake_of(big)
    rows, total = client.rows(CERTIFICATES, 100)
    counts = collections.Counter(ids(rows))
    assert len(rows) == total == 10_332
    assert max(counts.values()) > 1 and len(counts) < total


def test_equal_names_are_in_no_certain_order(fake_of):
    fake, client = fake_of(FakeState(certificates=40, same_name=0))
    for row_id in list(fake.state.rows["certificates"]):
        fake.state.change("certificates", row_id, name="the same")
    rows, _ = client.rows(CERTIFICATES, 10, "&sort=name")
    assert len(rows) == 40 and len(set(ids(rows))) < 40
    assert rows == client.rows(CERTIFICATES, 10, "&sort=name")[0]
    fake.lists.ties = "random"
    assert rows != client.rows(CERTIFICATES, 10, "&sort=name")[0]
    fake.lists.ties = "id"
    assert len(set(ids(client.rows(CERTIFICATES, 10, "&sort=name")[0]))) == 40


@pytest.mark.parametrize("sort, field", [("name", "name"), ("notAfter", "expires_at"),
                                         ("commonName", "common_name"), ("status", "status"),
                                         ("createdAt", "created_at"),
                                         ("environment", "environment")])
def test_certificates_are_sorted_both_ways(fake_of, big, sort, field):
    _, client = fake_of(big)
    for sign, descending in (("", False), ("-", True)):
        rows, _ = client.rows(CERTIFICATES, 500, f"&sort={sign}{sort}&fields=id,{field}")
        said = [seconds_of(row[field]) if field.endswith("_at") else row[field] for row in rows]
        assert said == sorted(said, reverse=descending) and len(rows) == 10_332


def test_fields_are_those_asked_for(pair):
    _, client = pair
    said = client.json(CERTIFICATES + "?fields=id,status,expires_at&per_page=3")
    assert [list(row) for row in said["data"]] == [["expires_at", "id", "status"]] * 3


def test_filters_of_certificates_have_a_true_total_and_know_case(fake_of, big):
    _, client = fake_of(big)
    rows = [row.said for row in big.rows["certificates"].values()]
    now = rfc3339(time.time())
    for name, value, matches in (
            ("status", "Expired", lambda row: row["status"] == "Expired"),
            ("status", "expired", lambda row: row["status"] == "expired"),
            ("status", "eXPIRED", lambda row: False),
            ("environment", "lab", lambda row: row["environment"] == "lab"),
            ("issuer_id", "issuer-acme", lambda row: row["issuer_id"] == "issuer-acme"),
            ("expires_before", now, lambda row: seconds_of(row["expires_at"]) < seconds_of(now)),
            ("expires_after", now, lambda row: seconds_of(row["expires_at"]) > seconds_of(now))):
        said = client.json(f"{CERTIFICATES}?per_page=1&{name}={value}")
        assert said["total"] == sum(map(matches, rows)), (name, value)
    both = client.json(f"{CERTIFICATES}?per_page=1&status=Active&issuer_id=issuer-acme")["total"]
    assert both == sum(row["status"] == "Active" and row["issuer_id"] == "issuer-acme"
                       for row in rows)


def test_filters_of_jobs_have_a_true_total_and_know_case(pair):
    fake, client = pair
    rows = [row.said for row in fake.state.rows["jobs"].values()]
    assert {"Renewal", "renewal"} <= {row["type"] for row in rows}
    said = client.json("/api/v1/jobs?status=Completed&type=renewal&per_page=1")
    assert said["total"] == sum((row["status"], row["type"]) == ("Completed", "renewal")
                                for row in rows)
    assert client.json("/api/v1/jobs?status=completed")["data"] is None


def test_the_total_of_notifications_is_that_of_the_page(pair):
    _, client = pair
    assert client.json(NOTIFICATIONS)["total"] == 50
    assert client.json(NOTIFICATIONS + "?per_page=7")["total"] == 7
    assert client.json(NOTIFICATIONS + "?per_page=500")["total"] == 120
    assert all(row["status"] == "dead"
               for row in client.json(NOTIFICATIONS + "?status=dead")["data"])


def test_some_agents_never_sent_a_heartbeat(pair):
    _, client = pair
    rows, _ = client.rows("/api/v1/agents")
    assert sum("last_heartbeat_at" not in row for row in rows) == 3


def test_health_checks_are_500_unless_enabled(pair):
    fake, client = pair
    for path in ("/api/v1/health-checks", "/api/v1/health-checks/summary"):
        assert client.get(path)[::2] == (500, b'{"error":"Internal Server Error"}\n')
        assert client.get("/ready")[0] == 200
    fake.health_checks_enabled = True
    rows, total = client.rows("/api/v1/health-checks")
    summary = client.json("/api/v1/health-checks/summary")
    assert summary["total"] == total == len(rows) == 24
    assert summary["down"] == sum(row["status"] == "down" for row in rows)


def test_the_discovery_summary_counts_by_status(pair):
    _, client = pair
    rows, _ = client.rows("/api/v1/discovered-certificates")
    assert client.json("/api/v1/discovery-summary") == collections.Counter(
        row["status"] for row in rows)


def test_a_page_of_500_takes_milliseconds(fake_of, big):
    _, client = fake_of(big)
    took = []
    for page in range(1, 21):
        began = time.monotonic()
        client.get(f"{CERTIFICATES}?page={page}&per_page=500&sort=name"
                   "&fields=id,name,common_name,status,issuer_id,environment,owner_id,expires_at")
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.05, took  # 4 ms on an idle machine


# --- the exposition -----------------------------------------------------------------------------

FAMILIES = (
    "certificate_total certificate_active certificate_expiring_soon certificate_expired "
    "certificate_revoked agent_total agent_online job_pending job_completed_total job_failed_total "
    "notification_dead_total uptime_seconds ocsp_counter_total issuance_total "
    "issuance_duration_seconds issuance_failures_total vault_token_renewals_total "
    "audit_chain_break_detected_total audit_chain_verify_total audit_chain_rows "
    "audit_chain_last_verified_at").split()


def test_the_summary_counts_the_50_oldest_certificates_only(fake_of, big):
    fake, client = fake_of(big)
    said = {name: int(value) for name, value in samples(client.get(METRICS)[2]).items()
            if name.startswith("certctl_certificate_")}
    oldest = client.json(CERTIFICATES + "?sort=createdAt")["data"]
    assert max(seconds_of(row["created_at"]) for row in oldest) == max(
        row.created for row in fake.lists.oldest(50))
    wrong = certctl_exposition.certificates_summary(fake.lists.oldest(50), 10_332, time.time())
    right = certctl_exposition.certificates_summary(big.rows["certificates"].values(), 10_332,
                                                    time.time())
    assert said == {f"certctl_{name}": value for name, value in wrong.items()}
    assert sum(said.values()) - 10_332 == 10_332  # active is the rest
    assert right["certificate_expired"] > 500 > 50 >= said["certctl_certificate_expired"]


def test_up_to_50_certificates_the_summary_is_right(fake_of):
    fake, _ = fake_of(FakeState.empty(certificates=50))
    right = certctl_exposition.certificates_summary(fake.state.rows["certificates"].values(), 50,
                                                    time.time())
    assert right.items() <= fake.summary().items()


def test_agents_are_online_for_five_minutes_after_a_heartbeat(fake_of):
    fake, client = fake_of(FakeState.empty())
    for number, age in enumerate((10, 290, 310, None)):
        beat = {} if age is None else {"last_heartbeat_at": rfc3339(time.time() - age)}
        fake.state.add("agents", {"id": str(number), "status": "Online",
                                  "registered_at": rfc3339(0)} | beat)
    said = samples(client.get(METRICS)[2])
    assert (said["certctl_agent_total"], said["certctl_agent_online"]) == ("4", "2")


def test_jobs_and_notifications_are_counted_by_status(pair):
    fake, client = pair
    now = fake.state.history.now()
    said = samples(client.get(METRICS)[2])
    of_status = collections.Counter()
    for (_, status), count in now["jobs"].items():
        of_status[status] += count
    assert int(said["certctl_job_pending"]) == sum(
        of_status[status] for status in ("Pending", "AwaitingCSR", "AwaitingApproval", "Running"))
    assert int(said["certctl_job_failed_total"]) == of_status["Failed"]
    assert int(said["certctl_notification_dead_total"]) == now["notifications"]["dead"]
    gauge = client.json("/api/v1/metrics")["gauge"]
    assert gauge["job_pending"] == int(said["certctl_job_pending"])


def test_the_exposition_has_all_families_and_its_oddities(pair):
    fake, client = pair
    status, said, body = client.get(METRICS, Accept="application/openmetrics-text",
                                    Accept_Encoding="gzip")
    text = body.decode()
    assert status == 200 and said["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for word in ("HELP", "TYPE"):
        assert re.findall(rf"^# {word} certctl_(\S+) ", text, re.MULTILINE) == FAMILIES
    assert "\n\n# HELP certctl_agent_total " in text  # an empty line before
    assert "# TYPE certctl_issuance_total counter\n\n" in text  # no samples
    assert "# TYPE certctl_certificate_total gauge\n" in text
    assert any(line.startswith("# HELP") and not line.isascii() for line in text.splitlines())
    fake.events.happen()
    text = client.get(METRICS)[2].decode()
    assert 'certctl_issuance_duration_seconds_bucket{issuer_type="ACME",le="+Inf"} 2\n' in text
    assert 'certctl_expiry_alerts_total{channel="Email",threshold="7",result="success"} 11' in text


def test_labels_can_have_the_escapes_of_go(pair):
    fake, client = pair
    fake.events.odd_labels()
    text = client.get(METRICS)[2].decode()
    for word in (r'"tab\there"', r'"delete\x7f"', r'"nothing\x00"', r'"zero\u200bwidth"',
                 r'"tag\U000e0041"', r'"not \xff UTF-8"', '"caf\u00e9"', r'"quo\"te"'):
        assert f"issuer_type={word}" in text
    fake.ascii_labels = True
    text = client.get(METRICS)[2].decode()
    assert r'"caf\u00e9"' in text and r'"key\U0001f511"' in text


# --- rate limit and audit -----------------------------------------------------------------------

def test_the_rate_limit_is_by_address_and_before_the_key(pair):
    fake, client = pair
    fake.limiter.set(rate=0, burst=3)
    assert [client.get(METRICS)[0] for _ in range(4)] == [200, 200, 200, 429]
    for secret in ("wrong", "", fake.keys.secret("admin")):
        status, said, body = client.get(ME, secret=secret)
        assert (status, body) == (429, b'{"error":"Rate limit exceeded"}\n')
        assert said["content-type"].startswith("text/plain") and said["retry-after"] == "1"
    assert [client.get("/ready")[0] for _ in range(4)] == [200, 200, 200, 429]
    fake.limiter.set(None)
    assert client.get(METRICS)[0] == 200


def test_the_rate_limit_lets_more_through_as_time_passes(pair):
    fake, client = pair
    client.get("/health")
    fake.limiter.set(rate=3, burst=100)
    fake.limiter.drain()
    assert client.get(METRICS)[0] == 429
    time.sleep(0.5)
    assert client.get(METRICS)[0] == 200


def test_each_request_with_a_good_key_writes_one_audit_row(pair):
    fake, client = pair
    for path in (METRICS, METRICS, CERTIFICATES, ME, "/ready", "/health", "/api/v1/version"):
        client.get(path)
    client.get(CERTIFICATES, secret=fake.keys.secret("none"))
    client.get(METRICS, secret="wrong")
    assert fake.audit_rows_by_path() == {METRICS: 2, CERTIFICATES: 2, ME: 1}
    assert fake.audit_rows() == 5 and fake.audit_rows(METRICS) == 2


def test_the_log_tells_time_path_status_and_key(pair):
    fake, client = pair
    before = time.monotonic()
    client.get(CERTIFICATES + "?per_page=1&per_page=2")
    client.get(METRICS, secret="wrong")
    first, second = fake.requests
    assert before <= first.arrived <= first.finished <= time.monotonic()
    assert (first.path, first.status, first.key) == (CERTIFICATES, 200, "viewer")
    assert first.asked == {"per_page": "1"}
    assert (second.status, second.key, second.secret) == (401, None, "wrong")


# --- faults -------------------------------------------------------------------------------------

def test_while_the_database_is_down_good_keys_get_500(pair):
    fake, client = pair
    fake.faults.database_down = True
    for name in ("viewer", "none", "admin"):
        for path in (METRICS, CERTIFICATES, ME):
            assert client.get(path, secret=fake.keys.secret(name))[::2] == (
                500, b'{"error":"Internal error"}')
    assert client.get(METRICS, secret="")[0] == client.get(METRICS, secret="wrong")[0] == 401
    status, _, body = client.get("/ready")
    assert status == 503 and json.loads(body)["status"] == "db_unavailable"
    assert client.get("/health")[0] == client.get("/api/v1/version")[0] == 200
    assert fake.audit_rows() == 0
    fake.faults.database_down = False
    assert client.get(METRICS)[0] == 200


def test_while_a_lock_is_held_requests_with_a_key_hang(pair):
    fake, client = pair
    with fake.faults.locked():
        waiting = threading.Thread(target=client.get, args=(METRICS,))
        waiting.start()
        other = Client(fake.port, fake.ca_file, fake.keys.secret("viewer"))
        assert other.get("/ready")[0] == 200
        assert other.get(ME, secret="wrong")[0] == 401
        waiting.join(0.2)
        assert waiting.is_alive() and fake.requests_of(METRICS)[0].status is None
    waiting.join(2)
    assert not waiting.is_alive() and fake.requests_of(METRICS)[0].status == 200


def test_a_lock_can_be_on_one_path_and_whoever_waits_can_go(pair):
    fake, client = pair
    fake.faults.lock(CERTIFICATES)
    assert client.get(METRICS)[0] == 200
    hasty = Client(fake.port, fake.ca_file, client.secret, timeout=0.5)
    with pytest.raises(TimeoutError):
        hasty.get(CERTIFICATES)
    time.sleep(0.1)
    fake.faults.unlock(CERTIFICATES)
    assert fake.requests_of(CERTIFICATES)[0].status is None
    assert client.get(CERTIFICATES)[0] == 200


def test_pages_can_be_slow(pair):
    fake, client = pair
    fake.faults.slow(0.5, CERTIFICATES)
    began = time.monotonic()
    assert client.get(METRICS)[0] == 200 and time.monotonic() - began < 0.5
    began = time.monotonic()
    assert client.get(CERTIFICATES)[0] == 200 and time.monotonic() - began >= 0.5


@pytest.mark.parametrize("framing", ["length", "chunked", "chunk"])
def test_a_cut_body_is_shorter_than_its_framing_says(pair, framing):
    fake, client = pair
    for count in (0, 1, 100):
        fake.faults.cut(count, framing)
        with pytest.raises(http.client.IncompleteRead):
            client.get(METRICS)
    fake.faults.cut(100, framing, end="reset")
    with pytest.raises((http.client.HTTPException, OSError)):
        client.get(METRICS)
    fake.faults.cut(None)
    assert client.get(METRICS)[0] == 200


@pytest.mark.parametrize("framing", ["close", "whole"])
def test_a_cut_body_can_look_whole(pair, framing):
    fake, client = pair
    whole = client.get(METRICS)[2]
    fake.faults.cut(100, framing)
    assert client.get(METRICS)[::2] == (200, whole[:100])


def test_a_certificate_of_another_ca_can_take_over(pair):
    fake, client = pair
    client.get("/health")
    fake.use_certificate("other_server")
    with pytest.raises((OSError, http.client.HTTPException)):
        client.get("/health")
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get("/health")
    assert Client(fake.port, fake.material.pem("other_ca")).get("/health")[0] == 200
    fake.heal()
    assert client.get("/health")[0] == 200


def test_an_answer_can_be_chosen(pair):
    fake, client = pair
    fake.faults.answer(CERTIFICATES, 502, "<html>", "text/html", ["Retry-After: 9"], times=2)
    for status in (502, 502, 200):
        said = client.get(CERTIFICATES)
        assert said[0] == status and (status == 200 or said[1]["retry-after"] == "9")


def test_connections_can_be_dropped(pair):
    fake, client = pair
    fake.faults.drop(CERTIFICATES, times=1)
    with pytest.raises((OSError, http.client.HTTPException)):
        client.get(CERTIFICATES)
    assert client.get(CERTIFICATES)[0] == 200
    fake.drop_connections()
    with pytest.raises((OSError, http.client.HTTPException)):
        client.get(CERTIFICATES)


def test_it_stops_and_starts_again_on_the_same_port(pair):
    fake, client = pair
    client.get("/health")
    port = fake.port
    fake.stop()
    client.close()
    with pytest.raises(ConnectionRefusedError):
        client.get("/health")
    fake.start()
    assert fake.port == port and client.get("/health")[0] == 200
