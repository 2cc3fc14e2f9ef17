"""How cost grows with the number of nodes: ./dev bench fleet [OPTIONS]

Fake nodes over TLS, polled each 15 s. For each number of nodes: scrapes of the whole (packed and plain) and of
single nodes during one interval, then CPU and memory over three more with one packed scrape in each, as one
Prometheus makes it. --write puts the table and a plot into docs/.
"""

import argparse
import contextlib
import dataclasses
import http.client
import math
import pathlib
import platform
import re
import statistics
import sys
import threading
import time

import plot
import servers
from farm import Farm, FarmExporter
from servers import ROOT
from tools import head, row, say, scrape

CPU_BAR = 0.5          # of a core, of the largest fleet
MEMORY_BAR = 2.5       # times the bytes served
WHOLE_BAR_MS = 1_000   # p99, packed
NODE_BAR_MS = 10       # p99
EXPONENT_BAR = 1.1


@dataclasses.dataclass
class Measured:
    nodes: int
    served: int        # bytes of /metrics, plain
    packed: int
    cpu: float         # share of a core
    rss: float         # MB, the median of samples
    rss_most: float    # of all the time
    whole: dict        # what scrapers said
    whole_plain: dict
    node: dict
    node_plain: dict

    @property
    def times(self):
        return self.rss * 1e6 / self.served if self.served else 0


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev bench fleet", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", default=ROOT / "build/release/bao-exporter")
    parser.add_argument("--nodes", default="5,20,50,100,200,500", help="one fleet for each number")
    parser.add_argument("--samples", type=int, default=5_000, help="of each node")
    parser.add_argument("--changing", type=float, default=0.3,
                        help="the share of families that have new values at a poll")
    parser.add_argument("--interval", type=int, default=15, help="of polls and scrapes, seconds")
    parser.add_argument("--intervals", type=int, default=3, help="over which CPU is measured")
    parser.add_argument("--write", action="store_true", help="to docs/performance*")
    return parser.parse_args(words)


def in_parallel(*jobs):
    """Results of functions that run at the same time."""
    results = [None] * len(jobs)

    def run(at, job):
        results[at] = job()
    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in results:
        raise RuntimeError("a scraper failed")
    return results


def scrapes(exporter, seconds, rate, path=("/metrics",), plain=False):
    """By one client on one connection, for some seconds."""
    said = scrape(exporter, rate=rate, seconds=seconds, scrapes=int(seconds * rate), at_once=1,
                  deadline_ms=60_000, keep_alive=True, plain=plain, path=list(path))
    if said["failed"]:
        say(f"{said['failed']} of {said['failed'] + said['ok']} scrapes failed: {said['failures']}")
    if said["failed"] * 100 > said["ok"]:
        said["p99_ms"] = math.inf
    return said


def fetch(exporter, packed):
    """/metrics. Asked again where it is closed: on a busy machine packing a large one for the first who asks may
    take longer than a request may, and goes on without him."""
    def answer():
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _, body = exporter.get(**({"Accept-Encoding": "gzip"} if packed else {}))
            return body if status == 200 else None
        return None
    return servers.wait_until("/metrics comes whole", answer, 60)


def latencies(exporter, interval):
    """Within one interval, a round in it."""
    paths = exporter.node_paths()
    fetch(exporter, packed=True)
    whole, node = in_parallel(lambda: scrapes(exporter, interval, 4),
                              lambda: scrapes(exporter, interval, 40, paths))
    whole_plain = scrapes(exporter, 4, 5, plain=True)
    node_plain = scrapes(exporter, 4, 100, paths, plain=True)
    return whole, whole_plain, node, node_plain


def load(exporter, interval, intervals):
    """Share of a core, and samples of the memory, with one scrape in each interval."""
    cpu, begin, resident = exporter.cpu_seconds(), time.monotonic(), []
    for number in range(intervals):
        end = begin + (number + 1) * interval
        while time.monotonic() < end - interval / 2:
            resident.append(exporter.resident_megabytes("VmRSS"))
            time.sleep(0.2)
        fetch(exporter, packed=True)
        while time.monotonic() < end:
            resident.append(exporter.resident_megabytes("VmRSS"))
            time.sleep(0.2)
    share = (exporter.cpu_seconds() - cpu) / (time.monotonic() - begin)
    return share, statistics.median(resident) * 1.048576


