"""Line coverage of exporter/exposition by the differential run and the unit tests that need only that library.

    ./dev coverage exposition [--bar PERCENT] [--missing]
"""

import argparse
import collections
import json
import sys

import harness


def lines_reached(build):
    """file -> line -> how often, over all that was compiled of it."""
    reached = collections.defaultdict(collections.Counter)
    for counts in build.folder.glob("*.gcda"):
        done = build.run(["gcov", "--json-format", "--stdout", counts])
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"]:
                if "exporter/exposition/" in file["file"]:
                    for line in file["lines"]:
                        reached[file["file"].split("exporter/")[1]][line["line_number"]] += line["count"]
    return reached


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("library", choices=["exposition"])
    parser.add_argument("--bar", type=float, default=98)
    parser.add_argument("--missing", action="store_true", help="print the lines that are not reached")
    parser.add_argument("--link", default="-lz", help="libraries, with blanks between them")
    options = parser.parse_args()
    build = harness.Build(harness.ROOT / "build/coverage-exposition", ["-O0", "--coverage"], options.link.split())
    for counts in build.folder.glob("*.gcda"):
        counts.unlink()
    build.prepare()
    said = build.link_programs() or build.failure()
    if said:
        sys.exit(f"the tests fail: {said}")
    all_lines = all_reached = 0
    for file, lines in sorted(lines_reached(build).items()):
        reached = sum(count > 0 for count in lines.values())
        print(f"{100 * reached / len(lines):6.1f} %  {reached:5} of {len(lines):5}  {file}")
        if options.missing and reached < len(lines):
            print("          not reached:", *(line for line, count in sorted(lines.items()) if not count))
        all_lines, all_reached = all_lines + len(lines), all_reached + reached
    if not all_lines:
        sys.exit("gcov told nothing")
    percent = 100 * all_reached / all_lines
    print(f"{percent:6.2f} %  {all_reached:5} of {all_lines:5}  in all; the bar is {options.bar:g} %")
    return 0 if percent >= options.bar else 1


if __name__ == "__main__":
    sys.exit(main())
