"""Logins, renewals, look-ups and token files that go wrong as a real server will not do on demand:
what concerns the token never disturbs a poll that has one, and never another cluster."""

import contextlib
import itertools
import os
import re
import signal
import threading
import time

import pytest
from exporter_under_fault import UPSTREAM_TOKEN, new_token, replace_file, rigs, watch
from fake_node import (APPROLE_LOGIN, CANNOT_FORWARD, CAPABILITIES, DENIED, HEALTH, JSON, LOOK_UP,
                       METRICS, NO_POLICY, RENEW, WRONG_SECRET_ID, FakeNode, Tokens, envelope,
                       http_answer)

ROLE_ID = new_token("the role id")
SECRET_ID = new_token("the secret id")
APPROLE = ['method = "approle"', 'role_id_file = "role.id"', 'secret_id_file = "secret.id"']
LATE_MAX = 0.25  # of a poll or a login, on a machine that has other work


@pytest.fixture
def make(make_rig):
    with rigs(make_rig) as make_one:
        yield make_one


def every_node(rig, path, fault):
    for node in rig.nodes:
        node.faults[path] = fault


def sent(rig, path):
    """(request, node) of all nodes, in the order of arrival."""
    found = [(request, node) for node in rig.nodes for request in node.requests_of(path)]
    return sorted(found, key=lambda one: one[0].arrived)


def bearers(nodes, since=None):
    return [request.bearer for node in nodes
            for request in node.requests_of(METRICS, (since or {}).get(node.name, 0))]


def marks(rig):
    return {node.name: len(node.requests) for node in rig.nodes}


def count_of(rig, message):
    return rig.log().count(f'msg="{message}"')


def wait_for_log(rig, message, within=5, more_than=0):
    rig.wait(lambda _: count_of(rig, message) > more_than, within, f"log: {message}")


def value_or_none(scrape, name):
    found = scrape.find(name, credential="fake")
    return float(found[0][2]) if found else None


def total(scrape, what, result):
    return scrape.value(f"bao_token_{what}_total", credential="fake", result=result)


def polls_but_ok(scrape, names=("n1", "n2", "n3")):
    return {name: others for name in names
            if (others := {reason: count for reason, count in scrape.poll_counts(name).items()
                           if reason != "ok" and count > 0})}


# --- logins -------------------------------------------------------------------------------------

SLACK = 0.1


class Logins:
    """What answers the logins of all nodes, and what it saw: when each began and ended, and that
    never two were under way."""

    def __init__(self, rig, fault=None):
        self.fault = fault  # of an Exchange; None: as OpenBao would
        self.seen = []      # [node name, begun, ended]
        self._lock = threading.Lock()
        every_node(rig, APPROLE_LOGIN, self._answer)

    def _answer(self, exchange):
        one = [exchange.node.name, exchange.request.arrived, None]
        with self._lock:
            self.seen.append(one)
        try:
            (self.fault or exchange.node.answer)(exchange)
        finally:
            with self._lock:
                one[2] = time.monotonic()

    @property
    def most_at_once(self):
        """On a busy machine the exporter may have the answer, and ask the next node, before the thread here that
        gave it goes on: SLACK is no overlap."""
        seen = sorted(self.seen, key=lambda one: one[1])
        earlier = ([ended for _, _, ended in seen[:place]] for place in range(len(seen)))
        return max((1 + sum(ended is None or begun < ended - SLACK for ended in before)
                    for (_, begun, _), before in zip(seen, earlier)), default=0)

    def waits(self):
        """Seconds between the end of each and the beginning of the next."""
        seen = list(self.seen)
        return [after[1] - (before[2] or after[1]) for before, after in itertools.pairwise(seen)]

    def wait_for(self, count, within):
        deadline = time.monotonic() + within
        while len(self.seen) < count:
            assert time.monotonic() < deadline, f"{len(self.seen)} logins, not {count}"
            time.sleep(0.02)


def with_approle(rig):
    replace_file(rig.folder / "role.id", ROLE_ID + "\n")
    replace_file(rig.folder / "secret.id", SECRET_ID + "\n")
    rig.settings["auth"] = APPROLE
    names = (f"login token {number}" for number in itertools.count(1))
    tokens = rig.nodes[0].tokens
    tokens.accepted = set()

    def log_in(said):
        assert said.get("role_id") == ROLE_ID and said.get("secret_id") == SECRET_ID
        token = new_token(next(names), "s.")
        tokens.accepted.add(token)
        return token

    tokens.login_token = log_in


