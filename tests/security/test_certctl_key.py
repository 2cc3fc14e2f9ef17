"""The API key of a certctl server is nowhere but in its file and in what that server is sent."""

import os
import signal
import subprocess
import time

import pytest
from certctl import ME, METRICS, READY, VERSION_PATH
from certctl_under_fault import make_server, make_ward, material  # noqa: F401
from certctl_under_fault import INTERVAL, INVENTORY, key_in
from exporter_under_fault import CANARIES, leaks_in, new_token, replace_file
from test_traps import environments, trap  # noqa: F401

PATHS = ("/api/v1/certificates", "/api/v1/agents", "/api/v1/jobs", "/api/v1/issuers",
         "/api/v1/notifications", "/api/v1/discovery-summary", "/api/v1/health-checks/summary")
PROTECTED_BITS = (0o644, 0o604, 0o640, 0o602, 0o666)


@pytest.fixture
def start(make_ward):  # noqa: F811
    """start(*servers, **options): a ward that ends, and is searched, with the test."""
    made = []

    def one(*servers, well=True, **options):
        ward = make_ward(list(servers), **options)
        made.append(ward)
        if well:
            ward.wait_well()
        return ward
    yield one
    for ward in made:
        ward.stop()


# --- during faults ------------------------------------------------------------------------------

def echo(fake, key):
    """Everything that goes wrong tells the key: in bodies, in headers, as if by a careless proxy."""
    said = f'{{"error":"no access for Bearer {key}","status":"{key}"}}'
    headers = [f"WWW-Authenticate: Bearer {key}", f"Set-Cookie: session={key}",
               f"Location: https://127.0.0.1:1/?key={key}", f"X-Key: {key}"]
    return lambda path, status, kind="application/json": fake.faults.answer(
        path, status, said, kind, headers)


def answers(status):
    def inflict(server, key):
        tell = echo(server.fake, key)
        for path in (ME, METRICS, *PATHS):
            tell(path, status)
    return inflict


def not_ready(server, key):
    echo(server.fake, key)(READY, 503)


def garbage(server, key):
    for path in (READY, ME, *PATHS):
        server.fake.faults.answer(path, 200, f'{{"data":["{key}"],"{key}":1,"total":"{key}",')
    server.fake.faults.answer(METRICS, 200, f'certctl_{key} {key}\n{key}{{',
                              "text/plain; version=0.0.4")


def odd_types(server, key):
    for path in (ME, METRICS, *PATHS):
        echo(server.fake, key)(path, 200, f"text/html; key={key}")


def odd_file(server, key):
    for content in (key + "\n" + key + "\n", key + "\r\nX: y\n", f"api_key={key} \x00\n", key * 200,
                    f"\n\n{key}"):
        replace_file(server.key_file, content)
        time.sleep(1)


ECHOES = {f"{status}": answers(status) for status in (301, 307, 400, 401, 403, 404, 429, 500, 502)}
ECHOES |= {"not-ready": not_ready, "garbage": garbage, "odd-types": odd_types,
           "odd-file": odd_file,
           "other-name": lambda server, _: server.fake.use_certificate("wrong_name"),
           "other-ca": lambda server, _: server.fake.use_certificate("other_server"),
           "stopped": lambda server, _: server.fake.stop(),
           "locked": lambda server, _: server.fake.faults.lock(None),
           "cut": lambda server, _: server.fake.faults.cut(200)}


