"""checks.py MACHINE CGROUP PID1 ROOT: boots the files in MACHINE as boot.sh says and looks at the unit. Prints TAP.

Runs on the host's files, in a network of its own that the booted machine shares: so the fake node and
Prometheus' part are played here, and systemctl and the like are called inside with nsenter.
"""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

MACHINE, CGROUP, PID1, ROOT = (Path(argument) for argument in sys.argv[1:])
sys.path.insert(0, str(ROOT / "tests/fault"))

from fake_node import METRICS, Certificates, FakeNode  # noqa: E402

UNIT = "bao-exporter.service"
ETC = MACHINE / "etc/bao-exporter"
DROP_INS = MACHINE / f"etc/systemd/system/{UNIT}.d"
SCRAPE_TOKEN = "boot-test-scrape-token-0123456789abcdef"
PORT = 9825

CHECKS = []
STARTED = time.monotonic()


class Skip(Exception):
    pass


def check(what):
    def add(function):
        CHECKS.append((what, function))
        return function

    return add


# --- the machine ------------------------------------------------------------------------------------


class Machine:
    def __init__(self):
        self.log = open(MACHINE.parent / "pid1.log", "wb")
        self.outer = subprocess.Popen(
            ["sh", "-c", 'echo 0 >"$1/cgroup.procs" && shift && exec unshare "$@"', "sh", CGROUP, "--pid", "--mount",
             "--cgroup", "--ipc", "--uts", "--fork", "--kill-child", PID1, MACHINE],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.pid = None

    def find_pid(self):
        children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def command(self, *command):
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--ipc", "--uts",
                *(str(part) for part in command)]

    def run(self, *command, good=True, timeout=30):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        if good:
            assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout}{done.stderr}"
        return done

    def path(self, path):
        """What the machine itself sees at `path`."""
        return Path(f"/proc/{self.pid}/root{path}")

    def boot(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.outer.poll() is None, f"systemd ended with {self.outer.returncode}"
            with contextlib.suppress(OSError, IndexError):
                self.find_pid()
                if Path(f"/proc/{self.pid}/comm").read_text() == "systemd\n":
                    state = self.run("systemctl", "is-system-running", good=False).stdout.strip()
                    if state in ("running", "degraded"):
                        return state
            time.sleep(0.02)
        raise AssertionError("not booted within 30 s")

    def power_off(self):
        os.kill(self.outer.pid, signal.SIGKILL)
        self.outer.wait(10)


machine = Machine()


def show(*properties, unit=UNIT):
    said = machine.run("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout
    values = dict(line.split("=", 1) for line in said.splitlines())
    return values[properties[0]] if len(properties) == 1 else [values[name] for name in properties]


def main_pid():
    return int(show("MainPID"))


def process(name):
    """/proc/PID/`name` of the exporter, as the machine sees it."""
    return machine.path(f"/proc/{main_pid()}/{name}")


def execute_in_view(*command):
    """Runs as root with the exporter's view of the files, outside its other walls."""
    pid = main_pid()
    (outer,) = [path.parent.name for path in Path("/proc").glob("[0-9]*/status")
                if re.search(rf"^NSpid:.*\t{pid}$", path.read_text(), re.M)]
    assert Path(f"/proc/{outer}/comm").read_text() == "bao-exporter\n"
    return subprocess.run(["nsenter", f"--target={outer}", "--mount", *command], capture_output=True, text=True,
                          timeout=10)


def journal():
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT).stdout


def systemctl(*arguments, good=True):
    """Returns how many milliseconds it took."""
    started = time.monotonic()
    machine.run("systemctl", *arguments, good=good, timeout=60)
    return since(started)


def since(started):
    return round((time.monotonic() - started) * 1000)


def wait(condition, within, what):
    """Milliseconds until `condition()` is true; an exception in it is a no."""
    started = time.monotonic()
    why = ""
    while time.monotonic() - started < within:
        try:
            if condition():
                return since(started)
            why = ""
        except (OSError, AssertionError, http.client.HTTPException) as error:
            why = f": {error!r}"
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}{why}")


def drop_in(name, text):
    DROP_INS.mkdir(exist_ok=True)
    (DROP_INS / f"{name}.conf").write_text(text)
    machine.run("systemctl", "daemon-reload")


def no_drop_in(name):
    (DROP_INS / f"{name}.conf").unlink()
    machine.run("systemctl", "daemon-reload")


