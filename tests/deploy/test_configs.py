"""Claim: the configurations that we ship are accepted by the binary as they are, and the policies
are such as OpenBao takes. Where a file is ahead of the binary, the binary says so and nothing else."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from deploy_files import BINARY, CONFIGS, OVERLAYS, ROOT, check, load_overlay, make_files, run, uncommented

NOT_YET = "is known but not supported by this version yet"
EVERY_CONFIG = "bao-exporter.toml"

# What the binary must say of each file, whole; nothing: the file is good. When a version supports
# more, these fail: then take the line away, here and in the file's comment.
COMPLAINTS = {
    EVERY_CONFIG: [],
    "profiles/all-nodes.toml": [],
    "profiles/active.toml": [],
    "profiles/demo.toml": [],
    "profiles/certctl.toml": [],
}


@pytest.fixture
def folder(tmp_path):
    make_files(tmp_path)
    return tmp_path


def test_every_shipped_toml_is_in_the_list():
    found = {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.toml")}
    assert found == set(COMPLAINTS)


@pytest.mark.parametrize("name", COMPLAINTS)
def test_check_says_what_is_expected_and_nothing_else(name, folder):
    config = folder / "bao-exporter.toml"
    shutil.copy(CONFIGS / name, config)
    code, complaints = check(config)
    expected = COMPLAINTS[name]
    assert len(complaints) == len(expected), complaints
    for said, wanted in zip(complaints, expected, strict=True):
        assert said.startswith(wanted)
    assert code == (2 if expected else 0)


def test_without_its_files_a_good_configuration_is_refused(tmp_path):
    """So that the test above would notice a path that nobody has."""
    config = tmp_path / "bao-exporter.toml"
    shutil.copy(CONFIGS / "profiles/all-nodes.toml", config)
    code, complaints = check(config)
    assert code == 2
    keys = {complaint.split(": ", 1)[0] for complaint in complaints}
    assert keys == {
        "listener.tls_cert_file",
        "listener.tls_key_file",
        "listener.token_files",
        "openbao.ca_file",
        "openbao.auth.token_file",
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_config_map_is_good(overlay, tmp_path):
    """With the files as Kubernetes mounts them: readable by the group."""
    make_files(tmp_path / "secrets", mode=0o440)
    text = config_map(overlay)
    assert '"/secrets/' in text
    config = tmp_path / "bao-exporter.toml"
    config.write_text(text.replace('"/secrets/', f'"{tmp_path}/secrets/'))
    assert check(config, {"NODE_NAME": "worker-1.example"}) == (0, [])


@pytest.mark.parametrize("table", ["listener", "auth"])
def test_the_config_map_needs_allow_group_read(table, tmp_path):
    """Both of them: without one, the files that Kubernetes mounts are refused."""
    make_files(tmp_path / "secrets", mode=0o440)
    text = config_map("deployment").replace('"/secrets/', f'"{tmp_path}/secrets/')
    lines = text.splitlines()
    at = [index for index, line in enumerate(lines) if line.startswith("allow_group_read")]
    assert len(at) == 2
    del lines[at[0] if table == "listener" else at[1]]
    config = tmp_path / "bao-exporter.toml"
    config.write_text("\n".join(lines) + "\n")
    code, complaints = check(config)
    assert code == 2
    assert all("is readable by its group" in complaint for complaint in complaints)


def test_the_node_local_config_map_needs_the_name_of_the_node(tmp_path):
    make_files(tmp_path / "secrets", mode=0o440)
    config = tmp_path / "bao-exporter.toml"
    config.write_text(config_map("daemonset").replace('"/secrets/', f'"{tmp_path}/secrets/'))
    code, complaints = check(config)
    assert code == 2
    assert len(complaints) == 1 and "${NODE_NAME}, which is not set" in complaints[0]


def test_the_config_maps_speak_of_one_cluster():
    """Where both ways say the same thing they say it in the same words."""
    daemonset, deployment = (tomllib.loads(config_map(overlay)) for overlay in OVERLAYS)
    assert daemonset["listener"] == deployment["listener"]
    (one,), (other,) = daemonset["openbao"], deployment["openbao"]
    assert one["expected_nodes"] == len(other["node"])
    for key in set(one) - {"node", "expected_nodes"}:
        assert one[key] == other[key], key


def test_the_config_map_is_good_with_certctl(tmp_path):
    make_files(tmp_path / "secrets", mode=0o440)
    config = tmp_path / "bao-exporter.toml"
    config.write_text(uncommented(config_map("deployment"), "[[certctl]]").replace('"/secrets/', f'"{tmp_path}/secrets/'))
    assert "certctl" in tomllib.loads(config.read_text())
    assert check(config) == (0, [])


def test_the_systemd_example_is_good_with_certctl(tmp_path):
    make_files(tmp_path)
    shutil.copy(tmp_path / "tls/tls.crt", tmp_path / "tls.crt")
    shutil.copy(tmp_path / "tls/tls.key", tmp_path / "tls.key")
    config = tmp_path / "bao-exporter.toml"
    config.write_text(uncommented((ROOT / "systemd/bao-exporter.toml.example").read_text(), "[[certctl]]"))
    assert "certctl" in tomllib.loads(config.read_text())
    assert check(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == (0, [])


def config_map(overlay: str) -> str:
    (found,) = [item for item in load_overlay(overlay) if item["kind"] == "ConfigMap"]
    return found["data"]["bao-exporter.toml"]


# --- OpenBao -------------------------------------------------------------------------


def bao() -> Path:
    found = Path(sys.executable).parent / "bao"
    assert found.exists(), "no bao beside Python: ./dev deps makes the environment that has it"
    return found


POLICIES = {"metrics-read.hcl": [], "metrics-read-no-default.hcl": ["--no-default-policy"]}


@pytest.mark.parametrize("name", POLICIES)
def test_openbao_takes_the_policy_and_has_nothing_to_reformat(tmp_path, name):
    assert sorted(file.name for file in (CONFIGS / "openbao").iterdir()) == sorted(POLICIES)
    policy = tmp_path / name
    shutil.copy(CONFIGS / "openbao" / name, policy)
    done = run(bao(), "policy", "fmt", policy, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert policy.read_text() == (CONFIGS / "openbao" / name).read_text()


def rules_of(policy: str) -> str:
    return "".join(line.split("#")[0].strip() for line in policy.splitlines())


@pytest.mark.parametrize("name", POLICIES)
def test_the_binary_prints_the_policy_before_any_file_is_there(tmp_path, name):
    """`bao-exporter policy` is for who has no token yet; `check` would refuse."""
    config = tmp_path / "bao-exporter.toml"
    shutil.copy(CONFIGS / "bao-exporter.toml", config)
    assert check(config)[0] == 2
    done = run(BINARY, "policy", "--config.file", config, *POLICIES[name], timeout=10)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert rules_of(done.stdout) == rules_of((CONFIGS / "openbao" / name).read_text())
    assert f"{tmp_path}/openbao.token" in done.stdout
    printed = tmp_path / "printed.hcl"
    printed.write_text(done.stdout)
    taken = run(bao(), "policy", "fmt", printed, env={"HOME": str(tmp_path)})
    assert taken.returncode == 0, taken.stderr


def test_no_policy_is_printed_for_a_configuration_that_is_wrong(tmp_path):
    (tmp_path / "wrong.toml").write_text("[[openbao]]\n")
    for name, words in (("wrong.toml", "openbao.cluster: is required"), ("missing.toml", "cannot be opened")):
        done = run(BINARY, "policy", "--config.file", tmp_path / name, timeout=10)
        assert done.returncode == 2 and done.stdout == "" and words in done.stderr


def test_openbao_refuses_a_broken_policy(tmp_path):
    policy = tmp_path / "broken.hcl"
    policy.write_text((CONFIGS / "openbao/metrics-read.hcl").read_text().replace("capabilities", "capability"))
    assert run(bao(), "policy", "fmt", policy, env={"HOME": str(tmp_path)}).returncode != 0


def test_the_policy_is_the_one_of_the_readme():
    lines = (CONFIGS / "openbao/metrics-read.hcl").read_text().splitlines()
    rules = " ".join(line for line in lines if not line.startswith("#"))
    assert rules.split() == ["path", '"sys/metrics"', "{", "capabilities", "=", '["read"]', "}"]
    assert 'path "sys/metrics" { capabilities = ["read"] }' in (ROOT / "README.md").read_text()
