"""Runs the attack and the honest scraper of build/release/tests/bench, and writes tables."""

import json
import os
import pathlib
import subprocess

from servers import ROOT, TOKEN, end


def program(name):
    folder = pathlib.Path(os.environ.get("BAO_BENCH_PROGRAMS", ROOT / "build/release/tests/bench"))
    return str(folder / name)


def options(named):
    words = []
    for name, value in named.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words


class AttackRun:
    """with AttackRun(server, mode, ...) as attack: ...; afterwards attack.said is its tally."""

    def __init__(self, server, mode, origin, **more):
        command = [program("port_attack"), "--to", server.address, "--mode", mode, "--from", origin,
                   "--path", server.path]
        self._command = command + options(more)
        self._process = None
        self.said = {}

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True)
        first = self._process.stdout.readline()
        if first != "ready\n":
            end(self._process)
            raise RuntimeError(f"the attack said {first!r}")
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
        try:
            rest, _ = self._process.communicate(timeout=20)
            self.said = json.loads(rest.splitlines()[-1])
        finally:
            end(self._process)


def scrape(server, **more):
    """Honest scrapes of a server: what the scraper said of them."""
    command = [program("honest_scraper"), "--to", server.address, "--ca-file", server.ca_file,
               "--token", TOKEN, *options({"path": server.path, **more})]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True, timeout=300)
    return json.loads(done.stdout)


def ok_percent(said):
    total = said["ok"] + said["failed"]
    return 100 * said["ok"] / total if total else 0.0


def percent(value):
    """Never rounded up to 100."""
    return "100 %" if value == 100 else f"{int(value * 100) / 100:.2f} %"


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*names):
    return row(*names) + "\n|" + "---|" * len(names)


def say(*words):
    print(*words, flush=True)
