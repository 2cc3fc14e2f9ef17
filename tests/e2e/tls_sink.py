"""A TLS server with a certificate of an authority that nobody trusts. It notes what it is sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from cluster import LOOPBACK


class TlsSink:
    """`connections` were accepted, `bytes_` were read off them after a whole handshake. Answers
    nothing."""

    def __init__(self, folder: Path):
        key, certificate = folder / "sink.key", folder / "sink.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=alien", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
        command += ["-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True, timeout=30, umask=0o077)
        self.connections = 0
        self.bytes_ = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server = socket.create_server((LOOPBACK, 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "TlsSink":
        return self

    def __exit__(self, *_) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
            except OSError:  # closed
                return
            self.connections += 1
            plain.settimeout(2)
            with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
                while piece := connection.recv(1 << 14):
                    self.bytes_ += piece
