"""GGUF files, of llama.cpp and others: metadata and tensors.

Specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of
from saver.formats._gguf import BLOCKS, MAGIC, TENSORS, Cursor, Typed, encoded_pair, encoded_text
from saver.formats._later import later
from saver.formats._opening import AXES, Tree, dict_of, hashed, opened_parts
from saver.formats._writing import Later, Streamed, padding
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.repo.manifest import SOLE
from saver.storage import Blob, Progress
from saver.tensors import ITEM_SIZE, NUMPY_DTYPE, TensorInfo
from saver.tree import EXACT_INTEGER, Node, Tensor, Value

_ALIGNMENT = 32
_LONGEST, _MOST_AXES = 63, 4
"""Bytes of a tensor's name, and axes, that GGML has room for."""

_KINDS = {dtype: kind for kind, dtype in TENSORS.items()}


class Gguf(Reads, Writes):
    """Metadata and tensors."""

    name = "gguf"
    title = "GGUF"
    endings = (".gguf",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as such files do."""
        return blob.read(0, len(MAGIC)) == MAGIC

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The parts `metadata`, a dict, and `tensors`, a dict of arrays. A quantized tensor is a dict of its
        `type`, its `shape`, and its `blocks` as bytes."""
        try:
            return _opened(blob)
        except SaverError:
            raise
        except (ValueError, OverflowError, struct.error) as error:
            raise IncompatibleError(f"{blob.name}: this is not a GGUF file: {error}") from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write all arrays whose dtype GGML has; and the metadata, if a part of that name was read from such
        a file."""
        opened = chosen.opened
        pairs, lost = _metadata(opened) if "metadata" in chosen.parts else ([], [])
        parts = tuple(part for part in chosen.parts if part != "metadata" or not pairs)
        arrays = arrays_of(Chosen(opened, parts)).of(_fits)
        kept = [each for each in arrays.found if len(each.name.encode()) <= _LONGEST]
        lost += [
            Loss(each.place, f"its name has more than {_LONGEST} bytes")
            for each in arrays.found
            if each not in kept
        ]
        lost += [
            Loss(each.place, "a scalar is written as an array of one number")
            for each in kept
            if not each.array.shape
        ]
        arrays._replace(found=kept).some(opened.where, self.title)
        out.add("", _content(opened, pairs or [("general.architecture", Typed(8, "saver"))], kept, progress))
        return [*arrays.losses, *lost]


FORMAT = Gguf()


def _fits(array: Array) -> str:
    if array.form.name not in _KINDS:
        return "GGUF has no such dtype"
    if len(array.shape) > _MOST_AXES or not array.count:
        return f"GGUF has no arrays without numbers, or with more than {_MOST_AXES} axes"
    return ""


def _content(
    opened: Opened, pairs: list[tuple[str, Typed]], found: list[Named], progress: Progress | None
) -> Streamed:
    own = next((value.value for key, value in pairs if key == "general.alignment"), b"")
    alignment = int.from_bytes(own, "little") if isinstance(own, bytes) and own else _ALIGNMENT
    head = bytearray(MAGIC + struct.pack("<IQQ", 3, len(found), len(pairs)))
    for key, value in pairs:
        head += encoded_pair(key, value)
    offset, pieces = 0, list[bytes | Later]()
    for each in found:
        shape = each.array.shape[::-1] or (1,)
        head += (
            encoded_text(each.name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        )
        head += struct.pack("<IQ", _KINDS[each.array.form.name], offset)
        fill = padding(each.array.length, alignment)
        pieces += [later(opened, each.array), fill]
        offset += each.array.length + len(fill)
    return Streamed([bytes(head) + padding(len(head), alignment), *pieces], progress)


def _metadata(opened: Opened) -> tuple[list[tuple[str, Typed]], list[Loss]]:
    """The metadata of a part that was read from a GGUF file, and what of it has no form there."""
    root: Any = opened.tree("metadata").root
    pairs, lost = list[tuple[str, Typed]](), list[Loss]()
    state = root.state if type(root) is Node and root.codec == "dict" else None
    for key, value in state.items() if type(state) is dict else ():
        found = Typed.of(value, opened)
        if found is None:
            lost.append(Loss(f"$.metadata.{key}", "it has no form in the metadata of GGUF"))
        else:
            pairs.append((key, found))
    return pairs, lost


class _Place(NamedTuple):
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def length(self) -> int:
        """In bytes. Raises ValueError for an unknown type, or a row that is not of whole blocks."""
        if self.kind in TENSORS:
            return math.prod(self.shape) * ITEM_SIZE[TENSORS[self.kind]]
        if self.kind not in BLOCKS:
            raise ValueError(f"{self.name[:80]!r} has the unknown type {self.kind}")
        _, numbers, size = BLOCKS[self.kind]
        if not self.shape or self.shape[-1] % numbers:
            raise ValueError(f"the rows of {self.name[:80]!r} are not of whole blocks")
        return math.prod(self.shape) // numbers * size


def _opened(blob: Blob) -> Opened:
    cursor = Cursor(blob)
    version, count, pairs = cursor.unpack("<IQQ")
    if version not in (2, 3):
        raise ValueError(f"it has the version {version}; Saver reads 2 and 3")
    metadata, alignment = _pairs(cursor, pairs)
    cursor.check(count, 24)
    places = [_place(cursor) for _ in range(count)]
    start = cursor.at + -cursor.at % alignment
    infos, values = dict[str, TensorInfo](), dict[str, Value]()
    end = 0
    for place in sorted(places, key=lambda each: each.offset):
        if place.name in values:
            raise ValueError(f"the tensor {place.name[:80]!r} is there twice")
        if place.offset % alignment or place.offset < end or start + place.offset + place.length > blob.size:
            raise ValueError(f"the tensor {place.name[:80]!r} is not where it could be")
        end = place.offset + place.length
        info, values[place.name] = _tensor(place, blob, start)
        infos[info.name] = info
    values = {place.name: values[place.name] for place in places}
    needs = ("torch",) if any(info.dtype not in NUMPY_DTYPE for info in infos.values()) else ("numpy",)
    parts = {
        "metadata": Tree(dict_of(metadata), {}, ("numpy",)),
        "tensors": Tree(dict_of(values), {}, needs),
    }
    digest = blake3(blob.map().data).hexdigest()
    return opened_parts(parts, infos, {blob.name: blob}, blob.name, blob.size, digest)


def _pairs(cursor: Cursor, count: int) -> tuple[dict[str, Value], int]:
    """The metadata, and the alignment that it gives."""
    metadata: dict[str, Value] = {}
    alignment = _ALIGNMENT
    cursor.check(count, 13)
    for _ in range(count):
        key = cursor.text()
        if key in metadata:
            raise ValueError(f"{key[:80]!r} is there twice")
        (kind,) = cursor.unpack("<I")
        metadata[key], plain = cursor.value(kind)
        if key == "general.alignment":
            alignment = plain if type(plain) is int else 0
    if not 0 < alignment <= 1 << 20 or alignment % 8:
        raise ValueError(f"the alignment {alignment} cannot be")
    return metadata, alignment


def _place(cursor: Cursor) -> _Place:
    name = cursor.text()
    (axes,) = cursor.unpack("<I")
    if axes > AXES:
        raise ValueError(f"the tensor {name[:80]!r} has {axes} axes")
    shape = cursor.unpack(f"<{axes}Q")
    if any(size > EXACT_INTEGER for size in shape):
        raise ValueError(f"the tensor {name[:80]!r} has the shape {str(shape)[:80]}")
    kind, offset = cursor.unpack("<IQ")
    return _Place(name, tuple(reversed(shape)), kind, offset)


def _tensor(place: _Place, blob: Blob, start: int) -> tuple[TensorInfo, Value]:
    name = f"{SOLE}/{place.name}"
    if place.kind in TENSORS:
        info = hashed(name, TENSORS[place.kind], place.shape, blob, start + place.offset)
        in_torch = info.dtype not in NUMPY_DTYPE
        node = Node("torch.Tensor", state={"data": Tensor(name)}) if in_torch else None
        return info, node or Node("numpy.array", state=Tensor(name))
    info = hashed(name, "U8", (place.length,), blob, start + place.offset)
    quantized: dict[str, Value] = {
        "type": BLOCKS[place.kind][0],
        "shape": Node("list", state=list(place.shape)),
        "blocks": Node("numpy.array", state=Tensor(name)),
    }
    return info, dict_of(quantized)