@pytest.fixture
def neighbour(certificates):
    """A node of another cluster, with a token file."""
    node = FakeNode(certificates, "other1", "active", 7, tokens=Tokens(UPSTREAM_TOKEN))
    yield node
    node.stop()


def cut(exchange):
    whole = http_answer(200, exchange.node.tokens.auth_json("s.CutBeforeItsEnd", 86400))
    exchange.send(whole[:-40])
    exchange.close()


def of_token(token):
    """A login that gives this, which cannot be a token."""
    return lambda exchange: exchange.answer(200, exchange.node.tokens.auth_json(token, 86400))


def answering(status, body, content_type=JSON, headers=()):
    return lambda exchange: exchange.answer(status, body, content_type, headers)


LOGIN_FAULTS = {
    "500": answering(500, b'{"errors":["internal error"]}'),
    "503": answering(503, b'{"errors":["Vault is sealed"]}'),
    "429": answering(429, b'{"errors":["request path rate limit quota exceeded"]}'),
    "307": answering(307, b"", headers=["Location: https://127.0.0.1:1/v1/auth/approle/login"]),
    "204": answering(204, b""),
    "hangs": lambda exchange: exchange.hang(),
    "resets": lambda exchange: exchange.reset(),
    "is cut": cut,
    "garbage": answering(200, b'{"auth":{"client_token":'),
    "a page": answering(200, b"<!DOCTYPE html><html>Sign in</html>", "text/html"),
    "no auth": lambda exchange: exchange.answer(200, envelope()),
    "no client_token": answering(200, envelope(auth={"lease_duration": 86400})),
    "client_token a number": of_token(17),
    "empty token": of_token(""),
    "line break in the token": of_token("s.Evil\r\nX-Vault-Namespace: root"),
    "a token of 5000 bytes": of_token("s." + "a" * 5000),
    "huge": lambda exchange: exchange.answer(200, b'{"x":"' + b"y" * 20_000_000 + b'"}'),
    "deep": answering(200, b"[" * 100_000),
}


def lateness_of(node, since, interval):
    """Seconds by which the polls of a node came later than an interval after the one before. (An
    answer about the token may have its nodes asked at once, so earlier.)"""
    times = [request.arrived for request in node.requests_of(HEALTH, since)]
    assert len(times) >= 3
    return max(after - before - interval for before, after in itertools.pairwise(times))


@pytest.mark.parametrize("how", LOGIN_FAULTS)
def test_a_login_that_fails_delays_nobody_and_is_tried_again_elsewhere(make, neighbour, how):
    def configure(rig):
        with_approle(rig)
        rig.settings["others"] = [("other", [neighbour], ['token_file = "openbao.token"'])]

    rig = make(configure=configure, start=False)
    logins = Logins(rig, LOGIN_FAULTS[how])
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.up("other1"), 3, "the other cluster is up")
    rig.wait(lambda s: all(s.reason(node.name) == "login_failed" for node in rig.nodes), 3,
             "no token, and why")
    began = {node.name: len(node.requests) for node in (*rig.nodes, neighbour)}
    resident = rig.resident_bytes()

    def on_each(scrape):
        assert scrape.up("other1") and scrape.reason("other1") == "ok"
        assert [scrape.role(f"n{number}") for number in (1, 2, 3)] == [
            "standby", "active", "standby"]
        assert not any(scrape.up(node.name) for node in rig.nodes)

    watch(rig, 3.7, on_each)
    for node in (*rig.nodes, neighbour):
        assert lateness_of(node, began[node.name], rig.interval) <= LATE_MAX, node.name
    assert bearers(rig.nodes) == [], "no token, no request for metrics"
    logins.wait_for(5, 4)
    assert logins.most_at_once == 1
    # The next node at once, until each was asked; then ever later.
    waits = logins.waits()
    assert max(waits[:2]) <= LATE_MAX, waits
    assert 0.85 <= waits[2] <= 1 + LATE_MAX and 1.75 <= waits[3] <= 2 + LATE_MAX, waits
    assert len({name for name, _, _ in logins.seen[:3]}) == 3, logins.seen
    assert rig.resident_bytes() - resident < 8 << 20
    assert total(rig.scrape(), "logins", "error") >= 3 and count_of(rig, "login failed") >= 1
    logins.fault = None
    rig.process.send_signal(signal.SIGHUP)  # the login that waits is tried at once
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 2.5, "logged in")
    assert total(rig.scrape(), "logins", "success") == 1
    assert len(set(bearers(rig.nodes))) == 1


