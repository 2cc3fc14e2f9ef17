"""Claim: the documents say what the binary is: its keys, its metrics, its reasons, its log messages,
and nothing that it does not have. Each comparison is shown to notice what is missing."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import time

import pytest
from certctl import FakeCertctl
from certctl_state import FakeState
from certctl_tls import Material
from deploy_files import BINARY, check, make_files, run, write_secret
from documents import (
    ROOT,
    Live,
    cause_problems,
    check_problems,
    command_problems,
    configuration_problems,
    doctor_checks,
    document,
    keys_of,
    label_problems,
    link_problems,
    log_problems,
    markdown_files,
    metrics_problems,
    preset_problems,
    promise_problems,
    proof_problems,
    reason_problems,
    remedy_problems,
    restart_keys,
    table_rows,
    toml_problems,
)
from exporter_under_fault import CANARIES, SCRAPE_TOKEN, ExporterUnderFault
from fake_node import Certificates, FakeNode

CONFIGURATION = document("docs/configuration.md")
METRICS = document("docs/metrics.md")
OPERATIONS = document("docs/operations.md")
HACKING = document("docs/hacking.md")
THREATS = document("docs/threat-model.md")
README = document("README.md")
EVERY_KEY = document("configs/bao-exporter.toml")


# --- what there is -------------------------------------------------------------------


def reference(what: str) -> str:
    done = run(BINARY, "reference", what, timeout=10)
    assert done.returncode == 0 and done.stdout, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def keys():
    return keys_of(reference("keys"))


@pytest.fixture(scope="module")
def reasons():
    return reference("reasons").splitlines()


@pytest.fixture(scope="module")
def remedies():
    return dict(line.split("\t") for line in reference("remedies").splitlines())


LOGIN = "/v1/auth/approle/login"
CAPABILITIES = "/v1/sys/capabilities-self"
RIGHT = {"sys/metrics": ["list", "read"], **dict.fromkeys(("sys/mounts", "sys/seal", "kv/data/x", "auth/token/create"), ["deny"])}


def let_log_in(node: FakeNode) -> None:
    """It gives a token that lives an hour and may do what it should."""
    token = {"client_token": "a-token-that-was-logged-in-for", "lease_duration": 3600, "renewable": True}
    answers = {LOGIN: {"auth": token}, CAPABILITIES: {**RIGHT, "data": RIGHT}}
    for path, answer in answers.items():
        node.faults[path] = lambda exchange, body=json.dumps(answer).encode(): exchange.answer(200, body)


class Rig(ExporterUnderFault):
    """With all labels that a node can have, a token that it logs in for, and a certctl server."""

    def __init__(self, certificates, nodes, folder, certctl):
        self.certctl = certctl
        certctl.write_key(folder / "certctl.key", "viewer")
        CANARIES["the certctl key"] = certctl.keys.secret("viewer")
        super().__init__(certificates, nodes, folder)

    def config_text(self, **changes):
        table = {"name": "fake-ca", "url": self.certctl.url, "ca_file": str(self.certctl.ca_file),
                 "server_name": "certctl-server", "interval": "1s", "timeout": "900ms", "inventory_interval": "2s"}
        certctl = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        return self.openbao_text(**changes) + "[[certctl]]\n" + certctl

    def openbao_text(self, **changes):
        text = super().config_text(**changes).replace("[openbao.auth]", 'kubernetes_namespace = "bao"\n[openbao.auth]')
        text = text.replace('token_file = "openbao.token"', 'method = "approle"\nrole_id_file = "openbao.token"')
        return re.sub(r'^(name = "(\w+)")$', r'\1\npod = "pod-\2"', text, flags=re.M)

    def ask(self, path, token=SCRAPE_TOKEN, **headers) -> str:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self._client)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", **headers})
            return connection.getresponse().read().decode(errors="replace")


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Live:
    """An exporter to which everything has happened that makes a family appear: an active node, a
    standby, one that fails; a login; a certctl server that counts wrongly; gzip, a wrong token, an
    unknown path."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    material = Material(tmp_path_factory.mktemp("certctl"))
    with contextlib.ExitStack() as stack:
        certctl = stack.enter_context(FakeCertctl(state=FakeState(certificates=332), material=material))
        certctl.health_checks_enabled = True
        nodes = [FakeNode(certificates, f"n{i}", role, i) for i, role in enumerate(("active", "standby", "standby"), 1)]
        for node in nodes:
            stack.callback(node.stop)
            let_log_in(node)
        nodes[2].refuse()
        rig = stack.enter_context(Rig(certificates, nodes, tmp_path_factory.mktemp("exporter"), certctl))
        rig.wait_published()
        rig.ask("/metrics", **{"Accept-Encoding": "gzip"})
        rig.ask("/metrics", token="a-token-that-is-wrong")
        for path in ["/elsewhere", "/metrics/nodes/fake/n1", "/metrics/certctl/fake-ca", "/metrics/exporter"]:
            rig.ask(path)
        for path in ["/sd", "/sd/certctl", "/sd/exporter"]:
            rig.ask(path)
        deadline = time.monotonic() + 10
        for awaited in ['snapshot_bytes{encoding="gzip"}', 'count_mismatch{', 'family="certctl_job_failed_total"']:
            while awaited not in rig.ask("/metrics"):
                assert time.monotonic() < deadline, f"{awaited} did not come"
                time.sleep(0.1)
        scrape = rig.scrape()
        assert scrape.up("n1") and scrape.up("n2") and not scrape.up("n3")
        return Live(scrape.text, rig.ask("/metrics/exporter"))


