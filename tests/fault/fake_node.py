"""A scripted OpenBao node: a small TLS server of HTTP/1.1 that answers sys/health, sys/metrics,
sys/leader and what concerns a token (Tokens) as OpenBao 2.7.2 does, records every request with its
time of arrival, and misbehaves on demand: each answer can be replaced by a function that gets the
connection.

Only the standard library and the `openssl` command. Listens on 127.0.0.1, on a port of the kernel's
choice.
"""

import contextlib
import json
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import ports

HEALTH = "/v1/sys/health"
METRICS = "/v1/sys/metrics"
LEADER = "/v1/sys/leader"
POLLED = (HEALTH, METRICS, LEADER)  # what a poll asks; all else concerns the token

CAPABILITIES = "/v1/sys/capabilities-self"
LOOK_UP = "/v1/auth/token/lookup-self"
RENEW = "/v1/auth/token/renew-self"
REVOKE = "/v1/auth/token/revoke-self"
APPROLE_LOGIN = "/v1/auth/approle/login"
LOGIN = re.compile(r"/v1/auth/[^/]+/login")

TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


# --- certificates -------------------------------------------------------------------------------

OPENSSL_CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = placeholder
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[node]
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost,DNS:silent.bao.test
[wrong_name]
basicConstraints = CA:FALSE
subjectAltName = DNS:somebody.else.test
[signing]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = anything
unique_subject = no
[anything]
commonName = supplied
"""


class Certificates:
    """A CA and what it signed: `node` (good), `expired`, `wrong_name`; `other_ca` signed
    `other_node`. Each is FOLDER/NAME.pem with its key in FOLDER/NAME.key."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "openssl.cnf").write_text(OPENSSL_CONFIG.format(folder=self.folder))
        for authority in ("ca", "other_ca"):
            self._openssl("req", "-x509", "-new", "-days", "2", "-extensions", "authority",
                          "-subj", f"/CN=fault tests {authority}", "-key", self._key(authority),
                          "-out", self.pem(authority))
        self._sign("node", "ca", "node")
        self._sign("wrong_name", "ca", "wrong_name")
        self._sign("other_node", "other_ca", "node")
        self._sign("expired", "ca", "node", start="20200101000000Z", end="20200201000000Z")

    def pem(self, name):
        return str(self.folder / f"{name}.pem")

    def key(self, name):
        return str(self.folder / f"{name}.key")

    def server_context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem(name), self.key(name))
        return context

    def _openssl(self, *arguments):
        done = subprocess.run(
            ["openssl", arguments[0], "-config", str(self.folder / "openssl.cnf"), *arguments[1:]],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"openssl {' '.join(arguments)}:\n{done.stdout}"

    def _key(self, name):
        path = self.folder / f"{name}.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-out", str(path)],
                       stderr=subprocess.DEVNULL, check=True)
        path.chmod(0o600)
        return str(path)

    def _sign(self, name, authority, extensions, start=None, end=None):
        request = str(self.folder / f"{name}.csr")
        self._openssl("req", "-new", "-subj", f"/CN={name}", "-key", self._key(name),
                      "-out", request)
        period = ["-startdate", start, "-enddate", end] if start else ["-days", "2"]
        self._openssl("ca", "-batch", "-notext", "-name", "signing", "-extensions", extensions,
                      "-cert", self.pem(authority), "-keyfile", self.key(authority),
                      "-in", request, "-out", self.pem(name), *period)


# --- what a node says ---------------------------------------------------------------------------

