"""A storm of SIGHUPs, and files that become bad and good again hundreds of times, while a process
of its own scrapes 50 times a second on new connections, and one connection is kept: no scrape
fails, no handshake shows a certificate with another one's key, and what is there at the end is in
force.

The whole, 10,000 signals and 1,000 turns in each of the two ways of changing files, with
BAO_RELOAD_STORM=1 (two minutes; -s shows the figures); else a small part of it.
"""

import calendar
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import threading
import time

import pytest
from exporter_under_fault import SCRAPE_TOKEN, new_token, replace_file
from reloads import (DONE, REFUSED, KeptConnection, config_state, read, replaceable_rigs,
                     shown_certificate)
from test_reload_edges import open_files, threads_of

WHOLE = os.environ.get("BAO_RELOAD_STORM") == "1"
SIGNALS = 10_000 if WHOLE else 1_000
SIGNALS_A_SECOND = 1_000
RELOADS = 200 if WHOLE else 1  # so many of them come to an end, at least; a sanitizer makes few
TURNS = 1_000 if WHOLE else 50
SCRAPES_A_SECOND = 50
LOOKED_AT = 7  # every so many turns what is in force is looked at; all flaws come by
STATES = 8
DAY = 86_400
PAIR = ("port.pem", "port.key")
TOKENS = "scrape.token"


# --- what is put there --------------------------------------------------------------------------

class State:
    """One pair, and a token of its own beside the one that stays."""

    def __init__(self, certificates, number):
        name, start, end = f"storm{number}", time.time() - DAY, time.time() + (2 + number) * DAY
        certificates._sign(name, "ca", "node", *(  # reloads.renew has one date only
            time.strftime("%Y%m%d%H%M%SZ", time.gmtime(when)) for when in (start, end)))
        self.not_after = calendar.timegm(time.gmtime(end))
        self.token = new_token(f"token {number} of the storm")
        tokens = f"stays:{SCRAPE_TOKEN}\nstate{number}:{self.token}\n".encode()
        self.files = {PAIR[0]: read(certificates.pem(name)), PAIR[1]: read(certificates.key(name)),
                      TOKENS: tokens}
        shown = ssl.PEM_cert_to_DER_cert(self.files[PAIR[0]].decode())
        self.digest = hashlib.sha256(shown).hexdigest()


@pytest.fixture(scope="module")
def states(certificates):
    return [State(certificates, number) for number in range(STATES)]


@pytest.fixture(scope="module")
def flaws(certificates):
    """What a state may lack: the files that differ, the mode of the tokens, and which file a
    refusal names with which words."""
    garbage = b"-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n"
    expired = {PAIR[0]: read(certificates.pem("expired")),
               PAIR[1]: read(certificates.key("expired"))}
    return [
        (lambda now, new: {PAIR[1]: now.files[PAIR[1]]}, 0o600, PAIR[1], "is not the key of"),
        (lambda now, new: {TOKENS: b""}, 0o600, TOKENS, "is empty"),
        (lambda now, new: {PAIR[0]: garbage}, 0o600, PAIR[0], "that cannot be read"),
        (lambda now, new: {TOKENS: new.files[TOKENS] + b"tooShort\n"}, 0o600, TOKENS + ":3",
         "at least 20 characters"),
        (lambda now, new: expired, 0o600, PAIR[0], "has expired"),
        (lambda now, new: {}, 0o644, TOKENS, "is accessible to others"),
    ]


class Renamed:
    """Each file is put in the place of the old one, one after another."""

    going = PAIR[1] + ": is not the key of"

    def __init__(self, rig):
        self.folder = rig.folder

    def show(self, files, token_mode=0o600):
        for name, content in files.items():
            beside = self.folder / (name + ".next")
            replace_file(beside, content)
            if name == TOKENS:
                beside.chmod(token_mode)
            beside.replace(self.folder / name)


