"""Reads a pack: verifies its header, and gives access to its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from saver.errors import DamagedError, IncompatibleError
from saver.garbage import uncollected
from saver.pack.layout import HEADER_LIMIT, check_header, is_foreign, parse_header
from saver.pack.source import PackedTensors
from saver.pack.unknown import no_saver_file
from saver.pack.verify import Range, damaged
from saver.rules import rule_of
from saver.storage import Blob, Progress
from saver.tensors import Shard, TensorInfo, put_together


class Pack:
    """A pack whose header is verified. `damaged` checks the bytes; `source` reads and verifies them.

    `start` is where the data begins, in bytes; `hash` is the hash of the header, which vouches for the whole
    pack. `shards` are all shards in the pack by name, even if other shards of the same tensor are elsewhere.
    """

    def __init__(self, blob: Blob, header: bytes | None = None) -> None:
        self.blob = blob
        self.size = blob.size
        header = read_header(blob) if header is None else header
        if len(header) <= FIRST_READ:
            found = parse_header(header, blob.size, blob.name)
        else:
            found = uncollected(parse_header, header, blob.size, blob.name)
        self.metadata, self.id, self.cuts = found.metadata, found.id, found.cuts
        self.shards: dict[str, Shard] = found.shards
        self.start = len(header)
        self.hash: str = self.metadata["saver.header"]

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """The tensors, all of whose shards must be here. Raises IncompatibleError if boxes do not tile."""
        try:
            return put_together(self.shards, self.cuts)
        except ValueError as error:
            raise IncompatibleError(
                f"{self.blob.name}: the header does not describe a whole file: {error}",
                rule=rule_of(error, "1.26"),
            ) from None

    def source(self) -> PackedTensors:
        """A source for the tensors of a pack that has all of them."""
        return PackedTensors(
            self.tensors, lambda names: dict.fromkeys(names, self.blob), self.blob.name,
            "use a copy of the file, or load the other parts with lazy=True", size=self.size,
        )  # fmt: skip

    def ranges(self, names: Iterable[str] | None = None) -> Iterator[Range]:
        """Everything that has its own hash, in all shards or in those named, in order: each shard, or its
        blocks."""
        for name in self.shards if names is None else names:
            for _, digest, (_, start, length) in self.shards[name].block_extents():
                yield Range(name, start, start + length, digest)

    def damaged(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> set[str]:
        """The names of the shards (of all, or of those named) whose bytes do not match their hashes."""
        chosen = list(self.shards if names is None else names)
        lost = damaged([(self.blob, self.ranges(chosen))], progress)
        return lost | {name for name in chosen if not self.shards[name].root_matches()}


def header_size(first: bytes, size: int, name: str) -> int:
    """How many bytes of a pack come before its data, according to its `first` bytes, of which there should be
    64. `size` is the size of the whole pack. Raises DamagedError or IncompatibleError if it cannot be a pack.
    """
    length = int.from_bytes(first[:8], "little")
    if len(first) < 16 or first[8:9] != b"{":
        raise no_saver_file(first[:64], name, "1.04")
    if length > HEADER_LIMIT:
        raise no_saver_file(first[:64], name, "1.02")
    if length + 8 > size:
        raise DamagedError(
            f"{name}: cut off: the header takes {length + 8:,} bytes, the file has {size:,}; "
            "copy it from its source again",
            rule="1.01",
        )
    return length + 8


def whole_size(header: bytes, name: str) -> int:
    """How many bytes a pack has, by its header, which must match its hash. Errors as in `header_size`."""
    if not is_foreign(header):
        check_header(header, name)
    try:
        slots = _slots.decode(header[8:])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(f"{name}: this is not the header of a pack: {error}") from None
    return len(header) + max(slot.data_offsets[1] for slot in slots.values())


class _Slot(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


_slots = msgspec.json.Decoder(dict[str, _Slot])


def read_header(blob: Blob) -> bytes:
    """The length and the header of a pack, or of another safetensors file. Errors as in `header_size`."""
    read = blob.read(0, FIRST_READ)
    size = header_size(read[:64], blob.size, blob.name)
    return read[:size] if size <= len(read) else blob.read(0, size)


FIRST_READ = 16 << 10
"""Bytes that hold the whole header of a small pack."""
