"""The file that a sealed pack is: a header that says how it is sealed, the sealed bytes, and a table.

It is a valid safetensors file with two tensors of bytes. The header begins with its commitment, which vouches
for all of it: it is computed from the header with zeros in its place. docs/format/ has the details.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from saver.errors import DamagedError
from saver.storage import ALIGNMENT, Blob
from saver.strict import decodable

PREFIX = b'{"__metadata__":{"saver.seal":"{\\"commitment\\":\\"'
COMMITMENT = slice(8 + len(PREFIX), 8 + len(PREFIX) + 64)
LIMIT = 1 << 20
"""The longest header, in bytes: that of a file for 64 recipients has 16 kB."""


@decodable
class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a pack is sealed. `commitment`, `epoch` and `salt` are hexadecimal; `size` is that of what was
    sealed, and `first` that of its first segment (0: as the others), in bytes; `keys` is the age file, in
    base64, that holds the key of a single file."""

    commitment: str
    seal: str
    salt: str
    size: int
    first: int = 0
    epoch: str = ""
    keys: str = ""


_heads = msgspec.json.Decoder(Head)
_is_key = re.compile(r"[0-9a-f]{64}").fullmatch


def is_sealed(first: bytes) -> bool:
    """Whether a file that begins so is sealed."""
    return first[8 : 8 + len(PREFIX)] == PREFIX


def header_of(head: Head, stored: int, table: int) -> bytes:
    """The header of a file with `stored` sealed bytes and a table of `table` bytes."""
    text = msgspec.json.encode(head).decode()
    document: dict[str, Any] = {
        "__metadata__": {"saver.seal": text},
        "sealed": {"dtype": "U8", "shape": [stored], "data_offsets": [0, stored]},
        "table": {"dtype": "U8", "shape": [table], "data_offsets": [stored, stored + table]},
    }
    data = msgspec.json.encode(document)
    length = -(-(8 + len(data)) // ALIGNMENT) * ALIGNMENT - 8
    return length.to_bytes(8, "little") + data.ljust(length)


def parse_header(blob: Blob) -> tuple[Head, bytes, int, int]:
    """How a file is sealed, its header, and how many sealed bytes and bytes of the table follow.

    Raises DamagedError unless every byte of the header is as Saver writes it, and the file has its size.
    """
    first = blob.read(0, ALIGNMENT)
    if not is_sealed(first):
        raise DamagedError(
            f"{blob.name}: it is not sealed, though everything here should be; somebody put it here: "
            "restore it from a copy",
            rule="6.01",
        )
    length = int.from_bytes(first[:8], "little") + 8
    if length > LIMIT or length % ALIGNMENT or length > blob.size:
        raise _damaged(blob)
    header = first[:length] if length <= len(first) else blob.read(0, length)
    try:
        document = msgspec.json.decode(header[8:])
        head = _heads.decode(document["__metadata__"]["saver.seal"])
        stored, table = (document[name]["shape"][0] for name in ("sealed", "table"))
        if not type(stored) is type(table) is int or not all(map(_is_key, (head.salt, head.commitment))):
            raise _damaged(blob)
        same = header_of(head, stored, table) == header
    except (msgspec.DecodeError, RecursionError, OverflowError, LookupError, TypeError, UnicodeError):
        raise _damaged(blob) from None
    if not same or length + stored + table != blob.size or head.size < 0:
        raise _damaged(blob)
    return head, header, stored, table


def _damaged(blob: Blob) -> DamagedError:
    return DamagedError(
        f"{blob.name}: the header of this sealed file is not as it was written; restore it from a copy",
        rule="6.01",
    )