def shipped_drop_in(name):
    return (ROOT / f"systemd/{UNIT}.d/{name}.conf.example").read_text()


@contextlib.contextmanager
def with_drop_in(name, text):
    """A stopped unit gets the drop-in, is started by the caller, and is as before at the end."""
    systemctl("stop", UNIT)
    drop_in(name, text)
    try:
        yield
    finally:
        systemctl("stop", UNIT, good=False)
        systemctl("reset-failed", UNIT, good=False)
        no_drop_in(name)
        configure()


# --- the exporter -----------------------------------------------------------------------------------


certificates_folder = MACHINE.parent / "certificates"
certificates_folder.mkdir()
certificates = Certificates(certificates_folder)
nodes = []
names = []


NAME = "silent.bao.test"  # in the nodes' certificate


class NameServer:
    """Answers every A query with 127.0.0.1 and every other one with nothing."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            question = query[12:query.index(b"\0", 12) + 5]
            is_a = question[-4:] == b"\0\1\0\1"
            self.asked += 1
            answer = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + question
            if is_a:
                answer += b"\xc0\x0c\0\1\0\1\0\0\0\x01\0\4\x7f\0\0\1"
            self.socket.sendto(answer, sender)


def replace_file(path, text, mode=0o644, group=None):
    """By renaming, as everybody should."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    if group is not None:
        os.chown(new, 0, group)
    new.chmod(mode)
    new.rename(path)


def configuration(count=1, secrets=None):
    """The shipped example, with the fake nodes (the second by name) and a short interval."""
    text = (ROOT / "systemd/bao-exporter.toml.example").read_text()
    text, replaced = re.subn(r"\[\[openbao\.node\]\]\nname = .*\napi_url = .*\n", "", text)
    assert replaced == 1
    for node in nodes[:count]:
        url = node.url if node is nodes[0] else f"https://{NAME}:{node.port}"
        text += f'[[openbao.node]]\nname = "{node.name}"\napi_url = "{url}"\n'
    text += '[poll]\ninterval = "1s"\ntimeout = "800ms"\nstale_after = "3s"\n'
    return text.replace("${CREDENTIALS_DIRECTORY}", secrets) if secrets else text


def configure(count=1, secrets=None):
    replace_file(ETC / "bao-exporter.toml", configuration(count, secrets))


def install():
    """As systemd/README.md says."""
    ETC.mkdir()
    (MACHINE / "var/lib/bao-exporter/root").mkdir(parents=True)
    # As systemd-resolved leaves it: a link into /run.
    for folder in ("systemd/resolve", "NetworkManager"):
        machine.path(f"/run/{folder}").mkdir()
    replace_file(machine.path("/run/systemd/resolve/resolv.conf"), "nameserver 127.0.0.1\n")
    (MACHINE / "etc/resolv.conf").unlink(missing_ok=True)
    (MACHINE / "etc/resolv.conf").symlink_to("../run/systemd/resolve/resolv.conf")
    replace_file(MACHINE / "etc/nsswitch.conf", "hosts: files dns\n")
    for name in (UNIT, "bao-exporter-restart.path", "bao-exporter-restart.service"):
        shutil.copy(ROOT / "systemd" / name, MACHINE / "etc/systemd/system")
    for source, name, mode in ((certificates.pem("node"), "tls.crt", 0o644),
                               (certificates.key("node"), "tls.key", 0o600),
                               (certificates.pem("ca"), "openbao-ca.pem", 0o644)):
        replace_file(ETC / name, Path(source).read_text(), mode)
    replace_file(ETC / "scrape.token", SCRAPE_TOKEN + "\n", 0o600)
    replace_file(ETC / "openbao.token", "s.BootTestToken1\n", 0o600)


def ask(path="/metrics", token=SCRAPE_TOKEN, source=None, timeout=2.0):
    context = ssl.create_default_context(cafile=certificates.pem("ca"))
    connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=timeout, context=context,
                                             source_address=(source, 0) if source else None)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def value(name, **labels):
    status, text = ask()
    assert status == 200, f"{status} {text[:200]}"
    found = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)
             and all(f'{key}="{label}"' in line for key, label in labels.items())]
    assert len(found) == 1, f"{len(found)} of {name} {labels}"
    return float(found[0].rsplit(" ", 1)[1])


def up(node):
    return value("bao_node_up", node_name=node.name) == 1


def last_token(node):
    (header,) = node.requests_of(METRICS)[-1].header("Authorization")
    return header


