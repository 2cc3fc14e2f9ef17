"""Nothing that a node answers, and nothing in the environment, leads a request to another place
than the one that is configured: the traps see no connection at all, and each token only its
cluster."""

import contextlib
import itertools
import os
import signal
import socket
import threading
import time

import pytest
from canary import Search
from exporter_under_fault import (UPSTREAM_TOKEN, milliseconds, new_token, replace_file, rigs)
from fake_node import (APPROLE_LOGIN, CAPABILITIES, HEALTH, LEADER, LOOK_UP, METRICS, RENEW,
                       FakeNode, Tokens, exposition)

SLOW = {"interval": "3s", "timeout": "2500ms", "stale_after": "9s"}  # many nodes
QUICK = {"interval": "500ms", "timeout": "400ms", "stale_after": "2s"}
STATUSES = (301, 302, 303, 307, 308)
TOKEN_FILE = ['token_file = "openbao.token"']
APPROLE = ['method = "approle"', 'role_id_file = "role.id"', 'secret_id_file = "secret.id"']
ROLE_ID = new_token("the role id")
SECRET_ID = new_token("the secret id")


class Trap:
    """Two ports that nobody was told of: one on another address, one on the nodes' own."""

    def __init__(self):
        self.caught = []  # (address, the first bytes)
        self._sockets = [socket.create_server((address, 0), backlog=64)
                         for address in ("127.0.0.2", "127.0.0.1")]
        self.elsewhere, self.other_port = (
            "{}:{}".format(*one.getsockname()) for one in self._sockets)
        for one in self._sockets:
            threading.Thread(target=self._accept, args=(one,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(0.2)
            first = b""
            with contextlib.suppress(OSError):
                first = connection.recv(200)
            self.caught.append((listener.getsockname(), first))
            connection.close()

    def close(self):
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def trap():
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture
def make(make_rig):
    with rigs(make_rig) as make_one:
        yield make_one


@pytest.fixture
def make_node(certificates):
    with contextlib.ExitStack() as stack:
        def make_one(name, role="active", index=1, token=UPSTREAM_TOKEN):
            node = FakeNode(certificates, name, role, index, tokens=Tokens(token))
            stack.callback(node.stop)
            return node
        yield make_one


def write_login_files(rig):
    replace_file(rig.folder / "role.id", ROLE_ID + "\n")
    replace_file(rig.folder / "secret.id", SECRET_ID + "\n")


def wait_until(condition, within, what):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)


def test_a_trap_sees_who_comes(trap):
    for place in (trap.elsewhere, trap.other_port):
        host, port = place.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"hello")
    wait_until(lambda: len(trap.caught) == 2, 2, "both")
    assert {first for _, first in trap.caught} == {b"hello"}


# --- redirects ------------------------------------------------------------------------------------

def places(trap, folder):
    """Where redirects lead: another host, port, scheme."""
    bait = folder / "bait.prom"
    bait.write_bytes(exposition("active", 5))
    return {
        "host": f"https://{trap.elsewhere}", "port": f"https://{trap.other_port}",
        "http": f"http://{trap.elsewhere}", "ftp": f"ftp://{trap.elsewhere}",
        "gopher": f"gopher://{trap.other_port}", "file": f"file://{bait}?",
        "no scheme": f"//{trap.elsewhere}", "user": f"https://127.0.0.1:1@{trap.elsewhere}",
    }


class Redirecting:
    """Answers one path of a node with each of these statuses, one after the other, again and
    again."""

    def __init__(self, node, path, to, statuses):
        self.name = f"{path} {node.name}"
        self.sent = []
        self._next = itertools.cycle(statuses)
        self._location = f"Location: {to}{path}"
        node.faults[path] = self._answer

    def _answer(self, exchange):
        status = next(self._next)
        self.sent.append(status)
        exchange.answer(status, b"", headers=[self._location, "Refresh: 0; url=" +
                                              self._location.partition(" ")[2]])


