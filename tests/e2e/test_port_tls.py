"""The port's TLS, asked as a scanner would: versions, suites, renegotiation, tickets, and whose client
certificates are let in."""

import contextlib
import os
import re
import signal
import ssl
import subprocess

import pytest
from cluster import LOOPBACK
from exporter_process import SCRAPE_TOKEN, Exporter, read_answer, read_to_end, wait_until
from port_certificates import EC, RSA, Authority

LOOSE = "@SECLEVEL=0"  # else our side would refuse
GOOD_12 = {
    f"ECDHE-{kind}-{cipher}"
    for kind in ("ECDSA", "RSA")
    for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
}
GOOD_13 = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
TOKEN = b"Authorization: Bearer " + SCRAPE_TOKEN.encode() + b"\r\n"


class Port(Exporter):
    """`shows`: the client certificate of every request of ours."""

    def __init__(self, folder, authority, key=EC, **tables):
        self.shows = None
        self.authority = authority
        super().__init__(folder, [authority.entry()], authority=authority, **tables)
        if key is not EC:
            self.show_pair(authority.issue_certificate(f"{folder.name}-pair", key))

    def show_pair(self, pair):
        """In the place of the one before, as one who renews it does."""
        text = self.config.read_text()
        for key, file in zip(("tls_cert_file", "tls_key_file"), pair, strict=True):
            os.replace(file, re.search(rf'^{key} = "(.*)"$', text, re.M)[1])

    def tls(self):
        context = super().tls()
        if self.shows is not None:
            context.load_cert_chain(*self.shows)
        return context

    def ask_for_clients_of(self, authority, names, tokens=True):
        """Written, not loaded."""
        text = re.sub(r"^client_.*\n", "", self.config.read_text(), flags=re.M)
        more = f'client_ca_file = "{authority.ca_file}"\nclient_allowed_names = {names}\n'.replace("'", '"')
        text = text.replace("[listener]\n", "[listener]\n" + more)
        self.config.write_text(text if tokens else re.sub(r"^token_files = .*\n", "", text, flags=re.M))

    def reload(self):
        done = len(self._reloads())
        os.kill(self.pid, signal.SIGHUP)
        wait_until("the reload", lambda: len(self._reloads()) > done)
        assert "result=done" in self._reloads()[-1], self.log()

    def _reloads(self):
        return [line for line in self.log().splitlines() if 'msg="reload"' in line]

    def s_client(self, *arguments, say: bytes = b""):
        """What `openssl s_client` prints, both of its streams."""
        command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{self.port}", *map(str, arguments)]
        run = subprocess.run(command, input=say, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        return run.stdout.decode(errors="replace")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=[EC, RSA], ids=["EC", "RSA"])
def port(request, authority, tmp_path_factory):
    with Port(tmp_path_factory.mktemp("exporter"), authority, request.param) as running:
        running.kind = "ECDSA" if request.param is EC else "RSA"
        yield running


# --- versions and suites -------------------------------------------------------------


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused_with_the_alert_for_it(port, version):
    said = port.s_client(version, "-cipher", f"ALL:{LOOSE}")
    assert re.search(r"alert protocol version:.*SSL alert number 70", said), said
    assert "Cipher is (NONE)" in said


def test_every_other_suite_of_1_2_is_refused_by_the_server(port):
    """Each that the local OpenSSL has, one by one: CBC, RSA key exchange, CCM, ARIA, DHE, NULL, PSK."""
    listed = subprocess.run(
        ["openssl", "ciphers", "-v", f"ALL:COMPLEMENTOFALL:{LOOSE}"], capture_output=True, text=True, check=True
    )
    names = {line.split()[0] for line in listed.stdout.splitlines() if "Kx=any" not in line}
    assert len(names) > 100 and names > GOOD_12
    taken, not_offered = set(), set()
    for name in names:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{name}:{LOOSE}")
        try:
            with port.connect(context=context) as connection:
                assert connection.cipher()[0] == name
                taken.add(name)
        except ssl.SSLError as refusal:
            if refusal.reason == "NO_CIPHERS_AVAILABLE":
                not_offered.add(name)
            else:
                assert refusal.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE", name
    assert taken == {name for name in GOOD_12 if port.kind in name}
    # Those that Python cannot offer, all at once.
    assert all("PSK" in name or "SRP" in name for name in not_offered), not_offered
    if psk := [name for name in not_offered if "PSK" in name]:
        said = port.s_client("-tls1_2", "-psk", "00" * 16, "-cipher", ":".join([*psk, LOOSE]))
        assert "alert handshake failure" in said


def test_the_suites_of_1_3_are_those_and_1_3_is_preferred(port):
    for name in GOOD_13:
        said = port.s_client("-ciphersuites", name, say=b"Q\n")
        assert f"New, TLSv1.3, Cipher is {name}" in said
    weak = port.s_client("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256")
    assert "alert handshake failure" in weak
    said = port.s_client(say=b"Q\n")
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in said
    assert "Compression: NONE" in said and "Expansion: NONE" in said
    assert re.search(r"Server Temp Key: X25519", said)


def test_no_renegotiation(port):
    said = port.s_client("-tls1_2", say=b"R\n" + REQUEST + b"\r\n")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said, said
    assert "HTTP/1.1" not in said


