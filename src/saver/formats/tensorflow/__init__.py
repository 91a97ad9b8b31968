"""Checkpoints of TensorFlow, of `tf.train.Saver` (versions 1 and 2) and `tf.train.Checkpoint`, read and
written without TensorFlow as a dict of arrays by name. Names are those that `tf.train.list_variables` gives.
"""

from __future__ import annotations

import math
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import partial
from glob import escape, glob

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of, pieces, release
from saver.formats._opening import opened_dict
from saver.formats._writing import PIECE, Later, Streamed
from saver.formats.tensorflow import slices
from saver.formats.tensorflow.bundle import Bundle
from saver.formats.tensorflow.crc import crc32c
from saver.formats.tensorflow.table import MAGIC, entries
from saver.formats.tensorflow.variables import COMPLEX, DTYPES, STRING, Piece, Variable
from saver.formats.tensorflow.writing import HEADER, Entry, written
from saver.opened import Opened
from saver.protobuf import Malformed, fields
from saver.reading.arrays import Array
from saver.repo.manifest import SOLE
from saver.storage import Blob, Progress
from saver.storage import Bytes as Content
from saver.tensors import NUMPY_DTYPE, Box, Bytes, Hasher, Shard, TensorInfo, check_boxes
from saver.tree import Node, Tensor, Value, encodable

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)


class TensorFlow(Reads, Writes):
    """Checkpoints of TensorFlow: a file, or an index with its data files."""

    last = ".index"

    name = "tensorflow"
    title = "a checkpoint of TensorFlow"
    endings = (".ckpt", ".index")

    def recognizes(self, blob: Blob) -> bool:
        """Whether the file ends as the tables do that checkpoints consist of."""
        return blob.size > len(MAGIC) and blob.read(blob.size - len(MAGIC)) == MAGIC

    def first_of(self, path: str) -> str | None:
        """The index of a checkpoint of version 2, or the first file of version 1, by its prefix."""
        found = (f"{path}.index", *sorted(glob(f"{escape(path)}-00000-of-[0-9][0-9][0-9][0-9][0-9]")))
        return next(filter(os.path.isfile, found), None)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The variables as one part, a dict in the order of their names. `blob` is the index of version 2, or
        a file of version 1; `beside` opens the others in its folder, and is None for bytes that are in no
        folder.

        Everything is read and compared with TensorFlow's sums now. Raises DamagedError if it differs, and
        IncompatibleError if it is malformed, or has types that Saver does not know.
        """
        where, table = blob.name, memoryview(blob.read())
        try:
            return _opened(_variables(blob, table, beside), where, table)
        except (Malformed, ValueError) as error:
            if isinstance(error, SaverError):
                raise
            raise IncompatibleError(f"{where}: this is not a checkpoint of TensorFlow: {error}") from None

    def base(self, path: str) -> str:
        """The prefix that TensorFlow is given."""
        return path.removesuffix(self.last)

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write version 2: all arrays whose type TensorFlow has, by name, in one data file."""
        arrays = arrays_of(chosen).of(_fits)
        nameless = [each for each in arrays.found if not each.name or not encodable(each.name)]
        kept = sorted((each for each in arrays.found if each not in nameless), key=_key)
        arrays._replace(found=kept).some(chosen.opened.where, self.title)
        sums: dict[str, int] = {}

        def data(each: Named) -> Iterator[Bytes]:
            sums[each.name] = 0
            for found in pieces(chosen.opened, each.array):
                sums[each.name] = crc32c(found, sums[each.name])
                yield found

        later = [
            Later(each.array.length, partial(data, each), partial(release, chosen.opened, each.array))
            for each in kept
        ]
        out.add(".data-00000-of-00001", Streamed(later, progress))
        pairs, offset = [(b"", HEADER)], 0
        for each in kept:
            length = each.array.length
            entry = Entry(_KINDS[each.array.form.name], each.array.shape, offset, length, sums[each.name])
            pairs.append((_key(each), entry.message()))
            offset += length
        out.add(self.last, Content(written(pairs)))
        lost = [Loss(each.place, "TensorFlow needs a name for each variable") for each in nameless]
        return [*arrays.losses, *lost]


FORMAT = TensorFlow()

_KINDS = {
    **{dtype: kind for kind, dtype in reversed(DTYPES.items())},
    "U16": 17,
    **{f"complex{16 * int(name[2:]) // 2}": kind for kind, (_, name) in COMPLEX.items()},
}
"""The number of each type; of those that share one form, that of plain numbers."""


