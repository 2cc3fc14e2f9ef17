"""Claim: the key of a certctl server goes to that server and nowhere else: not to who poses as it, not along a
redirect, not to another server, into no log and no answer; and a key that may do more than read is told, or not
used. Against the fake; what the exporter writes and serves is searched for the keys whenever it is stopped."""

from __future__ import annotations

import contextlib
import json

import pytest
from canary import canary
from certctl import ME, METRICS, FakeCertctl
from certctl_keys import ADMIN, VIEWER
from certctl_state import FakeState
from certctl_tls import SERVER_NAME, Material
from exporter_under_fault import CANARIES, ExporterUnderFault
from watch import wait_until

RHYTHM = {"interval": "1s", "timeout": "900ms", "inventory_interval": "2s"}


class Rig(ExporterUnderFault):
    """certctl servers only, each with a key of its own: name, fake, and what its table has beside that."""

    def __init__(self, certificates, folder, servers, **keys):
        self.servers = servers
        self.secrets = {name: new_key(name) for name in servers}
        permissions = keys.pop("permissions", VIEWER)
        self.keys = keys
        for name, fake in servers.items():
            fake.keys.add("ours", permissions, secret=self.secrets[name])
            fake.write_key(folder / f"{name}.key", "ours")
        super().__init__(certificates, [], folder)

    def config_text(self, **changes):
        text = super().config_text(**changes)
        text = text[:text.index("[[openbao]]")]
        for name, fake in self.servers.items():
            table = {"name": name, "url": fake.url, "api_key_file": f"{name}.key", "ca_file": str(fake.ca_file),
                     "server_name": SERVER_NAME, **RHYTHM, **self.keys}
            text += "[[certctl]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        return text

    def reason(self, name, collector="metrics"):
        scrape = self.scrape()
        if scrape.status != 200:
            return None
        found = scrape.find("certctl_state_collector_last_reason", certctl=name, collector=collector)
        return found[0][1]["reason"] if found else None

    def wait_for_reason(self, reason, name="ca", collector="metrics"):
        wait_until(f"{collector} of {name}: {reason}", lambda: self.reason(name, collector) == reason, 15)


def new_key(name):
    """One that every exporter of this process is searched for."""
    key = canary()
    CANARIES[f"a key of {name} {len(CANARIES)}"] = key
    return key


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return Material(tmp_path_factory.mktemp("certctl"))


@pytest.fixture
def fakes(material):
    """Makes servers: fakes(certificate="server")."""
    with contextlib.ExitStack() as stack:
        yield lambda **named: stack.enter_context(FakeCertctl(state=FakeState(certificates=60), material=material, **named))


def test_the_key_is_found_nowhere_while_it_is_good_refused_unknown_and_replaced(certificates, fakes, tmp_path):
    fake = fakes()
    with Rig(certificates, tmp_path, {"ca": fake}) as rig:
        rig.wait_for_reason("ok", collector="certificates")
        fake.keys.permit("ours", ["cert.read"])
        rig.wait_for_reason("forbidden")
        fake.keys.revoke("ours")
        rig.wait_for_reason("token_rejected", collector="certificates")
        fake.keys.add("ours", secret=new_key("ca"))
        fake.write_key(tmp_path / "ca.key", "ours")
        rig.wait_for_reason("ok")
        for path in ("/metrics/certctl/ca", "/sd/certctl"):  # with what stop() asks for, it is searched there
            assert rig.scrape(path=path).status == 200
        assert 'msg="certctl key is rejected"' in rig.log()


def test_who_poses_as_certctl_gets_no_key(certificates, fakes, tmp_path):
    fake = fakes()
    fake.use_certificate("other_server")
    with Rig(certificates, tmp_path, {"ca": fake}) as rig:
        for certificate in ("other_server", "wrong_name", "expired"):
            fake.use_certificate(certificate)
            rig.wait_for_reason("tls")
            before = len(rig.log_lines('msg="published"'))
            wait_until("more polls", lambda: len(rig.log_lines('msg="published"')) > before + 2, 10)
        assert list(fake.requests) == []
        fake.use_certificate("server")
        rig.wait_for_reason("ok")


@pytest.mark.parametrize("path", [METRICS, ME, "/api/v1/certificates"])
def test_no_redirect_carries_the_key_away(path, certificates, fakes, tmp_path):
    fake, other = fakes(), fakes()
    fake.faults.answer(path, 307, b"", "text/plain", [f"Location: {other.url}{path}"])
    with Rig(certificates, tmp_path, {"ca": fake}) as rig:
        rig.wait_for_reason("redirect", collector="metrics" if path == METRICS else "certificates")
    assert fake.requests_of(path) and list(other.requests) == []


def test_each_server_is_shown_its_own_key_only(certificates, fakes, tmp_path):
    servers = {"ca": fakes(), "lab": fakes()}
    with Rig(certificates, tmp_path, servers) as rig:
        for name in servers:
            rig.wait_for_reason("ok", name, "certificates")
        for name, fake in servers.items():
            assert {request.secret for request in list(fake.requests)} - {None} == {rig.secrets[name]}


@pytest.mark.parametrize("permissions", [ADMIN, (*VIEWER, "cert.revoke")])
def test_a_key_that_may_do_more_is_used_for_nothing_when_that_is_configured(permissions, certificates, fakes, tmp_path):
    fake = fakes()
    with Rig(certificates, tmp_path, {"ca": fake}, permissions=permissions, on_excess_capabilities="refuse") as rig:
        rig.wait_for_reason("token_excess")
        rig.wait_for_reason("token_excess", collector="jobs")
        assert rig.scrape().value("bao_token_excess_capabilities", credential="ca") >= 1
        assert "cert.revoke" in rig.log()
        keyed = {request.path for request in fake.requests if request.key}
    assert keyed == {ME}


def test_a_key_that_may_do_more_is_told_and_used_by_default(certificates, fakes, tmp_path):
    fake = fakes()
    with Rig(certificates, tmp_path, {"ca": fake}, permissions=(*VIEWER, "cert.revoke")) as rig:
        rig.wait_for_reason("ok")
        assert rig.scrape().value("bao_token_excess_capabilities", credential="ca") == 1
        (told,) = rig.log_lines('msg="certctl key may do more than read"')
        assert "permissions=cert.revoke" in told
