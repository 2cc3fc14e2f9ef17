"""Certificates for the port and for who scrapes it, and a configuration that needs no OpenBao: its one
node refuses connections, which is all that a test of the port wants to know of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cluster import LOOPBACK
from exporter_process import ClusterEntry, NodeEntry

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["-newkey", "rsa:2048"]
NO_PORT = f"https://{LOOPBACK}:1"


class Authority:
    """FOLDER/ca.pem, and what it signed beside it."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._make("ca", EC, ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])

    def sign(self, name: str, names: str = "", *, key=EC, purpose: str = "clientAuth") -> tuple[Path, Path]:
        """Certificate and key file. `names`: "DNS:a,URI:b"."""
        extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={purpose}"]
        extensions += [f"subjectAltName={names}"] if names else []
        signed = ["-CA", self.ca_file, "-CAkey", self.folder / "ca.key"]
        return self._make(name, key, extensions, signed)

    def issue_certificate(self, name: str, key=EC) -> tuple[Path, Path]:
        """For the port itself."""
        return self.sign(name, f"IP:{LOOPBACK},DNS:localhost", key=key, purpose="serverAuth")

    def entry(self) -> ClusterEntry:
        return ClusterEntry("e2e", self.ca_file, None, [NodeEntry("openbao-0", api_url=NO_PORT)])

    def _make(self, name, key, extensions, signed=()) -> tuple[Path, Path]:
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        config = self.folder / f"{name}.cnf"
        config.write_text("[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n" + "\n".join(extensions))
        command = ["openssl", "req", "-x509", "-config", config, *key, "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        command += ["-out", files[0], "-keyout", files[1], *signed]
        subprocess.run(command, check=True, capture_output=True, timeout=30, umask=0o077)
        return files
