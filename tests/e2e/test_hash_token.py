"""`bao-exporter hash-token`: the line of a token file, for a token that nobody has to put into a command line."""

import base64
import hashlib
import os
import pty
import re
import subprocess

import pytest
from exporter_process import BINARY

TOKEN = b"abcdefghijklmnopqrstuvwxyz-._~+/0123456789=="


def hash_token(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, "hash-token", *arguments], input=given, capture_output=True, timeout=20)


def line_of(token: bytes, name: str = "") -> bytes:
    return (f"{name}:" if name else "").encode() + b"sha256:" + hashlib.sha256(token).hexdigest().encode() + b"\n"


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_token_on_standard_input_becomes_its_line(end):
    run = hash_token(given=TOKEN + end)
    assert (run.returncode, run.stdout, run.stderr) == (0, line_of(TOKEN), b"")
    run = hash_token("--name", "prometheus-2", given=TOKEN + end)
    assert (run.returncode, run.stdout, run.stderr) == (0, line_of(TOKEN, "prometheus-2"), b"")


def test_generate_makes_32_random_bytes_and_both_forms():
    seen = set()
    for arguments, name in [((), ""), (("--name", "ci"), "ci"), ((), "")]:
        run = hash_token("--generate", *arguments)
        assert run.returncode == 0
        token, line = run.stdout.splitlines()
        assert re.fullmatch(rb"[A-Za-z0-9_-]{43}", token)
        assert len(base64.urlsafe_b64decode(token + b"=")) == 32
        assert line + b"\n" == line_of(token, name)
        assert b"first line" in run.stderr and b"second line" in run.stderr
        assert token not in run.stderr
        seen.add(token)
    assert len(seen) == 3


@pytest.mark.parametrize(
    "given, words",
    [
        (b"", b"no token"),
        (b"\n", b"no token"),
        (b"x" * 19, b"at least 20"),
        (b"x" * 513, b"at most 512"),
        (b"x" * 5000, b"longer than any token"),
        (TOKEN + b"\n" + TOKEN, b"more than one line"),
        (TOKEN + b" ", b"letters, digits"),
        (TOKEN + b"\r\n", b"letters, digits"),
        (b"name:" + TOKEN, b"letters, digits"),
        (TOKEN + b"\0", b"letters, digits"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_no_token_file_may_have_is_refused_and_not_told(given, words):
    run = hash_token(given=given)
    assert run.returncode == 2 and run.stdout == b""
    assert words in run.stderr
    assert b"abcdef" not in run.stderr and b"xxx" not in run.stderr


@pytest.mark.parametrize("name", ["-x", "a b", "a:b", "x" * 64])
def test_a_name_that_no_token_file_may_have_is_refused(name):
    run = hash_token(f"--name={name}", given=TOKEN)
    assert run.returncode == 2 and b"name" in run.stderr and run.stdout == b""


def test_a_token_is_never_an_argument():
    run = hash_token(TOKEN.decode(), given=b"")
    assert run.returncode == 2 and run.stdout == b""


def test_a_terminal_does_not_show_what_is_typed():
    ours, theirs = pty.openpty()
    with subprocess.Popen([BINARY, "hash-token"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr.read(7) == b"Token: "  # by then the echo is off
        os.write(ours, TOKEN + b"\n")
        assert process.stdout.read() == line_of(TOKEN)
        assert process.wait(10) == 0
    os.write(theirs, b"end")
    shown = b""
    while not shown.endswith(b"end"):
        shown += os.read(ours, 1024)
    assert TOKEN not in shown
    os.close(ours)
    os.close(theirs)
