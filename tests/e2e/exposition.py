"""A strict reader of the text format 0.0.4, for tests that compare samples as text.

Strict: everything that the format forbids, and everything that bao-exporter promises not to do
(timestamps, a family in two places), raises `NotAnExposition` with the line. Values stay the text
that was sent; prometheus_client would turn them into floats.
"""

from __future__ import annotations

import dataclasses
import re

TYPES = {"counter", "gauge", "summary", "histogram", "untyped"}
SUFFIXES = {"summary": ["", "_sum", "_count"], "histogram": ["_bucket", "_sum", "_count"]}

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:{{({_LABEL}(?:,{_LABEL})*)?}})? (\S+)")
_LABEL_RE = re.compile(_LABEL)
_VALUE = re.compile(r"NaN|[+-]?Inf|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class NotAnExposition(Exception):
    pass


# A series as Prometheus knows it: its name and its set of labels, whatever their order was.
Series = tuple[str, frozenset[tuple[str, str]]]


@dataclasses.dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: str

    @property
    def series(self) -> Series:
        return self.name, frozenset(self.labels.items())


@dataclasses.dataclass
class Family:
    name: str
    type: str
    help: str | None
    samples: list[Sample]


class Exposition:
    """Families by name, in the order of the text."""

    def __init__(self, text: str):
        self.families: dict[str, Family] = {}
        if not text.endswith("\n"):
            raise NotAnExposition("the last line has no end")
        seen: set[Series] = set()
        for number, line in enumerate(text[:-1].split("\n"), 1):
            try:
                self._take(line, seen)
            except NotAnExposition as error:
                raise NotAnExposition(f"line {number}: {error}: {line[:300]}") from None

    def samples(self, name: str | None = None, **labels: str) -> list[Sample]:
        """Samples of that name (not family) and with at least those labels."""
        return [
            sample
            for family in self.families.values()
            for sample in family.samples
            if (name is None or sample.name == name) and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> str:
        """The value of the only such sample."""
        found = self.samples(name, **labels)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} samples, not one, of {name} with {labels}: {found[:5]}")
        return found[0].value

    def _take(self, line: str, seen: set[Series]) -> None:
        if line.startswith("# HELP "):
            name, _, text = line[len("# HELP ") :].partition(" ")
            self._begin(name).help = text
        elif line.startswith("# TYPE "):
            name, _, kind = line[len("# TYPE ") :].partition(" ")
            if kind not in TYPES:
                raise NotAnExposition("an unknown type")
            last = next(reversed(self.families.values()), None)
            if last is None or last.name != name:
                last = self._begin(name)
            if last.type:
                raise NotAnExposition("a second TYPE")
            last.type = kind
        elif line.startswith("#"):
            raise NotAnExposition("a comment, which we never write")
        else:
            self._take_sample(line, seen)

    def _begin(self, name: str) -> Family:
        if not re.fullmatch(_NAME, name):
            raise NotAnExposition("not a name of a family")
        if name in self.families:
            raise NotAnExposition("the family was there before")
        self.families[name] = Family(name, "", None, [])
        return self.families[name]

    def _take_sample(self, line: str, seen: set[Series]) -> None:
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise NotAnExposition("not a sample")
        pairs = [
            (name, re.sub(r"\\.", lambda escape: _ESCAPES[escape[0]], value))
            for name, value in _LABEL_RE.findall(match[2] or "")
        ]
        sample = Sample(match[1], dict(pairs), match[match.re.groups])
        if len(sample.labels) != len(pairs):
            raise NotAnExposition("a label twice")
        if not _VALUE.fullmatch(sample.value):
            raise NotAnExposition("not a value")
        family = next(reversed(self.families.values()), None)
        if family is None or not family.type:
            raise NotAnExposition("a sample without TYPE before it")
        if sample.name not in [family.name + suffix for suffix in SUFFIXES.get(family.type, [""])]:
            raise NotAnExposition(f"not a sample of {family.name}, the family before it")
        if sample.series in seen:
            raise NotAnExposition("a series twice")
        seen.add(sample.series)
        family.samples.append(sample)
