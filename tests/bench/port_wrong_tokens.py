"""Wrong tokens by the thousand from the honest scraper's own address, and descriptors that run out.

    ./dev bench port wrong_tokens [--rate 10000] [--connections 64] [--seconds 10] [--exporter BINARY]

The attack sends at its rate as far as it is let: 64 requests at once on each connection, or each on a
connection of its own. Milliseconds are of the good scrapes.
"""

import argparse
import pathlib
import resource
import time

import servers
from tools import AttackRun, head, ok_percent, percent, row, say, scrape

SPARE_DESCRIPTORS = 20
IDLE_CONNECTIONS = 2000


def wrong_tokens(server, arguments):
    say(head("wrong tokens", "honest scrapes", "ok", "p50 ms", "p99 ms", "p99 without", "ratio",
             "sent/s", "401/s", "connections/s", "CPU %"))
    for mode, words in (("wrong_tokens", "keep-alive"), ("wrong_tokens_new", "new connections")):
        for keep in (True, False):
            wanted = {"scrapes": int(arguments.pace * arguments.seconds), "rate": arguments.pace,
                      "seconds": arguments.seconds, "keep_alive": keep,
                      "at_once": 1 if keep else 16}
            before = scrape(server, **wanted)
            with AttackRun(server, mode, "127.0.0.1", connections=arguments.connections,
                           rate=arguments.rate, token=servers.WRONG_TOKEN,
                           seconds=300) as attack:
                cpu = server.cpu_seconds()
                said = scrape(server, **wanted)
                cpu = 100 * (server.cpu_seconds() - cpu) / said["seconds"]
            told = attack.said
            ratio = said["p99_ms"] / before["p99_ms"] if before["p99_ms"] else 0
            say(row(words, "keep-alive" if keep else "new connections", percent(ok_percent(said)),
                    f"{said['p50_ms']:.1f}", f"{said['p99_ms']:.1f}", f"{before['p99_ms']:.1f}",
                    f"{ratio:.2f}", f"{told['requests'] / told['seconds']:.0f}",
                    f"{told['refusals_per_second']:.0f}",
                    f"{told['connections_per_second']:.0f}", f"{cpu:.0f}"))


def descriptors(server):
    """Few descriptors more than it uses, and many more connections than that."""
    used = len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))
    limit = used + SPARE_DESCRIPTORS
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    say("\n" + head("descriptors", "idle connections", "a closed one comes back", "CPU %",
                    "closed by the server/s", "first scrape after, ms", "its result"))
    for come_back, words in ((60_000, "never"), (1000, "after 1 s"), (0, "at once")):
        with AttackRun(server, "idle", "127.0.0.2", connections=IDLE_CONNECTIONS, seconds=60,
                       come_back_ms=come_back) as attack:
            before = server.cpu_seconds()
            time.sleep(6)
            cpu = 100 * (server.cpu_seconds() - before) / 6
        after = scrape(server, scrapes=1, deadline_ms=5000)
        result = next(iter(after["failures"]), "ok")
        say(row(limit, IDLE_CONNECTIONS, words, f"{cpu:.1f}",
                f"{attack.said['closed'] / attack.said['seconds']:.0f}",
                f"{after['max_ms']:.0f}", result))


def main(words):
    parser = argparse.ArgumentParser(prog="./dev bench port wrong_tokens", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=10_000, help="wrong tokens a second")
    parser.add_argument("--connections", type=int, default=64, help="of the attack")
    parser.add_argument("--pace", type=float, default=50, help="honest scrapes a second")
    parser.add_argument("--seconds", type=float, default=10, help="of each measure")
    parser.add_argument("--exporter", default=servers.ROOT / "build/release/bao-exporter")
    arguments = parser.parse_args(words)
    servers.raise_descriptor_limit()
    with servers.bench_folder() as (folder, certificates):
        with servers.Exporter(servers.sub_folder(folder, "ours"), certificates,
                              arguments.exporter) as server:
            wrong_tokens(server, arguments)
        with servers.Exporter(servers.sub_folder(folder, "few"), certificates,
                              arguments.exporter) as server:
            descriptors(server)
