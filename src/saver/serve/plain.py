"""Requests over HTTP/1.1 in their plainest form: what is read without h11, and as h11 reads it."""

from __future__ import annotations

import re
from typing import NamedTuple

_PLAIN = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]{1,64}: [ -~]*\r\n){1,64})\r\n")
"""What h11 takes, too, and understands alike: less than it takes."""
_THOUGHT = frozenset({"transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te"})


class Plain(NamedTuple):
    """A request as far as it has come, and how many bytes of its body are missing."""

    target: bytes
    headers: dict[str, str]
    body: bytes
    missing: int


def plain(data: bytes, most: int) -> Plain | None:
    """The one request that is all of `data`, with a header of at most so many bytes; None if it is not as
    plain as that, and h11 has to say what it is."""
    found = _PLAIN.match(data, 0, most)
    if found is None:
        return None
    lines = found[2].decode("ascii").split("\r\n")
    headers = {}
    for line in lines[:-1]:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value.strip(" ")
    length = headers.get("content-length", "")
    if (
        len(headers) != len(lines) - 1
        or "host" not in headers
        or not headers.keys().isdisjoint(_THOUGHT)
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
        or not (length.isdecimal() and len(length) < 10)
    ):
        return None
    missing = int(length) - (len(data) - found.end())
    return Plain(found[1], headers, data[found.end() :], missing) if missing >= 0 else None
