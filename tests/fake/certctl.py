#!/usr/bin/env python3
"""A FAKE certctl server, for tests and the demo: it manages no certificates, its rows are made up.

It answers what an exporter asks as certctl at 151107c was measured to answer, defects included, in a
thread of the test's process or from the command line. Needs Python 3.11 and the `openssl` command.

    with FakeCertctl(folder) as fake:
        fake.url, fake.ca_file, fake.keys.secret("viewer")
        fake.faults.database_down = True

    certctl.py --dir /tmp/fake --certificates 10332

What stands in the directory: ca.pem; keys/NAME for viewer, metrics-only, none, admin; url; tls/.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

import certctl_exposition
from certctl_faults import METRICS, Faults
from certctl_keys import Keys, Limiter, json_text
from certctl_lists import Lists
from certctl_rows import rfc3339
from certctl_server import Response, Server
from certctl_state import FakeState
from certctl_tls import SERVER_NAME, Material

VERSION = "0.0.0-fake"
TEXT = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"
JSON_UTF8 = "application/json; charset=utf-8"

READY, HEALTH, VERSION_PATH, INFO = "/ready", "/health", "/api/v1/version", "/api/v1/auth/info"
OPEN = (READY, HEALTH, VERSION_PATH, INFO)  # to anybody, with a bucket of their own
ME, CHECK = "/api/v1/auth/me", "/api/v1/auth/check"

# path: (permission, kind of rows)
LISTS = {
    "/api/v1/certificates": ("cert.read", "certificates"),
    "/api/v1/agents": ("agent.read", "agents"),
    "/api/v1/jobs": ("job.read", "jobs"),
    "/api/v1/issuers": ("issuer.read", "issuers"),
    "/api/v1/notifications": ("notification.read", "notifications"),
    "/api/v1/discovered-certificates": ("discovery.read", "discovered"),
    "/api/v1/health-checks": ("healthcheck.read", "health_checks"),
}
# path: permission; None: any key
OTHERS = {METRICS: "metrics.read", "/api/v1/metrics": "metrics.read", ME: None, CHECK: None,
          "/api/v1/stats/summary": "stats.read", "/api/v1/discovery-summary": "discovery.read",
          "/api/v1/health-checks/summary": "healthcheck.read"}
PERMISSIONS = {path: permission for path, (permission, _) in LISTS.items()} | OTHERS

UNAUTHORIZED = {
    "none": b'{"error":"Authorization header required"}\n',
    "scheme": b'{"error":"Invalid Authorization header format, expected: Bearer <token>"}\n',
    "wrong": b'{"error":"Invalid API key"}\n',
}
FORBIDDEN = Response(403, b'{"error":"Insufficient permissions"}', JSON_UTF8)
LIMITED = Response(429, b'{"error":"Rate limit exceeded"}\n', TEXT, ("Retry-After: 1",))
DATABASE_DOWN = Response(500, b'{"error":"Internal error"}', JSON_UTF8)
FEATURE_OFF = Response(500, b'{"error":"Internal Server Error"}\n', TEXT)
NOT_FOUND = Response(404, b"404 page not found\n", TEXT)
WRONG_METHOD = Response(405, b"Method Not Allowed\n", TEXT, ("Allow: GET, HEAD",))


class FakeCertctl(Server):
    """One server. Several can share `state` (replicas of one database) and `material` (one CA). To be
    changed while it runs: state, keys, limiter, faults, events, lists.ties, health_checks_enabled,
    ascii_labels. It listens from the moment it is made, until stop() or the end of `with`."""

    def __init__(self, folder=None, state=None, material=None, certificate="server", port=0):
        self.state = FakeState() if state is None else state
        self.lists = Lists(self.state)
        self.keys = Keys()
        self.limiter = Limiter()
        self.faults = Faults()
        self.events = certctl_exposition.Events()
        self.health_checks_enabled = False
        self.ascii_labels = False  # labels as Go's %+q, not %q: \\u00e9 for a letter that is not ASCII
        self.version = VERSION
        super().__init__(material or Material(folder), certificate, port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.faults.heal()
        self.stop()

    @property
    def ca_file(self):
        return self.material.ca_file

    def write_key(self, path, name):
        """Into a file, at once and whole, as a key file is replaced."""
        path = pathlib.Path(path)
        fresh = path.with_name(path.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text(self.keys.secret(name) + "\n")
        fresh.replace(path)
        return path

    def audit_rows(self, path=None, since=0):
        """How many rows the requests since requests[since] wrote to the audit log."""
        return sum(request.audited and path in (None, request.path)
                   for request in self.requests[since:])

    def audit_rows_by_path(self, since=0):
        counts = {}
        for request in self.requests[since:]:
            if request.audited:
                counts[request.path] = counts.get(request.path, 0) + 1
        return counts

    def summary(self):
        """What certctl's exposition says of its database now, names without `certctl_`."""
        return certctl_exposition.summary(self.lists)

    def exposition(self):
        return certctl_exposition.exposition(self.lists, self.events, self.ascii_labels)

    def heal(self):
        """No more faults, no limit, the first certificate, the port open."""
        self.faults.heal()
        self.limiter.set(None)
        if self.certificate != self._first_certificate:
            self.use_certificate(self._first_certificate)
        self.start()

    # How it answers.

    def cut_for(self, path):
        return self.faults.cut_for(path)

    def respond(self, request, connection):
        path = request.path
        if self.faults.drops(path, path not in OPEN):
            return None
        key, refusal = self._key_of(request)
        chosen = self.faults.answer_for(path)
        if chosen is not None:
            return Response(chosen.status, chosen.body, chosen.content_type, chosen.headers)
        if not self.limiter.allows(request.address[0], path not in OPEN):
            return LIMITED
        if path in OPEN:
            return self._without_key(request)
        if key is None:
            return refusal
        request.audited = not self.faults.database_down
        return self._keyed(request, key, connection)

    def _key_of(self, request):
        said = "".join(request.header("Authorization"))
        if not said:
            return None, Response(401, UNAUTHORIZED["none"], TEXT,
                                  ('WWW-Authenticate: Bearer realm="certctl"',))
        if not said.startswith("Bearer "):
            return None, Response(401, UNAUTHORIZED["scheme"], TEXT)
        request.secret = said.removeprefix("Bearer ")
        key = self.keys.of(request.secret)
        if key is None:
            return None, Response(401, UNAUTHORIZED["wrong"], TEXT)
        request.key = key.name
        return key, None

    def _without_key(self, request):
        path = request.path
        wrong = _wrong_method(request)
        if wrong is not None:
            return wrong
        if path == HEALTH:
            return Response(200, json_text({"status": "healthy"}))
        if path == VERSION_PATH:
            return Response(200, json_text({"version": self.version, "commit": "", "modified": False,
                                            "build_time": "", "go_version": "none, a fake"}))
        if path == INFO:
            return Response(200, json_text({"auth_type": "api-key", "oidc_providers": [],
                                            "required": True}))
        if self.faults.database_down:
            return Response(503, json_text({"error": "dial unix /fake/db: no such file or directory",
                                            "status": "db_unavailable"}))
        return Response(200, json_text({"db": "reachable", "status": "ready"}))

    def _keyed(self, request, key, connection):
        path = request.path
        if path not in PERMISSIONS:
            return NOT_FOUND
        wrong = _wrong_method(request)
        if wrong is not None:
            return wrong
        if self.faults.database_down:
            return DATABASE_DOWN
        if PERMISSIONS[path] not in (None, *key.permissions):
            return FORBIDDEN
        self._delay(path, connection)
        if self.faults.database_down:
            return DATABASE_DOWN
        return self._content(request, key)

    def _delay(self, path, connection):
        end = time.monotonic() + self.faults.seconds_for(path)
        while time.monotonic() < end:
            if connection.has_gone():
                raise ConnectionError("the client has gone")
            time.sleep(max(0.0, min(0.02, end - time.monotonic())))
        if self.faults.is_locked(path):
            self.faults.wait_unlocked(path, lambda: self._listener is None or connection.has_gone())
            if connection.has_gone():
                raise ConnectionError("the client has gone")

    def _content(self, request, key):
        path = request.path
        if path.startswith("/api/v1/health-checks") and not self.health_checks_enabled:
            return FEATURE_OFF
        if path in LISTS:
            return Response(200, self.lists.page(LISTS[path][1], request.asked))
        if path == METRICS:
            return Response(200, self.exposition(), EXPOSITION)
        if path == ME:
            return Response(200, json_text(key.me()), JSON_UTF8)
        if path == CHECK:
            return Response(200, json_text(key.check()))
        if path == "/api/v1/metrics":
            return Response(200, json_text(self._metrics_json()))
        if path == "/api/v1/stats/summary":
            return Response(200, json_text(self._stats()))
        kind = "discovered" if path == "/api/v1/discovery-summary" else "health_checks"
        return Response(200, json_text(self._counts(kind)))

    def _metrics_json(self):
        said = self.summary()
        counters = ("job_completed_total", "job_failed_total", "notification_dead_total")
        now = time.time()
        return {"gauge": {name: value for name, value in said.items() if name not in counters},
                "counter": {name.replace("notification_", "notifications_"): said[name]
                            for name in counters},
                "uptime": {"uptime_seconds": int(now - self.events.started),
                           "server_started": rfc3339(self.events.started),
                           "measured_at": rfc3339(now)}}

    def _stats(self):
        said = self.summary()
        return {"total_certificates": said["certificate_total"],
                "expiring_certificates": said["certificate_expiring_soon"],
                "expired_certificates": said["certificate_expired"],
                "revoked_certificates": said["certificate_revoked"],
                "active_agents": said["agent_online"],
                "offline_agents": said["agent_total"] - said["agent_online"],
                "total_agents": said["agent_total"], "pending_jobs": said["job_pending"],
                "failed_jobs": said["job_failed_total"],
                "complete_jobs": said["job_completed_total"],
                "notifications_dead": said["notification_dead_total"],
                "completed_at": rfc3339(time.time())}

    def _counts(self, kind):
        counts = {}
        with self.state.lock:
            for row in self.state.rows[kind].values():
                counts[row.said["status"]] = counts.get(row.said["status"], 0) + 1
        if kind == "discovered":
            return dict(sorted(counts.items()))
        named = {name: counts.get(name, 0)
                 for name in ("healthy", "degraded", "down", "cert_mismatch", "unknown")}
        return named | {"total": sum(counts.values())}


