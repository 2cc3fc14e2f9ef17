"""What of a secret lies in the memory of the process: the token of now in its own pages, and
nothing of the tokens before. Other processes of the same user cannot look, and no core is left.

Read as root, from /proc/PID/mem and from what gcore writes: this also sees the pages that a core
leaves out. Real OpenBao where tokens come from a file; fakes where each login's token has to be
known.
"""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from canary import Search
from cluster import Cluster
from exporter_process import Exporter, openbao, wait_until, write_private
from exporter_under_fault import SCRAPE_TOKEN, UPSTREAM_TOKEN, new_token, replace_file, rigs
from fake_node import APPROLE_LOGIN, DENIED, METRICS, RENEW
from process_memory import Scan

NOBODY = 65534
ROTATIONS = 20
LOGINS = 10
SETTLED_S = 5  # after the last rotation
LIVE_PLACES_MAX = 3
WINDOW = 16  # so many bytes of a secret together count as found
PLANTED = "planted-cluster-name-0123456789"  # what the memory does have
ROLE_ID = new_token("the role id")
SECRET_ID = new_token("the secret id")


def skip_loudly(why, capsys):
    with capsys.disabled():
        print(f"\n*** NOT TESTED: the memory of the process: {why} ***", file=sys.stderr)
    pytest.skip(why)


@pytest.fixture(autouse=True)
def as_root(capsys):
    if os.geteuid() != 0:
        skip_loudly("needs root, who alone may read it", capsys)
    with subprocess.Popen(["sleep", "60"]) as child:  # not dumpable or not: root may read it
        try:
            with open(f"/proc/{child.pid}/mem", "rb"):
                pass
        except PermissionError:
            skip_loudly("ptrace is not permitted here, not even to root", capsys)
        finally:
            child.kill()


@pytest.fixture
def make(make_rig):
    with rigs(make_rig) as make_one:
        yield make_one


def show(what, scan):
    """Counts by secret and mapping, and where what should not be there is."""
    counts = {}
    for place in scan.places:
        key = (place.secret, place.form, str(place.mapping))
        counts[key] = counts.get(key, 0) + 1
    print(f"{what}: {scan.bytes_read >> 10} KiB read")
    for (secret, form, mapping), count in sorted(counts.items()):
        if secret != "planted":
            print(f"  {secret}, {form}: {count} in [{mapping}]")
    if loose := [place for place in scan.places
                 if place.secret != "planted" and not place.guarded]:
        print("  outside of the pages of secrets:", told(loose), sep="\n")


def told(places):
    return "\n".join(map(str, places[:40]))


def check_scan(what, scan, old, live):
    """Nothing of the old ones; the live one in its own pages only."""
    show(what, scan)
    assert scan.of("planted"), "the search cannot find what is there"
    assert (found := scan.of(*old)) == [], f"old tokens are left:\n{told(found)}"
    found = scan.of(live)
    print(f"  the live token is in {len(found)} places")
    assert 1 <= len(found) <= LIVE_PLACES_MAX, told(found)
    assert all(place.guarded for place in found), told(found)


def search_file(path, search):
    """Piece by piece, since most of a core is zero; pieces overlap, so what is found may be told
    twice."""
    hits = []
    tail = b""
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            if piece.count(0) < len(piece):
                hits += search.find(tail + piece)
            tail = piece[-256:]
    return hits


def check_core(pid, folder, search, old, live):
    """What gcore, run by root, gets: neither the old ones nor the live one."""
    if shutil.which("gcore") is None:
        print("*** NOT TESTED: a core of the process: needs gcore (gdb) ***", file=sys.stderr)
        return
    run = subprocess.run(["gcore", "-o", str(folder / "core"), str(pid)], capture_output=True,
                         text=True, timeout=120, check=False)
    core = folder / f"core.{pid}"
    assert run.returncode == 0 and core.exists(), run.stdout + run.stderr
    hits = search_file(core, search)
    counts = {name: sum(hit.secret == name for hit in hits) for name in ("planted", live)}
    print(f"core: {core.stat().st_size >> 10} KiB; hits: {counts}")
    core.unlink()
    assert counts["planted"] > 0, "the search cannot find what is there"
    assert [hit for hit in hits if hit.secret in {live, *old}] == []


# --- a token file, a real cluster -----------------------------------------------------------------

@pytest.fixture(scope="module")
def real_cluster(tmp_path_factory):
    with Cluster.start(tmp_path_factory.mktemp("openbao"), die_with_parent=True) as own:
        yield own


def used_by_all(exporter, generation):
    """Generation in use, and every node up with it."""
    text = exporter.scrape()
    ups = [float(text.value("bao_node_up", node_name=f"openbao-{i}")) for i in range(3)]
    return ups == [1, 1, 1] and float(text.value("bao_token_generation")) == generation