def test_no_fault_lets_the_key_out(start, make_server):  # noqa: F811
    """Into the log at debug level, /metrics, /metrics/exporter, /metrics/certctl/NAME, /sd,
    /sd/certctl, and what /proc tells."""
    servers = [make_server(f"echo-{name}") for name in ECHOES]
    ward = start(*servers)
    seen = []
    for server in servers:
        ECHOES[server.name.removeprefix("echo-")](server, server.fake.keys.secret("viewer"))
    deadline = time.monotonic() + INVENTORY + 2 * INTERVAL
    while time.monotonic() < deadline:
        moment = ward.moment()
        seen += [why for one in servers for why in moment.of(one.name).reason.values()]
        places = ward.places()
        assert leaks_in(places) == []
        time.sleep(1)
    ward.process.send_signal(signal.SIGHUP)
    time.sleep(INTERVAL)
    places = ward.places()
    assert {"its log", "/metrics (200)", "/sd/certctl (200)", "/metrics/exporter (200)",
            "/proc/PID/cmdline", "/metrics/certctl/echo-500 (503)"} <= set(places)
    assert b"certctl=echo-500 collector=metrics reason=server_error" in places["its log"]
    assert {"redirect", "token_rejected", "forbidden", "not_found", "rate_limited", "server_error",
            "protocol", "tls", "connect", "timeout"} <= set(seen), set(seen)
    assert leaks_in(places) == []


def test_the_search_would_find_the_key(start, make_server):  # noqa: F811
    server = make_server("found")
    ward = start(server)
    key = server.fake.keys.secret("viewer")
    assert key in CANARIES.values()
    found = leaks_in({"a log": f"level=debug key={key[5:20]}".encode()})
    assert found and key not in str(found)
    assert [request.secret for request in server.fake.requests_of(METRICS)][0] == key
    assert leaks_in(ward.places()) == []


def test_the_key_goes_with_what_needs_it_and_nothing_else_goes(start, make_server):  # noqa: F811
    server = make_server("headers")
    server.fake.faults.answer(READY, 200, b'{"db":"reachable","status":"ready"}',
                              headers=["Set-Cookie: session=1; Path=/", "Alt-Svc: h2=\":1\""])
    start(server)
    time.sleep(INVENTORY + 1)
    key = server.fake.keys.secret("viewer")
    for request in list(server.fake.requests):
        keyed = request.path not in (READY, VERSION_PATH)
        assert request.header("Authorization") == ([f"Bearer {key}"] if keyed else [])
        assert request.header("Host") == [f"certctl-server:{server.fake.port}"]
        assert request.method == "GET" and request.target.startswith("/")
        assert key not in request.target
        for name in ("Cookie", "Proxy-Authorization", "X-API-Key", "Referer", "X-Vault-Token"):
            assert request.header(name) == [], name
    asked = {request.path for request in server.fake.requests}
    assert asked == {READY, VERSION_PATH, ME, METRICS, *PATHS}


def test_what_was_used_of_openbao_is_not_sent_to_certctl(start, make_server):  # noqa: F811
    server = make_server("apart")
    ward = start(server)
    time.sleep(INTERVAL)
    [node] = ward.nodes
    key = server.fake.keys.secret("viewer")
    assert {request.bearer for request in node.requests} <= {"", CANARIES["the upstream token"]}
    assert {key_in(request) for request in server.fake.requests} == {None, key}


# --- the file -----------------------------------------------------------------------------------

def refusal(ward):
    """What it says when it does not start."""
    run = subprocess.run([ward.binary, "--config.file", str(ward.config_file), "--log.level",
                          "debug"], capture_output=True, timeout=10, check=False,
                         env={"PATH": os.defpath})
    said = run.stdout + run.stderr
    assert run.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV), said
    assert leaks_in({"what it says": said}) == []
    return said.decode()


@pytest.mark.parametrize("mode", PROTECTED_BITS, ids=oct)
def test_a_key_file_that_others_can_use_is_refused_at_the_start(make_server, make_ward, mode):  # noqa: F811
    server = make_server(f"mode-{mode:o}")
    server.key_file.chmod(mode)
    said = refusal(make_ward([server], start=False))
    assert "certctl.api_key_file" in said and str(server.key_file) in said, said
    assert "chmod" in said or "mode" in said, said


def test_a_group_may_read_it_only_where_that_is_said(start, make_server):  # noqa: F811
    server = make_server("group")
    server.over["allow_group_read"] = True
    server.key_file.chmod(0o640)
    assert start(server).moment().of("group").all_ok()


