"""The benchmarks of the port: ./dev bench port [attacks | throughput | wrong_tokens] [OPTIONS]

Without a name all three are run as they are. Each has --help.
"""

import importlib
import sys

NAMES = ("attacks", "throughput", "wrong_tokens")


def main(words):
    if words and words[0] in NAMES:
        return importlib.import_module(f"port_{words[0]}").main(words[1:])
    if words and not words[0].startswith("--exporter"):
        sys.exit(__doc__)
    for name in NAMES:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"port_{name}").main(words)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
