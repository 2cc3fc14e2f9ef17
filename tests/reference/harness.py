"""Builds the exposition library, alone, with the tests that need no more than it: for mutate.py, coverage.py.

Without CMake: one mutant must cost seconds.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CXX", "g++")
CATCH2_3 = pathlib.Path("/usr/include/catch2/catch_all.hpp").exists()
MAIN = '#define CATCH_CONFIG_MAIN\n#include "catch.h"\n'
DIFFERENTIAL = ["differential_main", "exhaustive"]
OTHER_PROGRAMS = ["peer_bodies_main", "relabel_cases"]
# Sources beside the library that its tests need: the plan of OpenBao's families, RE2, the guard.
BESIDE = ["config_values", "openbao/answers", "openbao/body", "openbao/outcome", "openbao/refusal", "openbao/role",
          "re2_matcher", "series_guard"]
LIBRARIES = ["-lz", "-lre2"]
# Sources that compile the loops for one instruction set each, and what a processor needs to run it.
VARIANTS = {"pass_portable": set(), "pass_avx2": {"avx2", "bmi2"}, "pass_avx512": {"avx512bw", "avx512vl", "bmi2"}}


def library_sources():
    """As CMakeLists.txt lists them."""
    listed = re.search(r"add_library\(exposition STATIC\s+([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())
    return [ROOT / name for name in listed[1].split()]


def quoted_includes(source):
    return set(re.findall(r'^#include "([^"]+)"', source.read_text(), re.MULTILINE))


def beside_sources():
    return [ROOT / f"exporter/{name}.cc" for name in BESIDE]


def local_headers(source):
    """The quoted includes by file, also those of headers in tests/unit/support."""
    found = set()
    for name in quoted_includes(source):
        folders = (source.parent, ROOT / "include", ROOT / "exporter", ROOT / "tests/unit", ROOT / "tests")
        path = next(((folder / name).resolve() for folder in folders if (folder / name).exists()), None)
        found.add(path)
        if path and path.parent.name == "support":
            found |= local_headers(path)
    return found


def unit_tests():
    """Those that include nothing but what the library and the sources beside it are made of."""
    ours = set().union(*(local_headers(source) for source in library_sources()))
    ours |= set((ROOT / "exporter/exposition").glob("*.h"))
    known = ours.union(*(local_headers(source) for source in beside_sources()))
    known |= set((ROOT / "tests/reference").glob("*.h")) | set((ROOT / "tests/unit/support").glob("*.h"))
    known |= {ROOT / "tests/unit/catch.h", ROOT / "include/bao_exporter/snapshot.h"}
    tests = {test: local_headers(test) for test in sorted((ROOT / "tests/unit").glob("*_test.cc"))}
    return [test for test, headers in tests.items() if headers <= known and headers & ours]


def reference_sources():
    return [source for source in sorted((ROOT / "tests/reference").glob("*.cc"))
            if source.stem not in OTHER_PROGRAMS]


def can_run(variant):
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    abilities = set(next((line for line in lines if line.startswith("flags")), "").split())
    return VARIANTS.get(variant, set()) <= abilities


def bound(cpu_seconds):
    """A mutant may fill a table for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


class Build:
    """Objects and programs in one folder; what is there and is not older is not made again."""

    def __init__(self, folder, flags):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.flags = [*flags, "-std=c++20", f'-DBAO_TEST_DIR="{ROOT}/tests"', f'-DBAO_SOURCE_DIR="{ROOT}"']
        self.includes = [ROOT / "include", ROOT / "exporter", ROOT / "tests", ROOT / "tests/unit"]

    def run(self, command, **more):
        return subprocess.run([str(word) for word in command], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, check=False, **more)

    def object_of(self, source):
        mark = hashlib.sha256(str(source).encode()).hexdigest()[:8]
        return self.folder / f"{source.stem}-{mark}.o"

    def compile(self, source, to=None, before=()):
        """None, or what the compiler said. `before`: folders that are searched before the others."""
        to = to or self.object_of(source)
        includes = [f"-I{folder}" for folder in (*before, *self.includes)]
        done = self.run([COMPILER, *self.flags, *includes, "-MMD", "-c", source, "-o", to])
        return None if done.returncode == 0 else done.stderr.decode(errors="replace")

    def needs(self, source):
        """What it was made of, when it was made last."""
        rule = self.object_of(source).with_suffix(".d").read_text().replace("\\\n", " ").split(": ", 1)[1]
        return {pathlib.Path(name) for name in shlex.split(rule)}

    def is_new(self, source):
        made = self.object_of(source)
        return made.exists() and all(name.exists() and name.stat().st_mtime <= made.stat().st_mtime
                                     for name in self.needs(source))

    def compile_all(self, sources):
        missing = [source for source in sources if not self.is_new(source)]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for said in pool.map(self.compile, missing):
                if said:
                    raise SystemExit(said)

    def prepare(self):
        main = self.folder / "main.cc"
        if not main.exists():
            main.write_text(MAIN)
        self.tests = unit_tests()
        self.library = library_sources()
        self.beside = beside_sources()
        self.compile_all([*self.library, *self.beside, *reference_sources(), *self.tests, main])

    def sources(self):
        return [*self.library, *self.beside, *reference_sources(), *self.tests]

    def link(self, program, replaced):
        def objects(sources):
            return [replaced.get(source, self.object_of(source)) for source in sources]

        shared = [s for s in reference_sources() if s.stem not in DIFFERENTIAL]
        libraries = []
        if program == "differential":
            own = objects(s for s in reference_sources() if s.stem in DIFFERENTIAL)
        else:
            own = objects([*self.tests, *self.beside, self.folder / "main.cc"])
            libraries = ["-lCatch2Main", "-lCatch2"] if CATCH2_3 else []
        return self.run([COMPILER, *self.flags, *own, *objects([*shared, *self.library]), *libraries, *LIBRARIES,
                         "-o", self.folder / program])

    def failure(self, replaced=None, cpu_seconds=300):
        """What of the tests fails, or None. `replaced`: objects to take instead: source -> object."""
        runs = {"differential": ["--length", "2", "--runs", "20000"], "unit": ["--abort"]}
        for program, arguments in runs.items():
            linked = self.link(program, replaced or {})
            if linked.returncode != 0:
                return f"does not link: {linked.stderr.decode(errors='replace')}"
            done = self.run([f"./{program}", *arguments], preexec_fn=lambda: bound(cpu_seconds))
            if done.returncode == -signal.SIGXCPU:
                return f"{program} does not end"
            if done.returncode != 0:
                return program
        return None