def test_a_ticket_ends_with_a_reload_and_the_new_pair_is_shown_to_the_second(port, tmp_path):
    ask = REQUEST + TOKEN + b"Connection: close\r\n\r\n"

    def handshake(version, way, file):
        said = port.s_client(version, way, file, "-ign_eof", say=ask)
        assert "HTTP/1.1 200" in said
        return "Reused, " in said

    for version in ("-tls1_2", "-tls1_3"):
        assert not handshake(version, "-sess_out", tmp_path / version)
        assert handshake(version, "-sess_in", tmp_path / version)
    pair = port.authority.issue_certificate(f"renewed-{port.kind}", EC if port.kind == "ECDSA" else RSA)
    dates = subprocess.run(
        ["openssl", "x509", "-in", pair[0], "-noout", "-enddate"], capture_output=True, text=True, check=True
    )
    port.show_pair(pair)
    port.reload()
    for version in ("-tls1_2", "-tls1_3"):
        assert not handshake(version, "-sess_in", tmp_path / version)
    end = ssl.cert_time_to_seconds(dates.stdout.strip().removeprefix("notAfter="))
    assert float(port.scrape().value("bao_exporter_tls_certificate_not_after_timestamp_seconds")) == end


# --- client certificates -------------------------------------------------------------


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Their authority has nothing to do with the port's."""
    return Authority(tmp_path_factory.mktemp("clients"))


def refusal(port, shows):
    """Why the port ends the connection of a client that shows that."""
    context = ssl.create_default_context(cafile=port.ca_file)
    if shows is not None:
        context.load_cert_chain(*shows)
    # In TLS 1.3 our side is done before the port looks at what was shown.
    with pytest.raises(ssl.SSLError) as refused, port.connect(context=context) as connection:
        connection.recv(1)
    return re.search(r"alert ([a-z ]+)", str(refused.value))[1].strip()


def status(port, *, token):
    return port.get(token=SCRAPE_TOKEN if token else None).status


def test_client_certificates_alone(authority, clients, tmp_path):
    spiffe = "spiffe://example/ns/monitoring/sa/prometheus"
    by_name = clients.sign("one", "DNS:Prometheus.Example")
    port = Port(tmp_path / "exporter", authority)
    port.ask_for_clients_of(clients, ["prometheus.example", spiffe], tokens=False)
    port.shows = by_name
    with port:
        for shows in (by_name, clients.sign("two", f"URI:{spiffe}")):
            port.shows = shows
            assert status(port, token=False) == 200
        assert refusal(port, None) == "certificate required"
        stranger = Authority(tmp_path / "stranger").sign("prometheus.example", "DNS:prometheus.example")
        assert refusal(port, stranger) == "unknown ca"
        server = clients.sign("server", "DNS:prometheus.example", purpose="serverAuth")
        assert refusal(port, server) == "unsupported certificate"
        for name, names in [("prometheus.example", ""), ("other", "DNS:x.prometheus.example")]:
            assert refusal(port, clients.sign(name, names)) == "bad certificate"
        text = port.scrape()
        assert text.value("bao_exporter_auth_failures_total", cause="client_name") == "2"
        assert int(text.value("bao_exporter_scrapes_total", token="unnamed")) >= 3
        said = port.s_client("-cert", by_name[0], "-key", by_name[1], "-ign_eof", say=REQUEST + b"Connection: close\r\n\r\n")
        assert "HTTP/1.1 200" in said and "Acceptable client certificate CA names\nCN = ca" in said


def test_with_tokens_both_are_needed_and_a_reload_asks_connections_that_are_there(authority, clients, tmp_path):
    with Port(tmp_path / "exporter", authority) as port, contextlib.ExitStack() as stack:
        before = stack.enter_context(port.connect())
        before.sendall(REQUEST + TOKEN + b"\r\n")
        assert read_answer(before).status == 200
        port.shows = clients.sign("p", "DNS:p")
        port.ask_for_clients_of(clients, ["p"])
        port.reload()
        before.sendall(REQUEST + TOKEN + b"\r\n")
        assert read_to_end(before) == b""  # it has shown no certificate
        assert status(port, token=True) == 200
        assert status(port, token=False) == 401
        assert refusal(port, None) == "certificate required"

        allowed = stack.enter_context(port.connect())
        allowed.sendall(REQUEST + TOKEN + b"\r\n")
        assert read_answer(allowed).status == 200
        port.ask_for_clients_of(clients, ["q"])
        port.reload()
        allowed.sendall(REQUEST + TOKEN + b"\r\n")
        assert read_to_end(allowed) == b""
        assert refusal(port, port.shows) == "bad certificate"
        port.shows = clients.sign("q", "DNS:q")
        assert status(port, token=True) == 200


def test_tls_1_3_alone_by_a_reload_and_back(authority, tmp_path):
    with Port(tmp_path / "exporter", authority, listener={"tls_min_version": "1.2"}) as port:
        text = port.config.read_text()
        for version in ("1.3", "1.2"):
            port.config.write_text(text.replace('tls_min_version = "1.2"', f'tls_min_version = "{version}"'))
            port.reload()
            said = port.s_client("-tls1_2", say=b"Q\n")
            assert ("alert protocol version" in said) == (version == "1.3")
            assert status(port, token=True) == 200
