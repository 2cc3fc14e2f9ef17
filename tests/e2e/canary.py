"""Secrets that are searched for: no form of them, and no piece of WINDOW bytes, may be seen.

    search = Search({"the upstream token": token})
    assert leaks(search, {"log": log, "/metrics": body}) == []

What is found is told by its place, its form and the name of the secret, never by its bytes.
"""

from __future__ import annotations

import base64
import secrets
import string
import urllib.parse
from typing import NamedTuple

WINDOW = 12  # so many bytes of a secret must not be seen together
ALPHABET = string.ascii_letters + string.digits


def canary(prefix: str = "", length: int = 40) -> str:
    """A token that nobody else has: `length` random characters behind the prefix."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))


def pieces(secret: bytes, window: int = WINDOW) -> dict[bytes, str]:
    """Every form in which `window` bytes of the secret could be written, in lower case, and what
    that form is called. None is shorter than the window."""
    found: dict[bytes, str] = {}
    for start in range(len(secret) - window + 1):
        piece = secret[start : start + window]
        forms = {
            "raw": [piece],
            "hex": [piece.hex().encode(), piece.hex(" ").encode(), piece.hex(":").encode()],
            "URL-encoded": [
                urllib.parse.quote_from_bytes(piece, safe="").encode(),
                "".join(f"%{byte:02x}" for byte in piece).encode(),
            ],
            "base64": [],
        }
        # In base64 its letters depend on where in a group of three it stands: without its ends it
        # is the same whatever is around it.
        for lead in range(3):
            padded = base64.b64encode(bytes(lead) + piece)
            inner = padded[4 if lead else 0 : -4]
            forms["base64"] += [inner, inner.translate(bytes.maketrans(b"+/", b"-_"))]
        for form, texts in forms.items():
            for text in texts:
                found.setdefault(text.lower(), form)
    return found


class Hit(NamedTuple):
    secret: str  # its name
    form: str
    start: int  # where in the text, up to `end`
    end: int


class Search:
    """Looks for all pieces of all secrets in one pass over a text.

    Each piece has at least `shortest` bytes, so wherever it stands it covers a whole block of half
    as many bytes of the text, counted from the text's beginning. Those blocks are what is looked
    up; only where one is known from a piece are the pieces themselves compared."""

    def __init__(self, named: dict[str, str], window: int = WINDOW):
        self._owner: dict[bytes, tuple[str, str]] = {}
        for name, secret in named.items():
            found = pieces(secret.encode(), window)
            assert found, f"{name} is shorter than {window} bytes: no search would find it"
            self._owner.update((piece, (name, form)) for piece, form in found.items())
        self._block = (min(map(len, self._owner)) + 1) // 2
        self._blocks: dict[bytes, list[tuple[bytes, int]]] = {}
        for piece in self._owner:
            for at in range(len(piece) - self._block + 1):
                self._blocks.setdefault(piece[at : at + self._block], []).append((piece, at))

    def find(self, text: bytes) -> list[Hit]:
        """Each place once: neighbouring pieces of one form are one hit."""
        text = text.lower()
        size = self._block
        known = self._blocks
        places = {
            (owner, at - inside, at - inside + len(piece))
            for at in range(0, len(text), size)
            if (block := text[at : at + size]) in known
            for piece, inside in known[block]
            for owner in [self._owner[piece]]
            if at >= inside and text.startswith(piece, at - inside)
        }
        return _joined(places)


def _joined(places: set[tuple[tuple[str, str], int, int]]) -> list[Hit]:
    hits: list[Hit] = []
    for (name, form), start, end in sorted(places):
        last = hits[-1] if hits else None
        if last and (last.secret, last.form) == (name, form) and start <= last.end:
            hits[-1] = last._replace(end=max(end, last.end))
        else:
            hits.append(Hit(name, form, start, end))
    return hits


def leaks(search: Search, places: dict[str, bytes]) -> list[str]:
    """What was found, a line for each place: nothing secret is in it."""
    return [
        f"{where}: {hit.secret}, {hit.form}, bytes {hit.start} to {hit.end}"
        for where, text in places.items()
        for hit in search.find(text)
    ]
