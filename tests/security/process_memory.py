"""The memory of a running process, as root sees it: every page that can be read, also those that a
core leaves out."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

from canary import Search

CHUNK = 1 << 14
CONTEXT = 48  # bytes around a place that are shown, whatever is secret in them masked


class Mapping(NamedTuple):
    start: int
    end: int
    permissions: str
    name: str
    flags: str  # VmFlags: "dd" is left out of cores, "lo" is locked

    def __str__(self):
        kind = {"dd": "not dumped", "lo": "locked"}
        said = [word for flag, word in kind.items() if flag in self.flags.split()]
        return " ".join([self.permissions, self.name or "anonymous", *said])


class Place(NamedTuple):
    secret: str
    form: str
    address: int
    length: int
    mapping: Mapping
    around: str

    @property
    def guarded(self):
        """In the pages of a Secret."""
        return "dd" in self.mapping.flags.split()

    def __str__(self):
        return (f"{self.secret} ({self.form}, {self.length} bytes) at {self.address:#x} in "
                f"[{self.mapping}]: {self.around}")


def mappings(pid) -> list[Mapping]:
    found = []
    head = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)")
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if match := head.fullmatch(line):
            found.append(Mapping(int(match[1], 16), int(match[2], 16), match[3], match[4], ""))
        elif line.startswith("VmFlags:"):
            found[-1] = found[-1]._replace(flags=line.removeprefix("VmFlags:").strip())
    return found


@contextlib.contextmanager
def frozen(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Scan:
    """What was found of the secrets of `search` in all that the process has mapped readable."""

    def __init__(self, pid, search: Search):
        self.places: list[Place] = []
        self.bytes_read = 0
        self.unreadable: list[str] = []
        with frozen(pid), open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for mapping in mappings(pid):
                if not mapping.permissions.startswith("r"):
                    continue
                try:
                    for start, content in _filled(memory, mapping):
                        self.bytes_read += len(content)
                        self.places += _places(start, content, mapping, search)
                except OSError:
                    self.unreadable.append(mapping.name)
        self.check_complete()

    def check_complete(self):
        assert set(self.unreadable) <= {"[vvar]", "[vsyscall]", "[vvar_vclock]"}, self.unreadable
        assert self.bytes_read > 1 << 20

    def of(self, *names):
        return [place for place in self.places if place.secret in names]


def _filled(memory, mapping):
    """(address, bytes) of the runs in it that are not zero: most of a stack was never touched."""
    run = bytearray()
    at = mapping.start
    memory.seek(at)
    while at < mapping.end:
        piece = memory.read(min(CHUNK, mapping.end - at))
        assert piece, f"{mapping} ends early"
        at += len(piece)
        if piece.count(0) < len(piece):
            run += piece
        elif run:
            yield at - len(piece) - len(run), bytes(run)
            run.clear()
    if run:
        yield at - len(run), bytes(run)


def _places(start, content, mapping, search):
    hits = search.find(content)
    return [Place(hit.secret, hit.form, start + hit.start, hit.end - hit.start, mapping,
                  _around(content, hit, hits)) for hit in hits]


def _around(content, hit, hits):
    """The bytes before and behind, every secret in them as asterisks."""
    start, end = max(0, hit.start - CONTEXT), min(len(content), hit.end + CONTEXT)
    shown = bytearray(content[start:end])
    for other in hits:
        for at in range(max(other.start, start), min(other.end, end)):
            shown[at - start] = ord("*")
    return ascii(bytes(shown))
