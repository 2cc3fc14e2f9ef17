"""What bao-exporter costs at rest: ./dev bench rest [OPTIONS]

Three real OpenBao nodes polled each 15 s, and nobody who scrapes but now and then: memory, and share of one
processor over some minutes. --parts tells what the memory is made of.
"""

import argparse
import collections
import os
import pathlib
import re
import sys
import time

import servers
from servers import ROOT, Exporter
from tools import head, row, say

sys.path.insert(0, str(ROOT / "tests/e2e"))
from cluster import Cluster  # noqa: E402

BAR_MEGABYTES = 24
BAR_PERCENT = 0.2


class RestExporter(Exporter):
    """In front of a real cluster."""

    def __init__(self, folder, certificates, binary, cluster, interval):
        super().__init__(folder, certificates, binary)
        self.cluster = cluster
        self.interval = interval

    def start(self):
        self.node_token = self.cluster.token("metrics")
        self._launch()

    def upstreams(self):
        nodes = [(node.name, node.api_url) for node in self.cluster.nodes]
        return [("rest", self.cluster.ca_file, nodes)]

    def tables(self):
        return ["[poll]", f'interval = "{self.interval}s"']


def parts_of_memory(pid):
    """Resident kilobytes by what they are."""
    parts = collections.Counter()
    name = "?"
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            fields = line.split(None, 5)
            name = kind_of(fields[5] if len(fields) > 5 else "", fields[0])
        elif line.startswith("Rss:"):
            parts[name] += int(line.split()[1])
    return parts


def kind_of(path, addresses):
    if path.startswith("/"):
        return os.path.basename(path)
    if path:
        return path
    begin, end = (int(address, 16) for address in addresses.split("-"))
    return "stack of a thread" if end - begin in (8 << 20, 2 << 20) else "other memory"


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev bench rest", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", default=ROOT / "build/release/bao-exporter")
    parser.add_argument("--bao", default=os.environ.get("BAO_BIN"), help="the binary of OpenBao")
    parser.add_argument("--seconds", type=float, default=200, help="that are measured")
    parser.add_argument("--settle", type=float, default=20, help="seconds before that")
    parser.add_argument("--interval", type=int, default=15, help="of polls, seconds")
    parser.add_argument("--parts", action="store_true", help="what the memory is made of")
    return parser.parse_args(words)


def main(words):
    options = arguments(words)
    with servers.bench_folder() as (folder, certificates), \
            Cluster.start(folder / "openbao", bao=options.bao, die_with_parent=True) as cluster, \
            RestExporter(servers.sub_folder(folder, "exporter"), certificates, options.exporter, cluster,
                         options.interval) as exporter:
        time.sleep(options.settle)
        percent, megabytes = measure(exporter, options.seconds)
        nodes_up = len(re.findall(rb"^bao_node_up{.*} 1$", exporter.get()[2], re.MULTILINE))
        if nodes_up != len(cluster.nodes):
            raise RuntimeError(f"{nodes_up} of {len(cluster.nodes)} nodes are up")
        if options.parts:
            print_parts(exporter.process.pid)
    say(head("at rest", "measured", "bar", ""))
    held = [line("resident memory, the most seen, MB", megabytes, BAR_MEGABYTES, ".1f"),
            line("CPU, % of one processor", percent, BAR_PERCENT, ".3f")]
    return 0 if all(held) else 1


def line(what, measured, bar, form):
    held = measured <= bar
    say(row(what, f"{measured:{form}}", f"<= {bar}", "held" if held else "MISSED"))
    return held


def measure(exporter, seconds):
    """CPU in percent, and the most memory, with a scrape in each minute."""
    cpu, begin, most = exporter.cpu_seconds(), time.monotonic(), 0
    next_scrape = begin
    while time.monotonic() < begin + seconds:
        if time.monotonic() >= next_scrape:
            exporter.get(**{"Accept-Encoding": "gzip"})
            next_scrape += 60
        most = max(most, exporter.resident_megabytes("VmRSS"))
        time.sleep(0.5)
    return 100 * (exporter.cpu_seconds() - cpu) / (time.monotonic() - begin), most


def print_parts(pid):
    say(head("what", "resident kB"))
    for name, kilobytes in parts_of_memory(pid).most_common():
        if kilobytes:
            say(row(name, kilobytes))
    say("")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