@pytest.fixture(scope="module")
def sources() -> str:
    return "".join(path.read_text() for path in sorted((ROOT / "exporter").rglob("*.cc")))


def dev_commands() -> set[str]:
    done = run("bash", ROOT / "dev", "help", timeout=20, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^  ([a-z]+) ", done.stdout, re.M)) | {"help"}


def sub_commands() -> set[str]:
    listed = run(BINARY, "--help", timeout=10).stdout.partition("Subcommands:")[2]
    return set(re.findall(r"^  (\S+)", listed, re.M))


def ctest_names() -> set[str]:
    text = document("tests/python_tests.cmake")
    named = {f"{folder}/{name}" for folder, name in re.findall(r"^bao_python_test\((\w+) (\w+)", text, re.M)}
    return named | {"unit/", "fuzz/"}


# --- the comparisons -----------------------------------------------------------------


def test_the_configuration_page_is_the_binarys(keys):
    assert configuration_problems(CONFIGURATION, keys) == []


def test_the_file_with_every_key_is_the_binarys(keys):
    assert toml_problems(EVERY_KEY, keys) == []


def test_the_page_says_which_keys_need_a_restart():
    """The same keys in exporter/daemon.cc, configuration.md and operations.md."""
    expected = restart_keys(document("exporter/daemon.cc"))
    assert len(expected) >= 4
    rows = table_rows(CONFIGURATION, "key")
    assert {row[0].strip("`") for row in rows if "Restart needed" in row[4]} == expected
    (line,) = re.findall(r"^- (`listener\..*?need a restart)", OPERATIONS, re.M | re.S)
    assert set(re.findall(r"`(\S+)`", line)) == expected


def test_the_keys_that_are_known_and_refused_are_refused_as_the_page_says(tmp_path):
    """Each is given to the binary, and no other has those words."""
    part = CONFIGURATION.partition("## Known and refused")[2]
    tables = re.findall(r"`([a-z_]+\.[a-z_]+|shard)`", part)
    assert len(tables) >= 3
    for name in tables:
        assert f"{name}: is known but not supported" in complaints_about(tmp_path, name), name
    assert "is known but not supported" not in complaints_about(tmp_path, "listener.address")


def complaints_about(folder, name: str) -> str:
    table, _, key = name.rpartition(".")
    header = {"": "", "openbao": "[[openbao]]\n"}
    config = folder / "one.toml"
    config.write_text(header.get(table, f"[{table}]\n") + f"{key} = 1\n")
    return run(BINARY, "check", "--config.file", config, env={}, timeout=10).stderr


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("scrape.token", "short\n", "at least 20 characters"),
        ("tls/tls.key", None, "is not the key of"),
        ("openbao-ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        ("certctl-ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        ("certctl.key", "one-key\nanother-key\n", "more than one line"),
    ],
)
def test_check_refuses_what_the_start_refuses(tmp_path, path, text, words):
    assert "what the start would refuse, `check` refuses" in CONFIGURATION
    config = tmp_path / "bao-exporter.toml"
    profile = "certctl" if path.startswith("certctl") else "all-nodes"
    shutil.copy(ROOT / f"configs/profiles/{profile}.toml", config)
    make_files(tmp_path)
    assert check(config) == (0, [])
    if text is None:  # a good key, of another certificate
        make_files(tmp_path / "other")
        text = (tmp_path / "other" / path).read_text()
    write_secret(tmp_path / path, text)
    for command in (["check"], []):
        done = run(BINARY, *command, "--config.file", config, timeout=20)
        assert done.returncode == 2, (command, done.stderr)
        assert str(tmp_path / path) in done.stderr and words in done.stderr