def start(within=5.0):
    """Starts the unit; milliseconds until the node is served."""
    started = time.monotonic()
    systemctl("start", UNIT)
    wait(lambda: up(nodes[0]), within, "bao_node_up 1")
    return since(started)


# --- the checks, in their order ---------------------------------------------------------------------


@check("systemd boots")
def boots():
    started = time.monotonic()
    state = machine.boot()
    took = since(started)
    nodes.extend(FakeNode(certificates, f"openbao-{index}", role, index)
                 for index, role in enumerate(("active", "standby")))
    names.append(NameServer())
    install()
    configure()
    machine.run("systemctl", "daemon-reload")
    return f"{took} ms, {state}"


@check("READY: from exec to active in less than 2 s")
def ready():
    took = systemctl("start", UNIT)
    main, active, state = show("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic", "ActiveState")
    assert state == "active"
    milliseconds = (int(active) - int(main)) / 1000
    assert 0 < milliseconds < 2000
    return f"exec to active {milliseconds:.0f} ms, systemctl start {took} ms"


@check("scrape over TLS with the token: bao_node_up 1 and the node's samples")
def scrape():
    took = wait(lambda: up(nodes[0]), 5, "bao_node_up 1")
    started = time.monotonic()
    status, text = ask()
    assert status == 200 and re.search(r'^vault_core_active\{.*node_name="openbao-0".*\} 1$', text, re.M)
    answer = since(started)
    assert last_token(nodes[0]) == "Bearer s.BootTestToken1"
    assert ask(token="wrong-token-0123456789abcdef")[0] == 401
    assert ask(token=None)[0] == 401
    active = int(show("ActiveEnterTimestampMonotonic")) / 1e6
    return f"scrape {answer} ms; up {took} ms after the first look, {(time.monotonic() - active) * 1000:.0f} ms after READY"


@check("a user of its own, no capability, no new privileges, a syscall filter, limits")
def identity():
    status = dict(re.findall(r"^(\w+):\t(.*)$", process("status").read_text(), re.M))
    uids = set(status["Uid"].split())
    assert len(uids) == 1 and uids != {"0"}, uids
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = process("limits").read_text()
    assert re.search(r"Max open files\s+4096\s+4096", limits) and re.search(r"Max core file size\s+0\s+0", limits)
    assert int(status["Threads"]) < 512
    return f"uid {uids.pop()}, {status['Threads']} threads of TasksMax 512"


@check("it sees /usr and /etc of the machine and nothing else, can write to its own /tmp, can execute little")
def view():
    seen = {path.name for path in process("root").iterdir()}
    assert seen <= {"dev", "etc", "lib", "lib64", "proc", "root", "run", "sys", "tmp", "usr", "var"}, seen
    assert not list(process("root/root").iterdir())
    assert {path.name for path in process("root/var").iterdir()} <= {"tmp"}
    assert {path.name for path in process("root/run").iterdir()} <= {"NetworkManager", "credentials", "host", "systemd"}
    mounts = {line.split()[4]: line.split()[5].split(",") for line in process("mountinfo").read_text().splitlines()}
    assert "noexec" in mounts["/"] and "ro" in mounts["/"], mounts["/"]
    assert "noexec" in mounts["/etc"] and "ro" in mounts["/etc"], mounts["/etc"]
    assert "noexec" not in mounts["/usr/bin/bao-exporter"] and "ro" in mounts["/usr/bin/bao-exporter"]
    assert execute_in_view("/usr/bin/bao-exporter", "--version").returncode == 0
    writable = [path for path, options in mounts.items() if "rw" in options
                and not path.startswith(("/proc", "/sys", "/dev"))]
    assert set(writable) <= {"/tmp", "/var/tmp"}, writable
    both = {path for path, options in mounts.items() if "rw" in options and "noexec" not in options}
    assert both <= {"/dev/hugepages"}, both  # root's
    refused = execute_in_view("/usr/bin/true")
    assert refused.returncode == 126 and "Permission denied" in refused.stderr, refused
    return f"sees {' '.join(sorted(seen))}; can write to {' '.join(sorted(writable))}"