def test_after_rotations_of_the_file_nothing_of_the_old_tokens_is_left(real_cluster, tmp_path):
    tokens = {f"token {number}": real_cluster.mint(["metrics-read"], ttl="1h")
              for number in range(1, ROTATIONS + 2)}
    names = list(tokens)
    search = Search(tokens | {"planted": PLANTED}, WINDOW)
    entry = openbao(real_cluster)
    entry.cluster, entry.token = PLANTED, tokens[names[0]]
    with Exporter(tmp_path / "exporter", [entry], authority=real_cluster,
                  log_level="debug") as exporter:
        file = exporter.folder / f"{PLANTED}.token"
        wait_until("the first one is used", lambda: used_by_all(exporter, 1))
        for generation, name in enumerate(names[1:], start=2):
            write_private(file.with_suffix(".new"), tokens[name] + "\n").replace(file)
            wait_until(f"generation {generation}", lambda: used_by_all(exporter, generation))
        time.sleep(SETTLED_S)
        between_two_polls(exporter)
        scan = Scan(exporter.pid, search)
        check_scan("token file", scan, names[:-1], names[-1])
        check_core(exporter.pid, tmp_path, search, names[:-1], names[-1])


def between_two_polls(exporter):
    """Right behind the end of a round: all is at rest for most of an interval."""
    ended = exporter.log().count('msg="poll ended"')
    wait_until("a poll", lambda: exporter.log().count('msg="poll ended"') >= ended + 1)
    time.sleep(0.4)


# --- logins, fakes --------------------------------------------------------------------------------

def hand_out_tokens(rig):
    """Each login gives another one; returns them by name, in order."""
    given = {}

    def log_in(_):
        name = f"login token {len(given) + 1}"
        given[name] = new_token(name, "s.")
        return given[name]

    tokens = rig.nodes[0].tokens
    tokens.login_token = log_in
    tokens.ttl = tokens.period = 3
    for node in rig.nodes:  # so that each ends with a login
        node.faults[RENEW] = lambda exchange: exchange.answer(403, DENIED)
    return given


def test_after_logins_nothing_of_the_old_tokens_is_left_and_the_secret_id_stays_in_its_pages(
        make, tmp_path):
    def configure(rig):
        replace_file(rig.folder / "role.id", ROLE_ID + "\n")
        replace_file(rig.folder / "secret.id", SECRET_ID + "\n")

    rig = make(configure=configure, start=False, auth=[
        'method = "approle"', 'role_id_file = "role.id"', 'secret_id_file = "secret.id"'])
    given = hand_out_tokens(rig)
    rig.start()
    rig.wait_all_up()
    deadline = time.monotonic() + 4 * LOGINS
    while len(given) < LOGINS:
        assert time.monotonic() < deadline, f"{len(given)} logins"
        time.sleep(0.1)
    rig.nodes[0].tokens.ttl = 86400
    count = len(given)
    wait_until("the last one, which stays", lambda: len(given) > count)
    last = list(given)[-1]
    wait_until("all nodes use it", lambda: all(
        node.requests_of(METRICS)[-1].bearer == given[last] for node in rig.nodes))
    time.sleep(SETTLED_S)
    assert list(given)[-1] == last
    planted = rig.nodes[1].url  # an address that it has to know
    search = Search(given | {"the secret id": SECRET_ID, "the role id": ROLE_ID,
                             "the scrape token": SCRAPE_TOKEN, "planted": planted}, WINDOW)
    wait_for_rest(rig)
    scan = Scan(rig.process.pid, search)
    check_scan("approle", scan, [name for name in given if name != last], last)
    # The scrape token is only shown: what scrapers send is in the buffers of their connections.
    for name in ("the secret id", "the role id"):
        found = scan.of(name)
        assert all(place.guarded for place in found), f"{name}:\n{told(found)}"
        assert len(found) <= LIVE_PLACES_MAX, told(found)
    check_core(rig.process.pid, tmp_path, search, [
        *(name for name in given if name != last), "the secret id", "the role id"], last)
    assert all(request.bearer == "" for node in rig.nodes
               for request in node.requests_of(APPROLE_LOGIN))


def wait_for_rest(rig):
    asked = len(rig.nodes[2].requests_of(METRICS))
    wait_until("a poll", lambda: len(rig.nodes[2].requests_of(METRICS)) > asked)
    time.sleep(0.4)


def test_a_private_key_leaves_no_text_in_memory(make, certificates):
    """Of the file: what OpenSSL makes of it is its own, for as long as the listener lives."""
    lines = [line for line in Path(certificates.key("node")).read_text().splitlines()
             if len(line) >= 40 and not line.startswith("-")]
    # The first bytes of a key are the same for all keys of the kind.
    search = Search({"the private key": "".join(lines)[40:], "planted": "BEGIN CERTIFICATE-----"},
                    WINDOW)
    rig = make()
    rig.wait_all_up()
    rig.wait_rounds("n1", 2)
    scan = Scan(rig.process.pid, search)
    show("private key", scan)
    assert [place for place in scan.of("the private key") if not place.guarded] == []