def test_the_metrics_page_is_the_binarys(live):
    assert metrics_problems(METRICS, live) == []


def test_the_labels_on_the_metrics_page_are_the_binarys(live):
    assert label_problems(METRICS, live) == []


def test_the_runbook_has_the_binarys_reasons(reasons):
    assert reason_problems(OPERATIONS, reasons) == []


def test_the_runbook_begins_with_the_binarys_remedies(reasons, remedies):
    assert list(remedies) == reasons and all(remedies.values())
    assert remedy_problems(OPERATIONS, remedies) == []
    for reason in reasons:
        assert remedy_problems(OPERATIONS, remedies | {reason: "pray"}) != []


def test_the_doctor_ends_where_there_is_no_node(tmp_path):
    config = tmp_path / "bao-exporter.toml"
    text = (ROOT / "configs/profiles/certctl.toml").read_text()
    config.write_text(text.replace("certctl.example", "certctl.invalid"))
    make_files(tmp_path)
    done = run(BINARY, "doctor", "--config.file", config, timeout=60)
    assert done.returncode == 1 and "certctl  dns    FAIL" in done.stdout, done.stderr


def test_the_runbook_has_the_doctors_checks():
    sources = "".join(path.read_text() for path in sorted((ROOT / "exporter/doctor").glob("*.cc")))
    checks = doctor_checks(sources)
    assert len(checks) >= 14 and check_problems(OPERATIONS, checks) == []
    for check in checks:
        assert check_problems(without_row(OPERATIONS, check), checks) == [f"check {check}: the document does not have it"]


def test_the_runbook_has_the_binarys_causes(live):
    assert cause_problems(OPERATIONS, live) == []


def test_the_runbook_has_the_programs_log_messages(sources):
    assert log_problems(OPERATIONS, sources) == []


def test_the_runbook_has_the_binarys_roles_and_exit_codes(live):
    roles = {row[0].strip("`") for row in table_rows(OPERATIONS, "role")}
    assert roles == set(re.findall(r'bao_cluster_nodes\{.*node_role="(\w+)"', live.metrics))
    codes = {row[0] for row in table_rows(OPERATIONS, "exit code")}
    known = re.findall(r"inline constexpr int k\w+ = (\d+);", document("exporter/cli/commands.h"))
    assert codes == set(known) | {"134 (SIGABRT)"}


def test_links_lead_somewhere():
    files = markdown_files()
    assert len(files) >= 15
    assert [problem for path in files for problem in link_problems(path, path.read_text())] == []


def test_commands_in_the_documents_exist():
    known = dev_commands(), sub_commands()
    assert {"demo", "test"} <= known[0] and {"check", "nodes"} <= known[1]
    for path in markdown_files():
        assert command_problems(path.read_text(), *known) == [], path


def test_presets_in_the_documents_exist():
    presets = json.loads(document("CMakePresets.json"))["configurePresets"]
    names = {preset["name"] for preset in presets if not preset.get("hidden")}
    assert preset_problems(HACKING, names) == []
    assert preset_problems(HACKING.replace("| `tsan` |", "| `msan` |"), names) != []