class Mounted:
    """As the kubelet does it: a new folder, and `..data` points there from one moment to the
    next; then the old one goes."""

    going = "cannot be opened: No such file or directory"

    def __init__(self, rig):
        self.folder = rig.folder / "mounted"
        self.folder.mkdir()
        for name in (*PAIR, TOKENS):
            (self.folder / name).symlink_to(f"..data/{name}")
        self._numbers = itertools.count()
        self._old = None

    def show(self, files, token_mode=0o600):
        new = self.folder / f"..2026_11_23_{next(self._numbers)}"
        new.mkdir()
        for name, content in files.items():
            replace_file(new / name, content)
        (new / TOKENS).chmod(token_mode)
        (self.folder / "..data_tmp").symlink_to(new.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        if self._old is not None:
            shutil.rmtree(self._old)
        self._old = new


# --- an exporter in it --------------------------------------------------------------------------

class LogTail:
    """The reloads that the log tells, each once: (why, result, what was wrong)."""

    def __init__(self, rig):
        self._log = open(rig.log_file, "rb")
        self._half = b""
        self._problems = []

    def new(self):
        *lines, self._half = (self._half + self._log.read()).split(b"\n")
        told = []
        for line in map(bytes.decode, lines):
            if found := re.search(r'msg="configuration" problem="(.*)"$', line):
                self._problems.append(found[1])
            elif found := re.search(r'msg="reload" why="?(.*?)"? (?:changed=\S+ )?result='
                                    r'"?([^"]*)"?', line):
                told.append((found[1], found[2], self._problems))
                self._problems = []
        return told

    def close(self):
        self._log.close()


class Storm:
    def __init__(self, rig, mount, states):
        self.rig = rig
        self.mount = mount
        self.states = itertools.cycle(states)
        self.now = next(self.states)
        self.told = []  # every reload
        self.took = {DONE: [], REFUSED: []}  # seconds from a signal to the line of its reload
        mount.show(self.now.files)

    def start(self):
        folder = self.mount.folder
        self.rig.write_config(cert_file=folder / PAIR[0], key_file=folder / PAIR[1],
                              token_files=f'["{folder / TOKENS}"]')
        self.rig.start()
        self.rig.wait_all_up()
        self.had = threads_of(self.rig), open_files(self.rig)
        self.log = LogTail(self.rig)
        return self

    def put(self, flaw=None):
        """The next state; with a flaw it is not in force, and the same one is next again."""
        new = next(self.states)
        if flaw is None:
            self.mount.show(new.files)
            self.now = new
            return
        change, token_mode, _, _ = flaw
        self.mount.show(new.files | change(self.now, new), token_mode)
        self.states = itertools.chain([new], self.states)

    def listen(self):
        assert self.rig.process.poll() is None, self.rig.log()[-3000:]
        new = self.log.new()
        self.told += new
        return new

    def reload(self, patience=10):
        """What became of one signal, and what was wrong."""
        self.listen()
        began = time.monotonic()
        self.rig.process.send_signal(signal.SIGHUP)
        while time.monotonic() < began + patience:
            for why, result, problems in self.listen():
                if why == "SIGHUP":
                    self.took[result].append(time.monotonic() - began)
                    return result, problems
            time.sleep(0.001)
        raise AssertionError(f"no reload within {patience} s:\n{self.rig.log()[-3000:]}")

    def settle(self):
        """Until there is nothing more to tell: a changed file is seen within two looks."""
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            if self.listen():
                until = time.monotonic() + 2.5
            time.sleep(0.05)

    def counts(self):
        done = sum(result == DONE for _, result, _ in self.told)
        assert {result for _, result, _ in self.told} <= {DONE, REFUSED}
        return done, len(self.told) - done

    def close(self):
        self.log.close()


@pytest.fixture(params=[Renamed, Mounted], ids=["rename", "data_symlink"])
def storm(request, make_rig, certificates, states):
    with replaceable_rigs(make_rig, certificates) as make:
        rig = make(roles=("active",), start=False, connections_max=64)
        with contextlib.closing(Storm(rig, request.param(rig), states).start()) as made:
            yield made


# --- who scrapes meanwhile ----------------------------------------------------------------------

@contextlib.contextmanager
def steady_scrapes(rig, states):
    """Gives what it became, as a dict that is filled at the end; no scrape has failed then."""
    task = {"port": rig.port, "ca": rig.certificates.pem("ca"), "token": SCRAPE_TOKEN,
            "rate": SCRAPES_A_SECOND, "certificates": [state.digest for state in states]}
    script = str(pathlib.Path(__file__).with_name("storm_scraper.py"))
    outcome = {}
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            yield outcome
        finally:
            said, _ = process.communicate(timeout=60)
            outcome |= json.loads(said)
    assert outcome["failed"] == 0, outcome["failures"]
    asked = SCRAPES_A_SECOND * outcome["lasted"]
    assert len(outcome["seconds"]) >= (0.95 * asked if WHOLE else 10)


@contextlib.contextmanager
def kept_connection(rig):
    """One connection that is scraped from the beginning to the end."""
    failures, count, stop = [], itertools.count(), threading.Event()

    def scrape(connection):
        while not stop.wait(0.1) and not failures:
            try:
                connection.scrape()
                next(count)
            except Exception as error:
                failures.append(error)

    with KeptConnection(rig) as connection:
        thread = threading.Thread(target=scrape, args=(connection,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)
    assert failures == [] and next(count) >= 3


@contextlib.contextmanager
def signals(rig, count, a_second):
    """Sends them from a thread of its own, at the pace of the clock; at the end all were sent."""
    sent, stop = itertools.count(), threading.Event()

    def send():
        began = time.monotonic()
        for number in range(count):
            if stop.wait(max(began + number / a_second - time.monotonic(), 0)):
                return
            rig.process.send_signal(signal.SIGHUP)
            next(sent)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
    assert next(sent) == count


# --- what is claimed ----------------------------------------------------------------------------

def check_in_force(storm, state):
    """That certificate is shown and told, and of the tokens that change only its own is good."""
    _, end = shown_certificate(storm.rig)
    assert end == state.not_after
    assert storm.rig.scrape(token=state.token).status == 200


def check_the_end(storm, states):
    check_in_force(storm, storm.now)
    for state in states:
        wanted = 200 if state is storm.now else 401
        assert storm.rig.scrape(token=state.token).status == wanted
    done, _ = storm.counts()
    assert config_state(storm.rig) == (1, 1 + done)
    assert storm.told[-1][1] == DONE
    for _, result, problems in storm.told:
        assert (problems == []) == (result == DONE), problems
    deadline = time.monotonic() + 5
    while (now := (threads_of(storm.rig), open_files(storm.rig))) > storm.had:
        assert time.monotonic() < deadline, f"threads and files: {storm.had} before, {now} now"
        time.sleep(0.05)
    storm.rig.wait_all_up()


def tell(name, storm, outcome):
    seconds = sorted(outcome["seconds"])
    done, refused = storm.counts()
    by_file = sum(why != "SIGHUP" for why, _, _ in storm.told)
    median, p99 = (seconds[len(seconds) * part // 100] * 1000 for part in (50, 99))
    median, p99 = (seconds[len(seconds) * part // 100] * 1000 for part in (50, 99))
    print(f"\n{name}: {done} reloads done, {refused} refused, {by_file} for a changed file\n"
          f"{len(seconds)} scrapes in {outcome['lasted']:.1f} s, 0 failed,"
          f" {len(outcome['shown'])} certificates seen,"
          f" median {median:.0f} ms, p99 {p99:.0f} ms, max {seconds[-1] * 1000:.0f} ms")
    for result, took in storm.took.items():
        if len(took) > 1:
            print(f"{result}: median {statistics.median(took) * 1000:.1f} ms from the signal to its"
                  f" line, max {max(took) * 1000:.0f} ms")


def test_a_storm_of_signals_while_files_change(storm, states, flaws):
    """Signals hit every moment of a change; a state is good most of the time."""
    rig = storm.rig
    with steady_scrapes(rig, states) as outcome, kept_connection(rig):
        began = time.monotonic()
        with signals(rig, SIGNALS, SIGNALS_A_SECOND) as sending:
            for flaw in itertools.cycle(flaws):
                storm.put(flaw)
                time.sleep(0.01)
                storm.put()
                time.sleep(0.08)
                storm.listen()
                if not sending.is_alive():
                    break
        took = time.monotonic() - began
        storm.listen()
        assert storm.counts()[0] >= RELOADS
    assert not WHOLE or took < SIGNALS / SIGNALS_A_SECOND + 1, took
    storm.settle()
    check_the_end(storm, states)
    # What was refused was one of the bad states, files of two states, or a folder that went while
    # it was looked into; the next signal, or look at the files, takes what is there then.
    words = {words for _, _, _, words in flaws} | {storm.mount.going}
    others = [problems for _, _, problems in storm.told
              if problems and not any(word in problem for problem in problems for word in words)]
    tell(f"{SIGNALS} signals in {took:.1f} s", storm, outcome)
    assert others == []


def test_every_flaw_is_refused_and_what_follows_is_taken(storm, states, flaws):
    rig = storm.rig
    memory = rig.resident_bytes()
    with steady_scrapes(rig, states) as outcome, kept_connection(rig):
        for turn, flaw in zip(range(TURNS), itertools.cycle(flaws)):
            _, _, blamed, words = flaw
            looked_at = turn % LOOKED_AT == 0
            before = storm.now
            storm.put(flaw)
            result, problems = storm.reload()
            assert result == REFUSED
            assert f"{storm.mount.folder / blamed}" in problems[-1] and words in problems[-1]
            if looked_at:
                assert config_state(rig)[0] == 0
                check_in_force(storm, before)
            storm.put()
            assert storm.reload() == (DONE, [])
            if looked_at:
                assert config_state(rig)[0] == 1
                check_in_force(storm, storm.now)
                assert rig.scrape(token=before.token).status == 401
    assert storm.counts()[0] >= TURNS and storm.counts()[1] >= TURNS
    check_the_end(storm, states)
    tell(f"{TURNS} turns", storm, outcome)
    print(f"resident memory {memory >> 10} kB before, {rig.resident_bytes() >> 10} kB after")


def test_an_end_is_heard_in_the_middle_of_it(storm):
    """The signal that ends us is not the first that the kernel gives of those that wait."""
    process, ended = storm.rig.process, threading.Event()

    def send():
        while not ended.wait(0.001):
            process.send_signal(signal.SIGHUP)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        time.sleep(0.5)
        storm.listen()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        ended.set()
        thread.join(10)
    assert len(storm.log.new()) <= 5
