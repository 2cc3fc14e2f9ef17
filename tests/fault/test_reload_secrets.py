"""Tokens and certificates that change while it runs: the new ones are used, or the old ones stay;
nobody who polls or scrapes notices.
"""

import contextlib
import shutil
import time

import pytest
from exporter_under_fault import SCRAPE_TOKEN, UPSTREAM_TOKEN, replace_file
from fake_node import HEALTH
from reloads import (KeptConnection, NEW_SCRAPE_TOKEN, NEW_UPSTREAM_TOKEN, REFUSED, Scraping,
                     both_ways, check_no_gap, config_state, good_lines, problems, put, put_pair,
                     read, reloading, reloads, renew, replaceable_rigs, sent_tokens,
                     shown_certificate)


@pytest.fixture
def make(make_rig, certificates):
    with replaceable_rigs(make_rig, certificates) as made:
        yield made


@pytest.fixture(scope="module")
def renewed(certificates, tmp_path_factory):
    return renew(certificates, tmp_path_factory.mktemp("renewed"))


# --- scrape tokens ------------------------------------------------------------------------------

@both_ways
def test_scrape_tokens_rotate_without_a_failed_scrape(make, way):
    rig = make()
    pid = rig.process.pid
    assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 401
    with Scraping(rig):
        with reloading(rig, way):
            put(rig, "scrape.token", f"old:{SCRAPE_TOKEN}\nnew:{NEW_SCRAPE_TOKEN}\n")
        assert rig.scrape(token=NEW_SCRAPE_TOKEN).status == 200
    with Scraping(rig, NEW_SCRAPE_TOKEN):
        with reloading(rig, way):
            put(rig, "scrape.token", f"new:{NEW_SCRAPE_TOKEN}\n")
        assert rig.scrape().status == 401
    own = rig.scrape(path="/metrics/exporter", token=NEW_SCRAPE_TOKEN)
    for name in ("old", "new"):
        assert own.counter("bao_exporter_scrapes_total", path="/metrics", token=name) >= 5
    assert own.value("bao_exporter_config_generation") == 3
    assert rig.process.poll() is None and rig.process.pid == pid


@pytest.mark.parametrize("bad", ["short", "empty", "open to others", "missing"])
def test_a_scrape_token_file_that_cannot_be_used_is_refused(make, bad):
    rig = make()
    file = rig.folder / "scrape.token"
    with Scraping(rig):
        with reloading(rig, "SIGHUP", REFUSED):
            if bad == "short":
                put(rig, "scrape.token", "tooShortToBeAToken\n")
            elif bad == "empty":
                put(rig, "scrape.token", "")
            elif bad == "open to others":
                file.chmod(0o604)
            else:
                file.unlink()
        assert config_state(rig) == (0, 1)
        assert str(file) in problems(rig)[-1]
        with reloading(rig, "a file has changed"):
            put(rig, "scrape.token", SCRAPE_TOKEN + "\n")
        assert config_state(rig) == (1, 2)
    assert SCRAPE_TOKEN not in rig.log() and "tooShortToBeAToken" not in rig.log()


# --- the token that nodes are sent --------------------------------------------------------------

def swap_data(folder, generation, token):
    """As the kubelet does: a new folder, and `..data` points there from one moment to the next."""
    folder.mkdir(exist_ok=True)
    before = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
    new = folder / f"..2026_11_23_00_20_{generation}"
    new.mkdir()
    replace_file(new / "token", token + "\n")
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if before is None:
        (folder / "token").symlink_to("..data/token")
    else:
        shutil.rmtree(before)


@contextlib.contextmanager
def taking_a_token(rig):
    """Around the change of the token's file: waits until it is in force, without a reload."""
    before, lines = len(reloads(rig)), rig.log().count('msg="token in force"')
    yield
    deadline = time.monotonic() + 3
    while rig.log().count('msg="token in force"') == lines and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rig.log().count('msg="token in force"') == lines + 1
    assert len(reloads(rig)) == before


@both_ways
@pytest.mark.parametrize("how", ["rename", "data_symlink"])
def test_the_next_polls_carry_the_new_token(make, way, how):
    rig = make(start=False)
    secret = rig.folder / "secret"
    if how == "data_symlink":
        swap_data(secret, 1, UPSTREAM_TOKEN)
        rig.write_config(token_file="secret/token")
    rig.start()
    good = good_lines(rig)
    before = rig.scrape()
    assert before.value("bao_token_generation", credential="fake") == 1
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        rig.wait_rounds("n1", 1)
        changed = time.time()
        # A changed token file is taken by itself, and is no reload.
        with reloading(rig, way) if way == "SIGHUP" else taking_a_token(rig):
            if how == "data_symlink":
                swap_data(secret, 2, NEW_UPSTREAM_TOKEN)
            else:
                put(rig, "openbao.token", NEW_UPSTREAM_TOKEN + "\n")
        loaded = time.monotonic()
        after = rig.wait_rounds("n1", 3)
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        sent = sent_tokens(node, mark)
        assert set(sent) == {UPSTREAM_TOKEN, NEW_UPSTREAM_TOKEN}
        turns = [token == NEW_UPSTREAM_TOKEN for token in sent]
        assert turns == sorted(turns), f"the old one came back: {turns}"
        polls = [request for request in node.requests_of(HEALTH, mark)
                 if request.arrived > loaded]
        assert sent.count(NEW_UPSTREAM_TOKEN) >= len(polls) - 1 >= 1, "not from the next poll on"
    assert after.value("bao_token_generation", credential="fake") == 2
    was, now = (scrape.value("bao_token_loaded_timestamp_seconds", credential="fake")
                for scrape in (before, after))
    assert was < changed <= now <= time.time()
    assert UPSTREAM_TOKEN not in rig.log() and NEW_UPSTREAM_TOKEN not in rig.log()