def test_a_denied_login_waits_ten_seconds_for_its_next_try(make):
    """At the fifth denial within 15 minutes OpenBao locks the role for as long."""
    rig = make(configure=with_approle, start=False)
    logins = Logins(rig, answering(400, WRONG_SECRET_ID))
    rig.start()
    rig.wait_published()
    logins.wait_for(1, 3)
    scrape = rig.wait(lambda s: s.reason("n1") == "login_failed" and total(s, "logins", "denied"),
                      3, "denied")
    assert not scrape.up("n1") and scrape.role("n2") == "active"
    logins.wait_for(2, 14)
    assert 10 - 0.05 <= logins.waits()[0] <= 13
    time.sleep(2)
    assert len(logins.seen) == 2 and count_of(rig, "login failed") >= 1


def test_a_new_secret_id_is_tried_at_once(make):
    rig = make(configure=with_approle, start=False)
    logins = Logins(rig, answering(400, WRONG_SECRET_ID))
    replace_file(rig.folder / "secret.id", new_token("a wrong secret id") + "\n")
    rig.start()
    rig.wait_published()
    logins.wait_for(1, 3)
    logins.fault = None
    replace_file(rig.folder / "secret.id", SECRET_ID + "\n")
    rig.wait_all_up()
    assert len(logins.seen) == 2


@pytest.mark.parametrize("name", ["role.id", "secret.id"])
def test_without_a_login_s_file_nobody_is_asked_and_the_reason_says_so(make, name):
    """Whether it starts like that or is told at once that it cannot: never without a word."""
    rig = make(configure=with_approle, start=False)
    logins = Logins(rig)
    content = (rig.folder / name).read_bytes()
    (rig.folder / name).unlink()
    try:
        rig.start()
    except AssertionError:
        assert rig.process.wait(5) == 2 and name in rig.log()
        return
    rig.wait_published()
    rig.wait(lambda s: s.reason("n1") in ("token_unreadable", "login_failed"), 3, "why")
    assert logins.seen == [] and name in rig.log()
    replace_file(rig.folder / name, content)
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 5, "it is there")


def test_a_token_that_nodes_reject_is_replaced_by_a_login(make):
    rig = make(configure=with_approle, start=False)
    logins = Logins(rig)
    rig.start()
    rig.wait_all_up()
    first = set(bearers(rig.nodes))
    rig.nodes[0].tokens.accepted.clear()  # revoked
    # A token that did not live long is no reason to log in ever again: 10 s after the last login.
    rig.wait(lambda s: len(logins.seen) == 2 and all(s.up(n.name) for n in rig.nodes), 14,
             "logged in again")
    assert len(first) == 1 and logins.most_at_once == 1
    assert {node.requests_of(METRICS)[-1].bearer for node in rig.nodes}.isdisjoint(first)


def test_where_each_new_token_is_rejected_logins_stay_seldom(make):
    """A cluster whose nodes know no token of a login: no storm of logins."""
    rig = make(configure=with_approle, start=False)
    logins = Logins(rig)
    rig.nodes[0].tokens.login_token = lambda said: new_token("never accepted", "s.")
    rig.start()
    rig.wait_published()
    began = marks(rig)
    time.sleep(6)
    assert logins.most_at_once == 1
    assert len(logins.seen) <= 4, f"{len(logins.seen)} logins in 6 s"
    for node in rig.nodes:
        assert len(node.requests_of(METRICS, began[node.name])) <= 2 * 7


# --- renewal ------------------------------------------------------------------------------------

def shortly(rig, ttl):
    rig.nodes[0].tokens.ttl = rig.nodes[0].tokens.period = ttl


@pytest.mark.parametrize("fault", [
    answering(500, b'{"errors":["internal error"]}'), lambda exchange: exchange.hang(),
    lambda exchange: exchange.reset(), answering(200, b"{}")], ids=["500", "hang", "reset", "{}"])
