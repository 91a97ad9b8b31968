"""Reads a pack: verifies its header, and hands out its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.errors import DamagedError
from saver.pack.layout import BLOCK, HEADER_LIMIT, Entry, no_saver_file, parse_header
from saver.pack.verify import Range, damaged
from saver.storage import Blob, Progress


class Pack:
    """A pack, its header verified. Tensors are mapped privately; `verify` checks their bytes.

    Arrays stay valid after the pack is gone, and writing to them never reaches the file. `start` is where
    the data begins, in bytes; `hash` that of the header, which vouches for the whole.
    """

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.size = blob.size
        header = _read_header(blob)
        self.metadata, self.entries, self.id = parse_header(header, blob.size, blob.name)
        self.start = len(header)
        self.hash: str = self.metadata["saver.header"]

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat and writable. KeyError when there is none.

        Unless the pack is a local file, they are sure to be there only once `verify` was given the name.
        """
        entry = self.entries[name]
        at = self.start + entry.offset
        return entry.dtype, entry.shape, self.blob.map()[at : at + entry.length]

    def places(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, int, int, str]]:
        """What has a hash of its own, of all tensors or of those named, in order.

        A tensor, or a block of one: the tensor's name, start and end in bytes from the beginning of the
        pack, and the hash.
        """
        for name in self.entries if names is None else names:
            entry = self.entries[name]
            start = self.start + entry.offset
            end = start + entry.length
            if not entry.blocks:
                yield name, start, end, entry.hash
            for number, digest in enumerate(entry.blocks):
                at = start + number * BLOCK
                yield name, at, min(at + BLOCK, end), digest

    def damaged(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> set[str]:
        """The names of those tensors, of all or of those named, whose bytes do not match their hashes."""
        chosen = list(self.entries if names is None else names)
        blob = self.blob
        places = [Range(name, blob, start, end, hash_) for name, start, end, hash_ in self.places(chosen)]
        return {name for name in chosen if not _root_matches(self.entries[name])} | damaged(places, progress)

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Raise DamagedError, naming the tensors, unless all, or those named, match their hashes."""
        lost = self.damaged(names, progress)
        if lost:
            told = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            raise DamagedError(
                f"{self.blob.name}: the bytes of {told} are not those that were saved; use a copy of the "
                "file, or load the other parts with lazy=True"
            )


def _root_matches(entry: Entry) -> bool:
    """Whether the tensor's hash vouches for those of its blocks, if it has any."""
    joined = b"".join(map(bytes.fromhex, entry.blocks))
    return not entry.blocks or blake3(joined).hexdigest() == entry.hash


def _read_header(blob: Blob) -> bytes:
    read = blob.read(0, _FIRST_READ)
    first = read[:64]
    length = int.from_bytes(first[:8], "little")
    if len(first) < 16 or first[8:9] != b"{" or length > HEADER_LIMIT:
        raise no_saver_file(first, blob.name)
    if length + 8 > blob.size:
        raise DamagedError(
            f"{blob.name}: cut off: the header takes {length + 8:,} bytes, the file has {blob.size:,}; "
            "copy it again from where it came"
        )
    return read[: 8 + length] if 8 + length <= len(read) else blob.read(0, 8 + length)


_FIRST_READ = 16 << 10
"""Bytes that hold the whole header of a small pack."""
