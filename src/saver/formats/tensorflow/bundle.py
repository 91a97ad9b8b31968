"""Version 2 of TensorFlow's checkpoints: `PREFIX.index` and `PREFIX.data-00000-of-00001` …

Messages: tensorflow/core/protobuf/tensor_bundle.proto. The forms of strings and of the keys of slices:
tensorflow/core/util/tensor_bundle/tensor_bundle.cc and tensorflow/core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from saver.errors import DamagedError, IncompatibleError
from saver.format import Beside
from saver.formats._writing import PIECE
from saver.formats.tensorflow.crc import crc32c, unmasked
from saver.formats.tensorflow.variables import STRING, Variable, box_of, shape_of, slice_of
from saver.protobuf import Malformed, Value, fields, integer, varint
from saver.storage import Blob
from saver.tensors import whole


@dataclass
class _Entry:
    """A BundleEntryProto."""

    kind: int = 0
    shape: tuple[int, ...] = ()
    file: int = 0
    offset: int = 0
    size: int = 0
    sum: int = 0
    slices: list[list[tuple[int, int]]] = field(default_factory=list)

    @classmethod
    def parsed(cls, data: memoryview) -> _Entry:
        entry = cls()
        for number, value in fields(data):
            if number == 2:
                entry.shape = shape_of(value)
            elif number == 7:
                entry.slices.append(slice_of(value))
            elif number in _NUMBERS:
                setattr(entry, _NUMBERS[number], integer(value))
        if min(entry.file, entry.offset, entry.size) < 0:
            raise Malformed("an entry has a negative place")
        return entry


_NUMBERS = {1: "kind", 3: "file", 4: "offset", 5: "size", 6: "sum"}


class Bundle:
    """A checkpoint by its index. `prefix` is the name of the index without its ending."""

    def __init__(self, table: Iterable[tuple[bytes, memoryview]], prefix: str, beside: Beside) -> None:
        self._prefix, self._beside = prefix, beside
        self._blobs: dict[int, Blob] = {}
        self._read = Counter[str]()
        """How many bytes of each data file were read."""
        pairs = dict(table)
        self._files = self._header(pairs.pop(b"", memoryview(b"")))
        self._entries = {key: _Entry.parsed(value) for key, value in pairs.items()}

    def _header(self, data: memoryview) -> int:
        """The number of data files, by a BundleHeaderProto."""
        header: Mapping[int, Value] = dict(fields(data))
        files, endian = integer(header.get(1, 0)), integer(header.get(2, 0))
        if endian:
            raise IncompatibleError(
                f"{self._prefix}: the checkpoint was written by a big-endian machine, which Saver cannot "
                "read; load it with tf.train.load_checkpoint, and save a dict of its tensors"
            )
        if not 0 < files < 100_000:
            raise Malformed("the number of its data files is missing")
        return files

    def variables(self) -> list[Variable]:
        """All, in the order of their names; the bytes of each are compared with its sum."""
        pieces = set[bytes]()
        of = {key: self._pieces(key, entry, pieces) for key, entry in self._entries.items()}
        return [
            self._variable(_name(key), entry, of[key])
            for key, entry in self._entries.items()
            if key not in pieces
        ]

    def _pieces(self, key: bytes, entry: _Entry, seen: set[bytes]) -> list[_Entry]:
        """The entries of the slices of an entry, whose keys are added to those that were `seen`."""
        found = []
        for piece in _slice_keys(key, entry.slices):
            if piece not in self._entries or piece in seen:  # each has a key of its own: so keys take little
                raise Malformed(f"a slice of {_name(key)[:80]!r} is missing, or there twice")
            seen.add(piece)
            found.append(self._entries[piece])
        return found

    def _variable(self, name: str, entry: _Entry, pieces: list[_Entry]) -> Variable:
        variable = Variable(name, entry.kind, entry.shape)
        variable.check_kind(self._prefix)
        if entry.kind == STRING:
            variable.strings = self._strings(variable, entry)
        elif entry.slices:
            for each, piece in zip(entry.slices, pieces, strict=True):
                if piece.slices or piece.kind != entry.kind:
                    raise Malformed(f"a slice of {name[:80]!r} is something else")
                self._add(variable, each, piece)
        else:
            self._add(variable, [], entry)
        return variable

    def _add(self, variable: Variable, extents: list[tuple[int, int]], entry: _Entry) -> None:
        box = box_of(extents, variable.shape) if extents else whole(variable.shape)
        blob = self._file(entry.file)
        variable.add(box, blob, entry.offset, entry.size)
        self._claim(blob, entry)
        self._verify(variable.name, entry, _sum(blob, entry.offset, entry.offset + entry.size))

    def _verify(self, name: str, entry: _Entry, found: int) -> None:
        if found != unmasked(entry.sum):
            raise DamagedError(
                f"{self._file(entry.file).name}: the bytes of {name[:80]!r} are not what was written; "
                "copy the checkpoint from its source again"
            )

    def _file(self, number: int) -> Blob:
        if number >= self._files:
            raise Malformed(f"there is no data file {number}")
        if number not in self._blobs:
            name = f"{self._prefix}.data-{number:05}-of-{self._files:05}"
            self._blobs[number] = self._beside(name)
        return self._blobs[number]

    def _claim(self, blob: Blob, entry: _Entry) -> None:
        """Refuse an entry that shares bytes with another: that would have a small file read for ever."""
        if entry.offset + entry.size > blob.size:
            raise Malformed(f"an entry is beyond the end of {blob.name}")
        self._read[blob.name] += entry.size
        if self._read[blob.name] > blob.size:
            raise Malformed(f"its entries have more bytes than {blob.name}")

    def _strings(self, variable: Variable, entry: _Entry) -> list[bytes]:
        """Lengths, their sum, and the strings. The entry's sum is that of lengths as words, sum, strings."""
        count = math.prod(entry.shape)
        if entry.slices or count > entry.size:
            raise Malformed(f"the strings of {variable.name[:80]!r} are not there")
        blob = self._file(entry.file)
        self._claim(blob, entry)
        data = memoryview(blob.read(entry.offset, entry.offset + entry.size))
        lengths, at = [], 0
        for _ in range(count):
            length, at = varint(data, at)
            lengths.append(length)
        if at + 4 + sum(lengths) != len(data):
            raise Malformed(f"the strings of {variable.name[:80]!r} do not have the lengths that they should")
        words = b"".join(length.to_bytes(4 if length < 1 << 32 else 8, "little") for length in lengths)
        self._verify(variable.name, entry, crc32c(bytes(data[at:]), crc32c(words)))
        at += 4
        found = []
        for length in lengths:
            found.append(bytes(data[at : at + length]))
            at += length
        return found


