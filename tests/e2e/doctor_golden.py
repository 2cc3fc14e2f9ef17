"""What `bao-exporter doctor` prints against tests/golden: compare(), and what stands for that which no two
runs have in common. BAO_UPDATE_GOLDEN=1 writes the texts anew."""

import dataclasses
import difflib
import os
import re
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden/doctor"
UPDATE = "BAO_UPDATE_GOLDEN"

MASKS = [
    (r"\b\d+ (?:s|min|h|days)\b(?! left)", "<age>"),
    (r"\b\d+ days? left", "<days> days left"),
    (r"\b\d{4}-\d\d-\d\d\b", "<date>"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<cluster_id>"),
    (r"\b\d+ samples of \d+ families, from \d+ bytes", "<n> samples of <n> families, from <n> bytes"),
    (r"\b\d+ ms\b", "<n> ms"),
    (r"\b\d+ milliseconds\b", "<n> milliseconds"),
    (r"\bCouldn't connect\b", "Could not connect"),  # libcurl before 8.13
]


@dataclasses.dataclass(frozen=True)
class Mask:
    """Of one run: literal texts of it, by what stands for them, and MASKS."""

    words: dict[str, str]

    def __call__(self, text: str) -> str:
        for pattern, name in MASKS:  # first, or a size or an id could be taken for a port
            text = re.sub(pattern, name, text)
        for word in sorted(self.words, key=len, reverse=True):
            text = re.sub(rf"(?<!\d){re.escape(word)}(?!\d)", self.words[word], text)
        return text


def compare(name: str, text: str, folder: Path = GOLDEN) -> None:
    file = folder / f"{name}.txt"
    if os.environ.get(UPDATE) == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"{file} is missing; {UPDATE}=1 writes it"
    golden = file.read_text()
    if text != golden:
        lines = difflib.unified_diff(golden.splitlines(), text.splitlines(), str(file), "printed", lineterm="")
        raise AssertionError("\n".join(["doctor says something else", *lines, f"{UPDATE}=1 takes it over"]))