def test_promises_of_the_readme_name_tests_that_exist():
    assert promise_problems(README, ctest_names()) == []


def test_each_threat_names_a_test_that_exists():
    assert proof_problems(THREATS) == []


def test_the_documents_name_no_file_that_is_not_there():
    """Paths between backticks that begin with one of our folders."""
    for path in markdown_files():
        named = re.findall(r"`((?:exporter|include|configs|tests|docs|systemd)/[\w./-]+)`", path.read_text())
        missing = [name for name in named if not (ROOT / name).exists()]
        assert missing == [], path


# --- each comparison notices ---------------------------------------------------------


def without_row(text: str, name: str) -> str:
    """The document without the row of that name."""
    changed = re.sub(rf"^\| `{re.escape(name)}` \|.*\n", "", text, flags=re.M)
    assert changed != text, name
    return changed


def without_heading(text: str, reason: str) -> str:
    changed = re.sub(rf"^### `{reason}`\n(?:- .*\n)+\n", "", text, flags=re.M)
    assert changed != text, reason
    return changed


def test_every_key_is_missed_on_the_page(keys):
    for key in keys:
        problems = configuration_problems(without_row(CONFIGURATION, key.path), keys)
        assert problems == [f"key {key.path}: the document does not have it"]


def test_every_key_is_missed_in_the_file(keys):
    """Keys that are in two places of the file (of the nodes) are taken out of both."""
    for key in keys:
        name = key.path.rpartition(".")[2]
        at = [index for index, line in enumerate(EVERY_KEY.splitlines()) if table_of(index) + name == key.path
              and line.startswith(f"{name} = ")]
        assert at, key.path
        lines = [line for index, line in enumerate(EVERY_KEY.splitlines()) if index not in at]
        assert toml_problems("\n".join(lines), keys) == [f"key {key.path}: the document does not have it"]


def table_of(index: int) -> str:
    """"poll." for a line below [poll]."""
    heads = re.findall(r"^\[+([a-z.]+)\]+ *(?:#.*)?$", "\n".join(EVERY_KEY.splitlines()[:index]), re.M)
    return f"{heads[-1]}." if heads else ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('| duration | `"15s"` |', '| duration | `"30s"` |'),
        ("| `limits.samples_max` | integer |", "| `limits.samples_max` | size |"),
        ("| `openbao.cluster` | string | required |", '| `openbao.cluster` | string | `""` |'),
        ("## limits", "## bounds"),
        ("| `log.level` |", "| `log.levels` |"),
    ],
)
def test_a_wrong_word_about_a_key_is_noticed(old, new, keys):
    assert old in CONFIGURATION
    assert configuration_problems(CONFIGURATION.replace(old, new), keys) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('interval = "15s"', 'interval = "30s"'),
        ("connections_max = 200", "connections_max = 100"),
        ('format = "logfmt"', 'form = "logfmt"'),
        ("# required: 1 to 63", "# 1 to 63"),
    ],
)
def test_a_wrong_line_in_the_file_is_noticed(old, new, keys):
    assert old in EVERY_KEY
    assert toml_problems(EVERY_KEY.replace(old, new), keys) != []


def test_every_metric_is_missed(live):
    for name in live.own:
        problems = metrics_problems(without_row(METRICS, name), live)
        assert f"metric {name}: the document does not have it" in problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| `bao_node_up` | gauge | N |", "| `bao_node_up` | counter | N |"),
        ("| `bao_node_up` | gauge | N |", "| `bao_node_up` | gauge | N, `reason` |"),
        ("| `bao_token_generation` | gauge | `credential` |", "| `bao_token_generation` | gauge | |"),
        ("Nodes of the cluster in each role.", "Nodes in each role."),
        ("| `process_threads` |", "| `process_tasks` |"),
        ("| `certctl_state_ready` | gauge | C |", "| `certctl_state_ready` | gauge | |"),
        ("| C, `within` |", "| C, `days` |"),
        ("| Jobs by kind and state.", "| Jobs by state."),
        ("## Credentials", "## Tokens"),
        ("| `bao_node_samples` |", "| `bao_node_sample_count` |"),
    ],
)
def test_a_wrong_word_about_a_metric_is_noticed(old, new, live):
    assert old in METRICS
    assert metrics_problems(METRICS.replace(old, new), live) != []