@check("secrets: read only, 0400, of the dynamic user; closed to other units")
def credentials():
    folder = f"/run/credentials/{UNIT}"
    uid = re.search(r"Uid:\t(\d+)", process("status").read_text())[1]
    files = {path.name: path.stat() for path in process(f"root{folder}").iterdir()}
    assert set(files) == {"openbao.token", "scrape.token", "tls.key"}, files
    for stat in files.values():
        assert (stat.st_mode & 0o007) == 0 and (str(stat.st_uid) == uid and stat.st_mode & 0o777 == 0o400
                                                or stat.st_uid == 0 and stat.st_mode & 0o777 == 0o440), stat
    (mount,) = [line for line in process("mountinfo").read_text().splitlines() if line.split()[4] == folder]
    assert "ro" in mount.split()[5].split(","), mount
    (MACHINE / "etc/systemd/system/thief.service").write_text(
        "[Service]\nType=oneshot\nDynamicUser=yes\nExecStart=/usr/bin/cat "
        f"{folder}/openbao.token /etc/bao-exporter/openbao.token\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "thief.service", good=False)
    stolen = machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "thief.service").stdout
    assert stolen.count("Permission denied") == 2 and "BootTestToken" not in stolen, stolen
    modes = sorted({oct(stat.st_mode & 0o777) for stat in files.values()})
    return f"{mount.split(' - ')[1].split()[0]}, {' '.join(modes)}, uid {uid}"


@check("reload: a changed configuration is in force, same process; its new node is found by DNS")
def reload_good():
    pid = main_pid()
    configure(2)
    took = systemctl("reload", UNIT)
    more = wait(lambda: up(nodes[1]) and up(nodes[0]), 5, "the second node is up")
    assert main_pid() == pid
    assert names[0].asked
    assert re.search(r'msg="?reload"? why=SIGHUP changed=\S+ result=done', journal()), journal()[-800:]
    assert value("bao_exporter_config_last_reload_successful") == 1
    return f"systemctl reload {took} ms, the new node is served {more} ms later"


@check("reload: a broken configuration is refused, the old one stays, same process")
def reload_broken():
    pid = main_pid()
    replace_file(ETC / "bao-exporter.toml", configuration(1) + "[nonsense]\nkey = 1\n")
    took = systemctl("reload", UNIT)
    more = wait(lambda: value("bao_exporter_config_last_reload_successful") == 0, 5, "the metric says so")
    time.sleep(1.5)
    assert up(nodes[0]) and up(nodes[1]) and main_pid() == pid
    assert show("ActiveState") == "active" and "refused" in show("StatusText")
    configure(2)
    back = wait(lambda: value("bao_exporter_config_last_reload_successful") == 1, 5, "a mended file is noticed")
    return f"systemctl reload {took} ms, refused {more} ms later; mended without a reload within {back} ms"


@check("rotation of a credential: a reload keeps the old token, a restart brings the new one")
def rotation():
    replace_file(ETC / "openbao.token", "s.BootTestToken2\n", 0o600)
    systemctl("reload", UNIT)
    polls = len(nodes[0].requests_of(METRICS))
    wait(lambda: len(nodes[0].requests_of(METRICS)) >= polls + 2, 5, "two more polls")
    assert last_token(nodes[0]) == "Bearer s.BootTestToken1"
    started = time.monotonic()
    systemctl("restart", UNIT)
    wait(lambda: up(nodes[0]) and last_token(nodes[0]) == "Bearer s.BootTestToken2", 10, "the new token")
    return f"restart to served with the new token {since(started)} ms"


@check("rotation by bao-exporter-restart.path: a changed secret restarts the unit")
def rotation_by_path():
    pid = main_pid()
    machine.run("systemctl", "start", "bao-exporter-restart.path")
    started = time.monotonic()
    replace_file(ETC / "openbao.token", "s.BootTestToken3\n", 0o600)
    wait(lambda: last_token(nodes[0]) == "Bearer s.BootTestToken3" and up(nodes[0]), 15, "the new token")
    took = since(started)
    assert main_pid() != pid
    machine.run("systemctl", "stop", "bao-exporter-restart.path")
    return f"rename to served with the new token {took} ms"


@check("killed: restarted")
def killed():
    pid = main_pid()
    restarts = int(show("NRestarts"))
    started = time.monotonic()
    machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    wait(lambda: main_pid() not in (0, pid) and up(nodes[0]), 15, "a new process serves")
    assert int(show("NRestarts")) == restarts + 1
    return f"SIGKILL to served again {since(started)} ms (RestartSec=2s)"


@check("stop: clean, in less than 5 s, and the secrets are gone")
def stops():
    took = systemctl("stop", UNIT)
    result, code, state = show("Result", "ExecMainStatus", "ActiveState")
    assert (result, code, state) == ("success", "0", "inactive"), (result, code, state)
    assert took < 5000, took
    assert not machine.path(f"/run/credentials/{UNIT}").exists()
    assert not machine.path("/run/bao-exporter").exists()
    return f"{took} ms"


