"""The files of configs/, and what the tests in this folder need around them."""

from __future__ import annotations

import copy
import functools
import os
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
KUBERNETES = CONFIGS / "kubernetes"
PROMETHEUS = CONFIGS / "prometheus"
OVERLAYS = ["daemonset", "deployment"]

BINARY = Path(os.environ.get("BAO_EXPORTER") or ROOT / "build/dev/bao-exporter")
PROMTOOL = (
    Path(os.environ.get("BAO_EXPORTER_PROMETHEUS_DIR") or ROOT / "build/deps/prometheus/usr/bin") / "promtool"
)

SCRAPE_TOKEN = "deploy.test-scrape-token"


def run(*command, timeout: float = 60, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)


# --- Kubernetes ----------------------------------------------------------------------


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice: of two, YAML readers silently keep one."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{sorted(twice)} twice", node.start_mark)
        return super().construct_mapping(node, deep)


def yaml_documents(path: Path) -> list[dict]:
    return list(yaml.load_all(path.read_text(), Loader=_StrictLoader))


def files_of(folder: Path) -> list[Path]:
    """The manifests that a folder's kustomization leads to. It may have resources and nothing else,
    so that what is in the files is what is applied."""
    (kustomization,) = yaml_documents(folder / "kustomization.yaml")
    assert set(kustomization) == {"apiVersion", "kind", "resources"}, f"{folder}: {sorted(kustomization)}"
    assert kustomization["kind"] == "Kustomization"
    found = []
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        found += files_of(path) if path.is_dir() else [path]
    return found


@functools.cache
def _read_overlay(name: str) -> list[dict]:
    return [document for path in files_of(KUBERNETES / name) for document in yaml_documents(path)]


def load_overlay(name: str) -> list[dict]:
    """The objects, the caller's own to change."""
    return copy.deepcopy(_read_overlay(name))


def uncommented(text: str, first: str) -> str:
    """With the block of comment lines that begins with `first` made part of the file."""
    lines = text.splitlines()
    at = next(index for index, line in enumerate(lines) if line.strip() == f"# {first}")
    while at < len(lines) and lines[at].strip().startswith("# "):
        lines[at] = lines[at].replace("# ", "", 1)
        at += 1
    return "\n".join(lines) + "\n"


# --- configurations ------------------------------------------------------------------


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that is its own authority, and its key."""
    certificate, key = folder / "localhost.crt", folder / "localhost.key"
    made = run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", key, "-out", certificate),
    )
    assert made.returncode == 0, made.stderr
    key.chmod(0o600)
    return certificate, key


def write_secret(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def make_files(folder: Path, mode: int = 0o600) -> None:
    """Every file that the shipped configurations name, by the paths that they have in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = (path.read_text() for path in make_certificate(folder))
    write_secret(folder / "tls/tls.crt", certificate, mode)
    write_secret(folder / "tls/tls.key", key, mode)
    write_secret(folder / "scrape.token", SCRAPE_TOKEN + "\n", mode)
    write_secret(folder / "openbao-ca.pem", certificate, mode)
    write_secret(folder / "openbao.token", "s.deploy-test\n", mode)
    write_secret(folder / "certctl-ca.pem", certificate, mode)
    write_secret(folder / "certctl.key", "deploy-test-key\n", mode)


def check(config: Path, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """`bao-exporter check`: its exit code, and its complaints without the file's name and line."""
    done = run(BINARY, "check", "--config.file", config, env=environment or {}, timeout=20)
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{config}:")]
    complaints = [line.split(": ", 1)[1] for line in lines]
    assert bool(complaints) == (done.returncode != 0), done.stdout + done.stderr
    return done.returncode, complaints