def family(name, kind, samples, help_text=None):
    """One family as text; `samples` is a list of (suffix, labels, value)."""
    lines = [f"# HELP {name} {help_text or name}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{key}="{label}"' for key, label in labels.items())
        lines.append(f"{name}{suffix}{{{inside}}} {value}" if inside else f"{name}{suffix} {value}")
    return "\n".join(lines) + "\n"


def summary(name, labels, total, count, quantiles=("NaN", "NaN", "NaN")):
    samples = [("", {**labels, "quantile": q}, value)
               for q, value in zip(("0.5", "0.9", "0.99"), quantiles)]
    return family(name, "summary", samples + [("_sum", labels, total), ("_count", labels, count)])


def renamed(text, prefix, host):
    """A family as a node with another metrics_prefix sends it, or one that puts its host name into
    the names of gauges, and of those only."""
    found = re.search(r"^# TYPE vault_(\S+) (\S+)$", text, re.MULTILINE)
    if found is None:
        return text
    own = prefix + (host + "_" if host and found[2] == "gauge" else "")
    return text.replace("vault_" + found[1], own + found[1])


def exposition(role, index, *, peer_id=None, process_start=None, last_gc=None, prefix="vault_",
               host=""):
    """Some 40 families as OpenBao writes them; values differ from node to node and never move.

    A `peer_id` of "" is a node without raft. `process_start` and `last_gc` are seconds since 1970,
    or the text of the sample; the last collection is not told unless it is given.
    """
    active = role == "active"
    peer = {"cluster": "fake", "peer_id": f"raft-{index}" if peer_id is None else peer_id}
    start = f"1.7953932443{index}e+09" if process_start is None else process_start
    out = [
        summary("go_gc_duration_seconds", {}, f"0.00{index}506298", 7 + index,
                ("0.000291312", "0.000533732", f"0.00079030{index}")),
        family("go_gc_gomemlimit_bytes", "gauge", [("", {}, "9.223372036854776e+18")]),
        family("go_goroutines", "gauge", [("", {}, 180 + index)], "Number of goroutines."),
        family("go_info", "gauge", [("", {"version": "go1.25.3"}, 1)]),
        family("process_cpu_seconds_total", "counter", [("", {}, f"{index}.31")]),
        family("process_resident_memory_bytes", "gauge", [("", {}, f"1.9{index}3088e+08")]),
        family("process_start_time_seconds", "gauge", [("", {}, start)]),
        family("vault_core_active", "gauge", [("", {"cluster": "fake"}, int(active))]),
        family("vault_core_unsealed", "gauge",
               [("", {}, 1), ("", {"cluster": "fake"}, 1)]),
        family("vault_core_in_flight_requests", "gauge", [("", {"cluster": "fake"}, 0)]),
        family("vault_cache_hit", "counter", [("", {}, 341 + index)]),
        family("vault_cache_miss", "counter", [("", {}, 12 + index)]),
        family("vault_audit_log_request_failure", "counter", [("", {}, 0)]),
        family("vault_identity_num_entities", "gauge", [("", {}, 3)]),
        family("vault_quota_lease_count_max", "gauge", [("", {"namespace": "root"}, 300_000)]),
        family("vault_route_read_secret_", "counter",
               [("", {"namespace": "root", "mount_point": "secret/"}, 77 + index)]),
    ]
    out += [family(f"vault_runtime_{name}", "gauge", [("", {}, f"{value}.5e+0{index}")])
            for name, value in (("alloc_bytes", 31), ("free_count", 9), ("heap_objects", 10),
                                ("malloc_count", 19), ("num_goroutines", 20), ("sys_bytes", 41),
                                ("total_gc_pause_ns", 23), ("total_gc_runs", 11))]
    out += [summary(f"vault_{name}", {}, f"{index}.71{place}9", 90 + place)
            for place, name in enumerate((
                "barrier_get", "barrier_list", "barrier_put", "core_check_token",
                "core_handle_request", "raft_get", "raft_fsm_apply", "raft_storage_get"))]
    if last_gc is not None:
        out.append(family("go_memstats_last_gc_time_seconds", "gauge", [("", {}, last_gc)]))
    if peer["peer_id"]:
        out += [family(f"vault_raft_storage_stats_{name}", "gauge", [("", peer, value + index)])
                for name, value in (("applied_index", 131), ("commit_index", 131),
                                    ("fsm_pending", 0))]
    out.append(summary("vault_pki_issue", {"role": "web", "namespace": "root"}, "0.5", 4))
    if active:
        out += [
            family("vault_autopilot_healthy", "gauge", [("", {}, 1)]),
            family("vault_raft_peers", "gauge", [("", {}, 3)]),
            family("vault_expire_num_leases", "gauge", [("", {}, 14)]),
            family("vault_token_count", "gauge",
                   [("", {"cluster": "fake", "namespace": "root"}, 11)]),
        ]
    if prefix != "vault_" or host:
        out = [renamed(text, prefix, host) for text in out]
    return "".join(out).encode()


def health_json(role, **changed):
    """What sys/health says; `changed` over it, where None leaves a key out."""
    said = {"initialized": role != "uninitialized",
            "sealed": role in ("sealed", "uninitialized"),
            "standby": role != "active",
            "replication_performance_mode": "primary",
            "replication_dr_mode": "disabled",
            "server_time_utc": int(time.time()),
            "version": "2.7.2"}
    if not said["sealed"]:
        said |= {"cluster_name": "fake", "cluster_id": "e0ee226a-2c7d-f551-5577-c3991536ba6f"}
    said = {key: value for key, value in (said | changed).items() if value is not None}
    return json.dumps(said, separators=(",", ":")).encode()


HEALTH_STATUS = {"active": 200, "standby": 429, "sealed": 503, "uninitialized": 501}


def http_answer(status, body=b"", content_type=JSON, headers=()):
    lines = [f"HTTP/1.1 {status} Scripted", "Cache-Control: no-store"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += headers
    framing = ("content-length", "transfer-encoding")
    if not any(line.lower().startswith(framing) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body, piece=4096, final=True):
    out = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + piece]), body[at:at + piece])
                   for at in range(0, len(body), piece))
    return out + (b"0\r\n\r\n" if final else b"")


