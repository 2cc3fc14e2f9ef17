"""Claim: the recipe for certctl's key asks certctl for what the exporter reads and for nothing else, in the
requests that were seen to work, and the exporter's key and the administrator's are each shown where they should
be. The server here is a stub that only writes down what it is asked."""

from __future__ import annotations

import http.server
import json
import re
import ssl
import threading

import pytest
from deploy_files import CONFIGS, ROOT, make_certificate, run, write_secret
from documents import document, in_backticks, table_rows

SCRIPT = CONFIGS / "certctl/least-privilege.sh"
ROLE = "role-4711"
ME = {"admin": False, "roles": ["r-viewer", ROLE], "effective_permissions": [{"permission": "cert.read"}]}


class Stub(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append((self.command, self.path, self.headers["Authorization"], body))
        status, answer = self.server.answers.get(self.path, (204, None))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer or "")))
        self.end_headers()
        self.wfile.write((answer or "").encode())

    do_GET = do_DELETE = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def recipe(tmp_path):
    """Runs the script against the stub; `.asked` has its requests."""
    certificate, key = make_certificate(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.asked = []
    answers = {"roles": (201, json.dumps({"id": ROLE, "name": "bao-exporter"})),
               "me": (200, json.dumps(ME, separators=(",", ":")))}
    server.answers = {f"/api/v1/auth/{path}": answer for path, answer in answers.items()}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "PATH": "/usr/bin:/bin", "CERTCTL_URL": f"https://127.0.0.1:{server.server_port}", "CERTCTL_CA": str(certificate),
        "CERTCTL_NAME": "localhost", "ADMIN_KEY_FILE": str(write_secret(tmp_path / "admin.key", "the-admins-key\n")),
        "KEY_FILE": str(write_secret(tmp_path / "certctl.key", "the-exporters-key\n")),
    }
    server.run = lambda *words, **more: run(SCRIPT, *words, env=environment | more, timeout=20)
    yield server
    server.shutdown()
    server.server_close()


def permissions_of_the_program() -> dict[str, str]:
    """Collector and permission, as exporter/certctl/collectors.cc has them."""
    found = re.findall(r'case CertctlCollector::k(\w+):\s*return "([a-z.]+)";', document("exporter/certctl/collectors.cc"))
    assert len(found) == 8
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): permission for name, permission in found}


def test_a_role_is_made_with_what_the_exporter_reads_and_nothing_else(recipe):
    done = recipe.run("create")
    assert (done.returncode, done.stdout.strip()) == (0, ROLE), done.stderr
    (first, *others) = recipe.asked
    assert first[:2] == ("POST", "/api/v1/auth/roles") and json.loads(first[3]) == {"name": "bao-exporter"}
    assert {path for _, path, _, _ in others} == {f"/api/v1/auth/roles/{ROLE}/permissions"}
    given = [json.loads(body) for *_, body in others]
    assert sorted(one["permission"] for one in given) == sorted(permissions_of_the_program().values())
    assert {key for _, _, key, _ in recipe.asked} == {"Bearer the-admins-key"}


def test_a_narrower_role_is_made_on_demand(recipe):
    assert recipe.run("create", PERMISSIONS="metrics.read").returncode == 0
    assert [body for *_, body in recipe.asked[1:]] == ['{"permission":"metrics.read"}']


def test_the_key_gets_the_role_and_loses_the_one_that_each_start_gives(recipe):
    assert recipe.run("give", ROLE).returncode == 0 and recipe.run("drop-viewer").returncode == 0
    roles = "/api/v1/auth/keys/bao-exporter/roles"
    assert [asked[:2] for asked in recipe.asked] == [("POST", roles), ("DELETE", f"{roles}/r-viewer")]
    assert json.loads(recipe.asked[0][3]) == {"role_id": ROLE}


def test_what_the_key_may_do_is_shown_with_the_key_itself(recipe):
    done = recipe.run("show")
    assert done.returncode == 0, done.stderr
    assert '"permission":"cert.read"' in done.stdout and "r-viewer" in done.stdout
    assert recipe.asked == [("GET", "/api/v1/auth/me", "Bearer the-exporters-key", "")]


def test_what_certctl_refuses_ends_it_with_the_answer(recipe):
    recipe.answers["/api/v1/auth/roles"] = (403, '{"error":"Insufficient permissions"}')
    done = recipe.run("create")
    assert done.returncode != 0 and len(recipe.asked) == 1
    assert "403" in done.stderr


def test_without_a_word_it_says_what_there_is(recipe):
    done = recipe.run()
    assert done.returncode == 2 and recipe.asked == []
    for word in ("create", "give", "drop-viewer", "show"):
        assert f"least-privilege.sh {word}" in done.stderr


def test_the_page_has_each_permission_with_its_collector():
    rows = table_rows((CONFIGS / "certctl/README.md").read_text(), "permission")
    said = {in_backticks(collector)[0]: in_backticks(permission)[0] for permission, collector, _ in rows}
    assert said == permissions_of_the_program()


def test_the_words_of_the_shell_are_sound():
    assert run("bash", "-n", SCRIPT).returncode == 0
    assert SCRIPT.stat().st_mode & 0o111 and str(SCRIPT.relative_to(ROOT)) in (CONFIGS / "certctl/README.md").read_text()