def test_a_renewal_that_fails_for_a_while_costs_no_poll(make, fault):
    rig = make(configure=lambda rig: shortly(rig, 12), start=False)
    every_node(rig, RENEW, fault)
    rig.start()
    rig.wait_all_up()
    started = time.monotonic()
    rig.wait(lambda s: total(s, "renewals", "error") >= 2, 12, "two that failed")
    assert time.monotonic() - started >= 12 * 0.55, "too early"
    assert count_of(rig, "renewal failed") >= 1
    for node in rig.nodes:
        node.heal()
    scrape = rig.wait(lambda s: total(s, "renewals", "success") >= 1, 5, "renewed")
    asked = [node.name for _, node in sent(rig, RENEW)]
    assert asked[0] == "n2" and len(set(asked)) >= 2, f"always the same node: {asked}"
    assert polls_but_ok(scrape) == {}
    assert scrape.value("bao_token_expiry_timestamp_seconds", credential="fake") > time.time() + 6
    assert set(bearers(rig.nodes)) == {UPSTREAM_TOKEN}


RENEWALS_THAT_END = {
    "denied": answering(403, DENIED),
    "not of its policy": answering(403, NO_POLICY),
    "batch": answering(400, b'{"errors":["batch tokens cannot be renewed"]}'),
    "no longer the whole time": lambda exchange: exchange.answer(
        200, exchange.node.tokens.auth_json(exchange.request.bearer, 2)),
}


@pytest.mark.parametrize("how", RENEWALS_THAT_END)
def test_where_renewal_ends_a_login_follows_at_once(make, how):
    def configure(rig):
        with_approle(rig)
        shortly(rig, 6)

    rig = make(configure=configure, start=False)
    logins = Logins(rig)
    every_node(rig, RENEW, RENEWALS_THAT_END[how])
    rig.start()
    rig.wait_all_up()
    logins.wait_for(2, 6)
    renewal = sent(rig, RENEW)[0][0].arrived
    assert 0 <= logins.seen[1][1] - renewal <= 1, "not at once"
    before = marks(rig)
    scrape = rig.wait_rounds("n1", 3)
    assert polls_but_ok(scrape) == {}
    assert {node.requests_of(METRICS, before[node.name])[-1].bearer for node in rig.nodes} == {
        sorted(rig.nodes[0].tokens.accepted, key=bearers(rig.nodes).index)[-1]}
    assert logins.most_at_once == 1 and total(scrape, "logins", "success") >= 2
    assert value_or_none(scrape, "bao_token_generation") >= 2


# --- what it may, and how long it lives -----------------------------------------------------------

def test_a_check_that_hangs_does_not_keep_the_first_polls_long(make):
    rig = make(start=False)
    every_node(rig, CAPABILITIES, lambda exchange: exchange.hang())
    started = time.monotonic()
    rig.start()
    scrape = rig.wait_published()
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 4, "polls without a check")
    assert time.monotonic() - started < 4
    assert value_or_none(scrape, "bao_token_excess_capabilities") is None
    for node in rig.nodes:
        node.heal()
    rig.wait(lambda s: value_or_none(s, "bao_token_excess_capabilities") == 0, 20,
             "the check is tried on")


def test_where_excess_is_refused_no_token_is_used_before_its_check(make):
    rig = make(start=False, auth=['token_file = "openbao.token"',
                                  'on_excess_capabilities = "refuse"'])
    every_node(rig, CAPABILITIES, lambda exchange: exchange.hang())
    rig.start()
    scrape = rig.wait_published()
    watch(rig, 4, lambda one: not any(one.up(node.name) for node in rig.nodes) or pytest.fail("up"))
    assert bearers(rig.nodes) == []
    assert scrape.role("n2") == "active"
    for node in rig.nodes:
        node.heal()
    rig.wait(lambda s: all(s.up(node.name) for node in rig.nodes), 20, "checked")


@pytest.mark.parametrize("capabilities, count", [
    ({"sys/metrics": ["read"]}, 0), ({"sys/metrics": ["list", "read", "sudo"]}, 1),
    ({"sys/metrics": ["read"], "sys/mounts": ["read", "update"]}, 2)])
def test_excess_is_counted_and_where_it_is_refused_the_token_is_not_used(make, capabilities, count):
    def less(rig):
        rig.nodes[0].tokens.capabilities = capabilities

    warned = make(configure=less)
    warned.wait_all_up()
    warned.wait(lambda s: value_or_none(s, "bao_token_excess_capabilities") == count, 3, "counted")
    assert count_of(warned, "token may too much") == (1 if count else 0)
    refusing = make(configure=less, auth=['token_file = "openbao.token"',
                                          'on_excess_capabilities = "refuse"'])
    refusing.wait_published()
    reason = "token_excess" if count else "ok"
    refusing.wait(lambda s: all(s.reason(n.name) == reason for n in refusing.nodes), 3, reason)
    if count:
        assert bearers(refusing.nodes) == [] and count_of(refusing, "token refused") == 1


