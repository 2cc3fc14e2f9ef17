"""What an ELF file says about how it was built, as readelf and objdump of binutils tell it.

Each check gives a list of problems, empty when there are none.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

# No part of the exporter starts a program or loads code while it runs.
FORBIDDEN_IMPORTS = re.compile(
    r"popen|system|execl|execle|execlp|execv|execve|execveat|execvp|execvpe|fexecve"
    r"|fork|vfork|posix_spawnp?|wordexp|dlopen|dlmopen|gets|mktemp|tmpnam"
)
X86_64 = "Advanced Micro Devices X86-64"


def tool(*command) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, errors="replace")
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Elf:
    def __init__(self, path: Path):
        self.path = Path(path)
        self.header = tool("readelf", "-hW", path)
        self.segments = tool("readelf", "-lW", path)
        self.dynamic = tool("readelf", "-dW", path)
        self.notes = tool("readelf", "-nW", path)
        symbols = tool("readelf", "--dyn-syms", "-W", path)
        undefined = re.findall(r"\bUND (\S+)$", re.sub(r" \(\d+\)$", "", symbols, flags=re.M), re.M)
        self.imports = {name.split("@")[0] for name in undefined}

    @property
    def is_x86_64(self) -> bool:
        return X86_64 in self.header

    def segments_of(self, kind: str) -> list[str]:
        """The flags ("RW ") of each segment of that kind."""
        return re.findall(rf"^ +{kind} +(?:0x\w+ +){{5}}([RWE ]{{3}})", self.segments, re.M)

    def property_of(self, name: str) -> bool:
        return bool(re.search(rf"x86 feature:.*\b{name}\b", self.notes))

    def landing_pads(self) -> int:
        """endbr64 instructions: where indirect jumps may land."""
        code = tool("objdump", "-d", "--no-show-raw-insn", "-j", ".text", self.path)
        return len(re.findall(r"\bendbr64\b", code))


def check_pie(elf: Elf) -> list[str]:
    problems = [] if re.search(r"Type: +DYN", elf.header) else ["its type is not DYN"]
    return problems + ([] if re.search(r"FLAGS_1.*\bPIE\b", elf.dynamic) else ["no PIE flag"])


def check_relro(elf: Elf) -> list[str]:
    return [] if elf.segments_of("GNU_RELRO") else ["no GNU_RELRO segment"]


def check_bind_now(elf: Elf) -> list[str]:
    now = re.search(r"\(FLAGS\).*BIND_NOW", elf.dynamic) or re.search(r"FLAGS_1.*\bNOW\b", elf.dynamic)
    return [] if now else ["symbols are bound lazily: no BIND_NOW"]


def check_stack(elf: Elf) -> list[str]:
    flags = elf.segments_of("GNU_STACK")
    if not flags:
        return ["no GNU_STACK segment: the stack may be executable"]
    return [] if all("E" not in one for one in flags) else ["the stack is executable"]


def check_no_writable_code(elf: Elf) -> list[str]:
    loaded = elf.segments_of("LOAD")
    assert loaded
    return [f"a segment is {flags}" for flags in loaded if "W" in flags and "E" in flags]


def check_no_search_path(elf: Elf) -> list[str]:
    return [f"has {tag}" for tag in ("RPATH", "RUNPATH") if f"({tag})" in elf.dynamic]


def check_no_text_relocations(elf: Elf) -> list[str]:
    return ["has TEXTREL"] if "TEXTREL" in elf.dynamic else []


def check_stack_protector(elf: Elf) -> list[str]:
    return [] if "__stack_chk_fail" in elf.imports else ["__stack_chk_fail is not imported"]


def check_fortify(elf: Elf) -> list[str]:
    checked = [name for name in elf.imports if re.fullmatch(r"__\w+_chk", name)]
    return [] if checked else ["no checked function (__memcpy_chk) is imported"]


def check_imports(elf: Elf) -> list[str]:
    return [f"imports {name}" for name in sorted(elf.imports) if FORBIDDEN_IMPORTS.fullmatch(name)]


def check_control_flow(elf: Elf, platform_has: dict[str, bool], landing_pads_min: int = 100) -> list[str]:
    """Landing pads in the code; and the IBT and SHSTK properties, where the platform's start files
    have them: the linker keeps a property only when every object has it."""
    if not elf.is_x86_64:
        return []
    problems = []
    if elf.landing_pads() < landing_pads_min:
        problems.append(f"less than {landing_pads_min} landing pads: -fcf-protection is off")
    lost = [name for name, there in platform_has.items() if there and not elf.property_of(name)]
    return problems + [f"no {name} property, which this platform has" for name in lost]


def check_no_build_paths(elf: Elf, folders: list[str]) -> list[str]:
    content = elf.path.read_bytes()
    return [f"names {folder}" for folder in folders if folder.encode() in content]


CHECKS = {
    "pie": check_pie,
    "relro": check_relro,
    "bind_now": check_bind_now,
    "stack": check_stack,
    "no_writable_code": check_no_writable_code,
    "no_search_path": check_no_search_path,
    "no_text_relocations": check_no_text_relocations,
    "stack_protector": check_stack_protector,
    "fortify": check_fortify,
    "imports": check_imports,
}


# --- programs to try the checks on ---------------------------------------------------

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
int (*chosen)(const char*) = puts;
int main(int argc, char** argv) {
  char text[64];
  memcpy(text, argv[0], (size_t)argc);
  text[argc] = 0;
  return chosen(text);
}
"""
COMPILE = ["-O2", "-fPIE", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"]
LINK = ["-pie", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack", "-Wl,-z,separate-code"]


def build(folder: Path, flags: list[str] = (), without: list[str] = (), program: str = PROGRAM) -> Elf:
    """The small program, hardened but for what the caller changes: `flags` come last."""
    source, out = folder / "program.c", folder / "program"
    source.write_text(program)
    base = [flag for flag in COMPILE + LINK if flag not in without]
    compiler = ["cc", *base, *flags, source, "-o", out]
    done = subprocess.run(compiler, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{compiler}: {done.stderr}"
    return Elf(out)
