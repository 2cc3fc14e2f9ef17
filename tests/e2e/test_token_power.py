"""What a token may do: root is refused, one with more is told, and the printed policy is enough."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from cluster import METRICS_POLICY, Cluster
from exporter_process import ClusterEntry, Exporter, openbao_auth, write_private
from token_methods import (
    POLICY,
    Audit,
    apply_printed_policy,
    approle_files,
    make_approle,
    printed_policy,
    write_policy,
)
from token_watch import Scrapers, Told, log_tail, told, wait_told
from watch import check_down, role

METRICS = "sys/metrics"
WIDE = {
    "mounts": METRICS_POLICY + '\npath "sys/mounts" { capabilities = ["read"] }',
    "create": METRICS_POLICY + '\npath "auth/token/create" { capabilities = ["update"] }',
}
PERIOD_S = 20
MINUTE_S = 60


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openbao")
    with Cluster.start(folder, audit=True, die_with_parent=True, usage_gauge_period="24h") as cluster:
        yield cluster


@pytest.fixture(scope="module", params=WIDE)
def wide(audited, request) -> str:
    """A token that may read metrics and one thing more."""
    write_policy(audited, f"wide-{request.param}", WIDE[request.param])
    return audited.mint([f"wide-{request.param}"], period="24h")


def entry_with(cluster: Cluster, folder: Path, token: str, **keys) -> ClusterEntry:
    return openbao_auth(cluster, "token_file", token_file=write_private(folder / "openbao.token", token + "\n"), **keys)


def asked_for_metrics(audit: Audit, token: str) -> int:
    """How many requests for metrics had that token."""
    [hashed] = audit.hashes([token])
    answers = [entry["request"] for i in range(3) for entry in audit.answers(i)]
    return sum(asked["path"] == METRICS and asked.get("client_token") == hashed for asked in answers)


def check_refused(cluster: Cluster, exporter: Exporter, token: str, audit: Audit) -> None:
    """Polled twice, roles told, and never sent to fetch metrics."""
    seen = wait_told(exporter, "two polls of each node", lambda seen: min(seen.polls.values()) >= 2)
    ours = exporter.scrape()
    for node, said in zip(cluster.nodes, cluster.roles()):
        check_down(ours, node.name, "token_excess")
        assert role(ours, node.name) == said
    assert {key[1] for key in seen.polls} == {"token_excess"}, seen.polls
    assert asked_for_metrics(audit, token) == 0, "metrics were fetched with it"
    assert seen.token["excess_capabilities"] > 0, seen.token
    assert 'level=error msg="token refused"' in exporter.log(), log_tail(exporter)


# --- too much ------------------------------------------------------------------------


def test_a_root_token_is_never_used_for_metrics(audited, tmp_path):
    root = audited.token("root")
    audit = Audit(audited)
    with Exporter(tmp_path, [entry_with(audited, tmp_path, root)], authority=audited) as exporter:
        check_refused(audited, exporter, root, audit)


def test_the_successor_of_a_refused_token_is_used_without_a_restart(audited, tmp_path):
    entry = entry_with(audited, tmp_path, audited.token("root"))
    with Exporter(tmp_path, [entry], authority=audited) as exporter:
        assert set(told(exporter).reason.values()) == {"token_excess"}
        write_private(tmp_path / "openbao.token", audited.token("metrics") + "\n")
        seen = wait_told(exporter, "all nodes up", Told.all_up, 5)
        assert seen.token["excess_capabilities"] == 0, seen.token


def test_a_root_token_that_replaces_a_good_one_is_not_used_and_the_good_one_stays(audited, tmp_path):
    root = audited.token("root")
    entry = entry_with(audited, tmp_path, audited.token("metrics"))
    audit = Audit(audited)
    with Exporter(tmp_path, [entry], authority=audited) as exporter, Scrapers(exporter, 1, 0.1) as scrapers:
        write_private(tmp_path / "openbao.token", root + "\n")
        time.sleep(4)
    assert 'msg="token refused"' in exporter.log(), log_tail(exporter)
    scrapers.check_never_failed()
    assert asked_for_metrics(audit, root) == 0, "metrics were fetched with it"


def test_in_the_profile_demo_a_root_token_is_used_and_told(audited, tmp_path):
    entry = dataclasses.replace(entry_with(audited, tmp_path, audited.token("root")), profile="demo")
    with Exporter(tmp_path, [entry], authority=audited) as exporter:
        seen = told(exporter)
        assert seen.all_up(), (seen, log_tail(exporter))
        assert seen.token["excess_capabilities"] > 0, seen.token
        assert 'msg="token may too much"' in exporter.log(), log_tail(exporter)


def test_a_token_that_may_more_is_used_and_warned_of(audited, tmp_path, wide):
    with Exporter(tmp_path, [entry_with(audited, tmp_path, wide)], authority=audited) as exporter:
        seen = told(exporter)
        assert seen.all_up(), (seen, log_tail(exporter))
        assert seen.token["excess_capabilities"] > 0, seen.token
        warnings = [line for line in exporter.log().splitlines() if 'msg="token may too much"' in line]
        assert len(warnings) == 1 and "level=warn" in warnings[0] and "policy" in warnings[0], log_tail(exporter)


def test_a_token_that_may_more_is_not_used_when_that_is_configured(audited, tmp_path, wide):
    entry = entry_with(audited, tmp_path, wide, on_excess_capabilities="refuse")
    audit = Audit(audited)
    with Exporter(tmp_path, [entry], authority=audited) as exporter:
        check_refused(audited, exporter, wide, audit)


# --- enough --------------------------------------------------------------------------


def check_enough(exporter: Exporter) -> Told:
    """Up, checked, nothing too much, and its end known."""
    seen = wait_told(exporter, "its end", lambda seen: "expiry_timestamp_seconds" in seen.token, 5)
    assert seen.all_up() and seen.failed() == {}, (seen, log_tail(exporter))
    assert seen.token["excess_capabilities"] == 0, (seen.token, log_tail(exporter))
    for message in ["token may too much", "token power unknown", "token life unknown", "token refused"]:
        assert f'msg="{message}"' not in exporter.log(), log_tail(exporter)
    return seen


def test_the_printed_policy_is_enough(audited, tmp_path):
    token_file = write_private(tmp_path / "openbao.token", "placeholder-of-a-token\n")
    entry = openbao_auth(audited, "token_file", token_file=token_file, on_excess_capabilities="refuse")
    exporter = Exporter(tmp_path, [entry], authority=audited)
    apply_printed_policy(audited, exporter)
    write_private(token_file, audited.mint([POLICY], period=f"{PERIOD_S}s") + "\n")
    with exporter:
        check_enough(exporter)
        wait_told(exporter, "a renewal", lambda seen: seen.token["renewals_total success"] >= 1, PERIOD_S)


def test_without_the_default_policy_the_printed_policy_is_enough_too(audited, tmp_path):
    name = "bao-exporter-bare"
    token_file = write_private(tmp_path / "openbao.token", "placeholder-of-a-token\n")
    entry = openbao_auth(audited, "token_file", token_file=token_file, on_excess_capabilities="refuse")
    exporter = Exporter(tmp_path, [entry], authority=audited)
    apply_printed_policy(audited, exporter, "--no-default-policy", name=name)
    token = audited.mint([name], period=f"{PERIOD_S}s", no_default_policy=True)
    write_private(token_file, token + "\n")
    with exporter:
        check_enough(exporter)
        wait_told(exporter, "a renewal", lambda seen: seen.token["renewals_total success"] >= 1, PERIOD_S)


@pytest.mark.parametrize("bare", [False, True], ids=["default", "no-default"])
def test_the_printed_policy_is_enough_for_a_login(audited, tmp_path, bare):
    name = f"login-{'bare' if bare else 'default'}"
    terms = {"token_ttl": f"{PERIOD_S}s", "token_max_ttl": "1h", "token_no_default_policy": bare}
    make_approle(audited, name, **{**terms, "token_policies": [name]})
    keys = {**approle_files(tmp_path, audited, name), "on_excess_capabilities": "refuse"}
    exporter = Exporter(tmp_path / "exporter", [openbao_auth(audited, "approle", **keys)], authority=audited)
    apply_printed_policy(audited, exporter, *(["--no-default-policy"] if bare else []), name=name)
    with exporter:
        check_enough(exporter)
        wait_told(exporter, "a renewal", lambda seen: seen.token["renewals_total success"] >= 1, PERIOD_S)


def test_the_printed_policy_says_with_comments_how_to_set_it_up(audited, tmp_path):
    entry = entry_with(audited, tmp_path, audited.token("metrics"))
    text = printed_policy(Exporter(tmp_path, [entry], authority=audited))
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "".join("".join(rules).split()) == 'path"sys/metrics"{capabilities=["read"]}', text
    assert "# " in text and "bao policy write" in text, text
    assert audited.token("metrics") not in text


def test_a_token_that_may_not_ask_about_itself_is_used_and_that_is_told(audited, tmp_path):
    token = audited.mint(["metrics-read"], period="24h", no_default_policy=True)
    with Exporter(tmp_path, [entry_with(audited, tmp_path, token)], authority=audited) as exporter:
        seen = wait_told(exporter, "three good polls of each node", lambda seen: seen.good_polls() >= 3)
        assert seen.all_up() and seen.failed() == {}, (seen, log_tail(exporter))
        assert not {"excess_capabilities", "expiry_timestamp_seconds"} & seen.token.keys(), seen.token
        assert seen.token["generation"] == 1, seen.token
        for message in ["token power unknown", "token life unknown"]:
            assert exporter.log().count(f'msg="{message}"') == 1, (message, log_tail(exporter))


# --- the life of a token from a file -------------------------------------------------


def test_a_periodic_token_is_renewed_and_ends_where_that_is_off(audited, tmp_path):
    folders = {renew: tmp_path / ("renewed" if renew else "left") for renew in [True, False]}
    exporters = {}
    for renew, folder in folders.items():
        folder.mkdir()
        token = audited.mint(["metrics-read"], period=f"{PERIOD_S}s")
        entry = entry_with(audited, folder, token, renew=renew)
        exporters[renew] = Exporter(folder, [entry], authority=audited)
    with exporters[True] as renewed, exporters[False] as left, Scrapers(renewed) as scrapers:
        began = time.monotonic()
        ended = wait_told(
            left, "the end of the other token",
            lambda seen: set(seen.reason.values()) == {"token_rejected"}, PERIOD_S + 6,
        )  # fmt: skip
        lived = time.monotonic() - began
        assert not any(name.startswith("renewals_total") for name in ended.token), ended.token
        time.sleep(began + MINUTE_S - time.monotonic())
    scrapers.check_never_failed()
    last = scrapers.seen[-1]
    print(
        f"\nnot renewed: lived {lived:.1f} s; renewed: {last.token['renewals_total success']:.0f} times in {MINUTE_S} s"
    )
    assert lived > PERIOD_S / 2, "it ended before its time"
    assert last.token["renewals_total success"] >= MINUTE_S // PERIOD_S, last.token
    for seen in scrapers.seen:
        assert 0 < seen.token["expiry_timestamp_seconds"] - seen.began <= PERIOD_S + 1.5, seen
