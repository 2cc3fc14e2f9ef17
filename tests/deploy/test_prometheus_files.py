"""Claim: Prometheus takes the scrape configuration and the rules as they are; each alert fires when
it should and is silent when it should; and no rule speaks of a metric or a reason that is not ours."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import ssl
import subprocess
import time

import pytest
import yaml
from deploy_files import BINARY, CONFIGS, PROMETHEUS, PROMTOOL, ROOT, SCRAPE_TOKEN, make_files, run, write_secret
from documents import in_backticks, table_rows

ALERT_FILES = ["alerts.yml", "certctl-alerts.yml"]
RULE_FILES = ["rules.yml", *ALERT_FILES]
UNIT_TESTS = [ROOT / "tests/deploy/rules.test.yml", ROOT / "tests/deploy/certctl-rules.test.yml"]
RULE_FILE_PREFIX = "../../configs/prometheus/"

# Reasons without an alert of their own, by the metric that tells the reason: all is well; those that
# leave a node with a role of its own, which BaoNodeSealed looks at; those of the other upstream.
REASONS_WITHOUT_ALERT = {
    "bao_node_last_poll_reason": {"ok", "sealed", "uninitialized", "database_down", "inconsistent"},
    "certctl_state_collector_last_reason": {
        *("ok", "sealed", "uninitialized", "standby_redirect", "standby_rejected", "no_leader", "superseded"),
        *("metrics_disabled", "telemetry_disabled", "namespace_restricted", "login_failed"),
        *("identity_mismatch", "identity_changed", "duplicate_node"),
    },
}

SCRAPE_FILES = ["scrape.yml", "scrape-nodes.yml"]

# What a user changes in these, and the end-to-end tests too, as plain text.
CREDENTIALS_FILE = "/etc/prometheus/bao-exporter.token"
CA_FILE = "/etc/prometheus/bao-exporter-ca.pem"
TARGET = "exporter.example:9825"


def promtool(*arguments, **options) -> subprocess.CompletedProcess:
    return run(PROMTOOL, *arguments, **options)


def rules_in(*names: str) -> list[dict]:
    groups = [group for name in names for group in yaml.safe_load((PROMETHEUS / name).read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule["alert"] for rule in rules_in(*ALERT_FILES)]
RECORDS = [rule["record"] for rule in rules_in("rules.yml")]


# --- the scrape ----------------------------------------------------------------------


def scrape_with_files(folder, name: str) -> str:
    text = (PROMETHEUS / name).read_text()
    files = {
        CREDENTIALS_FILE: write_secret(folder / "token", SCRAPE_TOKEN),
        CA_FILE: write_secret(folder / "ca.pem", ""),
    }
    for placeholder, path in files.items():
        assert text.count(placeholder) == 1
        text = text.replace(placeholder, str(path))
    assert TARGET in text
    return text


@pytest.mark.parametrize("name", SCRAPE_FILES)
def test_promtool_takes_the_scrape_configuration(name, tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(scrape_with_files(tmp_path, name))
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRAPE_FILES)
def test_promtool_takes_it_with_the_rules(name, tmp_path):
    rule_files = [str(PROMETHEUS / name) for name in RULE_FILES]
    config = tmp_path / "prometheus.yml"
    config.write_text(scrape_with_files(tmp_path, name) + yaml.safe_dump({"rule_files": rule_files}))
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") >= len(RULE_FILES)


@pytest.mark.parametrize("name", SCRAPE_FILES)
def test_promtool_refuses_a_misspelt_one(name, tmp_path):
    config = tmp_path / "prometheus.yml"
    config.write_text(scrape_with_files(tmp_path, name).replace("honor_labels", "honour_labels"))
    assert promtool("check", "config", config).returncode != 0


def test_the_scrape_is_the_one_of_the_readme():
    """The same job in both; the README leaves out what is Prometheus' default."""
    (job,) = yaml.safe_load((PROMETHEUS / "scrape.yml").read_text())["scrape_configs"]
    found = re.search(r"^    - job_name: bao-exporter\n(?:      .*\n)+", (ROOT / "README.md").read_text(), re.M)
    (readme,) = yaml.safe_load(found[0])
    defaults = {"metrics_path": "/metrics", "scrape_interval": "15s", "scrape_timeout": "10s"}
    job["authorization"].pop("type")
    assert job == {**defaults, **readme}