def measure(folder, certificates, nodes, options):
    with Farm(certificates, nodes, samples=options.samples, changing=options.changing) as farm, \
            FarmExporter(servers.sub_folder(folder, f"ours-{nodes}"), certificates,
                         options.exporter, farm, options.interval, options.samples) as exporter:
        times = latencies(exporter, options.interval)
        cpu, rss = load(exporter, options.interval, options.intervals)
        body = fetch(exporter, packed=False)
        if len(re.findall(rb"(?m)^bao_node_up{.*} 1$", body)) != nodes:
            raise RuntimeError("not all nodes are up")
        packed = len(fetch(exporter, packed=True))
        return Measured(nodes, len(body), packed, cpu, rss,
                        exporter.resident_megabytes() * 1.048576, *times)


def exponent(fleets, value):
    """Of the power of the number of nodes that fits best: least squares of the logarithms."""
    return statistics.linear_regression([math.log(one.nodes) for one in fleets],
                                        [math.log(value(one)) for one in fleets]).slope


def table(fleets, samples):
    def both(said):
        return f"{said['p50_ms']:.1f} / {said['p99_ms']:.1f}"
    lines = [head("nodes", "samples", "served MB (gzip)", "CPU, % of a core", "RSS MB", "times served",
                  "the most, MB", "whole, gzip ms", "whole, plain ms", "a node, gzip ms",
                  "a node, plain ms")]
    for one in fleets:
        lines.append(row(
            one.nodes, f"{one.nodes * samples:,}", f"{one.served / 1e6:.1f} ({one.packed / 1e6:.1f})",
            f"{100 * one.cpu:.2f}", f"{one.rss:.0f}", f"{one.times:.2f}", f"{one.rss_most:.0f}",
            both(one.whole), both(one.whole_plain), both(one.node), both(one.node_plain)))
    return "\n".join(lines)


def verdicts(fleets):
    """What issue 9 asks for: what, measured, bar, and whether it is held."""
    largest = fleets[-1]
    rows = [(f"CPU of {largest.nodes} nodes, of a core", largest.cpu, CPU_BAR),
            ("RSS, times the bytes served, of the largest", largest.times, MEMORY_BAR),
            ("whole, gzip, p99 ms", largest.whole["p99_ms"], WHOLE_BAR_MS),
            ("a node, gzip, p99 ms", largest.node["p99_ms"], NODE_BAR_MS),
            ("a node, plain, p99 ms", largest.node_plain["p99_ms"], NODE_BAR_MS)]
    if len(fleets) > 1:
        for name, value in (("CPU", lambda one: one.cpu), ("RSS", lambda one: one.rss)):
            rows.append((f"exponent of {name}, all sizes", exponent(fleets, value), EXPONENT_BAR))
            rows.append((f"exponent of {name}, the last step", exponent(fleets[-2:], value),
                         EXPONENT_BAR))
    return [(what, got, bar, got <= bar) for what, got, bar in rows]


def report(fleets, samples):
    lines = [table(fleets, samples), "", head("what", "measured", "bar", "")]
    for what, got, bar, held in verdicts(fleets):
        lines.append(row(what, f"{got:.2f}", f"<= {bar}", "held" if held else "MISSED"))
    return "\n".join(lines)


def write_docs(text, fleets):
    """Between its marks in docs/performance.md, and the plot beside it."""
    page = ROOT / "docs/performance.md"
    begin, end = "<!-- ./dev bench fleet -->\n", "<!-- end -->"
    before, rest = page.read_text().split(begin, 1)
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    said = (f"Measured on {time.strftime('%Y-%m-%d')}: {servers.os.cpu_count()} cores of "
            f"{processor[1] if processor else platform.machine()}, {platform.system()} "
            f"{platform.release()}, fakes, exporter and scrapers on the same machine.")
    page.write_text(before + begin + "\n" + said + "\n\n" + text + "\n\n" + end + rest.split(end, 1)[1])
    curves = {"CPU, % of a core": [(one.nodes, 100 * one.cpu) for one in fleets],
              "RSS, MB": [(one.nodes, one.rss) for one in fleets],
              "served, MB": [(one.nodes, one.served / 1e6) for one in fleets]}
    (ROOT / "docs/performance-fleet.svg").write_text(plot.log_log("nodes", curves))


def main(words):
    options = arguments(words)
    servers.raise_descriptor_limit()
    fleets = []
    with servers.bench_folder() as (folder, certificates):
        for nodes in sorted(map(int, options.nodes.split(","))):
            fleets.append(measure(folder, certificates, nodes, options))
            one = fleets[-1]
            say(f"{nodes} nodes: {100 * one.cpu:.2f} % of a core, {one.rss:.0f} MB")
    text = report(fleets, options.samples)
    say("\n" + text)
    if options.write:
        write_docs(text, fleets)
    return 0 if all(held for *_, held in verdicts(fleets)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
