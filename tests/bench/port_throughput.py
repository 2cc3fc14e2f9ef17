"""How fast the port is: ours against nginx, which serves the same bytes as a static file.

    ./dev bench port throughput [--rounds 9] [--seconds 2] [--connections 1] [--exporter BINARY]

wrk, on one keep-alive connection and on new connections, plain and packed. Both servers run all the
time and take turns; each ratio is that of the medians.
"""

import argparse
import re
import statistics
import subprocess

import servers
from tools import head, row, say

CASES = {
    "keep-alive, plain": (),
    "keep-alive, gzip": ("Accept-Encoding: gzip",),
    "new connections, plain": ("Connection: close",),
    "new connections, gzip": ("Connection: close", "Accept-Encoding: gzip"),
}


def wrk(server, headers, connections, seconds):
    """Requests a second; raises when an answer was not 2xx."""
    library = next(servers.deps().glob("usr/lib/*/libluajit*.so.2")).parent
    words = [servers.deps() / "usr/bin/wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
             "-H", f"Authorization: Bearer {servers.TOKEN}"]
    for line in headers:
        words += ["-H", line]
    done = subprocess.run([*map(str, words), f"https://{server.address}{server.path}"], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=60,
                          env={"LD_LIBRARY_PATH": str(library)})
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{server.name}:\n{done.stdout}")
    errors = re.search(r"Socket errors: (.*)", done.stdout)
    rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])
    return rate, errors[1] if errors else ""


def check_equal(ours, nginx):
    (cipher, resumes), (other, other_resumes) = (one.cipher_and_resumption()
                                                 for one in (ours, nginx))
    if cipher != other or resumes != other_resumes:
        raise RuntimeError(f"not equal: {cipher} {resumes}, {other} {other_resumes}")
    for encoding in ("gzip", "identity"):
        sizes = [len(one.get(**{"Accept-Encoding": encoding})[2]) for one in (ours, nginx)]
        if abs(sizes[0] - sizes[1]) > sizes[0] / 100:
            raise RuntimeError(f"bodies of different sizes, {encoding}: {sizes}")
    say(f"both: {cipher[1]} {cipher[0]}, sessions resumed: {'yes' if resumes else 'no'}\n")


def measure(pair, arguments):
    rates = {(server.name, case): [] for server in pair for case in CASES}
    errors = set()
    for number in range(arguments.rounds):
        for case, headers in CASES.items():
            for server in pair if number % 2 == 0 else reversed(pair):
                rate, wrong = wrk(server, headers, arguments.connections, arguments.seconds)
                rates[server.name, case].append(rate)
                if wrong:
                    errors.add(f"{server.name}, {case}: {wrong}")
    for line in sorted(errors):
        say(f"socket errors: {line}\n")
    return rates


def report(pair, rates):
    say(head("case", "ours, requests/s", "nginx, requests/s", "ratio", "ratios of the rounds"))
    ours, nginx = (server.name for server in pair)
    for case in CASES:
        mine, theirs = rates[ours, case], rates[nginx, case]
        each = sorted(a / b for a, b in zip(mine, theirs))
        say(row(case, f"{statistics.median(mine):.0f}", f"{statistics.median(theirs):.0f}",
                f"{statistics.median(mine) / statistics.median(theirs):.2f}",
                f"{each[0]:.2f} to {each[-1]:.2f}"))
    say("")
    say(head("server", "processes", "RSS MB, the most", "PSS MB, now"))
    for server in pair:
        say(row(server.name, len(server.processes()), f"{server.resident_megabytes():.1f}",
                f"{server.proportional_megabytes():.1f}"))


def main(words):
    parser = argparse.ArgumentParser(prog="./dev bench port throughput", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each round of each case")
    parser.add_argument("--connections", type=int, default=1, help="of wrk, at once")
    parser.add_argument("--exporter", default=servers.ROOT / "build/release/bao-exporter")
    arguments = parser.parse_args(words)
    with servers.bench_folder() as (folder, certificates):
        body, packed = servers.sample_of_ours(folder, certificates, arguments.exporter)
        say(f"/metrics: {len(body)} bytes, packed {len(packed)}\n")
        with servers.Exporter(servers.sub_folder(folder, "ours"), certificates,
                              arguments.exporter) as ours:
            _, resumes = ours.cipher_and_resumption()
            with servers.Nginx(servers.sub_folder(folder, "nginx"), certificates, body, packed,
                               limited=False, tickets=resumes) as nginx:
                check_equal(ours, nginx)
                report((ours, nginx), measure((ours, nginx), arguments))