@pytest.mark.parametrize("word", ["| `pod` |", "`uninitialized`, ", "`type_conflict`, ", "`malformed`, ", ", `gzip` |", "`denied`",
                                  "| `certctl` | `certctl.name` |", ", `90d`", "`cert_mismatch`, ", "`certctl_agent_total`, ",
                                  "`/metrics/certctl`, "])
def test_a_missing_label_or_value_is_noticed(word, live):
    instead = "| `pods` |" if "`pod`" in word else "| `pods` | |" if word.startswith("|") else ""
    changed = METRICS.replace(word, instead)
    assert changed != METRICS
    assert label_problems(changed, live) != []


def test_every_reason_is_missed(reasons):
    for reason in reasons:
        problems = reason_problems(without_heading(OPERATIONS, reason), reasons)
        assert problems == [f"reason {reason}: the document does not have it"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("### `dns`", "### `name`"),
        ("### `dns`", "### `connect`"),
        ("- **Do**: unseal it", "- Do: unseal it"),
        ("## Reasons", "## Why"),
    ],
)
def test_a_wrong_word_about_a_reason_is_noticed(old, new, reasons):
    assert old in OPERATIONS
    assert reason_problems(OPERATIONS.replace(old, new), reasons) != []


def test_a_missing_cause_or_log_message_is_noticed(live, sources):
    assert cause_problems(without_row(OPERATIONS, "leader_only"), live) != []
    for message in ("listening", "poll ended", "failover", "internal check failed, aborting"):
        assert log_problems(without_row(OPERATIONS, message), sources) != []


def test_a_key_metric_or_reason_that_the_binary_gets_is_noticed(keys, reasons, live):
    assert configuration_problems(CONFIGURATION, keys + keys_of("poll.jitter\tduration\t\"0s\"\toptional\n")) != []
    assert toml_problems(EVERY_KEY, keys + keys_of("poll.jitter\tduration\t\"0s\"\toptional\n")) != []
    assert reason_problems(OPERATIONS, [*reasons, "tired"]) != []
    more = "# HELP bao_node_mood How the node feels.\n# TYPE bao_node_mood gauge\nbao_node_mood 1\n"
    assert metrics_problems(METRICS, Live(live.metrics + more, live.exporter)) != []


@pytest.mark.parametrize(
    "text", ["[a](docs/nowhere.md)", "[a](../outside.md)", "[a](README.md#no-such-heading)", "[a](docs/metrics.md#x)"]
)
def test_a_link_to_nothing_is_noticed(text):
    assert link_problems(ROOT / "README.md", text) != []


@pytest.mark.parametrize("text", ["    ./dev demonstrate\n", "`./dev tests`", "    bao-exporter checks --help\n"])
def test_a_command_that_does_not_exist_is_noticed(text):
    assert command_problems(README + "\n" + text, dev_commands(), sub_commands()) != []


def test_a_promise_without_its_test_is_noticed():
    tests = ctest_names()
    assert promise_problems(README, tests - {"e2e/test_secrecy"}) != []
    assert promise_problems(README, {test for test in tests if not test.startswith("fault/")}) != []
    assert promise_problems(README.replace("| promise |", "| claim |"), tests) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("`test_no_redirect_is_followed`", "`test_redirects_are_followed`"),
        ("`tests/fault/test_http_faults.py`", "`tests/fault/test_http.py`"),
        ("`a malformed Authorization is never accepted`", "`a malformed Authorization is accepted`"),
        ("`test_no_redirect_is_followed` |", "|"),
    ],
)
def test_a_threat_without_its_test_is_noticed(old, new):
    assert old in THREATS
    assert proof_problems(THREATS.replace(old, new)) != []