def test_a_key_file_that_is_opened_to_others_later_is_not_read_again(start, make_server):  # noqa: F811
    server = make_server("opened")
    ward = start(server)
    first = server.fake.keys.secret("viewer")
    fresh = server.new_key("the key in an open file")
    server.put_key(fresh)
    server.key_file.chmod(0o644)
    time.sleep(2 * INTERVAL)
    used = {request.secret for request in server.fake.requests if request.secret}
    lines = ward.log_lines("certctl=opened", 'msg="certctl key file"')
    if fresh in used:  # it was read in the moment between the two
        assert not lines or 'in_use="the key before"' in lines[0]
    else:
        assert used == {first} and 'in_use="the key before"' in lines[0]
    assert ward.moment().of("opened").all_ok()


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n", "sp ace\n", "nul\0\n", "\u00e9\n",
                                     "x" * 5000], ids=ascii)
def test_a_key_file_without_a_key_is_refused_or_told(make_server, make_ward, content):  # noqa: F811
    server = make_server(f"content-{abs(hash(content))}")
    replace_file(server.key_file, content)
    ward = make_ward([server], start=False)
    said = refusal(ward)
    assert "certctl.api_key_file" in said and str(server.key_file) in said, said


# --- the configuration --------------------------------------------------------------------------

@pytest.mark.parametrize("key", ["api_key", "apikey", "token", "password", "secret", "bearer_token",
                                 "key", "authorization", "API_KEY", "api-key"])
def test_a_key_in_the_configuration_is_an_error_that_does_not_tell_it(make_server, make_ward, key):  # noqa: F811
    server = make_server(f"inline-{key}")
    server.over[key] = new_token(f"the inline {key}")
    said = refusal(make_ward([server], start=False))
    assert f"certctl.{key}" in said, said
    if key in ("api_key", "apikey", "token"):
        assert "secrets are never in the configuration" in said
        assert "certctl.api_key_file" in said


@pytest.mark.parametrize("url", ["https://ctl:{}@127.0.0.1:8443", "https://127.0.0.1:8443/?key={}",
                                 "https://127.0.0.1:8443/{}", "https://127.0.0.1:8443#{}",
                                 "https://{}@127.0.0.1"])
def test_a_key_in_the_url_is_an_error_that_does_not_tell_it(make_server, make_ward, url):  # noqa: F811
    server = make_server(f"url-{abs(hash(url))}")
    server.over["url"] = url.format(new_token(f"the key in {url}"))
    assert "certctl.url" in refusal(make_ward([server], start=False))


# --- the environment ----------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["no exceptions", "socks", "with a password", "home"])
def test_proxies_and_files_of_the_environment_are_ignored(start, make_server, trap, tmp_path, what):  # noqa: F811
    for number, environment in enumerate(environments(trap, tmp_path)[what]):
        server = make_server(f"proxied-{what}-{number}".replace(" ", "-"))
        ward = start(server, environment=environment)
        ward.stop()
        key = server.fake.keys.secret("viewer")
        assert {key_in(request) for request in server.fake.requests} == {None, key}
        assert all(request.target.startswith("/") for request in server.fake.requests)
        assert {request.header("Host")[0] for request in server.fake.requests} == {
            f"certctl-server:{server.fake.port}"}
        assert trap.caught == []


def test_an_authority_of_the_environment_is_not_trusted(start, make_server, material):  # noqa: F811
    server = make_server("stranger", certificate="other_server")
    given = material.pem("other_ca")
    ward = start(server, well=False, environment={"SSL_CERT_FILE": given, "CURL_CA_BUNDLE": given})
    ward.wait_published(15)
    moment = ward.wait_for(lambda m: m.of("stranger").reason, 5, "polled")
    assert set(moment.of("stranger").reason.values()) == {"tls"}
    assert server.fake.requests == [] and server.fake.connections


def test_no_session_keys_are_written_for_who_listens(start, make_server, tmp_path):  # noqa: F811
    keys = tmp_path / "keys"
    start(make_server("keylog"), environment={"SSLKEYLOGFILE": str(keys)})
    assert not keys.exists() or keys.read_bytes() == b""
