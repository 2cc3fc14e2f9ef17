"""Claim: the unit that we ship is one that systemd takes without a word, holds every directive that keeps
the exporter in, and scores 1.0 or less; a unit with one of them taken away or changed is noticed here.

That the directives do what they say is shown by test_systemd_boot.py, which boots the unit."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from deploy_files import ROOT, check, make_files, run

SYSTEMD = ROOT / "systemd"
UNIT = SYSTEMD / "bao-exporter.service"
DROP_INS = sorted((SYSTEMD / "bao-exporter.service.d").glob("*.conf.example"))
UNITS = ["bao-exporter.service", "bao-exporter-restart.path", "bao-exporter-restart.service"]
CREDENTIALS = ["openbao.token", "scrape.token", "tls.key"]
EXPOSURE_MAX = 1.0

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="SKIP-LOUD: no systemd-analyze (package systemd): the unit was neither verified nor scored",
)

# The values of each directive of [Service], in the order of the file. A list of words is compared as
# a set; the empty text is a value too: it takes away what systemd gives by default.
WANTED = {
    "Type": ["notify"],
    "NotifyAccess": ["main"],
    "ExecStart": ["/usr/bin/bao-exporter --config.file /etc/bao-exporter/bao-exporter.toml"],
    "ExecReload": ["/usr/bin/kill -HUP $MAINPID"],
    "Restart": ["on-failure"],
    "RestartSec": ["2s"],
    "RestartPreventExitStatus": ["2"],
    "TimeoutStartSec": ["30s"],
    "TimeoutStopSec": ["10s"],
    "WatchdogSec": ["30s"],
    "LoadCredential": [f"{name}:/etc/bao-exporter/{name}" for name in CREDENTIALS],
    "DynamicUser": ["yes"],
    "UMask": ["0077"],
    "NoNewPrivileges": ["yes"],
    "CapabilityBoundingSet": [""],
    "AmbientCapabilities": [""],
    "PrivateUsers": ["yes"],
    "KeyringMode": ["private"],
    "RemoveIPC": ["yes"],
    "RootDirectory": ["/var/lib/bao-exporter/root"],
    "BindReadOnlyPaths": ["/usr /etc -/lib -/lib64 -/run/systemd/resolve -/run/resolvconf -/run/NetworkManager"],
    "ProtectSystem": ["strict"],
    "ProtectHome": ["yes"],
    "ProtectProc": ["invisible"],
    "ProcSubset": ["pid"],
    "PrivateTmp": ["yes"],
    "PrivateMounts": ["yes"],
    "PrivateDevices": ["yes"],
    "PrivateIPC": ["yes"],
    "DevicePolicy": ["closed"],
    "ProtectClock": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectControlGroups": ["yes"],
    "NoExecPaths": ["+/ +/usr +/etc +/run +/tmp +/var/tmp +/dev/shm"],
    "ExecPaths": ["+/usr/bin/bao-exporter +/usr/bin/kill +/usr/lib +/lib -+/usr/lib64 -+/lib64"],
    "ReadOnlyPaths": ["+/run +/usr/bin/bao-exporter +/usr/bin/kill +/usr/lib +/lib -+/usr/lib64 -+/lib64"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "SystemCallErrorNumber": ["EPERM"],
    "TasksMax": ["512"],
    "LimitNOFILE": ["4096"],
    "LimitCORE": ["0"],
    "MemoryMax": ["256M"],
    "MemorySwapMax": ["0"],
}


def directives(text: str, section: str = "Service") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    current = None
    for line in text.splitlines():
        assert not line.endswith("\\"), "one line, one directive"
        if header := re.fullmatch(r"\[(\w+)\]", line):
            current = header[1]
        elif line and not line.startswith(("#", ";")) and current == section:
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def problems(text: str) -> list[str]:
    """What [Service] of this unit has too little, too much or otherwise."""
    found = directives(text)
    out = [f"{name} is missing" for name in WANTED if name not in found]
    out += [f"{name} is not in the table" for name in found if name not in WANTED]
    for name in WANTED.keys() & found.keys():
        said, wanted = ([set(value.split()) for value in values] for values in (found[name], WANTED[name]))
        if said != wanted:
            out.append(f"{name} is {found[name]}, not {WANTED[name]}")
    return out


def directive_lines() -> list[int]:
    lines = UNIT.read_text().splitlines()
    start, end = lines.index("[Service]"), lines.index("[Install]")
    return [n for n in range(start + 1, end) if lines[n] and not lines[n].startswith("#")]


def test_every_directive_is_there_and_nothing_else():
    assert problems(UNIT.read_text()) == []


@pytest.mark.parametrize("line", directive_lines())
@pytest.mark.parametrize("how", ["removed", "commented out", "changed"])
def test_a_unit_with_one_line_less_or_other_is_noticed(line, how):
    lines = UNIT.read_text().splitlines()
    name = lines[line].split("=")[0]
    lines[line] = {"removed": "", "commented out": f"#{lines[line]}", "changed": f"{name}=no"}[how]
    (problem,) = problems("\n".join(lines))
    assert problem.startswith(f"{name} is")


def test_a_line_too_many_is_noticed():
    text = UNIT.read_text()
    assert problems(text.replace("[Install]", "Environment=A=B\n[Install]")) == ["Environment is not in the table"]
    assert len(problems(text.replace("[Install]", "SystemCallFilter=@mount\n[Install]"))) == 1


def test_it_never_gives_up_and_is_started_at_boot():
    text = UNIT.read_text()
    assert directives(text, "Unit")["StartLimitIntervalSec"] == ["0"]
    assert directives(text, "Install") == {"WantedBy": ["multi-user.target"]}


def test_limits_fit_the_default_number_of_connections():
    """Every worker is a thread from the start, and a connection is a descriptor."""
    default = tomllib.loads((ROOT / "configs/bao-exporter.toml").read_text())["listener"]["connections_max"]
    assert int(WANTED["TasksMax"][0]) >= 2 * (default + 8)
    assert int(WANTED["LimitNOFILE"][0]) >= 10 * default


# --- systemd's own opinion ---------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with the unit installed, and what the unit names. It holds no other units, so that
    nothing of this machine is looked at."""
    for name in ("bao-exporter", "kill", "systemctl"):
        program = tmp_path / "usr/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("")
        program.chmod(0o755)
    library = tmp_path / "usr/lib/systemd/system"
    library.mkdir(parents=True)
    for target in ("basic", "multi-user", "network-online", "paths", "shutdown", "sysinit"):
        (library / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
    (library / "systemd-journald.socket").write_text("[Socket]\nListenStream=/run/journal\n")
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in UNITS:
        shutil.copy(SYSTEMD / name, units)
    return tmp_path


def install_drop_in(machine: Path, example: Path) -> None:
    folder = machine / "etc/systemd/system/bao-exporter.service.d"
    folder.mkdir()
    shutil.copy(example, folder / example.name.removesuffix(".example"))


def verify(machine: Path) -> subprocess.CompletedProcess:
    return run("systemd-analyze", "verify", f"--root={machine}", "--man=no", *UNITS)


def security(machine: Path, *options: str) -> subprocess.CompletedProcess:
    return run("systemd-analyze", "security", f"--root={machine}", "--offline=yes", *options, UNIT.name)


def exposure(said: str) -> float:
    return float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])


