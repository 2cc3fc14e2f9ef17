"""Line coverage of exporter/exposition by the differential run and the unit tests that need only that library.

    ./dev coverage exposition [--bar PERCENT] [--missing]
"""

import argparse
import collections
import json
import pathlib
import sys

import harness


def is_compiled_per_variant(name):
    """The headers of the loops are counted once for each instruction set."""
    path = harness.ROOT / "exporter" / name
    return path.suffix == ".h" and "#pragma once" not in path.read_text()


def lines_reached(build):
    """file, or file and variant -> line -> how often, over all that was compiled of it."""
    reached = collections.defaultdict(collections.Counter)
    for source in build.sources():
        counts = build.object_of(source).with_suffix(".gcda")
        if not counts.exists():
            continue
        done = build.run(["gcov", "--json-format", "--stdout", counts])
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"]:
                if "exporter/exposition/" not in file["file"]:
                    continue
                name = file["file"].split("exporter/")[1]
                if source.stem in harness.VARIANTS and is_compiled_per_variant(name):
                    name += f" in {source.stem}"
                for line in file["lines"]:
                    reached[name][line["line_number"]] += line["count"]
    return reached


def cannot_run(name):
    variant = pathlib.Path(name).stem if name.endswith(".cc") else name.split(" in ")[-1]
    return not harness.can_run(variant)


def show(name, lines, missing):
    reached = sum(count > 0 for count in lines.values())
    print(f"{100 * reached / len(lines):6.1f} %  {reached:5} of {len(lines):5}  {name}")
    if missing and reached < len(lines):
        print("          not reached:", *(line for line, count in sorted(lines.items()) if not count))
    return len(lines), reached


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("library", choices=["exposition"])
    parser.add_argument("--bar", type=float, default=98)
    parser.add_argument("--missing", action="store_true", help="print the lines that are not reached")
    options = parser.parse_args()
    build = harness.Build(harness.ROOT / "build/coverage-exposition", ["-O0", "--coverage"])
    for counts in build.folder.glob("*.gcda"):
        counts.unlink()
    build.prepare()
    said = build.failure()
    if said:
        sys.exit(f"the tests fail: {said}")
    all_lines = all_reached = 0
    reached = lines_reached(build)
    for name, lines in sorted(reached.items()):
        if not cannot_run(name):
            counted, met = show(name, lines, options.missing)
            all_lines, all_reached = all_lines + counted, all_reached + met
    for name, lines in sorted(reached.items()):
        if cannot_run(name):
            print(f"not counted, this machine cannot run them: {len(lines):5} lines  {name}")
    if not all_lines:
        sys.exit("gcov told nothing")
    percent = 100 * all_reached / all_lines
    print(f"{percent:6.2f} %  {all_reached:5} of {all_lines:5}  in all; the bar is {options.bar:g} %")
    return 0 if percent >= options.bar else 1


if __name__ == "__main__":
    sys.exit(main())
