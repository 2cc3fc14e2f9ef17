"""HTTP/1.1 over TLS for the fake certctl: connections, framing, the log of requests. What is said is
the subclass's, in respond()."""

import contextlib
import dataclasses
import select
import socket
import ssl
import struct
import threading
import time
import urllib.parse

import ports

GONE = (OSError, ValueError)
# As Go: shorter bodies have a Content-Length, the others come in chunks.
LONGEST_WITH_LENGTH = 2048
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 429: "Too Many Requests", 500: "Internal Server Error",
           503: "Service Unavailable"}
PLAIN_HTTP = (b"HTTP/1.0 400 Bad Request\r\n\r\n"
              b"Client sent an HTTP request to an HTTPS server.\n")


@dataclasses.dataclass
class Request:
    """One request and what became of it; `status` is None while it is not answered."""

    method: str
    target: str
    headers: list
    address: tuple
    arrived: float = dataclasses.field(default_factory=time.monotonic)
    arrived_wall: float = dataclasses.field(default_factory=time.time)
    key: str | None = None       # the name of its key, when that is known
    secret: str | None = None    # what it gave as a key
    status: int | None = None
    size: int = 0                # of the body
    audited: bool = False        # it wrote an audit row
    finished: float | None = None

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def asked(self):
        """Its parameters, the first of each."""
        pairs = urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return dict(reversed(pairs))

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclasses.dataclass
class Response:
    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple = ()


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.received = b""

    def read_request(self, address):
        """None at the end of the connection."""
        while b"\r\n\r\n" not in self.received:
            if not self._read():
                return None
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = [tuple(line.split(": ", 1)) for line in lines if ": " in line]
        request = Request(method, target, headers, address)
        length = int("".join(request.header("Content-Length")) or 0)
        while len(self.received) < length:
            if not self._read():
                return None
        self.received = self.received[length:]
        return request

    def has_gone(self):
        """The other side has closed it, while its request was being answered."""
        try:
            if self.sock.pending() == 0 and not select.select([self.sock], [], [], 0)[0]:
                return False
            return not self._read()
        except GONE:
            return True

    def _read(self):
        got = self.sock.recv(65536)
        self.received += got
        return got

    def end(self, how):
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.sock.close()
            return
        self.sock.settimeout(0.3)
        with contextlib.suppress(*GONE):
            self.sock.unwrap()


class Server:
    """Listens on 127.0.0.1, from the start, on `port` (0: the kernel's choice). The rest is as in
    certctl.FakeCertctl."""

    def __init__(self, material, certificate, port=0):
        self.material = material
        self.certificate = self._first_certificate = certificate
        self.requests = []
        self.connections = []  # when each was accepted (time.monotonic())
        self.port = port
        self._lock = threading.Lock()
        self._open = {}
        self._context = material.server_context(certificate)
        self._listener = None
        self.start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def respond(self, request, connection):
        """A Response; or None when the connection has to be reset."""
        raise NotImplementedError

    def cut_for(self, path):
        raise NotImplementedError

    # What a test does with it.

    def requests_of(self, path, since=0):
        return [request for request in self.requests[since:] if request.path == path]

    def use_certificate(self, name, drop=True):
        """For new connections; with `drop` those that are open end."""
        self._context = self.material.server_context(name)
        self.certificate = name
        if drop:
            self.drop_connections()

    def start(self):
        """Again on the same port, after stop()."""
        if self._listener is not None:
            return
        listener = ports.listen(self.port)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self):
        """The port is closed: connections end, new ones are refused."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self.drop_connections()

    def drop_connections(self):
        with self._lock:
            opened = list(self._open.items())
        for sock, _ in opened:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for _, thread in opened:
            if thread is not threading.current_thread():
                thread.join(2)

    # How it serves.

    def _accept(self, listener):
        while True:
            try:
                sock, address = listener.accept()
            except OSError:
                return
            self.connections.append(time.monotonic())
            thread = threading.Thread(target=self._serve, args=(sock, address), daemon=True)
            with self._lock:
                self._open[sock] = thread
            thread.start()

    def _serve(self, raw, address):
        sock = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first = raw.recv(1, socket.MSG_PEEK)
            if first and first[0] != 22:  # no handshake of TLS
                raw.recv(65536)
                raw.sendall(PLAIN_HTTP)
                return
            sock = self._context.wrap_socket(raw, server_side=True)
            with self._lock:  # the raw socket is detached now
                self._open[sock] = self._open.pop(raw)
            connection = Connection(sock)
            while self._serve_one(connection, address):
                pass
        except (*GONE, ssl.SSLError):
            pass
        finally:
            with self._lock:
                self._open.pop(raw, None)
                self._open.pop(sock, None)
            for one in (sock, raw):
                with contextlib.suppress(OSError):
                    one.close()

    def _serve_one(self, connection, address):
        request = connection.read_request(address)
        if request is None:
            return False
        self.requests.append(request)
        response = self.respond(request, connection)
        if response is None:
            request.finished = time.monotonic()
            connection.end("reset")
            return False
        request.status, request.size = response.status, len(response.body)
        cut = self.cut_for(request.path) if response.status == 200 else None
        # Before it is sent: who has read the answer finds it in the log.
        request.finished = time.monotonic()
        if cut is not None:
            count, framing, how = cut
            connection.sock.sendall(_cut(response, count, framing))
            connection.end(how)
            return False
        connection.sock.sendall(framed(response, request.method == "HEAD"))
        return self._listener is not None and "close" not in request.header("Connection")


def _head(response, *framing):
    lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Chosen')}",
             "Server: fake-certctl"]
    if response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
    lines += ["X-Content-Type-Options: nosniff", *response.headers, *framing]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def framed(response, only_head=False):
    body = response.body
    if only_head or len(body) <= LONGEST_WITH_LENGTH:
        head = _head(response, f"Content-Length: {len(body)}")
        return head if only_head else head + body
    return _head(response, "Transfer-Encoding: chunked") + _chunk(body) + b"0\r\n\r\n"


def _cut(response, count, framing):
    body = response.body
    kept = body[:count]
    if framing == "length":
        return _head(response, f"Content-Length: {len(body)}") + kept
    if framing == "whole":
        return _head(response, f"Content-Length: {len(kept)}") + kept
    if framing == "close":
        return _head(response, "Connection: close") + kept
    head = _head(response, "Transfer-Encoding: chunked")
    return head + (_chunk(kept) if framing == "chunked" else _chunk(body)[:-2 - len(body)] + kept)