def _wrong_method(request):
    if request.method == "GET":
        return None
    return Response(405, b" " * 62, JSON) if request.method == "HEAD" else WRONG_METHOD


# --- the command line ---------------------------------------------------------------------------

def _parse():
    parser = argparse.ArgumentParser(
        prog="certctl.py", description="A FAKE certctl server on loopback; its rows are made up.")
    parser.add_argument("--dir", required=True, help="where ca.pem, keys/ and url are put")
    parser.add_argument("--port", type=int, default=0, help="default: the kernel's choice")
    parser.add_argument("--certificates", type=int, default=332)
    parser.add_argument("--agents", type=int, default=14)
    parser.add_argument("--jobs", type=int, default=240)
    parser.add_argument("--notifications", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--churn", type=float, default=0, metavar="N", help="changes of rows a second")
    parser.add_argument("--health-checks", action="store_true", help="the feature is on")
    parser.add_argument("--rate-limit", action="store_true", help="50 a second, 100 at once")
    parser.add_argument("--name-loopback", action="store_true",
                        help="the certificate is good for 127.0.0.1 too, not only for certctl-server")
    parser.add_argument("--owner-pid", type=int, metavar="PID", help="ends when this process does")
    return parser.parse_args()


def _write_files(fake, folder):
    (folder / "ca.pem").write_bytes(pathlib.Path(fake.ca_file).read_bytes())
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    for name in ("viewer", "metrics-only", "none", "admin"):
        fake.write_key(keys / name, name)
    (folder / "url").write_text(fake.url + "\n")


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main():
    arguments = _parse()
    folder = pathlib.Path(arguments.dir)
    folder.mkdir(parents=True, exist_ok=True)
    state = FakeState(arguments.certificates, arguments.agents, arguments.jobs,
                      arguments.notifications, seed=arguments.seed)
    certificate = "loopback" if arguments.name_loopback else "server"
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with contextlib.ExitStack() as stack:
        fake = stack.enter_context(FakeCertctl(folder / "tls", state, certificate=certificate,
                                               port=arguments.port))
        fake.health_checks_enabled = arguments.health_checks
        fake.events.happen()
        if arguments.rate_limit:
            fake.limiter.set()
        _write_files(fake, folder)
        if arguments.churn > 0:
            stack.enter_context(state.churning(arguments.churn))
        print(f"FAKE certctl {VERSION} (not the real one; {arguments.certificates} made-up "
              f"certificates) at {fake.url} with server name {SERVER_NAME}; CA {folder / 'ca.pem'}, "
              f"keys in {folder / 'keys'}", flush=True)
        beaten = time.monotonic()
        while not ended.wait(1):
            if arguments.owner_pid is not None and not _is_alive(arguments.owner_pid):
                break
            if time.monotonic() - beaten > 30:
                state.beat()
                beaten = time.monotonic()
    return 0


if __name__ == "__main__":
    sys.exit(main())