def run_into(make, make_node, trap, folder, kinds, statuses, auth=TOKEN_FILE, ttl=86400):
    """An exporter with a cluster of one node for each kind of request and each place; every one
    leads there. Waits until each was asked with every one of its statuses."""
    clusters, redirecting = [], []
    for kind, (word, to), some in itertools.product(
            kinds, places(trap, folder).items(), statuses):
        node = make_node(f"x{len(clusters)}")
        node.tokens.ttl = node.tokens.period = ttl
        redirecting.append(Redirecting(node, kind, to, some))
        redirecting[-1].name += f" to {word}"
        clusters.append((f"c{len(clusters)}", [node], auth))

    def configure(rig):
        write_login_files(rig)
        rig.settings["others"] = clusters

    rig = make(configure=configure, **SLOW)
    rig.wait_published()
    wanted = max(map(len, statuses))
    wait_until(lambda: all(len(one.sent) >= wanted for one in redirecting), 25,
               "each was asked: " + str([one.name for one in redirecting
                                         if len(one.sent) < wanted][:5]))
    time.sleep(1)
    assert trap.caught == []
    return rig, clusters


@pytest.mark.parametrize("kind", [HEALTH, METRICS, LEADER])
def test_no_redirect_of_a_poll_is_followed(make, make_node, trap, tmp_path, kind):
    rig, clusters = run_into(make, make_node, trap, tmp_path, [kind], [STATUSES])
    scrape = rig.scrape()
    for cluster, [node], _ in clusters:
        counts = scrape.poll_counts(node.name)
        if kind == METRICS:
            assert scrape.lines_of(node.name) == [], "the bait was taken"
            assert counts["redirect"] >= 3 and counts["standby_redirect"] >= 1
            assert counts.get("ok", 0) == 0
        else:
            assert scrape.up(node.name) and scrape.role(node.name) == "active"


@pytest.mark.parametrize("kind, auth, ttl", [
    (APPROLE_LOGIN, APPROLE, 86400), (CAPABILITIES, TOKEN_FILE, 86400),
    (LOOK_UP, TOKEN_FILE, 86400), (RENEW, TOKEN_FILE, 4)],
    ids=["login", "capabilities", "lookup", "renew"])
def test_no_redirect_of_what_concerns_a_token_is_followed(make, make_node, trap, tmp_path, kind,
                                                          auth, ttl):
    one_each = [(status,) for status in STATUSES]
    rig, clusters = run_into(make, make_node, trap, tmp_path, [kind], one_each, auth, ttl)
    if kind == APPROLE_LOGIN:  # and the tries after it
        rig.process.send_signal(signal.SIGHUP)
        time.sleep(2)
        assert all(node.requests_of(METRICS) == [] for _, [node], _ in clusters)
        assert trap.caught == []


# --- the environment ------------------------------------------------------------------------------

PROXY_NAMES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