def jobs_in(name: str) -> dict[str, dict]:
    return {job["job_name"]: job for job in yaml.safe_load((PROMETHEUS / name).read_text())["scrape_configs"]}


def test_each_node_is_a_target_of_the_job_that_the_alerts_ask_for():
    jobs = jobs_in("scrape-nodes.yml")
    assert list(jobs) == ["openbao", "bao-exporter", "certctl"]
    for job, path in {"openbao": "/sd", "bao-exporter": "/sd/exporter", "certctl": "/sd/certctl"}.items():
        (discovery,) = jobs[job]["http_sd_configs"]
        assert discovery["url"] == f"https://{TARGET}{path}"
        assert jobs[job]["honor_labels"] is False and jobs[job]["scheme"] == "https"
        for asks in (jobs[job], discovery):  # the discovery wants the token too
            assert asks["authorization"] == {"type": "Bearer", "credentials_file": CREDENTIALS_FILE}
            assert asks["tls_config"] == {"ca_file": CA_FILE}


def test_the_role_becomes_no_label_of_a_target():
    for job in jobs_in("scrape-nodes.yml").values():
        assert "relabel_configs" not in job


def test_a_node_is_scraped_by_one_job_in_each_way():
    """Twice in one Prometheus, and rules that do not ask for a job count twice."""
    assert list(jobs_in("scrape.yml")) == ["bao-exporter"]
    assert [job["metrics_path"] for job in jobs_in("scrape.yml").values()] == ["/metrics"]
    assert not [job for job in jobs_in("scrape-nodes.yml").values() if "metrics_path" in job]



# --- the rules -----------------------------------------------------------------------


def test_promtool_takes_the_rules():
    done = promtool("check", "rules", *[PROMETHEUS / name for name in RULE_FILES])
    assert done.returncode == 0, done.stdout + done.stderr
    for name in RULE_FILES:
        assert f"{len(rules_in(name))} rules found" in done.stdout


