"""Clients that keep connections to the port for themselves, as many as they get. ./dev bench port has
the same with thousands of them, and figures.
"""

import contextlib
import selectors
import socket
import ssl
import threading
import time


def client_hello():
    """The first bytes of a client that speaks TLS."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def connect_from(address, port, to="127.0.0.1"):
    return socket.create_connection((to, port), timeout=5, source_address=(address, 0))


class Crowd:
    """`count` connections from `address` that say `first` and then nothing; each that is closed is
    made anew."""

    def __init__(self, port, count, first=b"", address="127.0.0.2"):
        self.port, self.first, self.address = port, first, address
        self.made = 0
        self._selector = selectors.DefaultSelector()
        self._ending = False
        for _ in range(count):
            with contextlib.suppress(ConnectionError):  # nobody has to let us in
                self._make()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _make(self):
        connection = connect_from(self.address, self.port)
        self.made += 1
        with contextlib.suppress(OSError):
            connection.sendall(self.first)
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ)

    def _run(self):
        while not self._ending:
            for key, _ in self._selector.select(0.05):
                self._look_at(key.fileobj)

    def _look_at(self, connection):
        with contextlib.suppress(BlockingIOError):
            with contextlib.suppress(ConnectionError):
                if connection.recv(65536):
                    return
            self._selector.unregister(connection)
            connection.close()
            with contextlib.suppress(OSError):
                self._make()


def wait_until(condition, within, what):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)
