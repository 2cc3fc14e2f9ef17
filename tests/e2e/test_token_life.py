"""The token lives as long as the exporter: logins, renewals, and logins again when renewals end.

On a real cluster, with tokens that live 20 s and at most 60 s, polled each second. The run with all
methods takes BAO_LIFE_SECONDS (66 in the suite; 300, by hand, is the long one), and ends with a table
of its figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import pytest
from cluster import Cluster
from exporter_process import ClusterEntry, Exporter, openbao_auth, wait_until, write_private
from token_methods import (
    ROLE,
    Audit,
    Signer,
    admin,
    apply_printed_policy,
    approle_files,
    make_approle,
    make_certificate_role,
    make_jwt_role,
    make_kubernetes_role,
    replace_file,
    secret_id,
    token_reviews,
    wrapped_secret_id,
)
from token_watch import Scrapers, Told, log_tail, told, wait_told
from watch import Figures, check_down, role

LIFE_S = float(os.environ.get("BAO_LIFE_SECONDS", 66))
TTL_S = 20
MAX_TTL_S = 60
TERMS = {"token_ttl": f"{TTL_S}s", "token_max_ttl": f"{MAX_TTL_S}s"}
SHORT_S = 12
SHORT = {"token_ttl": f"{SHORT_S}s", "token_max_ttl": f"{SHORT_S}s"}  # no renewal gives more: logins only
LOGIN_PAUSE_S = 11  # sooner than 10 s after a login there is no other one
SLACK_S = 1.5  # of clocks and of the way
REASONS_OF_TOKENS = {"token_rejected", "login_failed", "token_unreadable", "token_excess", "forbidden"}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openbao")
    with Cluster.start(folder, audit=True, die_with_parent=True, usage_gauge_period="24h") as cluster:
        yield cluster


def exporter_of(own: Cluster, folder: Path, entry: ClusterEntry) -> Exporter:
    """Not started; the policy that it prints is the one of the roles."""
    exporter = Exporter(folder, [entry], authority=own)
    apply_printed_policy(own, exporter)
    return exporter


def logins(seen: Told, result: str = "success") -> int:
    return int(seen.token[f"logins_total {result}"])


def renewals(seen: Told, result: str = "success") -> int:
    return int(seen.token[f"renewals_total {result}"])


def check_no_token_lost(scrapers: Scrapers, exporter: Exporter, restarted: str) -> None:
    """Whatever else ended a poll, the token did not; but at a standby that was just restarted: such a
    one was seen to reject a token that all others took, until there was a new one."""
    for seen in scrapers.seen:
        blamed = [(key, count) for key, count in seen.failed().items()
                  if key[1] in REASONS_OF_TOKENS and key != (restarted, "token_rejected")]
        assert blamed == [], f"{seen}\n{log_tail(exporter)}"


# --- the long run --------------------------------------------------------------------


def entries_of_all_methods(own: Cluster, folder: Path, api) -> dict[str, ClusterEntry]:
    """By name of the method; each with a role of its own terms, and its files in `folder`."""
    signer = Signer(folder)
    make_approle(own, **TERMS)
    make_jwt_role(own, signer, **TERMS)
    make_kubernetes_role(own, api, **TERMS)
    certificate, key = make_certificate_role(own, "exporter-client", **TERMS)
    jwt = write_private(folder / "jwt", signer.jwt() + "\n")
    account = signer.account_jwt()
    api.known.add(account)
    account_file = write_private(folder / "account.jwt", account + "\n")
    by_certificate = openbao_auth(own, "cert", role=ROLE)
    return {
        "approle": openbao_auth(own, "approle", **approle_files(folder, own)),
        "jwt": openbao_auth(own, "jwt", role=ROLE, jwt_file=jwt),
        "kubernetes": openbao_auth(own, "kubernetes", role=ROLE, jwt_file=account_file),
        "kubernetes at jwt": openbao_auth(own, "kubernetes", mount="jwt", role=ROLE, jwt_file=account_file),
        "cert": dataclasses.replace(by_certificate, client_cert_file=certificate, client_key_file=key),
    }


@pytest.fixture(scope="module")
def lives(own, tmp_path_factory, request):
    """What was scraped of an exporter of each method, all at the same time, from their starts on."""
    folder = tmp_path_factory.mktemp("methods")
    found: dict[str, tuple[Exporter, Scrapers]] = {}
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(token_reviews(own))
        for name, entry in entries_of_all_methods(own, folder, api).items():
            exporter = exporter_of(own, folder / f"exporter-{name.replace(' ', '-')}", entry)
            stack.enter_context(exporter)
            found[name] = exporter, stack.enter_context(Scrapers(exporter))
        ends = time.monotonic() + LIFE_S
        while time.monotonic() < ends:
            time.sleep(1)
            for _, scrapers in found.values():
                scrapers.check_alive()
    show_lives(found, request.config)
    return found


def show_lives(found: dict[str, tuple[Exporter, Scrapers]], config) -> None:
    columns = ["method", "scrapes", "polls", "failed polls", "logins", "renewals", "denied or error", "shortest life s"]
    figures = Figures(f"Tokens of {TTL_S} s, at most {MAX_TTL_S} s, over {LIFE_S:.0f} s:", columns)
    for name, (_, scrapers) in found.items():
        last = scrapers.seen[-1]
        ok = sum(count for key, count in last.polls.items() if key[1] == "ok")
        bad = sum(int(v) for k, v in last.token.items() if k.endswith(("denied", "error")))
        left = min(seen.token.get("expiry_timestamp_seconds", 0) - seen.ended for seen in scrapers.seen)
        failed = sum(last.failed().values())
        figures.add(name, len(scrapers.seen), ok, failed, logins(last), renewals(last), bad, f"{left:.1f}")
    figures.show(config)


METHODS = ["approle", "jwt", "kubernetes", "kubernetes at jwt", "cert"]


@pytest.mark.parametrize("method", METHODS)
def test_not_one_poll_fails_while_tokens_end_each_minute(lives, method):
    exporter, scrapers = lives[method]
    scrapers.check_never_failed()
    last = scrapers.seen[-1]
    for node in last.up:
        assert last.polls[node, "ok"] >= LIFE_S * 0.95 - 2, (node, last.polls)
    assert "level=error" not in exporter.log(), log_tail(exporter)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_are_renewed_and_gone_on_without_when_their_time_is_over(lives, method):
    exporter, scrapers = lives[method]
    last = scrapers.seen[-1]
    denied = {result: (logins(last, result), renewals(last, result)) for result in ["denied", "error"]}
    assert denied == {"denied": (0, 0), "error": (0, 0)}, log_tail(exporter)
    # A token lives MAX_TTL_S at most; it is given up at its first renewal that gives less than TTL_S,
    # so not before MAX_TTL_S - TTL_S.
    assert LIFE_S // MAX_TTL_S <= logins(last) <= LIFE_S // (MAX_TTL_S - TTL_S) + 2, last.token
    # Of one token: at 2/3 of TTL_S, less a tenth of that at most, again and again.
    assert renewals(last) >= (logins(last) - 1) * 2 >= 2, last.token
    assert renewals(last) <= LIFE_S / (TTL_S * 2 / 3 * 0.9) + logins(last), last.token
    assert last.token["generation"] >= logins(last) - 1, last.token


@pytest.mark.parametrize("method", METHODS)
def test_the_end_of_the_token_is_told_and_always_ahead(lives, method):
    _, scrapers = lives[method]
    for seen in scrapers.seen:
        left = seen.token["expiry_timestamp_seconds"] - seen.began
        assert 0 < left <= TTL_S + SLACK_S, seen
        assert seen.token["excess_capabilities"] == 0, seen
        assert 0 < seen.token["loaded_timestamp_seconds"] <= seen.ended, seen


# --- what logins need ----------------------------------------------------------------


def test_a_wrapped_secret_id_is_unwrapped_once_and_serves_every_login(own, tmp_path):
    make_approle(own, "wrapped", **SHORT)
    wrapping = wrapped_secret_id(own, "wrapped")
    files = approle_files(tmp_path, own, "wrapped", wrapping)
    entry = openbao_auth(own, "approle", **files, secret_id_wrapped=True)
    since = Audit(own)
    with exporter_of(own, tmp_path / "exporter", entry) as exporter, Scrapers(exporter) as scrapers:
        wait_told(exporter, "three logins", lambda seen: logins(seen) >= 3, 4 * SHORT_S)
    scrapers.check_never_failed()
    # What a standby forwards the active node logs, too.
    unwraps = [e for e in since.answers(own.wait_active()) if e["request"]["path"] == "sys/wrapping/unwrap"]
    assert len(unwraps) == 1 and not unwraps[0].get("error"), unwraps
    status, _, _ = own.request(own.active(), "POST", "/v1/sys/wrapping/unwrap", wrapping, {})
    assert status == 400, "it can be unwrapped once more"


def test_a_wrapped_secret_id_that_somebody_else_took_fails_the_login_until_there_is_a_new_one(own, tmp_path):
    make_approle(own, "stolen", **TERMS)
    wrapping = wrapped_secret_id(own, "stolen")
    status, _, _ = own.request(own.active(), "POST", "/v1/sys/wrapping/unwrap", wrapping, {})
    assert status == 200
    files = approle_files(tmp_path, own, "stolen", wrapping)
    entry = openbao_auth(own, "approle", **files, secret_id_wrapped=True)
    with exporter_of(own, tmp_path / "exporter", entry) as exporter:
        ours = exporter.scrape()
        for node in own.nodes:
            check_down(ours, node.name, "login_failed")
        replace_file(files["secret_id_file"], wrapped_secret_id(own, "stolen"))
        wait_told(exporter, "all nodes up", Told.all_up, 5)


def test_a_jwt_that_was_replaced_is_the_one_of_the_next_login(own, tmp_path):
    signer = Signer(tmp_path)
    make_jwt_role(own, signer, "short", mount="jwt-short", **SHORT)
    old = signer.jwt(SHORT_S / 2)
    file = write_private(tmp_path / "jwt", old + "\n")
    entry = openbao_auth(own, "jwt", mount="jwt-short", role="short", jwt_file=file)
    with exporter_of(own, tmp_path / "exporter", entry) as exporter, Scrapers(exporter) as scrapers:
        assert logins(told(exporter)) == 1
        replace_file(file, signer.jwt())
        wait_told(exporter, "three logins", lambda seen: logins(seen) >= 3, 4 * SHORT_S)
    scrapers.check_never_failed()
    assert logins(scrapers.seen[-1], "denied") == 0
    body = {"role": "short", "jwt": old}
    status, _, _ = own.request(own.active(), "POST", "/v1/auth/jwt-short/login", None, body)
    assert status == 400, "the first JWT was still good, so this showed nothing"


def test_a_denied_login_is_told_with_the_roles_and_mended_within_seconds(own, tmp_path):
    make_approle(own, "mended", **TERMS)
    files = approle_files(tmp_path, own, "mended", "00000000-0000-0000-0000-000000000000")
    with exporter_of(own, tmp_path / "exporter", openbao_auth(own, "approle", **files)) as exporter:
        ours = exporter.scrape()
        roles = {node.name: said for node, said in zip(own.nodes, own.roles())}
        assert sorted(roles.values()) == ["active", "standby", "standby"]
        for node, said in roles.items():
            check_down(ours, node, "login_failed")
            assert role(ours, node) == said
        seen = told(exporter)
        assert logins(seen) == 0 and logins(seen, "denied") >= 1, seen.token
        time.sleep(3)
        denied = logins(told(exporter), "denied")
        assert denied <= 2, "logins are denied faster than OpenBao's lock-out allows"
        mended = time.monotonic()
        replace_file(files["secret_id_file"], secret_id(own, "mended"))
        wait_told(exporter, "all nodes up", Told.all_up, 5)
        print(f"\ndenied logins {denied}, up {time.monotonic() - mended:.2f} s after the right secret id")
        assert "token_rejected" not in exporter.log()
    assert 'msg="login failed"' in exporter.log() and 'msg="logged in"' in exporter.log(), log_tail(exporter)


def test_a_role_without_secret_id_is_enough(own, tmp_path):
    bound = {"bind_secret_id": False, "secret_id_bound_cidrs": ["127.0.0.0/8"]}
    make_approle(own, "no-secret", **bound, **TERMS)
    files = {"role_id_file": approle_files(tmp_path, own, "no-secret", "unused")["role_id_file"]}
    with exporter_of(own, tmp_path / "exporter", openbao_auth(own, "approle", **files)) as exporter:
        assert told(exporter).all_up(), log_tail(exporter)


# --- what happens to the token, and to who gave it --------------------------------------


@pytest.mark.parametrize("lived_s", [1, LOGIN_PAUSE_S])
def test_a_token_that_was_revoked_is_followed_by_one_login(own, tmp_path, lived_s):
    name = f"revoked-{lived_s}"
    make_approle(own, name, token_ttl="10m", token_max_ttl="1h")
    entry = openbao_auth(own, "approle", **approle_files(tmp_path, own, name))
    with exporter_of(own, tmp_path / "exporter", entry) as exporter:
        since = Audit(own)
        time.sleep(lived_s)
        revoked = time.monotonic()
        admin(own, "POST", "auth/token/revoke-accessor", {"accessor": accessor_of(own, name)})
        wait_told(exporter, "a second login", lambda seen: logins(seen) == 2, LOGIN_PAUSE_S - lived_s + 4)
        wait_told(exporter, "all nodes up", Told.all_up, 5)
        print(f"\nup {time.monotonic() - revoked:.2f} s after the token was revoked")
        # Standbys may not know the new token yet: that is no reason to give it up.
        time.sleep(LOGIN_PAUSE_S)
        assert logins(told(exporter)) == 2, log_tail(exporter)
        assert exporter.log().count('msg="token rejected"') == 1, log_tail(exporter)
        asked = [e for e in since.answers(own.wait_active()) if e["request"]["path"] == "auth/approle/login"]
        assert len(asked) == 1, f"{len(asked)} logins were asked for\n{log_tail(exporter)}"


def accessor_of(own: Cluster, role: str) -> str:
    """Of the only token of that AppRole."""
    found = []
    for accessor in admin(own, "LIST", "auth/token/accessors")["data"]["keys"]:
        with contextlib.suppress(AssertionError):  # it may have ended meanwhile
            data = admin(own, "POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
            if (data.get("meta") or {}).get("role_name") == role:
                found.append(accessor)
    assert len(found) == 1, found
    return found[0]


def test_a_step_down_and_a_kill_of_the_active_node_do_not_lose_the_token(own, tmp_path):
    make_approle(own, "steady", token_ttl=f"{TTL_S}s", token_max_ttl="1h")
    entry = openbao_auth(own, "approle", **approle_files(tmp_path, own, "steady"))
    with exporter_of(own, tmp_path / "exporter", entry) as exporter, Scrapers(exporter) as scrapers:
        for act in [Cluster.step_down, kill_the_active]:
            wait_renewal(exporter)
            old = act(own)
            own.wait_active(other_than=old)
            wait_renewal(exporter)
            if own.role(old) == "unreachable":
                own.restart(old)
            wait_told(exporter, "all nodes up", Told.all_up, 25)
        wait_renewal(exporter)
    check_no_token_lost(scrapers, exporter, own.nodes[old].name)
    last = scrapers.seen[-1]
    print(f"\nrenewals {renewals(last)}, errors {renewals(last, 'error')}, failed polls {last.failed()}")
    assert logins(last) in (1, 2) and renewals(last, "denied") == 0, log_tail(exporter)


def kill_the_active(own: Cluster) -> int:
    active = own.wait_active()
    own.kill(active)
    return active


def wait_renewal(exporter: Exporter) -> None:
    before = renewals(told(exporter))
    wait_until("one more renewal", lambda: renewals(told(exporter)) > before, TTL_S + 5)