# --- tokens -------------------------------------------------------------------------------------

DENIED = b'{"errors":["permission denied"]}'
NO_POLICY = b'{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}'
CANNOT_FORWARD = b'{"errors":["cannot forward local-only request"]}'
WRONG_SECRET_ID = b'{"errors":["invalid role or secret ID"]}'


def envelope(**filled):
    """The members that each answer of OpenBao has, these ones not empty."""
    empty = {"request_id": "5088a78a-a1a4-470f-f0ae-78474aace89b", "lease_id": "",
             "renewable": False, "lease_duration": 0, "data": None, "wrap_info": None,
             "warnings": None, "auth": None}
    return json.dumps(empty | filled, separators=(",", ":")).encode()


class Tokens:
    """The tokens of a cluster: what its nodes say of them. All nodes of one cluster share it."""

    def __init__(self, login_token="s.FakeLoginToken"):
        self.login_token = login_token  # what a login gives; or a function of its JSON object
        self.accepted = None            # a set of tokens; None: any is good
        self.capabilities = {"sys/metrics": ["list", "read"]}  # "*": of all else
        self.ttl = 86400
        self.period = 86400
        self.renewable = True
        self.lease = None               # what a renewal gives; None: the whole ttl again

    def accepts(self, token):
        return bool(token) and (self.accepted is None or token in self.accepted)

    def capabilities_json(self, asked):
        other = self.capabilities.get("*", ["deny"])
        said = {path: self.capabilities.get(path, other) for path in asked.get("paths", [])}
        if len(said) == 1:
            said["capabilities"] = next(iter(said.values()))
        return envelope(data=said)[:-1] + b"," + json.dumps(said)[1:].encode()

    def look_up_json(self, token):
        now = time.time()
        expiry = time.strftime("%Y-%m-%dT%H:%M:%S.736611Z", time.gmtime(now + self.ttl))
        return envelope(data={
            "accessor": "OTNgInRoaoPHguiV29O8Wv8O", "creation_time": int(now),
            "creation_ttl": self.ttl, "display_name": "token-metrics", "entity_id": "",
            "expire_time": expiry, "explicit_max_ttl": 0, "id": token, "meta": None, "num_uses": 0,
            "orphan": True, "path": "auth/token/create-orphan", "period": self.period,
            "policies": ["default", "metrics-read"], "renewable": self.renewable, "ttl": self.ttl,
            "type": "service"})

    def auth_json(self, token, seconds):
        return envelope(auth={
            "client_token": token, "accessor": "OTNgInRoaoPHguiV29O8Wv8O",
            "policies": ["default", "metrics-read"], "token_policies": ["default", "metrics-read"],
            "metadata": None, "lease_duration": seconds, "renewable": self.renewable,
            "entity_id": "", "token_type": "service", "orphan": True, "mfa_requirement": None,
            "num_uses": 0})

    def login_json(self, said):
        token = self.login_token(said) if callable(self.login_token) else self.login_token
        return self.auth_json(token, self.ttl)