@check("a wrong configuration: exit code 2, the key in the journal, not tried again")
def wrong_configuration():
    replace_file(ETC / "bao-exporter.toml", configuration(1).replace("[poll]", "[pole]"))
    took = systemctl("start", UNIT, good=False)
    time.sleep(2.5)
    result, code, state, restarts = show("Result", "ExecMainStatus", "ActiveState", "NRestarts")
    assert (result, code, state, restarts) == ("exit-code", "2", "failed", "0"), (result, code, state, restarts)
    assert "pole" in journal()
    systemctl("reset-failed", UNIT)
    configure()
    return f"systemctl start failed after {took} ms"


@check("a missing secret: the unit fails at CREDENTIALS, and starts by itself when it is there")
def missing_secret():
    (ETC / "scrape.token").rename(ETC / "scrape.token.away")
    systemctl("start", UNIT, good=False)
    assert show("ExecMainStatus") == "243", show("ExecMainStatus", "Result")
    (ETC / "scrape.token.away").rename(ETC / "scrape.token")
    took = wait(lambda: up(nodes[0]), 10, "bao_node_up 1")
    systemctl("stop", UNIT)
    return f"served {took} ms after it was there (RestartSec=2s)"


@check("watchdog: a hung poll loop ends in a restart")
def watchdog():
    with with_drop_in("watchdog", "[Service]\nWatchdogSec=3s\nExecStart=\n"
                      "ExecStart=/usr/bin/bao-exporter-hanging --config.file /etc/bao-exporter/bao-exporter.toml\n"
                      "ExecPaths=+/usr/bin/bao-exporter-hanging\n"):
        start()
        pid = main_pid()
        time.sleep(4)  # longer than WatchdogSec: it is being fed
        assert main_pid() == pid and show("NRestarts") == "0"
        started = time.monotonic()
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=USR2", UNIT)
        stalled = wait(lambda: value("bao_exporter_poll_loop_stalled") == 1, 20, "bao_exporter_poll_loop_stalled 1")
        assert main_pid() == pid
        text = ask()[1]
        assert 'vault_core_active{' not in text and value("bao_node_up", node_name=nodes[0].name) == 0
        wait(lambda: main_pid() not in (0, pid), 25, "another process")
        replaced = since(started)
        wait(lambda: up(nodes[0]), 10, "bao_node_up 1")
        took = since(started)
        assert show("NRestarts") == "1"
        events = machine.run("journalctl", "--no-pager", "-o", "cat", "UNIT=" + UNIT).stdout
        assert "Watchdog timeout (limit 3s)" in events and "result 'watchdog'" in events, events[-800:]
    return f"hung: stalled after {stalled} ms, new process after {replaced} ms, served after {took} ms"


@check("SystemCallErrorNumber=kill: start, scrape, reload, refused reload and stop need no forbidden call")
def syscalls():
    with with_drop_in("kill", "[Service]\nSystemCallErrorNumber=kill\nRestart=no\n"):
        took = start()
        pid = main_pid()
        configure(2)
        systemctl("reload", UNIT)
        wait(lambda: up(nodes[1]), 5, "the second node is up")
        replace_file(ETC / "bao-exporter.toml", "broken")
        systemctl("reload", UNIT)
        wait(lambda: value("bao_exporter_config_last_reload_successful") == 0, 5, "refused")
        nodes[0].refuse()
        wait(lambda: value("bao_node_up", node_name=nodes[0].name) == 0, 5, "a node is down")
        nodes[0].heal()
        wait(lambda: up(nodes[0]), 5, "it is back")
        assert main_pid() == pid
        stopped = systemctl("stop", UNIT)
        result = show("Result", "ExecMainStatus", "NRestarts")
        assert result == ["success", "0", "0"], result
    return f"start to served {took} ms, stop {stopped} ms, no signal 31"


@check("SystemCallErrorNumber=kill kills: mount in the place of the exporter ends by SIGSYS")
def syscalls_control():
    with with_drop_in("control", "[Service]\nType=exec\nSystemCallErrorNumber=kill\nRestart=no\nExecStart=\n"
                      "ExecStart=/usr/bin/mount -t tmpfs none /tmp\nExecPaths=+/usr/bin/mount\n"):
        systemctl("start", UNIT, good=False)
        wait(lambda: show("ActiveState") == "failed", 5, "failed")
        result = show("Result", "ExecMainStatus")
        assert result == ["signal", "31"], result
    return "signal 31"


