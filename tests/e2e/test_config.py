"""Bad configuration: every problem at once with its line, exit 2, and nothing was opened."""

import re
import socket
import subprocess

import pytest
from cluster import LOOPBACK
from exporter_process import BINARY, write_private

# "#!" marks a line that must be complained of, and the words that the complaint must have.
MISTAKES = """\
[listener]                              #! listener.tls_key_file tls/tls.key
address = "{listening}"
token_files = ["open.token"]            #! listener.token_files open.token others
tls_cert_file = "missing.pem"           #! listener.tls_cert_file missing.pem
conections_max = 5                      #! conections_max 'connections_max'
[poll]
interval = "10s"
timeout = "10s"                         #! poll.timeout poll.interval
[[openbao]]
cluster = "prod"
ca_file = "missing-ca.pem"              #! openbao.ca_file missing-ca.pem
[openbao.auth]
token_file = "missing.token"            #! openbao.auth.token_file missing.token
[[openbao.node]]
name = "openbao-0"
api_url = "https://{node}"
[[openbao.node]]
name = "openbao-0"                      #! openbao.node.name openbao-0
api_url = "http://127.0.0.1:2"          #! openbao.node.api_url https://
"""
GOOD = """\
[listener]
address = "{listening}"
token_files = ["scrape.token"]
tls_cert_file = "tls.pem"
tls_key_file = "tls.key"
[[openbao]]
cluster = "prod"
ca_file = "tls.pem"
[openbao.auth]
method = "none"
[[openbao.node]]
name = "openbao-0"
api_url = "https://{node}"
"""
OPEN_TOKEN = "a-token-that-is-long-enough"


class Place:
    """Two ports of ours: the one where the exporter shall listen is taken, so that it cannot try
    without saying so; at the other, where the node shall be, a connection would be seen."""

    def __init__(self, folder):
        self.folder = folder
        self.listening = socket.create_server((LOOPBACK, 0))
        self.node = socket.create_server((LOOPBACK, 0))
        self.node.setblocking(False)
        write_private(folder / "open.token", OPEN_TOKEN + "\n").chmod(0o644)

    def write(self, text: str):
        ports = {"listening": self.listening, "node": self.node}
        addresses = {name: f"{LOOPBACK}:{taken.getsockname()[1]}" for name, taken in ports.items()}
        return write_private(self.folder / "bao-exporter.toml", text.format(**addresses))

    def was_asked(self) -> bool:
        try:
            self.node.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.listening.close()
    made.node.close()


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [BINARY, *arguments], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False
    )


def check_complaints(said: str, config) -> None:
    marked = {n: line.split("#!")[1].split() for n, line in enumerate(MISTAKES.splitlines(), 1) if "#!" in line}
    assert len(marked) == 9
    found = re.findall(rf"^{re.escape(str(config))}:(\d+): (.*)$", said, re.MULTILINE)
    assert [int(number) for number, _ in found] == list(marked), said
    for (number, text), words in zip(found, marked.values(), strict=True):
        for word in words:
            assert word in text, f"line {number}"
    assert len(said.splitlines()) == len(found) + 1
    assert said.splitlines()[-1].startswith("9 problems")
    assert OPEN_TOKEN not in said


@pytest.mark.parametrize("command", [["check"], ["nodes"], []], ids=["check", "nodes", "start"])
def test_every_mistake_is_told_with_its_line_and_nothing_is_opened(place, command):
    config = place.write(MISTAKES)
    ended = run(*command, "--config.file", config)
    assert ended.returncode == 2
    assert ended.stdout == ""
    check_complaints(ended.stderr, config)  # so no word of a port that is taken
    assert not place.was_asked()


@pytest.fixture
def good_config(place):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=test", "-keyout", place.folder / "tls.key", "-out", place.folder / "tls.pem"]
    subprocess.run(command, check=True, capture_output=True, timeout=30, umask=0o077)
    write_private(place.folder / "scrape.token", "another-token-that-is-long\n")
    return place.write(GOOD)


def test_check_of_a_good_configuration_exits_0_and_opens_nothing(place, good_config):
    ended = run("check", "--config.file", good_config)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert str(good_config) in ended.stdout
    assert not place.was_asked()


def test_a_port_that_is_taken_is_told_and_exits_1(place, good_config):
    ended = run("--config.file", good_config)
    assert ended.returncode == 1
    assert f"{LOOPBACK}:{place.listening.getsockname()[1]}" in ended.stderr
    assert "listening" not in ended.stderr
    assert not place.was_asked()


def test_a_file_that_is_not_there_is_told_and_exits_2(tmp_path):
    ended = run("--config.file", tmp_path / "nowhere.toml")
    assert ended.returncode == 2
    assert "nowhere.toml: cannot be opened" in ended.stderr


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["check", "nodes"], ["--log.level", "loud"]])
def test_an_unknown_argument_exits_2(arguments):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert ended.stderr != ""


def test_version_and_help_exit_0():
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"bao-exporter \d+\.\d+\.\d+ \([0-9a-z]+\)\n", version.stdout)
    help_ = run("--help")
    assert (help_.returncode, help_.stderr) == (0, "")
    for word in ["--config.file", "--web.listen-address", "--log.level", "check", "nodes"]:
        assert word in help_.stdout