# --- who may look ---------------------------------------------------------------------------------

LOOK = """
import ctypes, sys
pid = int(sys.argv[1])
def tried(what, does):
    try:
        does()
        print(what, "allowed")
    except OSError as error:
        print(what, "refused", error.errno)
def read_memory():
    with open(f"/proc/{pid}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        memory.read(16)
def attach():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(17, pid, 0, 0)
def read_file(name):
    return lambda: open(f"/proc/{pid}/{name}", "rb").read(1)
tried("mem", read_memory)
tried("environ", read_file("environ"))
tried("auxv", read_file("auxv"))
tried("ptrace", attach)
"""


def as_nobody():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def look(pid, cwd):
    """What another process of that user gets of it."""
    # Not that of the tests: it may stand where only root can go.
    python = os.path.realpath(sys.executable)
    run = subprocess.run([python, "-I", "-c", LOOK, str(pid)], capture_output=True,
                         text=True, preexec_fn=as_nobody, cwd=cwd, timeout=30, check=True)
    return dict(line.split(" ")[:2] for line in run.stdout.splitlines())


@pytest.fixture
def nobodys(make, tmp_path_factory):
    """An exporter that runs as an unprivileged user, who owns its files."""
    rig = make(start=False)
    folder = rig.folder
    for name in ("node.pem", "node.key", "ca.pem"):
        shutil.copyfile(rig.certificates.folder / name, folder / name)
        (folder / name).chmod(0o600)
    rig.write_config(cert_file="node.pem", key_file="node.key", ca_file="ca.pem")
    rig.binary = shutil.copy2(rig.binary, folder / "bao-exporter")  # the build may stand where only root can go
    for path in [folder, *folder.iterdir()]:
        os.chown(path, NOBODY, NOBODY)
    for path in folder.parents:  # pytest's own folders are closed to others
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    rig.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                  "prlimit", "--core=unlimited", "env", "-C", str(folder)]
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (util-linux)")
    rig.start()
    rig.wait_all_up()
    assert f"Uid:\t{NOBODY}\t{NOBODY}" in Path(f"/proc/{rig.process.pid}/status").read_text()
    return rig


def test_another_process_of_the_same_user_cannot_look(nobodys, capsys):
    with subprocess.Popen(["sleep", "60"], preexec_fn=as_nobody, cwd="/") as other:
        try:
            usual = look(other.pid, nobodys.folder)
        finally:
            other.kill()
    said = look(nobodys.process.pid, nobodys.folder)
    print(f"of a usual process: {usual}; of the exporter: {said}")
    assert set(said.values()) == {"refused"}, said
    if usual["mem"] != "allowed":
        skip_loudly("here not even a usual process can be looked into by its user", capsys)


def test_gcore_by_the_same_user_gets_nothing(nobodys, capsys):
    if shutil.which("gcore") is None:
        skip_loudly("a core by the same user: needs gcore (gdb)", capsys)
    run = subprocess.run(["gcore", "-o", str(nobodys.folder / "core"), str(nobodys.process.pid)],
                         preexec_fn=as_nobody, cwd=nobodys.folder, capture_output=True, text=True,
                         timeout=60, check=False)
    cores = list(nobodys.folder.glob("core*"))
    search = Search({"the upstream token": UPSTREAM_TOKEN, "the scrape token": SCRAPE_TOKEN})
    for core in cores:
        assert search.find(core.read_bytes()) == []
    assert run.returncode != 0 and cores == [], run.stdout + run.stderr
    assert nobodys.process.poll() is None


def test_an_abort_leaves_no_core(nobodys, capsys):
    """Where a core of a usual process is left, which is tried too."""
    with subprocess.Popen(["sleep", "60"], preexec_fn=as_nobody, cwd=nobodys.folder) as other:
        usual = aborted(other.pid)
        other.returncode = -signal.SIGABRT  # reaped by us
    before = set(nobodys.folder.glob("*core*"))
    ours = aborted(nobodys.process.pid)
    nobodys.process.returncode = -signal.SIGABRT
    print(f"a core of a usual process: {usual}; of the exporter: {ours}")
    assert not ours and set(nobodys.folder.glob("*core*")) == before
    for core in before:
        core.unlink()
    if not usual:
        skip_loudly("here not even a usual process leaves a core", capsys)


def aborted(pid):
    """Whether the kernel wrote a core."""
    os.kill(pid, signal.SIGABRT)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)