def home_of_traps(folder, proxy):
    """A home with the files that curl and its friends read."""
    netrc = "machine 127.0.0.1 login thief password stolen\ndefault login thief password stolen\n"
    curlrc = f'proxy = "{proxy}"\ninsecure\nlocation-trusted\nnetrc\nuser = "thief:stolen"\n'
    (folder / "curl").mkdir()
    for name, text in ((".netrc", netrc), ("_netrc", netrc), (".curlrc", curlrc),
                       ("curl/curlrc", curlrc), (".curlrc.d", curlrc)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return {"HOME": str(folder), "CURL_HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
            "NETRC": str(folder / ".netrc")}


def environments(trap, folder):
    web = f"http://{trap.elsewhere}"
    everything = dict.fromkeys(PROXY_NAMES, web)
    return {
        "each alone": [{name: web} for name in PROXY_NAMES],
        "no exceptions": [everything | {"no_proxy": "", "NO_PROXY": ""}],
        "exceptions for others": [everything | {"no_proxy": "example.org", "NO_PROXY": "::1"}],
        "socks": [dict.fromkeys(PROXY_NAMES, f"{scheme}://{trap.other_port}")
                  for scheme in ("socks4", "socks5", "socks5h", "https")],
        "with a password": [dict.fromkeys(PROXY_NAMES, f"http://thief:stolen@{trap.elsewhere}")],
        "home": [everything | home_of_traps(folder, web)],
        "tokens": [{f"{who}_{name}": value for who in ("VAULT", "BAO") for name, value in {
            "TOKEN": "s.TheTokenOfTheEnvironment", "ADDR": f"https://{trap.elsewhere}",
            "SKIP_VERIFY": "true", "PROXY_ADDR": web, "NAMESPACE": "elsewhere"}.items()}],
    }


@pytest.mark.parametrize("what", ["each alone", "no exceptions", "exceptions for others", "socks",
                                  "with a password", "home", "tokens"])
def test_proxies_and_files_of_the_environment_are_ignored(make, trap, tmp_path, what):
    """By polls, and by what concerns the token (its ttl makes it renew, too)."""
    def configure(rig):
        write_login_files(rig)
        rig.nodes[0].tokens.ttl = 3

    for environment in environments(trap, tmp_path)[what]:
        rig = make(configure=configure, environment=environment, auth=APPROLE, **QUICK)
        rig.wait_all_up()
        wait_until(lambda: any(node.requests_of(RENEW) for node in rig.nodes), 5, "a renewal")
        for node in rig.nodes:
            for request in list(node.requests):
                check_request(node, request)
        paths = {request.path for node in rig.nodes for request in node.requests}
        assert paths >= {HEALTH, METRICS, LEADER, APPROLE_LOGIN, CAPABILITIES, RENEW}
        rig.stop()
        assert trap.caught == []


def check_request(node, request):
    """It is for this node, with the configured token or none."""
    assert request.target.startswith("/v1/")  # a proxy would be sent the whole URL
    assert request.method in ("GET", "POST")
    assert request.header("Host") == [f"127.0.0.1:{node.port}"]
    without_token = request.path in (HEALTH, LEADER, APPROLE_LOGIN)
    assert request.header("Authorization") == (
        [] if without_token else [f"Bearer {UPSTREAM_TOKEN}"])
    for name in ("Cookie", "Proxy-Authorization", "Proxy-Connection", "X-Vault-Token",
                 "X-Vault-Namespace", "Referer", "Upgrade", "Alt-Used"):
        assert request.header(name) == [], name


@pytest.mark.parametrize("where", ["SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE",
                                   "OPENSSL_CONF"])
def test_an_authority_of_the_environment_is_not_trusted(make, certificates, tmp_path, where):
    given = certificates.pem("other_ca")
    if where == "SSL_CERT_DIR":
        os.symlink(given, tmp_path / "other.pem")
        given = str(tmp_path)
    elif where == "OPENSSL_CONF":
        given = str(tmp_path / "openssl.cnf")
        (tmp_path / "openssl.cnf").write_text(
            "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = default\n"
            "[default]\nVerifyMode = None\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n"
            f"VerifyCAFile = {certificates.pem('other_ca')}\n")
    rig = make(start=False, environment={where: given}, **QUICK)
    stranger = rig.nodes[0]
    stranger.use_certificate("other_node")
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.up("n2") and s.up("n3"), 3, "the others are up")
    scrape = rig.wait_rounds("n1", 3)
    assert scrape.poll_counts("n1").get("ok", 0) == 0 and scrape.reason("n1") == "tls"
    assert stranger.requests == []


def test_no_session_keys_are_written_for_who_listens(make, tmp_path):
    """SSLKEYLOGFILE would let whoever records the traffic read the tokens in it."""
    keys = tmp_path / "keys"
    rig = make(environment={"SSLKEYLOGFILE": str(keys)}, **QUICK)
    rig.wait_all_up()
    rig.stop()
    assert not keys.exists() or keys.read_bytes() == b""


# --- headers of answers ---------------------------------------------------------------------------

def test_headers_that_lead_elsewhere_change_nothing(make, trap):
    headers = [
        f'Alt-Svc: h2="{trap.elsewhere}"; ma=86400; persist=1, h3="{trap.other_port}"; ma=86400, '
        f'http/1.1="{trap.elsewhere}"; ma=86400',
        "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload",
        f"Location: https://{trap.elsewhere}/", f"Content-Location: https://{trap.elsewhere}/",
        f"Refresh: 0; url=https://{trap.elsewhere}/", "Set-Cookie: session=stolen; Path=/",
        f"Link: <https://{trap.elsewhere}/>; rel=alternate",
        'NEL: {"report_to":"x","max_age":1}', f"X-Vault-Index: {'x' * 64}",
        f'Report-To: {{"group":"x","endpoints":[{{"url":"https://{trap.elsewhere}/"}}]}}'
    ]

    def add_headers(exchange):
        """To the answer that the node gives anyway."""
        send = exchange.send

        def sending(data):
            exchange.send = send
            head, end, rest = data.partition(b"\r\n\r\n")
            send(head + b"\r\n" + "\r\n".join(headers).encode() + end + rest)

        exchange.send = sending
        exchange.node.answer(exchange)

    def configure(rig):
        for node in rig.nodes:
            node.faults = dict.fromkeys((HEALTH, METRICS, LEADER, CAPABILITIES, LOOK_UP),
                                        add_headers)

    rig = make(configure=configure, **QUICK)
    rig.wait_all_up()
    began = {node.name: len(node.requests) for node in rig.nodes}
    rig.wait_rounds("n1", 4)
    for node in rig.nodes:
        assert len(node.requests_of(HEALTH, began[node.name])) >= 3
        for request in list(node.requests):
            check_request(node, request)
    for node in rig.nodes:
        node.drop_connections()  # new ones go to the same place
    rig.wait_rounds("n1", 3)
    assert trap.caught == []


