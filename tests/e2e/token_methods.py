"""What a real OpenBao needs so that somebody can log in to it: login methods, roles, what their owners
put into files, and the policy that `bao-exporter policy` prints.

Everything is done as root at the active node. What is written for the exporter goes into the folder
that the test gives, mode 0600.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cluster import LOOPBACK, Cluster
from exporter_process import Exporter, write_private

POLICY = "bao-exporter"  # the name under which the printed policy is written
ROLE = "bao-exporter"  # of every method
AUDIENCE = "openbao"
ISSUER = "https://issuer.e2e.test"
NAMESPACE = "monitoring"
ACCOUNT = "bao-exporter"


def admin(cluster: Cluster, method: str, path: str, body: dict | None = None, **headers: str) -> dict:
    """A request with the root token that must succeed; its JSON. `X_Vault_Wrap_TTL="60s"` is a header."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    active = cluster.wait_active()
    status, _, answer = cluster.request(active, method, f"/v1/{path}", cluster.token("root"), body, headers=fields)
    assert status in (200, 204), f"{method} {path}: {status} {answer[:500]!r}"
    return json.loads(answer) if answer else {}


def enable(cluster: Cluster, method: str, mount: str | None = None) -> None:
    """Mounts the method, unless something is mounted there already."""
    mount = mount or method
    if f"{mount}/" not in admin(cluster, "GET", "sys/auth")["data"]:
        admin(cluster, "POST", f"sys/auth/{mount}", {"type": method})


# --- policies ------------------------------------------------------------------------


def write_policy(cluster: Cluster, name: str, text: str) -> None:
    """As `bao policy write NAME -` does."""
    admin(cluster, "PUT", f"sys/policies/acl/{name}", {"policy": text})


def printed_policy(exporter: Exporter, *arguments: str) -> str:
    """The whole standard output of `bao-exporter policy`, with that exporter's configuration."""
    run = exporter.command("policy", *arguments)
    assert run.returncode == 0, f"policy {arguments} ended with {run.returncode}: {run.stdout}{run.stderr}"
    return run.stdout


def apply_printed_policy(cluster: Cluster, exporter: Exporter, *arguments: str, name: str = POLICY) -> None:
    write_policy(cluster, name, printed_policy(exporter, *arguments))


# --- tokens --------------------------------------------------------------------------


def mint_many(cluster: Cluster, count: int, **parameters) -> list[str]:
    """Orphans, made faster than one by one: a node that knows the last of them knows them all."""
    active = cluster.wait_active()
    tokens = []
    for _ in range(count):
        path = "/v1/auth/token/create-orphan"
        status, _, answer = cluster.request(active, "POST", path, cluster.token("root"), parameters)
        assert status == 200, (status, answer)
        tokens.append(json.loads(answer)["auth"]["client_token"])
    cluster.wait_token(tokens[-1])
    return tokens


def revoke(cluster: Cluster, token: str) -> None:
    admin(cluster, "POST", "auth/token/revoke", {"token": token})


def replace_file(path: Path, text: str) -> Path:
    """By rename, as an agent does."""
    write_private(path.with_name(f"{path.name}.new"), text + "\n").replace(path)
    return path


# --- approle -------------------------------------------------------------------------


def make_approle(cluster: Cluster, role: str = ROLE, **parameters) -> None:
    enable(cluster, "approle")
    admin(cluster, "POST", f"auth/approle/role/{role}", {"token_policies": [POLICY], **parameters})


def role_id(cluster: Cluster, role: str = ROLE) -> str:
    return admin(cluster, "GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]


def secret_id(cluster: Cluster, role: str = ROLE) -> str:
    return admin(cluster, "POST", f"auth/approle/role/{role}/secret-id", {})["data"]["secret_id"]


def wrapped_secret_id(cluster: Cluster, role: str = ROLE, ttl: str = "300s") -> str:
    """The token of one use that a secret id is got with."""
    path = f"auth/approle/role/{role}/secret-id"
    return admin(cluster, "POST", path, {}, X_Vault_Wrap_TTL=ttl)["wrap_info"]["token"]


def approle_files(folder: Path, cluster: Cluster, role: str = ROLE, secret: str | None = None) -> dict[str, Path]:
    """The keys of [openbao.auth] that name the files; `secret` instead of a new secret id."""
    secret = secret or secret_id(cluster, role)
    return {
        "role_id_file": write_private(folder / f"{role}.role-id", role_id(cluster, role) + "\n"),
        "secret_id_file": write_private(folder / f"{role}.secret-id", secret + "\n"),
    }


# --- jwt -----------------------------------------------------------------------------


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    run = subprocess.run(["openssl", *arguments], input=data, capture_output=True, timeout=30)
    assert run.returncode == 0, f"openssl {arguments[0]}: {run.stderr.decode(errors='replace')}"
    return run.stdout


class Signer:
    """A key of its own, and JWTs signed with it (RS256)."""

    def __init__(self, folder: Path):
        self._key = write_private(folder / "jwt-signer.key", _openssl("genrsa", "2048").decode())
        self.public_pem = _openssl("pkey", "-in", self._key, "-pubout").decode()

    def jwt(self, lifetime_s: float = 3600, **claims) -> str:
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",
            "iat": now,
            "nbf": now,
            "exp": int(now + lifetime_s),
            "jti": os.urandom(8).hex(),  # no two are equal
            **claims,
        }
        head = _base64url(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
        signed = f"{head}.{_base64url(json.dumps(payload).encode())}"
        return f"{signed}.{_base64url(_openssl('dgst', '-sha256', '-sign', self._key, data=signed.encode()))}"

    def account_jwt(self, lifetime_s: float = 3600) -> str:
        """As Kubernetes makes them for a service account."""
        account = {"name": ACCOUNT, "uid": "0b7f3f5c-2a3e-4a6e-9d57-3c1a5a1d9d11"}
        return self.jwt(lifetime_s, **{"kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": account}})


