"""Claim: the release binary is hardened, as read back from the file itself; and each check fails for
a program that was built without that.

BAO_EXPORTER_RELEASE names the binary; `./dev build release` makes build/release/bao-exporter.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hardening import (
    CHECKS,
    PROGRAM,
    Elf,
    build,
    check_control_flow,
    check_no_build_paths,
    tool,
)

ROOT = Path(__file__).resolve().parents[2]
NOT_SET = (
    "BAO_EXPORTER_RELEASE is not set: the release binary WAS NOT READ. "
    "Build it (./dev build release) and set BAO_EXPORTER_RELEASE=build/release/bao-exporter"
)


@pytest.fixture(scope="module")
def release() -> Elf:
    named = os.environ.get("BAO_EXPORTER_RELEASE")
    if not named:
        pytest.skip(NOT_SET)
    assert os.access(named, os.X_OK), f"BAO_EXPORTER_RELEASE={named}: no program there"
    return Elf(Path(named).resolve())


@pytest.fixture(scope="module")
def platform_has(tmp_path_factory) -> dict[str, bool]:
    """Whether a program of this compiler with full protection has the properties."""
    elf = build(tmp_path_factory.mktemp("platform"), ["-fcf-protection=full"] if is_x86() else [])
    return {name: elf.property_of(name) for name in ("IBT", "SHSTK")}


def is_x86() -> bool:
    return os.uname().machine == "x86_64"


def build_folders(binary: Path) -> list[str]:
    """Where it was built from and in, as CMake's cache beside it says; and here."""
    folders = {str(ROOT), str(binary.parent)}
    cache = binary.parent / "CMakeCache.txt"
    if cache.exists():
        named = re.findall(
            r"^(?:CMAKE_HOME_DIRECTORY|CMAKE_CACHEFILE_DIR|CIVETWEB_SOURCE_DIR):\w+=(/.+)$", cache.read_text(), re.M
        )
        assert named, cache
        folders |= set(named)
    return sorted(folders)


# --- the release ---------------------------------------------------------------------


def test_the_release_is_hardened(release, platform_has):
    problems = {name: check(release) for name, check in CHECKS.items()}
    problems["control_flow"] = check_control_flow(release, platform_has)
    problems["build_paths"] = check_no_build_paths(release, build_folders(release.path))
    assert {name: found for name, found in problems.items() if found} == {}


def test_the_release_is_a_release(release):
    """Not the debug build under another name."""
    assert ".debug_info" not in tool("readelf", "-SW", release.path)
    assert re.match(r"bao-exporter \d+\.\d+\.\d+ ", tool(release.path, "--version"))


def test_the_release_needs_the_libraries_of_the_table(release):
    """docs/dependencies.md has each library that the loader brings in."""
    rows = (ROOT / "docs/dependencies.md").read_text().lower()
    words = {
        "libz": "zlib", "libspdlog": "spdlog", "libfmt": "fmt", "libprometheus-cpp-core": "prometheus-cpp",
        "libcurl": "libcurl", "libssl": "openssl", "libcrypto": "openssl", "libsystemd": "libsystemd", "libre2": "re2",
    }
    system = {"libstdc++", "libgcc_s", "libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64"}
    needed = set(re.findall(r"\(NEEDED\).*\[([\w+-]+)\.so", release.dynamic))
    assert len(needed) > 5
    unknown = {name for name in needed - system if words.get(name, name) not in rows}
    assert unknown == set()


# --- each check notices --------------------------------------------------------------


def test_the_small_program_passes_every_check(tmp_path):
    elf = build(tmp_path)
    assert {name: found for name, check in CHECKS.items() if (found := check(elf))} == {}


@pytest.mark.parametrize(
    ("check", "flags", "without"),
    [
        ("pie", ["-no-pie", "-fno-pie"], ["-pie", "-fPIE"]),
        ("relro", ["-Wl,-z,norelro"], ["-Wl,-z,relro"]),
        ("bind_now", ["-Wl,-z,lazy"], ["-Wl,-z,now"]),
        ("stack", ["-Wl,-z,execstack"], ["-Wl,-z,noexecstack"]),
        ("no_search_path", ["-Wl,--disable-new-dtags,-rpath,/opt/lib"], []),
        ("no_search_path", ["-Wl,--enable-new-dtags,-rpath,$ORIGIN/lib"], []),
        ("no_text_relocations", ["-fno-pic", "-mcmodel=large", "-Wl,-z,notext"], ["-fPIE"]),
        ("stack_protector", ["-fno-stack-protector"], []),
        ("fortify", ["-U_FORTIFY_SOURCE"], []),
    ],
)
def test_a_program_without_it_is_noticed(check, flags, without, tmp_path):
    if check == "no_text_relocations" and not is_x86():
        pytest.skip("how to get a text relocation is known on x86-64 only")
    elf = build(tmp_path, flags, without)
    assert CHECKS[check](elf) != []


def test_code_that_can_be_written_is_noticed(tmp_path):
    section = 'int changed __attribute__((section(".code,\\"awx\\",@progbits#"))) = 1;'
    assert CHECKS["no_writable_code"](build(tmp_path, program=PROGRAM + section)) == ["a segment is RWE"]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("system", 'system("true")'),
        ("popen", 'popen("true", "r") != 0'),
        ("execv", 'execv("/bin/true", (char* const*)0)'),
        ("fork", "fork()"),
        ("dlopen", 'dlopen("x.so", 2) != 0'),
    ],
)
def test_a_program_that_starts_or_loads_others_is_noticed(name, call, tmp_path):
    heads = "#include <stdlib.h>\n#include <unistd.h>\n#include <dlfcn.h>\n"
    elf = build(tmp_path, program=heads + PROGRAM.replace("return chosen", f"if ({call}) return 1;\n  return chosen"))
    assert CHECKS["imports"](elf) == [f"imports {name}"]


@pytest.mark.skipif(not is_x86(), reason="landing pads are x86-64's")
def test_a_program_without_landing_pads_is_noticed(tmp_path):
    nothing = {"IBT": False, "SHSTK": False}
    (tmp_path / "with").mkdir()
    with_them = build(tmp_path / "with", ["-fcf-protection=full"])
    assert check_control_flow(with_them, nothing, landing_pads_min=1) == []
    without = build(tmp_path, ["-fcf-protection=none"])
    assert without.landing_pads() < with_them.landing_pads()
    assert check_control_flow(without, nothing, landing_pads_min=with_them.landing_pads()) != []


@pytest.mark.skipif(not is_x86(), reason="the properties are x86-64's")
def test_a_program_that_lost_a_property_of_the_platform_is_noticed(tmp_path):
    """Forced into the one with the linker's help, as a platform would have it that is built so."""
    (tmp_path / "forced").mkdir()
    forced = build(tmp_path / "forced", ["-fcf-protection=full", "-Wl,-z,ibt,-z,shstk"])
    assert forced.property_of("IBT") and forced.property_of("SHSTK")
    platform = {"IBT": True, "SHSTK": True}
    assert check_control_flow(forced, platform, landing_pads_min=1) == []
    plain = build(tmp_path, ["-fcf-protection=none"])
    assert "no IBT property, which this platform has" in check_control_flow(plain, platform, landing_pads_min=0)


def test_a_build_path_in_the_binary_is_noticed(tmp_path):
    elf = build(tmp_path, program=PROGRAM.replace("= puts", f'= puts;\nconst char* place = "{tmp_path}/x.c"'))
    assert check_no_build_paths(elf, [str(tmp_path)]) == [f"names {tmp_path}"]
    assert check_no_build_paths(build(tmp_path), [str(tmp_path)]) == []