@pytest.mark.parametrize("path, message, metric", [
    (LOOK_UP, "token life unknown", "bao_token_expiry_timestamp_seconds"),
    (CAPABILITIES, "token power unknown", "bao_token_excess_capabilities")])
def test_what_a_token_may_not_ask_about_itself_is_not_known(make, path, message, metric):
    rig = make(start=False)
    for forbidden in {path, RENEW}:
        every_node(rig, forbidden, answering(403, NO_POLICY))
    rig.start()
    rig.wait_all_up()
    wait_for_log(rig, message)
    scrape = rig.wait_rounds("n1", 2)
    assert value_or_none(scrape, metric) is None
    assert polls_but_ok(scrape) == {}
    assert len(sent(rig, path)) == 1, "a no is a no"


def test_where_a_token_may_not_look_itself_up_a_renewal_tells_how_long_it_lives(make):
    rig = make(start=False)
    every_node(rig, LOOK_UP, answering(403, NO_POLICY))
    rig.start()
    rig.wait_all_up()
    rig.wait(lambda s: value_or_none(s, "bao_token_expiry_timestamp_seconds"), 3, "known")
    assert len(sent(rig, LOOK_UP)) == len(sent(rig, RENEW)) == 1


def test_a_new_token_is_asked_about_once_and_of_one_node(make):
    rig = make()
    rig.wait_all_up()
    rig.wait_rounds("n1", 2)
    for number, token in ((1, UPSTREAM_TOKEN), (2, new_token("the second token", "s."))):
        if number == 2:
            replace_file(rig.folder / "openbao.token", token + "\n")
            rig.wait(lambda s: value_or_none(s, "bao_token_generation") == 2, 4, "the second one")
            rig.wait_rounds("n1", 2)
        for path, method in ((CAPABILITIES, "POST"), (LOOK_UP, "GET")):
            asked = [(node.name, request.method) for request, node in sent(rig, path)
                     if request.bearer == token]
            # At the start nobody knows yet who is active.
            assert asked == [("n2", method)] or (number == 1 and asked == [("n1", method)]), path
    for request, _ in sent(rig, CAPABILITIES) + sent(rig, LOOK_UP):
        assert request.header("X-Vault-No-Request-Forwarding") == []
        assert request.header("X-Vault-Token") == request.header("Cookie") == []
    assert sent(rig, RENEW) == []  # a day is left


# --- token files ----------------------------------------------------------------------------------

@contextlib.contextmanager
def the_old_one_stays(rig):
    """Around a change of the token file: not one poll fails, and what is sent stays."""
    before = rig.wait_all_up()
    since = marks(rig)
    yield
    scrape = rig.wait_rounds("n1", 3)
    assert polls_but_ok(scrape) == polls_but_ok(before)
    assert set(bearers(rig.nodes, since)) == {UPSTREAM_TOKEN}
    assert value_or_none(scrape, "bao_token_generation") == 1
    for name in ("n1", "n2", "n3"):
        assert scrape.lines_of(name) == before.lines_of(name)


def an_own_folder(path):
    path.unlink()
    path.mkdir()


def a_fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def a_loop(path):
    path.unlink()
    path.symlink_to(path.name)