def test_rules_do_what_they_say():
    done = promtool("test", "rules", *UNIT_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_shown_firing():
    tests = [test for path in UNIT_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    shown = [case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]]
    assert sorted(shown) == sorted(ALERTS)


def unit_tests_with(folder, texts: dict[str, str], tests=tuple(UNIT_TESTS)) -> subprocess.CompletedProcess:
    for name, text in texts.items():
        (folder / name).write_text(text)
    for test in tests:
        (folder / test.name).write_text(test.read_text().replace(RULE_FILE_PREFIX, f"{folder}/"))
    return promtool("test", "rules", *[folder / test.name for test in tests])


def texts() -> dict[str, str]:
    return {name: (PROMETHEUS / name).read_text() for name in RULE_FILES}


def changed(text: str, change) -> str:
    document = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            change(rule)
    return yaml.safe_dump(document)


def never(rule: dict) -> None:
    rule["expr"] = "vector(1) > 2"


def always(rule: dict) -> None:
    rule["expr"] = f"{rule['expr']} or vector(1)"
    rule["for"] = "0s"


@pytest.mark.parametrize("change", [never, always])
def test_an_alert_that_never_or_always_fires_is_noticed(change, tmp_path):
    """The unit tests above are worth something: with its expression never true, or true of
    everything, they fail for each alert by its name."""
    broken = {name: changed(text, change) for name, text in texts().items() if name in ALERT_FILES}
    done = unit_tests_with(tmp_path, texts() | broken)
    assert done.returncode != 0
    said = set(re.findall(r"alertname: (\w+), time:", done.stdout + done.stderr))
    assert said == set(ALERTS)


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_rule_that_gives_nothing_is_noticed(record, tmp_path):
    broken = changed(texts()["rules.yml"], lambda rule: never(rule) if rule["record"] == record else None)
    assert unit_tests_with(tmp_path, texts() | {"rules.yml": broken}, UNIT_TESTS[:1]).returncode != 0


# --- the names in them ---------------------------------------------------------------


@pytest.mark.parametrize(("metric", "count"), [("bao_node_last_poll_reason", 4), ("certctl_state_collector_last_reason", 7)])
def test_each_reason_is_in_one_alert(metric, count):
    """The reasons are those of the program text, so a new one fails here until it has an alert."""
    source = (ROOT / "exporter/result.cc").read_text()
    table = re.search(r"kReasonNames = \{(.*?)\}", source, re.S)[1]
    reasons = re.findall(r'"([a-z_]+)"', table)
    assert len(reasons) > 40
    matchers = {
        rule["alert"]: re.compile(found[1])
        for rule in rules_in(*ALERT_FILES)
        if (found := re.search(rf'{metric}\{{reason=~?"([^"]+)"\}}', rule["expr"])) and "unless" not in rule["expr"]
    }
    assert len(matchers) == count
    for reason in reasons:
        alerts = [alert for alert, matcher in matchers.items() if matcher.fullmatch(reason)]
        wanted = 0 if reason in REASONS_WITHOUT_ALERT[metric] else 1
        assert len(alerts) == wanted, f"{reason}: {alerts}"
    named = {word for matcher in matchers.values() for word in matcher.pattern.split("|")}
    assert named <= set(reasons)


def test_no_reason_that_certctl_code_gives_is_without_alert():
    """Of the codes that the program text about certctl names."""
    sources = "".join(path.read_text() for path in (ROOT / "exporter/certctl").glob("*.cc"))
    codes = {re.sub(r"(?<!^)([A-Z])", r"_\1", code).lower() for code in re.findall(r"ErrorCode::k(\w+)", sources)}
    assert {"database_down", "inconsistent", "token_excess"} <= codes
    assert codes & REASONS_WITHOUT_ALERT["certctl_state_collector_last_reason"] == {"ok"}


def metrics_in(text: str) -> set[str]:
    """Our metrics in PromQL, in the rules and in the comments beside them."""
    return set(re.findall(r"(?<![a-z:_])(?:bao_(?:node|cluster|token|exporter)|certctl_state)_[a-z_]+", text))


def token_families() -> dict[str, str]:
    """Those of the token's life, as the program text has them: without a node that answers they
    have no series yet. That they come is shown by test_documents.py."""
    source = (ROOT / "exporter/own_metrics.cc").read_text()
    found = re.findall(r'(counter|gauge)s\(\s*registry_,\s*"(bao_token_[a-z_]+)"', source)
    assert len(found) >= 6
    return {name: kind for kind, name in found}


def certctl_families() -> dict[str, str]:
    """As the program text has them; that they come is shown by test_documents.py."""
    sources = "".join(path.read_text() for path in (ROOT / "exporter/certctl").glob("*.cc"))
    found = re.findall(r'\.gauge\(\s*"(certctl_state_[a-z_]+)"', sources)
    assert len(found) >= 19 and len(found) == len(set(found))
    return dict.fromkeys(found, "gauge")


@pytest.fixture(scope="module")
def families(tmp_path_factory) -> dict[str, str]:
    """Name and type of each family in the program's own output. Its nodes are not there."""
    folder = tmp_path_factory.mktemp("exporter")
    make_files(folder)
    config = (CONFIGS / "profiles/all-nodes.toml").read_text().replace('"0.0.0.0:9825"', '"127.0.0.1:0"')
    config = re.sub(r"openbao-(\d).example:8200", r"127.0.0.1:1\1", config)
    (folder / "bao-exporter.toml").write_text(config)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([BINARY, "--config.file", folder / "bao-exporter.toml"], stderr=log, env={})
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
            port = re.search(r'msg="listening" address=127.0.0.1:(\d+)', (folder / "log").read_text())
            if not port:
                continue
            ask(int(port[1]), folder, "a-token-that-is-wrong")  # so that the family of refusals has a sample
            ask(int(port[1]), folder, SCRAPE_TOKEN)
            status, body = ask(int(port[1]), folder, SCRAPE_TOKEN)
            if status == 200:
                return token_families() | certctl_families() | dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, re.M))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def ask(port: int, folder, token: str) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=folder / "localhost.crt")
    connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_the_rules_name_metrics_that_exist(families):
    named = {metric for rule in rules_in(*RULE_FILES) for metric in metrics_in(rule["expr"])}
    for rule in rules_in(*ALERT_FILES):
        named |= metrics_in(" ".join(rule["annotations"].values()))
    assert len(named) > 10
    unknown = named - set(families)
    assert not unknown, f"no such metric in the program's output: {sorted(unknown)}"