# --- the server ---------------------------------------------------------------------------------

class Request:
    def __init__(self, raw, arrived, body=b""):
        self.raw = raw
        self.body = body
        self.arrived = arrived  # time.monotonic(), when its head was complete
        first, *rest = raw.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        self.headers = [tuple(line.split(": ", 1)) for line in rest if ": " in line]

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def bearer(self):
        """The token that it carries; "" without one."""
        return "".join(self.header("Authorization")).removeprefix("Bearer ")

    @property
    def json(self):
        """Its body; {} when that is nothing of the kind."""
        with contextlib.suppress(ValueError):
            said = json.loads(self.body)
            return said if isinstance(said, dict) else {}
        return {}


class Exchange:
    """One request, and the connection on which a fault answers it."""

    def __init__(self, node, connection, request):
        self.node = node
        self.connection = connection
        self.request = request
        self.keep = False  # the connection can be used again

    def send(self, data):
        self.connection.sendall(data)

    def answer(self, *arguments, **named):
        self.send(http_answer(*arguments, **named))
        self.keep = True

    def hang(self):
        """Until the other side goes away."""
        self.connection.settimeout(None)
        while self.connection.recv(4096):
            pass

    def reset(self):
        """What a dead process leaves: RST, no closing word of TLS."""
        abort(self.connection)

    def close(self):
        """A proper end: TLS says goodbye, then TCP."""
        self.connection.settimeout(0.3)
        with contextlib.suppress(OSError, ValueError):
            self.connection.unwrap()


def abort(connection):
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.close()