NEVER_USED = new_token("what is never used", "s.")
BAD_FILES = {
    "empty": lambda path: replace_file(path, ""),
    "readable for all": lambda path: path.chmod(0o644),
    "readable for its group": lambda path: path.chmod(0o640),
    "removed": lambda path: path.unlink(),
    "a folder": an_own_folder,
    "a fifo": a_fifo,
    "a link to itself": a_loop,
    "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "CRLF": lambda path: replace_file(path, NEVER_USED + "\r\n"),
    "two lines": lambda path: replace_file(path, f"{NEVER_USED}\n{UPSTREAM_TOKEN}\n"),
    "a header more": lambda path: replace_file(path, f"{NEVER_USED}\r\nX-Vault-Token: x\r\n"),
    "5000 bytes": lambda path: replace_file(path, NEVER_USED * 120),
    "NUL": lambda path: replace_file(path, NEVER_USED.encode() + b"\0\n"),
    "written in place, empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("how", BAD_FILES)
def test_a_token_file_that_cannot_be_used_changes_nothing_until_it_can(make, how):
    rig = make()
    file = rig.folder / "openbao.token"
    with the_old_one_stays(rig):
        BAD_FILES[how](file)
        wait_for_log(rig, "token file", 3)
    told = re.findall(r'level=warn msg="token file" credential=fake .*', rig.log())
    assert len(told) == 1 and str(file) in told[0], told
    assert count_of(rig, "reload") == 0, "it is not the configuration that has changed"
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    new = new_token("the restored token", "s.")
    replace_file(file, new + "\n")
    scrape = rig.wait(lambda s: value_or_none(s, "bao_token_generation") == 2, 4, "restored")
    assert all(node.requests_of(METRICS)[-1].bearer == new for node in rig.nodes)
    assert polls_but_ok(scrape) == {}
    assert rig.scrape(path="/metrics/exporter").value(
        "bao_exporter_config_last_reload_successful") == 1


@pytest.mark.parametrize("how", ["removed and put back", "opened and closed to others"])
def test_a_token_file_that_is_as_it_was_again_is_no_new_generation(make, how):
    rig = make()
    file = rig.folder / "openbao.token"
    with the_old_one_stays(rig):
        if how == "removed and put back":
            file.unlink()
        else:
            file.chmod(0o644)
        wait_for_log(rig, "token file", 3)
        if how == "removed and put back":
            replace_file(file, UPSTREAM_TOKEN + "\n")
        else:
            file.chmod(0o600)
        rig.wait_rounds("n1", 2)


@pytest.mark.parametrize("rejection", ["all say 403", "as OpenBao"])
def test_a_new_token_that_nodes_reject_never_ends_the_use_of_the_old_one(make, rejection):
    rig = make()
    tokens = rig.nodes[0].tokens
    tokens.accepted = {UPSTREAM_TOKEN}
    if rejection == "all say 403":
        for node in rig.nodes:
            node._rejection = lambda: (403, DENIED)
    before = rig.wait_all_up()
    since = marks(rig)
    garbage = new_token("garbage", "s.")
    replace_file(rig.folder / "openbao.token", garbage + "\n")
    scrape = rig.wait_rounds("n1", 4)
    assert polls_but_ok(scrape) == {}, "reason ok: each poll ends with samples"
    assert value_or_none(scrape, "bao_token_generation") == 1
    for node in rig.nodes:
        assert scrape.lines_of(node.name) == before.lines_of(node.name)
        carried = [request.bearer for request in node.requests_of(METRICS, since[node.name])]
        polls = len(node.requests_of(HEALTH, since[node.name]))
        assert carried.count(UPSTREAM_TOKEN) <= polls + 1
        assert carried.count(garbage) <= polls + 1, "asked more than once in a poll"
        assert carried[-1] == UPSTREAM_TOKEN
    tokens.accepted.add(good := new_token("the good one", "s."))
    replace_file(rig.folder / "openbao.token", good + "\n")
    rig.wait(lambda s: value_or_none(s, "bao_token_generation") == 3, 5, "a good one takes over")
    assert polls_but_ok(rig.scrape()) == {}
    assert all(node.requests_of(METRICS)[-1].bearer == good for node in rig.nodes)
    told = [line for line in rig.log().splitlines()
            if "level=warn" in line and "credential=fake" in line and "generation=2" in line]
    assert told, "not a word of it in the log"


def test_a_new_token_takes_over_at_each_node_when_it_works_there(make):
    """Standbys hear of a token later than the active node: until then they say 400."""
    rig = make()
    second = new_token("the token that spreads", "s.")
    late = rig.nodes[0]

    def not_yet(exchange):
        if exchange.request.bearer == second:
            exchange.answer(400, CANNOT_FORWARD)
        else:
            exchange.node.answer(exchange)

    rig.wait_all_up()
    late.faults[METRICS] = not_yet
    replace_file(rig.folder / "openbao.token", second + "\n")
    rig.wait(lambda _: all(node.requests_of(METRICS)[-1].bearer == second
                           for node in rig.nodes[1:]), 4, "the others use it")
    scrape = rig.wait_rounds("n1", 2)
    assert polls_but_ok(scrape) == {}
    assert value_or_none(scrape, "bao_token_generation") == 1, "the old one is still in use"
    late.heal()
    scrape = rig.wait(lambda s: value_or_none(s, "bao_token_generation") == 2, 4, "everywhere")
    assert polls_but_ok(scrape) == {}
