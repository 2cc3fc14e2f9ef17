"""Ports of fakes that close and open again: below those that the kernel gives to connections, and each
this process's until it ends, so that nobody else takes one meanwhile."""

import contextlib
import random
import socket

FIRST, LAST = 5000, 10900  # below Prometheus's (e2e/test_prometheus.py) and the clusters' (e2e/cluster.py)

_reserved = []


def listen(port=0):
    """A listener on 127.0.0.1; port 0: one of these that nobody else has had."""
    if port:
        return socket.create_server(("127.0.0.1", port), backlog=64)
    for some in random.sample(range(FIRST, LAST), 500):
        with contextlib.suppress(OSError):
            _reserve(some)
            return socket.create_server(("127.0.0.1", some), backlog=64)
    raise RuntimeError(f"500 ports tried between {FIRST} and {LAST}, none is free")


def _reserve(port):
    """An abstract socket of Unix, which goes with the process."""
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        reservation.bind(f"\0bao-exporter-fake-port-{port}")
    except OSError:
        reservation.close()
        raise
    _reserved.append(reservation)