def test_a_token_file_with_the_same_token_is_no_new_generation(make):
    rig = make()
    before = rig.scrape()
    put(rig, "openbao.token", UPSTREAM_TOKEN + "\n")
    after = rig.wait_rounds("n1", 3)
    for name in ("bao_token_generation", "bao_token_loaded_timestamp_seconds"):
        assert after.value(name, credential="fake") == before.value(name, credential="fake")


@pytest.mark.parametrize("bad", ["two lines", "missing"])
def test_with_an_upstream_token_that_cannot_be_used_the_old_one_stays(make, bad):
    rig = make()
    good = good_lines(rig)
    marks = [len(node.requests) for node in rig.nodes]
    with Scraping(rig) as scraping:
        with reloading(rig, "SIGHUP", REFUSED):
            if bad == "missing":
                (rig.folder / "openbao.token").unlink()
            else:
                put(rig, "openbao.token", f"{NEW_UPSTREAM_TOKEN}\n{UPSTREAM_TOKEN}\n")
        rig.wait_rounds("n1", 2)
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / "openbao.token") in problems(rig)[-1]
    check_no_gap(scraping, good)
    for node, mark in zip(rig.nodes, marks):
        assert set(sent_tokens(node, mark)) == {UPSTREAM_TOKEN}
    with reloading(rig, "a file has changed"):
        put(rig, "openbao.token", NEW_UPSTREAM_TOKEN + "\n")
    assert config_state(rig) == (1, 2)
    rig.wait_rounds("n1", 2)
    assert all(sent_tokens(node)[-1] == NEW_UPSTREAM_TOKEN for node in rig.nodes)
    assert UPSTREAM_TOKEN not in rig.log() and NEW_UPSTREAM_TOKEN not in rig.log()


# --- certificates -------------------------------------------------------------------------------

@both_ways
def test_a_renewed_certificate_is_shown_to_new_connections(make, renewed, way):
    rig = make()
    old_serial, old_end = shown_certificate(rig)
    with KeptConnection(rig) as kept, Scraping(rig):
        kept.scrape()
        with reloading(rig, way):
            put_pair(rig, *renewed)
        serial, end = shown_certificate(rig)
        assert serial != old_serial and end > old_end
        kept.scrape()
        assert kept.serial == old_serial
    assert config_state(rig) == (1, 2)


@pytest.mark.parametrize("bad", ["another key", "expired", "garbage", "garbage key", "missing"])
def test_a_pair_that_cannot_be_used_is_refused_until_it_can(make, certificates, renewed, bad):
    rig = make()
    old = shown_certificate(rig)
    blamed = "port.key" if "key" in bad else "port.pem"
    with KeptConnection(rig) as kept, Scraping(rig):
        with reloading(rig, "a file has changed", REFUSED):
            if bad == "another key":  # half of a renewal
                put(rig, "port.pem", read(renewed[0]))
            elif bad == "expired":
                put_pair(rig, certificates.pem("expired"), certificates.key("expired"))
            elif bad == "missing":
                (rig.folder / "port.pem").unlink()
            else:
                kind = b"PRIVATE KEY" if bad == "garbage key" else b"CERTIFICATE"
                put(rig, blamed, b"-----BEGIN %s-----\nbm9uc2Vuc2U=\n-----END %s-----\n"
                    % (kind, kind))
        assert shown_certificate(rig) == old
        assert config_state(rig) == (0, 1)
        assert str(rig.folder / blamed) in problems(rig)[-1]
        if bad == "expired":
            assert "expired" in problems(rig)[-1]
        if bad == "another key":
            assert "is not the key of" in problems(rig)[-1]
        with reloading(rig, "a file has changed"):
            if bad == "another key":  # the other half
                put(rig, "port.key", read(renewed[1]))
            else:
                put_pair(rig, *renewed)
        assert shown_certificate(rig)[0] != old[0]
        assert config_state(rig) == (1, 2)
        kept.scrape()


@both_ways
def test_nodes_are_trusted_by_the_new_authority_alone(make, certificates, way):
    """Also those whose connection was made while the old one was trusted."""
    rig = make(start=False)
    rig.nodes[0].use_certificate("other_node")
    rig.start()
    rig.wait_published()
    ours, other = read(certificates.pem("ca")), read(certificates.pem("other_ca"))
    rig.wait(lambda s: s.reason("n1") == "tls" and s.up("n2") and s.up("n3"), 3, "n1 is foreign")
    with reloading(rig, way):
        put(rig, "ca.pem", ours + other)
    rig.wait_all_up()
    with reloading(rig, way):
        put(rig, "ca.pem", other)
    rig.wait(lambda s: s.up("n1") and s.reason("n2") == s.reason("n3") == "tls", 3,
             "only n1 is trusted")
