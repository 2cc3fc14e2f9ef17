"""Somebody who scrapes all the time and looks at what is said of tokens and polls."""

from __future__ import annotations

import dataclasses
import re
import threading
import time

from exporter_process import Exporter, wait_until
from exposition import Exposition

_LINE = re.compile(
    r"^(bao_token_\w+|bao_node_up|bao_node_last_poll_reason|bao_node_polls_total)\{(.*)\} (\S+)$", re.MULTILINE
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Told:
    """What one scrape said. `began` and `ended` are wall times."""

    began: float
    ended: float
    up: dict[str, str]
    reason: dict[str, str]
    polls: dict[tuple[str, str], int]  # by node and reason; those that are not 0
    token: dict[str, float]  # "generation", "logins_total success": of the only credential

    @classmethod
    def read(cls, text: str, began: float, ended: float) -> "Told":
        told = cls(began, ended, {}, {}, {}, {})
        for name, labels, value in _LINE.findall(text):
            told._take(name, dict(_LABEL.findall(labels)), value)
        return told

    def _take(self, name: str, labels: dict[str, str], value: str) -> None:
        if name.startswith("bao_token_"):
            words = [name.removeprefix("bao_token_"), labels.get("result", "")]
            self.token[" ".join(filter(None, words))] = float(value)
        elif name == "bao_node_up":
            self.up[labels["node_name"]] = value
        elif name == "bao_node_last_poll_reason":
            if value == "1":
                self.reason[labels["node_name"]] = labels["reason"]
        elif value != "0":
            self.polls[labels["node_name"], labels["reason"]] = int(value)

    def failed(self) -> dict[tuple[str, str], int]:
        """Polls that did not end well, since the start of the exporter."""
        return {key: count for key, count in self.polls.items() if key[1] != "ok"}

    def good_polls(self) -> int:
        """Of the node that has the fewest."""
        return min(self.polls.get((node, "ok"), 0) for node in self.up)

    def all_up(self) -> bool:
        return len(self.up) > 0 and set(self.up.values()) == {"1"}


def told(exporter: Exporter) -> Told:
    began = time.time()
    text = exporter.text()
    ended = time.time()
    Exposition(text)
    return Told.read(text, began, ended)


def wait_told(exporter: Exporter, what: str, probe, timeout: float = 20) -> Told:
    """Until `probe` of what is told is true; returns that scrape."""

    def look() -> Told:
        last = told(exporter)
        assert probe(last), last
        return last

    return wait_until(what, look, timeout)


class Scrapers:
    """`count` threads that scrape until the block ends, each `pause_s` after its last scrape. Every
    scrape must be answered with 200."""

    def __init__(self, exporter: Exporter, count: int = 1, pause_s: float = 0.5):
        self.seen: list[Told] = []
        self._exporter = exporter
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> "Scrapers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seen.sort(key=lambda one: one.ended)
        if kind is None:
            self.check_alive()

    def check_alive(self) -> None:
        if self._failure is not None:
            raise AssertionError("a scrape failed") from self._failure

    def _run(self) -> None:
        try:
            while True:
                began = time.time()
                text = self._exporter.text()
                self.seen.append(Told.read(text, began, time.time()))
                if self._stop.wait(self._pause_s):
                    return
        except BaseException as failure:  # shown by check_alive
            self._failure = failure

    def check_never_failed(self) -> None:
        """Every node up in every scrape, and not one poll with another reason than ok."""
        assert self.seen, "nothing was scraped"
        for one in self.seen:
            assert one.failed() == {}, f"failed polls: {one.failed()}\n{one}\n{log_tail(self._exporter)}"
            assert one.all_up(), f"{one}\n{log_tail(self._exporter)}"


def log_tail(exporter: Exporter, count: int = 25) -> str:
    return "its log ends with:\n" + "\n".join(exporter.log().splitlines()[-count:])
