"""The header of an age file, parsed within bounds: nothing else sees a file before this has.

The format is that of https://age-encryption.org/v1. The work is linear in the header, which is at most some
600 kB: other parsers take seconds for a thousand stanzas, and do not end for two thousand.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

import msgspec

from saver.errors import DamagedError, IncompatibleError

VERSION = b"age-encryption.org/v1"

STANZAS = 64
"""So many recipients a file may have. One stanza of the kind that the library behind pyrage adds, so that
readers stay used to kinds that they do not know, is not counted."""

LINE = 4096
"""Bytes of a line of a header."""

ARGUMENTS = 16
BODY_LINES = 64
WIDTH = 64
"""Columns of the body of a stanza. A shorter line ends it."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_WORD = re.compile(rb"[\x21-\x7e]+")

_COPY = "restore it from a copy"
_FOREIGN = "no program that Saver knows writes that; do not trust the file"


class Stanza(msgspec.Struct, frozen=True):
    """What wraps the key of a file for one recipient."""

    kind: str
    arguments: tuple[bytes, ...]
    body: bytes


class Header(msgspec.Struct, frozen=True):
    """A header: `signed` are the bytes that `mac` is of; the payload begins at `end`."""

    stanzas: tuple[Stanza, ...]
    signed: bytes
    mac: bytes
    end: int

    @property
    def kinds(self) -> set[str]:
        """The kinds of the stanzas."""
        return {stanza.kind for stanza in self.stanzas}


def parse(data: bytes, where: str) -> Header:
    """The header of an age file. Raises IncompatibleError for what is not one, or is beyond the bounds above,
    and DamagedError for one that is cut off or malformed."""
    reader = _Reader(data, where)
    version = reader.line()
    if version != VERSION:
        raise IncompatibleError(
            f"{where}: not a file of age, version 1; check that this is the file that is meant"
        )
    stanzas: list[Stanza] = []
    while (line := reader.line()).startswith(b"-> "):
        stanza = reader.stanza(line)
        if (_counted(stanzas) == STANZAS and not _is_grease(stanza)) or len(stanzas) > STANZAS:
            raise IncompatibleError(
                f"{where}: the header has more than {STANZAS} recipients; Saver reads no more than that; "
                "encrypt it for fewer"
            )
        stanzas.append(stanza)
    if not line.startswith(b"--- "):
        raise reader.malformed("a line is neither of a stanza nor the end of the header")
    if not stanzas:
        raise reader.malformed("it has no recipient")
    mac = reader.decoded(line[4:], 32)
    return Header(tuple(stanzas), data[: reader.before + 3], mac, reader.at)


def _is_grease(stanza: Stanza) -> bool:
    return stanza.kind.endswith("-grease")


def _counted(stanzas: list[Stanza]) -> int:
    return sum(not _is_grease(stanza) for stanza in stanzas)


class _Reader:
    """Reads lines. `at` is where the next one begins, `before` where the last one did."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where = data, where
        self.at = self.before = 0

    def line(self) -> bytes:
        end = self._data.find(b"\n", self.at, self.at + LINE + 1)
        if end < 0:
            if self.at == 0 and not self._data.startswith(VERSION[: len(self._data)]):
                return b""  # not an age file, which is to be said rather than that it is cut off
            if len(self._data) <= self.at + LINE:
                raise DamagedError(f"{self._where}: the header is cut off; {_COPY}")
            raise IncompatibleError(
                f"{self._where}: a line of the header has more than {LINE} bytes; {_FOREIGN}"
            )
        self.before, self.at = self.at, end + 1
        return self._data[self.before : end]

    def stanza(self, line: bytes) -> Stanza:
        """The stanza that begins with this line."""
        words = line[3:].split(b" ")
        if len(words) > ARGUMENTS:
            raise IncompatibleError(
                f"{self._where}: a recipient has more than {ARGUMENTS} arguments; {_FOREIGN}"
            )
        if not all(_WORD.fullmatch(word) for word in words):
            raise self.malformed("a recipient has an argument with other characters than printable ASCII")
        body = b""
        for _ in range(BODY_LINES):
            part = self.line()
            if len(part) > WIDTH:
                raise self.malformed(f"a line of a recipient is longer than {WIDTH} characters")
            body += self.decoded(part)
            if len(part) < WIDTH:
                return Stanza(words[0].decode(), tuple(words[1:]), body)
        raise IncompatibleError(f"{self._where}: a recipient has more than {BODY_LINES} lines; {_FOREIGN}")

    def decoded(self, text: bytes, size: int | None = None) -> bytes:
        """What canonical base64 without padding encodes: `size` bytes if that is given."""
        found = from_base64(text)
        if found is None:
            raise self.malformed("it has base64 that is not canonical")
        if size is not None and len(found) != size:
            raise self.malformed(f"it has {len(found)} bytes where {size} belong")
        return found

    def malformed(self, what: str) -> DamagedError:
        return DamagedError(f"{self._where}: the header is malformed: {what}; {_COPY}")


def from_base64(text: bytes) -> bytes | None:
    """What canonical base64 without padding encodes; None if this is not that."""
    if not _BASE64.fullmatch(text) or len(text) % 4 == 1:
        return None
    found = b64decode(text + b"=" * (-len(text) % 4))
    return found if to_base64(found) == text else None


def to_base64(data: bytes) -> bytes:
    """Canonical base64 without padding."""
    return b64encode(data).rstrip(b"=")