def make_jwt_role(cluster: Cluster, signer: Signer, role: str = ROLE, mount: str = "jwt", **parameters) -> None:
    """No leeway: a JWT that has ended is refused at once."""
    enable(cluster, "jwt", mount)
    admin(cluster, "POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [signer.public_pem]})
    fixed = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [AUDIENCE],
        "bound_claims": {"iss": ISSUER},
        "expiration_leeway": -1,
        "clock_skew_leeway": -1,
        "not_before_leeway": -1,
        "token_policies": [POLICY],
    }
    admin(cluster, "POST", f"auth/{mount}/role/{role}", {**fixed, **parameters})


# --- kubernetes ----------------------------------------------------------------------


class _Reviewer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.reviews.append(self.path)
        known = review["spec"]["token"] in self.server.known
        name = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        user = {"username": name, "uid": "0b7f3f5c-2a3e-4a6e-9d57-3c1a5a1d9d11", "groups": ["system:serviceaccounts"]}
        status = {"authenticated": known, "audiences": review["spec"].get("audiences", [])}
        status |= {"user": user} if known else {"error": "not known"}
        answer = json.dumps({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())


class TokenReviews:
    """The one thing of a Kubernetes API server that OpenBao asks: whose token is that? `known` are
    the JWTs of the service account."""

    def __init__(self, server: http.server.ThreadingHTTPServer):
        self.url = f"https://{LOOPBACK}:{server.server_address[1]}"
        self.known: set[str] = server.known
        self.reviews: list[str] = server.reviews


@contextlib.contextmanager
def token_reviews(cluster: Cluster) -> Iterator[TokenReviews]:
    certificate, key = cluster.issue_certificate("kubernetes-api")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer((LOOPBACK, 0), _Reviewer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.known, server.reviews, server.daemon_threads = set(), [], True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield TokenReviews(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_kubernetes_role(cluster: Cluster, api: TokenReviews, role: str = ROLE, **parameters) -> None:
    enable(cluster, "kubernetes")
    config = {
        "kubernetes_host": api.url,
        "kubernetes_ca_cert": cluster.ca_file.read_text(),
        "disable_local_ca_jwt": True,
        "disable_iss_validation": True,
    }
    admin(cluster, "POST", "auth/kubernetes/config", config)
    bound = {"bound_service_account_names": [ACCOUNT], "bound_service_account_namespaces": [NAMESPACE]}
    admin(cluster, "POST", f"auth/kubernetes/role/{role}", {**bound, "token_policies": [POLICY], **parameters})


# --- cert ----------------------------------------------------------------------------


def make_certificate_role(cluster: Cluster, common_name: str, role: str = ROLE, **parameters) -> tuple[Path, Path]:
    """Returns the certificate and the key that it lets in."""
    enable(cluster, "cert")
    fixed = {
        "certificate": cluster.ca_file.read_text(),
        "allowed_common_names": [common_name],
        "token_policies": [POLICY],
    }
    admin(cluster, "POST", f"auth/cert/certs/{role}", {**fixed, **parameters})
    return cluster.issue_certificate(common_name)


# --- the audit log -------------------------------------------------------------------


class Audit:
    """What the nodes' audit logs have from a moment on. `answers` are entries of the type response:
    one for each request, also where a standby refuses a token that it does not know (which leaves no
    entry of the type request)."""

    def __init__(self, cluster: Cluster):
        """From now on."""
        self._cluster = cluster
        self._from = [len(self._lines(i)) for i in range(len(cluster.nodes))]

    def _lines(self, i: int) -> list[str]:
        return (self._cluster.node_folder(i) / "audit.log").read_text().splitlines()

    def answers(self, i: int) -> list[dict]:
        entries = [json.loads(line) for line in self._lines(i)[self._from[i] :]]
        return [entry for entry in entries if entry["type"] == "response"]

    def hashes(self, tokens: list[str]) -> list[str]:
        """How the logs of all nodes write them."""
        active, root = self._cluster.wait_active(), self._cluster.token("root")
        found = []
        for token in tokens:
            path = "/v1/sys/audit-hash/file"
            status, _, answer = self._cluster.request(active, "POST", path, root, {"input": token})
            assert status == 200, (status, answer)
            found.append(json.loads(answer)["data"]["hash"])
        return found