@needs_analyze
@pytest.mark.parametrize("drop_in", [None, *DROP_INS], ids=lambda path: path.name if path else "alone")
def test_verify_is_clean(machine, drop_in):
    if drop_in is not None:
        install_drop_in(machine, drop_in)
    done = verify(machine)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
@pytest.mark.parametrize("line", ["ProtectSytem=strict", "WatchdogSec=soon", "SystemCallFilter=@no-such-set"])
def test_verify_would_complain(machine, line):
    unit = machine / "etc/systemd/system" / UNIT.name
    unit.write_text(unit.read_text().replace("[Install]", f"{line}\n[Install]"))
    assert line.split("=")[1] in verify(machine).stderr or line.split("=")[0] in verify(machine).stderr


@needs_analyze
def test_exposure(capsys):
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=10", UNIT)
    with capsys.disabled():
        print(f"\n{done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout
    assert exposure(done.stdout) <= EXPOSURE_MAX


@needs_analyze
@pytest.mark.parametrize("name", ["SystemCallFilter", "CapabilityBoundingSet", "RestrictNamespaces", "PrivateUsers",
                                  "ProtectProc", "ProtectClock", "RootDirectory"])
def test_exposure_without_one_of_the_directives_is_over_the_bar(machine, name):
    unit = machine / "etc/systemd/system" / UNIT.name
    unit.write_text(re.sub(rf"^{name}=.*\n", "", unit.read_text(), flags=re.M))
    done = security(machine, "--threshold=10")
    assert done.returncode != 0 and exposure(done.stdout) > EXPOSURE_MAX


@needs_analyze
def test_the_figures_in_the_readme(machine):
    """It quotes the score alone and with each drop-in; README: `| name | figure |`."""
    readme = (SYSTEMD / "README.md").read_text()
    measured = {"the unit alone": exposure(security(machine).stdout)}
    for drop_in in DROP_INS:
        install_drop_in(machine, drop_in)
        measured[f"`{drop_in.name.removesuffix('.conf.example')}`"] = exposure(security(machine).stdout)
        shutil.rmtree(machine / "etc/systemd/system/bao-exporter.service.d")
    for name, figure in measured.items():
        assert re.search(rf"^\| {re.escape(name)} \| {figure} \|", readme, re.M), f"{name}: {figure}"


# --- what stands beside it ---------------------------------------------------------------------------


def test_the_example_of_a_configuration_is_good_with_the_credentials(tmp_path):
    text = (SYSTEMD / "bao-exporter.toml.example").read_text()
    etc, credentials = tmp_path / "etc", tmp_path / "credentials"
    make_files(etc)
    credentials.mkdir()
    shutil.copy(etc / "tls/tls.crt", etc / "tls.crt")
    for name in CREDENTIALS:
        assert f'"${{CREDENTIALS_DIRECTORY}}/{name}"' in text
        shutil.copy(etc / "tls/tls.key" if name == "tls.key" else etc / name, credentials / name)
        (credentials / name).chmod(0o440)  # what an access control list shows
    (etc / "bao-exporter.toml").write_text(text)
    assert check(etc / "bao-exporter.toml", {"CREDENTIALS_DIRECTORY": str(credentials)}) == (0, [])


def test_the_other_units_name_the_same_secrets():
    watched = directives((SYSTEMD / "bao-exporter-restart.path").read_text(), "Path")["PathChanged"]
    assert watched == [f"/etc/bao-exporter/{name}" for name in CREDENTIALS]
    encrypted = directives((SYSTEMD / "bao-exporter.service.d/encrypted-credentials.conf.example").read_text())
    assert encrypted == {
        "LoadCredential": [""],
        "LoadCredentialEncrypted": [f"{name}:/etc/bao-exporter/{name}.cred" for name in CREDENTIALS],
    }


def test_every_file_is_in_the_readme():
    readme = (SYSTEMD / "README.md").read_text()
    for path in SYSTEMD.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert path.name.removesuffix(".conf.example") in readme, path