def test_counters_are_used_as_counters_and_gauges_as_gauges(families):
    for rule in rules_in(*RULE_FILES):
        for metric in metrics_in(rule["expr"]) & set(families):
            in_rate = bool(re.search(rf"(?:rate|increase)\({metric}\b", rule["expr"]))
            assert in_rate == (families[metric] == "counter"), f"{metric} in {rule}"


def test_the_rules_stay_with_their_own_recordings():
    """Each bao:... that an alert uses is recorded, and each recording is a name of that form."""
    used = {name for rule in rules_in(*ALERT_FILES) for name in re.findall(r"bao:[a-z0-9_:]+", rule["expr"])}
    assert used <= set(RECORDS)
    assert all(re.fullmatch(r"bao:[a-z_]+(?::[a-z0-9]+)?", record) for record in RECORDS)


# --- the page ------------------------------------------------------------------------

PAGE = ROOT / "docs/prometheus.md"
# The alerts that exist for OpenBao's own metrics and are about what the exporter is about.
ALERTS_FOR_OPENBAO = {
    "OpenBaoUnreachable",
    "OpenBaoCoreUnsealedSignalMissing",
    "OpenBaoCoreActiveSignalMissing",
    "OpenBaoSealedUnexpectedly",
    "OpenBaoNoActiveNode",
    "OpenBaoMultipleActiveNodes",
    "OpenBaoRaftPeerCountLow",
    "OpenBaoAutopilotUnhealthy",
    "OpenBaoAutopilotFailureToleranceLost",
    "OpenBaoAutopilotNodeUnhealthy",
    "OpenBaoAuditRequestFailures",
    "OpenBaoAuditResponseFailures",
}


def replacement_problems(page: str, alerts: list[str]) -> list[str]:
    """The table of what replaces what: a row for each alert for OpenBao, with alerts that we have."""
    problems, rows = [], {}
    for theirs, _, ours in table_rows(page, "alert for OpenBao"):
        (name,) = in_backticks(theirs)
        rows[name] = [word for word in in_backticks(ours) if word.startswith("Bao")]
    problems += [f"{name}: no row" for name in sorted(ALERTS_FOR_OPENBAO - set(rows))]
    problems += [f"{name}: a row, and no such alert" for name in sorted(set(rows) - ALERTS_FOR_OPENBAO)]
    problems += [f"{name}: nothing of ours replaces it" for name in rows if not rows[name]]
    return problems + [f"{one} is not in alerts.yml" for ours in rows.values() for one in ours if one not in alerts]


def test_each_alert_for_openbao_has_one_of_ours_on_the_page():
    assert replacement_problems(PAGE.read_text(), ALERTS) == []


@pytest.mark.parametrize("alert", ALERTS)
def test_the_page_names_no_alert_that_is_not_there(alert):
    page, others = PAGE.read_text(), [one for one in ALERTS if one != alert]
    named = any(f"`{alert}`" in line for line in page.splitlines() if line.startswith("| `OpenBao"))
    assert (replacement_problems(page, others) != []) == named


def test_a_row_that_is_missing_is_noticed():
    page = PAGE.read_text()
    for name in ALERTS_FOR_OPENBAO:
        without = "\n".join(line for line in page.splitlines() if not line.startswith(f"| `{name}`"))
        assert replacement_problems(without, ALERTS) == [f"{name}: no row"]


def test_each_alert_of_a_node_or_cluster_is_named_in_one_row_at_most():
    rows = table_rows(PAGE.read_text(), "alert for OpenBao")
    named = [name for *_, ours in rows for name in in_backticks(ours) if name.startswith("Bao")]
    assert len(named) == len(set(named))


def test_promtool_takes_the_job_of_the_page_that_brings_the_roles(tmp_path):
    """In place of the second job of scrape-nodes.yml, as the page says."""
    found = re.search(r"^    - job_name: bao-exporter\n(?:      .*\n)+", PAGE.read_text(), re.M)
    (job,) = yaml.safe_load(found[0])
    assert [rule["action"] for rule in job["metric_relabel_configs"]] == ["keep"]
    text = scrape_with_files(tmp_path, "scrape-nodes.yml")
    config = yaml.safe_load(text)
    shipped = config["scrape_configs"][1]
    assert shipped["job_name"] == job["job_name"]
    config["scrape_configs"][1] = job | {key: shipped[key] for key in ("authorization", "tls_config")}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
