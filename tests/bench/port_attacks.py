"""Attacks on the port, and honest scrapes meanwhile: ours, nginx, exporter_exporter.

    ./dev bench port attacks [--servers ours,nginx,exporter_exporter] [--modes idle,half,...]
                             [--from one,many,honest] [--times 1] [--scrapes N] [--seconds S] [--exporter BINARY]

Each row: a fresh server, five scrapes, then the attack, then the scrapes, each on a new connection
and within a second. Milliseconds are of the good scrapes; RSS is the most there was.
"""

import argparse

import servers
from tools import AttackRun, head, ok_percent, percent, row, say, scrape

# mode -> connections, more
MODES = {
    "idle": (2000, {}),
    "half": (2000, {}),
    "trickle": (2000, {}),
    "slow_headers": (400, {}),
    "tls_idle": (400, {}),
    "slow_reader": (400, {"token": servers.TOKEN, "hold_ms": 5000}),
}
ORIGINS = {"one": "127.0.0.2", "many": "many", "honest": "127.0.0.1"}
COLUMNS = ("server", "attack", "connections", "from", "honest ok", "p50 ms", "p99 ms", "max ms",
           "RSS MB", "CPU %", "attackers' connections/s", "handshakes/s", "failures")


def connections_of(mode, arguments):
    return MODES[mode][0] * arguments.times if mode else 0


def measure(server, mode, origin, arguments):
    """One row's numbers, of a server that runs."""
    connections, more = connections_of(mode, arguments), MODES[mode][1] if mode else {}
    scrape(server, scrapes=5, rate=20)
    wanted = {"scrapes": arguments.scrapes, "rate": arguments.rate, "seconds": arguments.seconds}
    if not mode:
        return *scrape_and_cpu(server, wanted), {}
    with AttackRun(server, mode, ORIGINS[origin], connections=connections, seconds=300,
                   **more) as attack:
        said, cpu = scrape_and_cpu(server, wanted)
    return said, cpu, attack.said


def scrape_and_cpu(server, wanted):
    before = server.cpu_seconds()
    said = scrape(server, **wanted)
    return said, 100 * (server.cpu_seconds() - before) / said["seconds"]


def table_row(server, connections, mode, origin, said, cpu, attack, memory):
    times = [f"{said[key]:.{digits}f}" if said["ok"] else "-"
             for key, digits in (("p50_ms", 1), ("p99_ms", 0), ("max_ms", 0))]
    failures = ", ".join(f"{count} {why}" for why, count in said["failures"].items())
    seconds = attack.get("seconds", 1)
    return row(server, mode or "none", connections, origin or "", percent(ok_percent(said)),
               *times, f"{memory:.0f}", f"{cpu:.0f}", f"{attack.get('connected', 0) / seconds:.0f}",
               f"{attack.get('secured', 0) / seconds:.0f}", failures)


def rows_of(arguments):
    yield "", ""
    for mode in arguments.modes.split(","):
        for origin in arguments.origins.split(","):
            yield mode, origin


def parse(words):
    parser = argparse.ArgumentParser(prog="./dev bench port attacks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="ours,nginx,exporter_exporter")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--from", dest="origins", default=",".join(ORIGINS))
    parser.add_argument("--scrapes", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100, help="honest scrapes a second")
    parser.add_argument("--seconds", type=float, default=20, help="of each row, at most")
    parser.add_argument("--times", type=int, default=1, help="as many connections")
    parser.add_argument("--exporter", default=servers.ROOT / "build/release/bao-exporter")
    return parser.parse_args(words)


def main(words):
    arguments = parse(words)
    servers.raise_descriptor_limit()
    with servers.bench_folder() as (folder, certificates):
        body, packed = servers.sample_of_ours(folder, certificates, arguments.exporter)
        say(f"/metrics: {len(body)} bytes, packed {len(packed)}\n")
        make = {
            "ours": lambda at: servers.Exporter(at, certificates, arguments.exporter),
            "nginx": lambda at: servers.Nginx(at, certificates, body, packed),
            "exporter_exporter": lambda at: servers.ExporterExporter(at, certificates, body),
        }
        say(head(*COLUMNS))
        for name in arguments.servers.split(","):
            for mode, origin in rows_of(arguments):
                with make[name](servers.sub_folder(folder, name)) as server:
                    said, cpu, attack = measure(server, mode, origin, arguments)
                    memory = server.resident_megabytes()
                    connections = connections_of(mode, arguments)
                    say(table_row(server.name, connections, mode, origin, said, cpu, attack,
                                  memory))
