"""The servers under measure, each with the same certificate, token and bytes: ours in front of fake
nodes, nginx with a static file, Debian's exporter_exporter in front of a plain server of that file.

All on 127.0.0.1, on ports of the kernel's choice, in a folder of the caller's. Each is stopped by
its process id.
"""

import contextlib
import gzip
import http.client
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/fault"), str(ROOT / "tests/fake")]

from fake_node import Certificates, FakeNode, exposition, family  # noqa: E402

TOKEN = "bench+scrape/token~that.is-long_enough0="
WRONG_TOKEN = TOKEN.replace("token", "t0ken")
MOUNTS = 64  # of each node: makes /metrics some 500 kB


def deps():
    return pathlib.Path(os.environ.get("BAO_BENCH_DEPS", ROOT / "build/deps/bench"))


def big_body(index):
    """What a busy node says: 12 series for each mount, with values that do not pack well."""
    values = random.Random(index)
    text = exposition("active" if index == 0 else "standby", index).decode()
    for name in ("create", "read", "update", "delete", "list", "rollback"):
        samples = [(suffix, {"mount_point": f"team-{mount:03d}/", "namespace": "root"},
                    values.uniform(0, 9e5))
                   for mount in range(MOUNTS) for suffix in ("_sum", "_count")]
        text += family(f"vault_route_{name}_by_mount", "summary", samples)
    return text.encode()


class Server:
    """A process with a port, and what it costs."""

    name = "?"
    path = "/metrics"
    start_seconds = 15

    def __init__(self, folder, certificates):
        self.folder = pathlib.Path(folder)
        self.certificates = certificates
        self.ca_file = certificates.pem("ca")
        self.process = None
        self.port = 0

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self):
        return self.folder / f"{self.name}.log"

    def run(self, *command, **options):
        with open(self.log_file, "wb") as log:
            return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, cwd=self.folder, **options)

    def stop(self):
        end(self.process)
        self.process = None

    def __enter__(self):
        self.start()
        try:
            wait_until(f"{self.name} answers", self._answers, self.start_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.log_file.read_text()[-2000:]}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get()[0] == 200
        return False

    def get(self, path=None, **headers):
        """Status, headers in lower case, body."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30,
            context=ssl.create_default_context(cafile=self.ca_file))
        with contextlib.closing(connection):
            fields = {"Authorization": f"Bearer {TOKEN}", **headers}
            connection.request("GET", path or self.path, headers=fields)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read()

    def processes(self):
        """Its own id and those of its children."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [self.process.pid, *map(int, children.read_text().split())]

    def resident_megabytes(self, key="VmHWM"):
        """The most so far, of all its processes together; with "VmRSS", now."""
        total = 0
        for pid in self.processes():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(rf"{key}:\s+(\d+) kB", status)[1])
        return total / 1024

    def proportional_megabytes(self):
        """Now, of all its processes, each page shared by n counted as 1/n."""
        total = 0
        for pid in self.processes():
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"Pss:\s+(\d+) kB", rollup)[1])
        return total / 1024

    def cipher_and_resumption(self):
        """What is agreed on by default, and whether a second connection can resume the first."""
        context = ssl.create_default_context(cafile=self.ca_file)
        request = f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        session = None
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                with context.wrap_socket(plain, server_hostname="127.0.0.1",
                                         session=session) as tls:
                    tls.sendall(request)
                    tls.recv(1)  # with TLS 1.3 the tickets come behind the handshake
                    session = tls.session
                    agreed = (*tls.cipher()[:2], tls.session_reused)
        return agreed[:2], agreed[2]

    def cpu_seconds(self):
        ticks = 0
        for pid in self.processes():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Exporter(Server):
    name = "bao-exporter"
    node_token = "s.BenchTokenOfTheFakes"

    def __init__(self, folder, certificates, binary, listener=()):
        super().__init__(folder, certificates)
        self.binary = pathlib.Path(binary).resolve()
        self.listener = list(listener)
        self.nodes = []

    def start(self):
        if not self.nodes:
            for index in range(3):
                role = "active" if index == 0 else "standby"
                node = FakeNode(self.certificates, f"node-{index}", role, index)
                node.body = big_body(index)
                self.nodes.append(node)
        self._launch()

    def _launch(self):
        self._write_config()
        self.process = self.run(self.binary, "--config.file", self.folder / "exporter.toml")
        wait_until("bao-exporter listens", self._listens)

    def stop(self):
        super().stop()
        for node in self.nodes:
            node.stop()
        self.nodes = []

    def _listens(self):
        text = self.log_file.read_text(errors="replace")
        found = re.search(r'msg="?listening"? address=127\.0\.0\.1:(\d+)', text)
        if self.process.poll() is not None:
            raise RuntimeError(f"bao-exporter ended:\n{text[-2000:]}")
        self.port = int(found[1]) if found else 0
        return found

    def upstreams(self):
        """Of each cluster: its name, its CA, and its nodes' names and addresses."""
        return [("bench", self.ca_file, [(node.name, node.url) for node in self.nodes])]

    def tables(self):
        """More of the configuration, behind [listener]."""
        return []

    def _write_config(self):
        for name, token in (("scrape.token", TOKEN), ("openbao.token", self.node_token)):
            write_private(self.folder / name, token + "\n")
        lines = ["[listener]", 'address = "127.0.0.1:0"',
                 f'tls_cert_file = "{self.certificates.pem("node")}"',
                 f'tls_key_file = "{self.certificates.key("node")}"',
                 'token_files = ["scrape.token"]', 'request_timeout = "5s"', *self.listener,
                 *self.tables()]
        for cluster, ca_file, nodes in self.upstreams():
            lines += ["[[openbao]]", f'cluster = "{cluster}"', f'ca_file = "{ca_file}"',
                      "[openbao.auth]", 'token_file = "openbao.token"']
            for name, url in nodes:
                lines += ["[[openbao.node]]", f'name = "{name}"', f'api_url = "{url}"']
        (self.folder / "exporter.toml").write_text("\n".join(lines) + "\n")


