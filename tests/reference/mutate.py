"""Mutation testing of exporter/exposition: changes one word of a source at a time and counts which changes
the tests notice (the differential run and the unit tests that need only that library).

    python3 tests/reference/mutate.py [--count N] [--seed S] [--list] FILE...

A mutant that does not compile does not count. The exit status is 1 when fewer than --bar percent are killed.
"""

import argparse
import pathlib
import random
import re
import resource
import sys

import harness

# What one mutant changes: a pattern, and what it becomes. Of each place all that fit are tried.
RULES = [
    (r"(?<![<>=!+\-*/&|])==(?!=)", "!="),
    (r"!=", "=="),
    (r"(?<=\s)<=(?=\s)", "<"),
    (r"(?<=\s)>=(?=\s)", ">"),
    (r"(?<=\s)<(?=\s)", "<="),
    (r"(?<=\s)>(?=\s)", ">="),
    (r"(?<=\s)&&(?=\s)", "||"),
    (r"(?<=\s)\|\|(?=\s)", "&&"),
    (r"(?<=\s)\+(?=\s)", "-"),
    (r"(?<=\s)-(?=\s)", "+"),
    (r"(?<=\s)\+=", "-="),
    (r"(?<=\s)&(?=\s)", "|"),
    (r"(?<=\s)\|(?=\s)", "&"),
    (r"<<", ">>"),
    (r">>(?![>(])", "<<"),
    (r"\+\+(?=\w)", "--"),
    (r"--(?=\w)", "++"),
    (r"!(?=[\w(])", ""),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"(?<![\w.'])0(?![\w.'])", "1"),
    (r"(?<![\w.'])1(?![\w.'])", "2"),
    (r"(?<![\w.'])([2-9]|[1-9]\d+)(?![\w.'])", lambda m: str(int(m[0]) + 1)),
    (r"\bcontinue;", "break;"),
    (r"\bbreak;", "continue;"),
    (r"\bstd::min\b", "std::max"),
    (r"\bstd::max\b", "std::min"),
    (r"\bif \((?=.*\)( \{)?$)", "if (false && "),
    (r"\bif \((?=.*\)( \{)?$)", "if (true || "),
    (r"\bwhile \((?=.*\)( \{)?$)", "while (false && "),
    (r"^\s+return (?!false;|0;|std::nullopt;)[\w.()!:]+;$", lambda m: m[0].split("return")[0] + "return {};"),
    (r"^\s+[\w.>\-\[\]()]+\([^;]*\);$", ";"),
    (r"^\s+[\w.>\-\[\]]+ = [^;]*;$", ";"),
    (r"^\s+(\+\+|--)[\w.>\-]+;$", ";"),
]


def code_only(line):
    """The line with its strings, characters and comment blanked out: places stay where they are."""
    line = re.sub(r'"(\\.|[^"\\])*"', lambda m: '"' + "_" * (len(m[0]) - 2) + '"', line)
    line = re.sub(r"'(\\.|[^'\\])'", lambda m: "'" + "_" * (len(m[0]) - 2) + "'", line)
    at = line.find("//")
    return line if at < 0 else line[:at] + " " * (len(line) - at)


def mutants_of(text):
    """(number of the line, its new text)"""
    for number, line in enumerate(text.split("\n")):
        code = code_only(line)
        if not code.strip() or code.lstrip().startswith(("#", "using ", "static_assert", "template", "[[nodiscard]]")):
            continue
        for pattern, becomes in RULES:
            for found in re.finditer(pattern, code):
                new = becomes(found) if callable(becomes) else becomes
                changed = line[: found.start()] + new + line[found.end() :]
                if changed != line:
                    yield number, changed


def with_line(text, number, changed):
    lines = text.split("\n")
    lines[number] = changed
    return "\n".join(lines)


class Killer:
    def __init__(self, folder):
        self.build = harness.Build(folder, ["-O1"])
        self.build.prepare()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        said = self.build.failure()
        self.seconds = 5 + int(3 * (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before))
        if said:
            sys.exit(f"without a mutant the tests fail already: {said}")

    def sources_of(self, path):
        """What has to be compiled again."""
        if path.suffix == ".cc":
            return [path]
        return [source for source in self.build.sources()
                if path in self.build.needs(source) and harness.can_run(source.stem)]

    def judge(self, path, mutated):
        """"does not compile", what noticed it, or None: it survived."""
        shadow = self.build.folder / "shadow"
        copy = shadow / path.relative_to(harness.ROOT / "exporter")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(mutated)
        replaced = {}
        try:
            for number, source in enumerate(self.sources_of(path)):
                made = self.build.folder / f"mutant-{number}.o"
                if self.build.compile(copy if source == path else source, made, [shadow]):
                    return "does not compile"
                replaced[source] = made
            said = self.build.failure(replaced, self.seconds)
            return "does not compile" if said and said.startswith("does not link") else said
        finally:
            copy.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="of exporter/exposition")
    parser.add_argument("--count", type=int, default=40, help="mutants of each file, at random; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bar", type=float, default=85)
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    options = parser.parse_args()
    chosen = random.Random(options.seed)
    work = []
    for path in (path.resolve() for path in options.files):
        mutants = list(mutants_of(path.read_text()))
        if options.count and len(mutants) > options.count:
            mutants = sorted(chosen.sample(mutants, options.count))
        work += [(path, number, changed) for number, changed in mutants]
    if options.list:
        for path, number, changed in work:
            print(f"{path.name}:{number + 1}: {changed.strip()}")
        return 0
    killer = Killer(harness.ROOT / "build/mutants")
    tally = {}
    for path, number, changed in work:
        killed_by = killer.judge(path, with_line(path.read_text(), number, changed))
        kind = "invalid" if killed_by == "does not compile" else "killed" if killed_by else "survived"
        tally.setdefault(path.name, {"killed": 0, "survived": 0, "invalid": 0})[kind] += 1
        print(f"{kind:8} {path.name}:{number + 1}: {changed.strip()}{'  # ' + killed_by if killed_by else ''}",
              flush=True)
    killed = survived = 0
    for name, counts in tally.items():
        print(f"{name}: {counts['killed']} killed, {counts['survived']} survived, {counts['invalid']} invalid")
        killed, survived = killed + counts["killed"], survived + counts["survived"]
    percent = 100 * killed / max(1, killed + survived)
    print(f"in all: {killed} of {killed + survived} killed, {percent:.1f} %; the bar is {options.bar:g} %")
    return 0 if percent >= options.bar else 1


if __name__ == "__main__":
    sys.exit(main())
