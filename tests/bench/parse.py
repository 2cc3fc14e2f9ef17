"""How fast bodies are read, relabelled, merged and written: ./dev bench parse [OPTIONS]

Ours, cold and steady, beside VictoriaMetrics' parser, Prometheus', expfmt, and memory, on bodies as OpenBao
sends them. All of one input run in turns on one processor, some rounds; medians, per CPU second.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from tools import head, program, row, say

INPUTS = {
    "small": {"samples": 1_500, "families": 150, "seed": 42},
    "body": {"samples": 3_800, "families": 250, "seed": 7},
    "large": {"samples": 100_000, "families": 400, "seed": 42},
}
OURS = ("cold", "steady")
ANCHORS = {
    "vm": "VictoriaMetrics: parse",
    "vm_write": "VictoriaMetrics: parse, 3 labels, write",
    "textparse": "Prometheus: parse, with labels",
    "expfmt_merge": "expfmt: parse, 3 labels, merge 3 nodes, write",
}
NAMES = {
    "cold": "ours, cold: parse, 3 labels, merge 3 nodes, write",
    "steady": "ours, steady: the same, 1 % churn",
    **ANCHORS,
    "memchr": "memchr for each newline",
    "memcpy": "memcpy",
}
# Ours, the anchor, and how many times as fast it must be at least (issue 9).
BARS = (("cold", "vm", 1.0), ("cold", "vm_write", 2.5), ("cold", "expfmt_merge", 30), ("steady", "vm", 4.0))
# MB/s that we would like, by mode and input.
GOALS = {("cold", "small"): 1_900, ("cold", "large"): 1_200, ("steady", "small"): 7_000, ("steady", "large"): 4_500}


def arguments(words):
    parser = argparse.ArgumentParser(prog="./dev bench parse", description=__doc__)
    parser.add_argument("--inputs", default=",".join(INPUTS), help="of " + ", ".join(INPUTS))
    parser.add_argument("--modes", default=",".join(NAMES), help="of " + ", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of CPU, for each mode in each round")
    parser.add_argument("--value-seed", type=int, default=1, help="of the first poll's values")
    parser.add_argument("--churn", type=float, default=0.01, help="share of the lines that a poll lacks")
    parser.add_argument("--polls", type=int, default=8, help="of the same node, for steady")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    return parser.parse_args(words)


def make_polls(folder, name, options):
    """The first has all lines; the others are the same node's next polls."""
    shape = [word for key, value in INPUTS[name].items() for word in (f"--{key}", str(value))]
    paths = []
    for poll in range(options.polls + 1):
        path = folder / f"{name}-{poll}.prom"
        churn = 0 if poll == 0 else options.churn
        with path.open("wb") as file:
            subprocess.run([program("exposition_maker"), *shape, "--churn", str(churn),
                            "--value-seed", str(options.value_seed + poll)], stdout=file, check=True)
        paths.append(str(path))
    return paths


def run(mode, polls, options):
    if mode in ANCHORS:
        command = [os.environ["BAO_BENCH_ANCHORS"]]
    else:
        command = [program("parse_bench" if mode in OURS else "memory_bench")]
    files = polls[1:] if mode == "steady" else polls[:1]
    command = ["taskset", "-c", str(options.cpu), *command, "--mode", mode, "--nodes", "3",
               "--seconds", str(options.seconds), *files]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def print_speeds(name, size, said):
    say(f"\n### {name}: {INPUTS[name]['samples']:,} samples, {size:,} bytes\n")
    say(head("per CPU second", "MB/s", "slowest-fastest round", "samples/s", "goal MB/s"))
    for mode, rounds in said.items():
        speeds = [one["mb_per_s"] for one in rounds]
        samples = statistics.median(one["samples_per_s"] for one in rounds)
        goal = GOALS.get((mode, name))
        say(row(NAMES[mode], f"{statistics.median(speeds):,.0f}", f"{min(speeds):,.0f}-{max(speeds):,.0f}",
                f"{samples:,.0f}" if samples else "", f"{goal:,}" if goal else ""))


def print_bars(said):
    """The median of the rounds' ratios: what slows a whole round down does not count. True: all are held."""
    say()
    say(head("ratio", "measured", "bar", ""))
    held = True
    for ours, anchor, bar in BARS:
        if ours not in said or anchor not in said:
            continue
        ratio = statistics.median(
            a["mb_per_s"] / b["mb_per_s"] for a, b in zip(said[ours], said[anchor]))
        held = held and ratio >= bar
        say(row(f"{ours} / {anchor}", f"{ratio:.2f}", f">= {bar:g}", "held" if ratio >= bar else "MISSED"))
    return held


def main(words):
    options = arguments(words)
    inputs, modes = options.inputs.split(","), options.modes.split(",")
    if not set(inputs) <= set(INPUTS) or not set(modes) <= set(NAMES):
        sys.exit(f"inputs are of {', '.join(INPUTS)}; modes of {', '.join(NAMES)}")
    held = True
    with tempfile.TemporaryDirectory() as folder:
        for name in inputs:
            polls = make_polls(pathlib.Path(folder), name, options)
            said = {mode: [] for mode in modes}
            for _ in range(options.rounds):
                for mode in modes:
                    said[mode].append(run(mode, polls, options))
            print_speeds(name, os.path.getsize(polls[0]), said)
            held = print_bars(said) and held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