def _sum(blob: Blob, start: int, end: int) -> int:
    """The sum of these bytes, of which a few are in memory at a time."""
    found = 0
    for at in range(start, end, PIECE):
        found = crc32c(blob.read(at, min(at + PIECE, end)), found)
    return found


def _name(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def _slice_keys(name: bytes, slices: list[list[tuple[int, int]]]) -> Iterator[bytes]:
    """The key of each slice: zero, the name, the number of axes, and where it begins and how long it is."""
    if not slices:
        return
    escaped = b"".join({0: b"\0\xff", 255: b"\xff\0"}.get(byte, bytes((byte,))) for byte in name)
    for extents in slices:
        axes = bytes((1, len(extents))) if extents else b"\0"
        numbers = b"".join(_signed(number) for extent in extents for number in extent)
        yield b"\0" + escaped + b"\0\x01" + axes + numbers


def _signed(number: int) -> bytes:
    """A signed number whose bytes sort as numbers do: as many ones first as it has bytes."""
    bits = (~number if number < 0 else number).bit_length()
    length = bits // 7 + 1
    if length == 1:
        return bytes((0x80 ^ number & 0xFF,))
    marks = (((1 << length) - 1) << (16 - length)).to_bytes(2, "big")
    body = bytearray(number.to_bytes(10, "big", signed=True)[-length:])
    body[0] ^= marks[0]
    body[1] ^= marks[1]
    return bytes(body)
