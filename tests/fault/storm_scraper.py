"""Scrapes a port at a steady rate, each time on a new connection, as a process of its own: what it
costs is not taken from the test that made it, and the other way round.

Gets a line of JSON: port, ca, token, rate, certificates (SHA-256 of those that may be shown). When
its input ends it writes what came of it, as Outcome has it.
"""

import hashlib
import json
import socket
import ssl
import sys
import threading
import time

THREADS = 8
TIMEOUT = 5
FAILURES_TOLD = 20


class Outcome:
    """`seconds`: how long each scrape took, from when it was due, so that a port that stands still
    is seen in every scrape that it kept waiting."""

    def __init__(self):
        self.seconds = []
        self.failed = 0
        self.failures = []
        self.shown = {}  # certificate -> how often
        self.lasted = 0.0

    def note(self, shown, seconds):
        self.seconds.append(seconds)
        self.shown[shown] = self.shown.get(shown, 0) + 1

    def note_failure(self, error):
        self.failed += 1
        if len(self.failures) < FAILURES_TOLD:
            self.failures.append(error)


class Scraper:
    def __init__(self, port, ca, token, rate, certificates):
        self._port = port
        self._rate = rate
        self._certificates = set(certificates)
        self._request = (f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                         f"Authorization: Bearer {token}\r\n\r\n").encode()
        # A pair that does not fit ends the handshake in each of them, by other means.
        self._contexts = [self._context(ca, version)
                          for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
        self._lock = threading.Lock()  # guards the two below
        self._due = 0
        self._outcome = Outcome()
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]

    @staticmethod
    def _context(ca, version):
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = context.maximum_version = version
        return context

    def start(self):
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._outcome.lasted = time.monotonic() - self._began
        return self._outcome

    def _run(self):
        while True:
            with self._lock:
                number = self._due
                self._due += 1
            due = self._began + number / self._rate
            if self._stop.wait(max(due - time.monotonic(), 0)):
                return
            try:
                shown = self._scrape(self._contexts[number % 2])
                with self._lock:
                    self._outcome.note(shown, time.monotonic() - due)
            except (OSError, AssertionError, ValueError) as error:
                with self._lock:
                    self._outcome.note_failure(
                        f"scrape {number}, {due - self._began:.3f} s after the first: {error!r}")

    def _scrape(self, context):
        with (socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as raw,
              context.wrap_socket(raw, server_hostname="127.0.0.1") as connection):
            shown = hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()
            assert shown in self._certificates, "a certificate that never was a good one"
            connection.sendall(self._request)
            self._check(connection)
        return shown

    @staticmethod
    def _check(connection):
        answer = connection.makefile("rb")
        status = answer.readline()
        assert status == b"HTTP/1.1 200 OK\r\n", status
        size = 0
        while (line := answer.readline()) != b"\r\n":
            assert line, "ended in its headers"
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        body = answer.read(size)
        assert len(body) == size and body.endswith(b"\n"), f"{len(body)} of {size} bytes"
        assert b"\nbao_node_up{" in body, "no node in it"


def main():
    scraper = Scraper(**json.loads(sys.stdin.readline()))
    scraper.start()
    sys.stdin.read()
    print(json.dumps(vars(scraper.stop())))


if __name__ == "__main__":
    main()