def _key(each: Named) -> bytes:
    return each.name.encode()


def _fits(array: Array) -> str:
    """Why TensorFlow cannot hold an array; "" if it can."""
    known = array.form.name in _KINDS and array.form.number[:1] != ">"
    return "" if known else "checkpoints of TensorFlow have no such dtype"


def _variables(blob: Blob, table: memoryview, beside: Beside | None) -> list[Variable]:
    key, first = next(entries(table, blob.name), (b"-", memoryview(b"")))
    header = dict(fields(first))
    if key or 1 not in header:
        raise IncompatibleError(f"{blob.name} is a table of LevelDB, but not one of TensorFlow's checkpoints")
    name = os.path.basename(blob.name)
    if isinstance(header[1], int):
        if beside is None or not name.endswith(".index"):
            raise IncompatibleError(
                f"{blob.name}: this is the index of a checkpoint, whose tensors are in other files; pass its "
                "path, which ends in .index"
            )
        return Bundle(entries(table, blob.name), name.removesuffix(".index"), beside).variables()
    shard = _SHARD.fullmatch(name)
    if shard is None or beside is None:
        return slices.variables([entries(table, blob.name)], blob.name)
    others = (beside(f"{shard[1]}-{number:05}-of-{shard[3]}") for number in range(int(shard[3])))
    return slices.variables((entries(memoryview(each.read()), each.name) for each in others), blob.name)


def _opened(variables: list[Variable], where: str, table: memoryview) -> Opened:
    infos: dict[str, TensorInfo] = {}
    blobs: dict[str, Blob] = {}
    values: dict[str, Value] = {}
    for variable in variables:
        if variable.kind != STRING:
            tensor = f"{SOLE}/{variable.name}"
            infos[tensor] = _info(tensor, variable)
            blobs |= {piece.blob.name: piece.blob for piece in variable.pieces}
        values[variable.name] = _node(variable)
    for_torch = any(info.dtype not in NUMPY_DTYPE for info in infos.values())
    packages = ("numpy", "torch") if for_torch else ("numpy",)
    size = len(table) + sum(blob.size for blob in blobs.values())
    return opened_dict(values, infos, blobs, packages, where, size, blake3(table).hexdigest())


def _info(name: str, variable: Variable) -> TensorInfo:
    """The tensor: one shard for each slice."""
    pieces = sorted(variable.pieces, key=lambda piece: piece.box.offsets)
    dtype, tail = DTYPES.get(variable.kind, ""), tuple[int, ...]()
    if not dtype:
        dtype, tail = COMPLEX[variable.kind][0], (2,)
    try:
        check_boxes(variable.shape, [piece.box for piece in pieces])
    except ValueError as error:
        raise Malformed(f"{variable.name[:80]!r}: {error}") from None
    shards = tuple(_shard(variable.name, dtype, piece, tail) for piece in pieces)
    return TensorInfo(name, dtype, variable.shape + tail, shards)


def _shard(name: str, dtype: str, piece: Piece, tail: tuple[int, ...]) -> Shard:
    hasher = Hasher(piece.length)
    for start in range(piece.start, piece.start + piece.length, PIECE):
        data = piece.blob.read(start, min(start + PIECE, piece.start + piece.length))
        if dtype == "BOOL" and max(data) > 1:
            raise Malformed(f"{name[:80]!r} has bytes that are not booleans")
        hasher.update(memoryview(data))
    found = hasher.hashed()
    extents = ((piece.blob.name, piece.start, piece.length),) if piece.length else ()
    box = Box(piece.box.offsets + (0,) * len(tail), piece.box.sizes + tail)
    return Shard(dtype, box, *found, extents)


def _node(variable: Variable) -> Node:
    tensor = Tensor(f"{SOLE}/{variable.name}")
    shape: list[Value] = list(variable.shape)
    if variable.kind == STRING:
        if variable.strings is None:
            raise Malformed(f"the strings of {variable.name[:80]!r} are missing")
        items: list[Value] = [Node("bytes", state=b64encode(each).decode()) for each in variable.strings]
        return Node("numpy.array", state={"dtype": "|O", "shape": shape, "items": items})
    if variable.kind in COMPLEX:
        data: Value = tensor if math.prod(variable.shape) else ""
        return Node("numpy.array", state={"dtype": COMPLEX[variable.kind][1], "shape": shape, "data": data})
    if DTYPES[variable.kind] not in NUMPY_DTYPE:
        return Node("torch.Tensor", state={"data": tensor})
    return Node("numpy.array", state=tensor)