def test_a_demand_for_other_credentials_gets_none(make, trap, tmp_path):
    home = home_of_traps(tmp_path, f"http://{trap.elsewhere}")
    rig = make(start=False, environment=home, **QUICK)
    for node in rig.nodes:
        node.faults[METRICS] = lambda exchange: exchange.answer(
            401, b"", headers=['WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: Negotiate",
                               "WWW-Authenticate: NTLM", 'WWW-Authenticate: Digest realm="x", '
                               'nonce="y", qop="auth"'])
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.polls("n1", "unexpected_status") >= 3, 5, "three polls")
    for node in rig.nodes:
        sent = node.requests_of(METRICS)
        assert len(sent) <= len(node.requests_of(HEALTH)), "asked twice"
        for request in sent:
            assert request.header("Authorization") == [f"Bearer {UPSTREAM_TOKEN}"]
    assert trap.caught == []


# --- a token and its cluster ----------------------------------------------------------------------

def received(nodes, since=None):
    """All bytes that these nodes were sent."""
    return b"\n".join(request.raw + request.body for node in nodes
                      for request in node.requests[(since or {}).get(node.name, 0):])


def test_a_token_never_reaches_a_node_of_another_cluster(make, make_node):
    """With a file, with a login, without any; also when a node changes clusters, and while a
    token is refused."""
    other_token = new_token("the other cluster's token", "s.")
    login_token = new_token("the token of a login", "s.")
    with_file = [make_node("b1", token=other_token), make_node("b2", "standby", 2)]
    with_login = [make_node("d1", token=login_token)]
    without = [make_node("e1")]
    others = [("b", with_file, ['token_file = "other.token"']), ("d", with_login, APPROLE),
              ("e", without, ['method = "none"'])]
    own = {"fake": {UPSTREAM_TOKEN}, "b": {other_token}, "e": set(),
           "d": {login_token, ROLE_ID, SECRET_ID}}

    def configure(rig):
        write_login_files(rig)
        replace_file(rig.folder / "other.token", other_token + "\n")
        rig.settings["others"] = others

    def check(clusters, since=None):
        for cluster, nodes in clusters.items():
            got = received(nodes, since)
            for token in set().union(*own.values()):
                found = Search({"it": token}).find(got)
                assert bool(found) == (token in own[cluster]), (cluster, nodes[0].name)

    rig = make(configure=configure, **QUICK)
    everywhere = [*rig.nodes, *with_file, *with_login, *without]
    clusters = {"fake": rig.nodes, "b": with_file, "d": with_login, "e": without}
    rig.wait_all_up()
    rig.wait(lambda s: all(s.up(node.name) for node in everywhere), 5, "every cluster is up")
    rig.wait_rounds("n1", 2)
    check(clusters)
    for node in everywhere:  # what follows a rejection goes astray neither
        node.tokens.accepted = set()
    time.sleep(2 * milliseconds(QUICK["interval"]) / 1000)
    check(clusters)
    for node in everywhere:
        node.tokens.accepted = None
    moved = rig.nodes.pop()  # from now on of cluster b
    began = {moved.name: len(moved.requests)}
    others[0] = ("b", [*with_file, moved], others[0][2])
    rig.write_config(others=others)
    rig.process.send_signal(signal.SIGHUP)
    wait_until(lambda: other_token.encode() in received([moved], began), 4, "it is asked")
    began[moved.name] = next(at for at, request in enumerate(moved.requests)
                             if request.bearer == other_token)
    rig.wait_rounds("n1", 3)
    check({"b": [moved]}, began)


def test_a_token_goes_only_to_the_name_that_is_verified(make, certificates):
    """Who has the address but not the name gets no request at all, of whatever kind."""
    rig = make(start=False, auth=APPROLE, **QUICK)
    write_login_files(rig)
    for node in rig.nodes:
        node.use_certificate("wrong_name")
    rig.start()
    rig.wait_published()
    rig.wait(lambda s: s.polls("n1", "tls") >= 3, 4, "three polls")
    rig.process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert [node.requests for node in rig.nodes] == [[], [], []]
    assert all(node.connections for node in rig.nodes)