class FakeNode:
    def __init__(self, certificates, name, role="standby", index=0, tls=True, tokens=None):
        self.certificates = certificates
        self.name = name
        self.tokens = tokens or Tokens()
        self.index = index
        self.tls = tls
        self.role = self._first_role = role
        self.says = self._first_says = {}      # of exposition()
        self.health = self._first_health = {}  # of health_json()
        self.active_time = "2026-11-23T00:20:45.734479023Z"  # None: sys/leader does not tell
        self.body = None      # bytes, or a function of the role; None: exposition()
        self.faults = {}      # path -> function of an Exchange
        self.on_connect = None  # function of the raw socket, before TLS
        self.requests = []
        self.connections = []  # times of arrival
        self.raw_received = []  # bytes that came without TLS
        self._lock = threading.Lock()
        self._open = {}  # socket -> thread
        self._context = certificates.server_context("node")
        self._stopped = False
        self._listener = None
        self.port = 0
        self.listen()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def metrics_body(self):
        body = self.body
        if callable(body):
            body = body(self.role)
        return exposition(self.role, self.index, **self.says) if body is None else body

    def requests_of(self, path, since=0):
        return [request for request in self.requests[since:] if request.path == path]

    # What can be changed while it runs.

    def be(self, role=None, health=None, **says):
        """This is what it is, also after heal()."""
        self.role = self._first_role = role or self._first_role
        self.health = self._first_health = self._first_health if health is None else health
        self.says = self._first_says = says or self._first_says

    def use_tls(self, context):
        self._context = context
        self.drop_connections()

    def use_certificate(self, name):
        self.use_tls(self.certificates.server_context(name))

    def listen(self):
        listener = ports.listen(self.port)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self):
        """Closes the port; connections end, new ones are refused."""
        listener, self._listener = self._listener, None
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Ends all connections and waits until nothing more is read from them."""
        with self._lock:
            opened = list(self._open.items())
        for connection, _ in opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in opened:
            if thread is not threading.current_thread():
                thread.join(2)

    def heal(self):
        self.role = self._first_role
        self.says = self._first_says
        self.health = self._first_health
        self.faults = {}
        self.on_connect = None
        self.body = None
        self._context = self.certificates.server_context("node")
        if self._listener is None:
            self.listen()

    def stop(self):
        self._stopped = True
        if self._listener is not None:
            self.refuse()

    # How it serves.

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections.append(time.monotonic())
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._open[connection] = thread
            thread.start()

    def _serve(self, raw):
        connection = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.on_connect is not None:
                self.on_connect(raw)
                return
            if self.tls:
                connection = self._context.wrap_socket(raw, server_side=True)
                # The raw socket is detached now: only the wrapped one can be shut down.
                with self._lock:
                    self._open[connection] = self._open.pop(raw)
            while self._serve_one(connection):
                pass
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.pop(raw, None)
                self._open.pop(connection, None)
            for one in (connection, raw):
                with contextlib.suppress(OSError):
                    one.close()

    @staticmethod
    def _is_whole(received):
        """With the body that it announces."""
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return bool(end) and len(body) >= int(length[1] if length else 0)

    def _serve_one(self, connection):
        received = b""
        while not self._is_whole(received):
            got = connection.recv(65536)
            if not got:
                return False
            received += got
        head, _, body = received.partition(b"\r\n\r\n")
        request = Request(head, time.monotonic(), body)
        self.requests.append(request)
        exchange = Exchange(self, connection, request)
        fault = self.faults.get(request.path)
        if fault is not None:
            fault(exchange)
        else:
            self.answer(exchange)
        return exchange.keep and not self._stopped

    def answer(self, exchange):
        """As OpenBao would."""
        path = exchange.request.path
        if path == HEALTH:
            return exchange.answer(HEALTH_STATUS[self.role],
                                   health_json(self.role, **self.health))
        if self.role not in ("active", "standby"):
            return exchange.answer(503, b'{"errors":["Vault is sealed"]}')
        if path == LEADER:
            said = {"ha_enabled": True, "is_self": self.role == "active",
                    "leader_address": self.url, "raft_committed_index": 131}
            if self.role == "active" and self.active_time is not None:
                said["active_time"] = self.active_time
            return exchange.answer(200, json.dumps(said).encode())
        if LOGIN.fullmatch(path):
            return exchange.answer(200, self.tokens.login_json(exchange.request.json))
        if self.tokens.accepted is not None and not self.tokens.accepts(exchange.request.bearer):
            return exchange.answer(*self._rejection())
        if path == METRICS:
            exchange.send(http_answer(200, b"", TEXT, ["Transfer-Encoding: chunked"]))
            exchange.send(chunked(self.metrics_body()))
            exchange.keep = True
            return None
        return exchange.answer(*self._of_token(exchange.request))

    def _rejection(self):
        """To a token that it does not know."""
        return (403, DENIED) if self.role == "active" else (400, CANNOT_FORWARD)

    def _of_token(self, request):
        """Status and body of what one may ask about one's own token."""
        token = request.bearer
        known = {CAPABILITIES: "POST", LOOK_UP: "GET", RENEW: "POST", REVOKE: "POST"}
        if request.path not in known:
            return 404, b'{"errors":[]}'
        if request.method != known[request.path]:
            return 405, b'{"errors":["1 error occurred:\\n\\t* unsupported operation\\n\\n"]}'
        if not token:
            return 403, DENIED
        if request.path == CAPABILITIES:
            return 200, self.tokens.capabilities_json(request.json)
        if request.path == LOOK_UP:
            return 200, self.tokens.look_up_json(token)
        if request.path == RENEW:
            seconds = self.tokens.ttl if self.tokens.lease is None else self.tokens.lease
            return 200, self.tokens.auth_json(token, seconds)
        return 204, b""
