"""Wrong tokens by the thousand from the honest scraper's own address, and descriptors that run out.

    ./dev bench port wrong_tokens [--rate 10000] [--connections 64] [--rounds 3] [--seconds 4]
                                  [--exporter BINARY]

The attack sends at its rate as far as it is let: the next token on a connection when the one before
was answered, or each on a connection of its own. Milliseconds are of the good scrapes, the median of
the rounds.
"""

import argparse
import pathlib
import resource
import statistics
import time

import servers
from tools import AttackRun, head, ok_percent, percent, row, say, scrape

SPARE_DESCRIPTORS = 20
IDLE_CONNECTIONS = 2000


def wrong_tokens(server, other, arguments):
    say(head("wrong tokens", "honest scrapes", "ok", "p50 ms", "p99 ms", "p99 without", "ratio",
             "p99 when another exporter is attacked", "sent/s", "401/s", "connections/s", "CPU %"))
    for mode, words in (("wrong_tokens", "keep-alive"), ("wrong_tokens_new", "new connections")):
        for keep in (True, False):
            rounds = [one_round(server, other, mode, keep, arguments)
                      for _ in range(arguments.rounds)]
            say(table_row(words, keep, rounds))


def one_round(server, other, mode, keep, arguments):
    """Scrapes of the server: undisturbed, while it is attacked, and while the other one is: the
    last tells what the attack costs as a neighbour on the same processors."""
    def honest():
        return scrape(server, scrapes=int(arguments.pace * arguments.seconds), keep_alive=keep,
                      rate=arguments.pace, seconds=arguments.seconds, at_once=1 if keep else 16)

    def attack_on(attacked):
        return AttackRun(attacked, mode, "127.0.0.1", connections=arguments.connections,
                         rate=arguments.rate, token=servers.WRONG_TOKEN, seconds=300)

    before = honest()
    with attack_on(server) as attack:
        cpu = server.cpu_seconds()
        said = honest()
        cpu = 100 * (server.cpu_seconds() - cpu) / said["seconds"]
    with attack_on(other):
        beside = honest()
    return before, said, beside, attack.said, cpu


def table_row(words, keep, rounds):
    def median(of):
        return statistics.median(of(*one) for one in rounds)

    ok = min(ok_percent(said) for _, said, _, _, _ in rounds)
    without = median(lambda before, *_: before["p99_ms"])
    under = median(lambda _, said, *__: said["p99_ms"])

    def rate(key):
        return f"{median(lambda b, s, c, told, cpu: told[key] / told['seconds']):.0f}"

    return row(words, "keep-alive" if keep else "new connections", percent(ok),
               f"{median(lambda _, said, *__: said['p50_ms']):.1f}", f"{under:.1f}",
               f"{without:.1f}", f"{under / without if without else 0:.2f}",
               f"{median(lambda b, s, beside, *_: beside['p99_ms']):.1f}", rate("requests"),
               rate("refused"), rate("connected"),
               f"{median(lambda b, s, c, told, cpu: cpu):.0f}")


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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measure")
    parser.add_argument("--exporter", default=servers.ROOT / "build/release/bao-exporter")
    arguments = parser.parse_args(words)
    servers.raise_descriptor_limit()
    with servers.bench_folder() as (folder, certificates):
        with servers.Exporter(servers.sub_folder(folder, "ours"), certificates,
                              arguments.exporter) as server, \
                servers.Exporter(servers.sub_folder(folder, "other"), certificates,
                                 arguments.exporter) as other:
            wrong_tokens(server, other, arguments)
        with servers.Exporter(servers.sub_folder(folder, "few"), certificates,
                              arguments.exporter) as server:
            descriptors(server)