@check("address-allow-list.conf.example: who is not in the list cannot connect")
def allow_list():
    text, replaced = re.subn(r"^IPAddressAllow=localhost$", "IPAddressAllow=127.0.0.1/32",
                             shipped_drop_in("address-allow-list"), flags=re.M)
    assert replaced == 1
    start()
    assert ask(source="127.0.0.2")[0] == 200  # without the list
    with with_drop_in("addresses", text):
        start()
        assert ask(source="127.0.0.1")[0] == 200
        started = time.monotonic()
        try:
            status = ask(source="127.0.0.2", timeout=0.5)[0]
        except TimeoutError:
            took = since(started)
        else:
            raise AssertionError(f"127.0.0.2 was answered with {status}")
    return f"127.0.0.1 is answered, 127.0.0.2 not within {took} ms"


@check("reload-without-restart.conf.example: a renamed token is in force without a restart")
def without_restart():
    group = 990
    with open(MACHINE / "etc/group", "a") as groups:
        groups.write(f"bao-exporter-secrets:x:{group}:\n")
    secrets = ETC / "secrets"
    secrets.mkdir(mode=0o750)
    os.chown(secrets, 0, group)
    for name in ("openbao.token", "scrape.token", "tls.key"):
        replace_file(secrets / name, (ETC / name).read_text(), 0o640, group)
    with with_drop_in("secrets", shipped_drop_in("reload-without-restart")):
        configure(secrets="secrets")
        start()
        pid = main_pid()
        assert last_token(nodes[0]) == "Bearer s.BootTestToken3"
        started = time.monotonic()
        replace_file(secrets / "openbao.token", "s.BootTestToken4\n", 0o640, group)
        wait(lambda: last_token(nodes[0]) == "Bearer s.BootTestToken4" and up(nodes[0]), 10, "the new token")
        took = since(started)
        assert main_pid() == pid
    return f"rename to polled with the new token {took} ms"


def needs_controller(name):
    if name not in (CGROUP / "cgroup.controllers").read_text().split():
        raise Skip(f"the cgroup2 hierarchy of this machine has no controller `{name}`")


@check("MemoryMax and MemorySwapMax are in force")
def memory_limit():
    needs_controller("memory")
    start()
    group = machine.path(f"/sys/fs/cgroup{show('ControlGroup')}")
    assert (group / "memory.max").read_text().strip() == str(256 << 20)
    assert (group / "memory.swap.max").read_text().strip() == "0"
    return f"{int((group / 'memory.current').read_text()) >> 20} MiB of 256"


@check("TasksMax is in force")
def tasks_limit():
    needs_controller("pids")
    start()
    group = machine.path(f"/sys/fs/cgroup{show('ControlGroup')}")
    assert (group / "pids.max").read_text().strip() == "512"
    return f"{(group / 'pids.current').read_text().strip()} tasks of 512"


# --- TAP --------------------------------------------------------------------------------------------


def main():
    print(f"1..{len(CHECKS)}", flush=True)
    bad = 0
    for number, (what, function) in enumerate(CHECKS, 1):
        started = time.monotonic()
        try:
            line = f"ok {number} - {what}: {function()}"
        except Skip as reason:
            line = f"ok {number} - {what} # SKIP {reason}"
        except Exception:  # noqa: BLE001  # whatever it is, the check has failed
            bad += 1
            line = f"not ok {number} - {what}"
            trace = traceback.format_exc().splitlines()
            with contextlib.suppress(Exception):
                trace += machine.run("journalctl", "--no-pager", "-n", "12", "-o", "short-monotonic").stdout.splitlines()
            line += "".join(f"\n# {text}" for text in trace)
        print(f"{line} [{since(started)} ms in all]", flush=True)
        if number == 1 and bad:
            print(f"Bail out! {(MACHINE.parent / 'pid1.log').read_text(errors='replace')[-1000:]}")
            break
    print(f"# {since(STARTED)} ms", flush=True)
    if machine.pid:
        with contextlib.suppress(Exception):
            (MACHINE.parent / "journal.log").write_text(
                machine.run("journalctl", "--no-pager", "-o", "short-monotonic").stdout)
    machine.power_off()
    return 1 if bad else 0


sys.exit(main())
