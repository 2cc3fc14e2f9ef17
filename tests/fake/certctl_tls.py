"""TLS material of the fake certctl: a CA and what it signed, made with the `openssl` command.

`server` has the name of certctl's bootstrap certificate and no other, so whoever connects by address
has to be told to expect `certctl-server`. The others are there to be switched to.
"""

import pathlib
import ssl
import subprocess

SERVER_NAME = "certctl-server"

CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = placeholder
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:certctl-server
[loopback]
basicConstraints = CA:FALSE
subjectAltName = DNS:certctl-server,DNS:localhost,IP:127.0.0.1
[wrong_name]
basicConstraints = CA:FALSE
subjectAltName = DNS:somebody.else.test
[signing]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = anything
unique_subject = no
[anything]
commonName = supplied
"""

# name: (who signs it, extensions, validity)
SIGNED = {
    "server": ("ca", "server", ("-days", "30")),
    "loopback": ("ca", "loopback", ("-days", "30")),
    "wrong_name": ("ca", "wrong_name", ("-days", "30")),
    "expired": ("ca", "server", ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")),
    "other_server": ("other_ca", "server", ("-days", "30")),
}


class Material:
    """FOLDER/NAME.pem and its key FOLDER/NAME.key, each made when it is first asked for; `ca` signed
    all but `other_server`, which `other_ca` did. Several fakes can share one."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "serial").exists():
            (self.folder / "index.txt").write_text("")
            (self.folder / "serial").write_text("1000\n")
            (self.folder / "openssl.cnf").write_text(CONFIG.format(folder=self.folder))

    @property
    def ca_file(self):
        return self.pem("ca")

    def pem(self, name):
        path = self.folder / f"{name}.pem"
        if not path.exists():
            self._make(name, path)
        return str(path)

    def key(self, name):
        path = self.folder / f"{name}.key"
        if not path.exists():
            self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-out", str(path))
            path.chmod(0o600)
        return str(path)

    def server_context(self, name, minimum=ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = minimum
        context.load_cert_chain(self.pem(name), self.key(name))
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _make(self, name, path):
        config = ("-config", str(self.folder / "openssl.cnf"))
        if name not in SIGNED:
            assert name in ("ca", "other_ca"), f"no certificate is called {name}"
            self._run("req", *config, "-x509", "-new", "-days", "30", "-extensions", "authority",
                      "-subj", f"/CN=fake certctl {name}", "-key", self.key(name),
                      "-out", str(path))
            return
        authority, extensions, validity = SIGNED[name]
        request = str(self.folder / f"{name}.csr")
        self._run("req", *config, "-new", "-subj", f"/CN=fake certctl {name}",
                  "-key", self.key(name), "-out", request)
        self._run("ca", *config, "-batch", "-notext", "-name", "signing", "-extensions", extensions,
                  "-cert", self.pem(authority), "-keyfile", self.key(authority),
                  "-in", request, "-out", str(path), *validity)

    @staticmethod
    def _run(*arguments):
        done = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"openssl {' '.join(arguments)}:\n{done.stdout}"