NGINX = """
worker_processes 2;
worker_rlimit_nofile 20000;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-errors.log crit;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  server_tokens off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  scgi_temp_path {folder}/nginx-scgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=10 inactive=1h;
  keepalive_requests 100000000;
  limit_conn_zone $binary_remote_addr zone=address:1m;
  map_hash_bucket_size 256;
  map $http_authorization $let_in {{ default 0; "Bearer {token}" 1; }}
  server {{
    listen 127.0.0.1:{port} ssl{backlog};
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_prefer_server_ciphers on;
    ssl_session_tickets {tickets};
    {limits}
    location = /metrics {{
      if ($let_in = 0) {{ return 401; }}
      default_type "text/plain; version=0.0.4; charset=utf-8";
      gzip_static on;
      gzip_vary on;
      alias {folder}/metrics;
    }}
    location / {{ return 401; }}
  }}
  {plain}
}}
"""

NGINX_LIMITS = """
    limit_conn address 32;
    client_header_timeout 5s;
    client_body_timeout 5s;
    send_timeout 5s;
    keepalive_timeout 75s;
    reset_timedout_connection on;
"""

NGINX_PLAIN = """server {{
    listen 127.0.0.1:{port};
    location = /metrics {{
      default_type "text/plain; version=0.0.4; charset=utf-8";
      gzip_static on;
      alias {folder}/metrics;
    }}
  }}"""


class Nginx(Server):
    """The same bytes as a static file, packed beforehand too."""

    name = "nginx"

    def __init__(self, folder, certificates, body, packed=None, limited=True, tickets=True,
                 plain_port=0):
        super().__init__(folder, certificates)
        self.limited = limited
        self.tickets = tickets
        self.plain_port = plain_port
        (self.folder / "metrics").write_bytes(body)
        (self.folder / "metrics.gz").write_bytes(packed or gzip.compress(body, 6))

    def start(self):
        self.port = free_port()
        plain = NGINX_PLAIN.format(port=self.plain_port, folder=self.folder)
        config = NGINX.format(
            folder=self.folder, port=self.port, token=TOKEN, cert=self.certificates.pem("node"),
            key=self.certificates.key("node"), tickets="on" if self.tickets else "off",
            limits=NGINX_LIMITS if self.limited else "", backlog=" backlog=4096",
            user="user root;" if os.geteuid() == 0 else "", plain=plain if self.plain_port else "")
        (self.folder / "nginx.conf").write_text(config)
        self.process = self.run(deps() / "usr/sbin/nginx", "-p", self.folder, "-e",
                                self.folder / "nginx-errors.log", "-c", self.folder / "nginx.conf")


class ExporterExporter(Server):
    """It can proxy HTTP only: nginx without TLS is behind it, and is not counted."""

    name = "exporter_exporter"
    path = "/proxy?module=bench"

    def __init__(self, folder, certificates, body):
        super().__init__(folder, certificates)
        behind = self.folder / "behind"
        behind.mkdir(exist_ok=True)
        self.behind_port = free_port()
        self._behind = Nginx(behind, certificates, body, plain_port=self.behind_port)

    def start(self):
        self._behind.__enter__()
        self.port = free_port()
        # Without its check that the text parses, which takes longer than all else.
        lines = ["modules:", "  bench:", "    method: http", "    http:", "      verify: false",
                 f"      port: {self.behind_port}", "      path: /metrics"]
        (self.folder / "exporters.yml").write_text("\n".join(lines) + "\n")
        write_private(self.folder / "exporters.token", TOKEN)
        self.process = self.run(
            deps() / "usr/bin/prometheus-exporter-exporter", "-config.file", "exporters.yml",
            "-web.listen-address=", f"-web.tls.listen-address={self.address}",
            f"-web.tls.cert={self.certificates.pem('node')}",
            f"-web.tls.key={self.certificates.key('node')}", f"-web.tls.ca={self.ca_file}",
            "-web.bearer.token-file=exporters.token")

    def stop(self):
        super().stop()
        self._behind.stop()


# --- small things -------------------------------------------------------------------------------

def write_private(path, text):
    path.write_text(text)
    path.chmod(0o600)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def end(process):
    """Stops this process, politely at first."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(what, probe, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.02)
    raise RuntimeError(f"waited {seconds} s until {what}")


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def bench_folder():
    """A private folder for one run, with certificates, gone afterwards."""
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        inner = folder / "tls"
        inner.mkdir()
        yield folder, Certificates(inner)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def all_of(processes):
    """All of them run within."""
    with contextlib.ExitStack() as stack:
        for one in processes:
            stack.enter_context(one)
        yield


def sub_folder(folder, name):
    made = folder / name
    made.mkdir(exist_ok=True)
    return made


def sample_of_ours(folder, certificates, binary):
    """What our /metrics says, plain and packed: the bytes the others serve."""
    with Exporter(sub_folder(folder, "sample"), certificates, binary) as exporter:
        wait_until("all nodes are in /metrics", lambda: exporter.get()[2].count(
            b"vault_route_list_by_mount_sum{") == 3 * MOUNTS)
        _, headers, packed = exporter.get(**{"Accept-Encoding": "gzip"})
        if headers.get("content-encoding") != "gzip":
            raise RuntimeError("our /metrics did not come packed")
        return gzip.decompress(packed), packed
