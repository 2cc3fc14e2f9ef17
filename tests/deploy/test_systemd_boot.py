"""Claim: the shipped unit, booted by a real systemd in namespaces with the built binary in it, does what
systemd/README.md says: systemd/boot.sh and systemd/checks.py beside this file look; this runs them, and
does not let an early end, a check too few or a silent skip pass.

Skipped loudly where it cannot run; BAO_EXPORTER_REQUIRE_BOOT=1 makes that a failure."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from deploy_files import BINARY, ROOT

BOOT = Path(__file__).parent / "systemd/boot.sh"
HANGING = Path(os.environ.get("BAO_EXPORTER_HANGING") or BINARY.parent / "tests/bao-exporter-hanging")
CHECKS = 21
# The only ones that may be skipped, and only for want of a cgroup2 controller.
MAY_SKIP = {"MemoryMax and MemorySwapMax are in force", "TasksMax is in force"}


@pytest.fixture(scope="module")
def said():
    environment = {**os.environ, "BAO_EXPORTER": str(BINARY), "BAO_EXPORTER_HANGING": str(HANGING),
                   "BAO_EXPORTER_ROOTFS": os.environ.get("BAO_EXPORTER_ROOTFS") or
                   str(ROOT / "build/deps/boot-rootfs.tar")}
    before = left_behind()
    process = subprocess.Popen([BOOT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        output, _ = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.terminate()  # not kill: it cleans up
        output, _ = process.communicate(timeout=30)
    if process.returncode == 77:
        reason = "SKIP-LOUD: " + output.partition("SKIP-LOUD: ")[2].strip()
        assert os.environ.get("BAO_EXPORTER_REQUIRE_BOOT") != "1", reason
        pytest.skip(reason)
    return process.returncode, output, before


def left_behind():
    """Mounts, cgroups and folders of any boot.sh."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if "bao-exporter-boot" in line]
    hierarchies = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()
                   if line.split()[2] == "cgroup2"]
    groups = [str(path) for root in hierarchies for path in Path(root).glob("bao-exporter-boot.*")]
    folders = [str(path) for path in Path(os.environ.get("TMPDIR") or "/tmp").glob("bao-exporter-boot.*")]
    return set(mounts + groups + folders)


def test_every_check_was_made_and_is_good(said, capsys):
    code, output, _ = said
    with capsys.disabled():
        print(f"\n{output}")
    results = re.findall(r"^(not )?ok (\d+) - (.*)$", output, re.M)
    assert re.search(rf"^1\.\.{CHECKS}$", output, re.M), output
    assert [int(number) for _, number, _ in results] == list(range(1, CHECKS + 1)), output
    assert [what for bad, _, what in results if bad] == [], output
    assert code == 0, output


def test_nothing_is_skipped_but_what_this_machine_cannot_enforce(said):
    skipped = re.findall(r"^ok \d+ - (.*) # SKIP (.*)$", said[1], re.M)
    assert {what for what, _ in skipped} <= MAY_SKIP
    assert all("has no controller" in reason for _, reason in skipped)


def test_nothing_is_left_behind(said):
    assert left_behind() <= said[2]
