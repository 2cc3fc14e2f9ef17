"""The search for canaries that each exporter of the fault tests goes through when it ends: it looks
at every place, and it finds what is there."""

import base64
import time
import urllib.parse

import pytest
from canary import Search, canary, leaks
from exporter_under_fault import CANARIES, SCRAPE_TOKEN, UPSTREAM_TOKEN, leaks_in, rigs

FORMS = {
    "raw": lambda text: text,
    "base64": lambda text: base64.b64encode(text),
    "base64, one before": lambda text: base64.b64encode(b"x" + text),
    "base64, two before": lambda text: base64.b64encode(b"xy" + text + b"z"),
    "urlsafe base64": lambda text: base64.urlsafe_b64encode(b"?>" + text),
    "hex": lambda text: text.hex().encode(),
    "upper hex": lambda text: text.hex().upper().encode(),
    "hex with spaces": lambda text: text.hex(" ").encode(),
    "URL": lambda text: urllib.parse.quote_from_bytes(text, safe="").encode(),
    "all of it as %XX": lambda text: "".join(f"%{byte:02X}" for byte in text).encode(),
    "upper": lambda text: text.upper(),
}


@pytest.fixture
def make(make_rig):
    with rigs(make_rig, interval="500ms", timeout="400ms", stale_after="2s") as make_one:
        yield make_one


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [UPSTREAM_TOKEN, "s.+/=~ needs:quoting&in%URLs?"],
                         ids=["token", "odd"])
def test_each_piece_of_twelve_bytes_is_found_wherever_it_stands(form, secret):
    search = Search({"planted": secret})
    plain = secret.encode()
    for start in range(len(plain) - 12 + 1):
        for before in range(12):
            text = b"q" * before + FORMS[form](plain[start:start + 12]) + b" and more"
            assert search.find(text), (form, start, before)


def test_eleven_bytes_are_not_found():
    search = Search({"planted": UPSTREAM_TOKEN})
    plain = UPSTREAM_TOKEN.encode()
    for start in range(len(plain) - 10):
        assert search.find(b"--" + plain[start:start + 11] + b"--") == []


def test_what_is_found_is_told_without_the_secret():
    search = Search({"planted": UPSTREAM_TOKEN, "other": SCRAPE_TOKEN})
    told = leaks(search, {"here": b"..." + UPSTREAM_TOKEN.encode() + b"...", "there": b"nothing"})
    assert told == [f"here: planted, raw, bytes 3 to {3 + len(UPSTREAM_TOKEN)}"]


def test_a_secret_that_is_too_short_to_be_searched_for_is_refused():
    with pytest.raises(AssertionError):
        Search({"short": "elevenbytes"})


def test_the_search_is_quick():
    """One pass, however many secrets: a megabyte in a fraction of a second."""
    search = Search({str(number): canary("s.") for number in range(20)})
    log = b'ts=2026-11-23T00:20:45Z level=debug msg="poll ended" node=fake/n1 reason=ok\n' * 13_000
    started = time.monotonic()
    assert search.find(log) == []
    assert time.monotonic() - started < 2


def test_every_place_is_looked_at(make):
    rig = make()
    rig.wait_all_up()
    places = rig.places()
    assert {"its log", "/metrics (200)", "/metrics as gzip (200)", "/metrics/exporter (200)",
            "/sd (200)", "/proc/PID/cmdline"} <= set(places)
    assert b"level=debug" in places["its log"]
    assert b"vault_core_unsealed" in places["/metrics (200)"]
    assert b"vault_core_unsealed" in places["/metrics as gzip (200)"]
    assert b"--config.file" in places["/proc/PID/cmdline"]
    assert leaks_in(places) == []


@pytest.mark.parametrize("name", ["the upstream token", "the scrape token"])
@pytest.mark.parametrize("where", ["log", "environ", "cmdline", "served"])
def test_a_token_that_is_let_out_fails_the_test(make, where, name):
    token = CANARIES[name]
    options = {"environ": {"environment": {"LEAK": "x" + token[5:20]}},
               "cmdline": {"prefix": ["sh", "-c", '"$@" & trap "kill $!" TERM; wait',
                                      token.encode().hex()]}}.get(where, {})
    rig = make(start=False, **options)
    if where == "served":  # a node that tells what it got
        leak = f'# TYPE vault_leak gauge\nvault_leak{{text="{token}"}} 1\n'.encode()
        for node in rig.nodes:
            node.body = leak
    rig.start()
    rig.wait_published()
    if where == "served":
        rig.wait_all_up()
    if where == "log":
        with open(rig.log_file, "ab") as log:
            log.write(base64.b64encode(b".." + token.encode()))
    if where == "environ" and "/proc/PID/environ" not in rig.places():
        rig.stop()
        pytest.skip("only root may read the environment of this process")
    with pytest.raises(AssertionError, match="it let tokens out:") as found:
        rig.stop()
    assert name in str(found.value) and token not in str(found.value)
    if where == "log":
        rig.log_file.write_bytes(b"")  # it is stopped once more when the test ends
    rig.process = None
