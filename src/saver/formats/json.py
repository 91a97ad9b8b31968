"""Everything that a version holds as readable JSON: trees as they are, and numbers that read back the same.

A document is `{"saver.json": 1, "whole": …, "parts": …, "tensors": …}`. Parts are trees and batches, as in
docs/format/. A tensor is `{"dtype", "shape", "data"}`: its numbers in nested lists, the last axis on one
line; those that JSON lacks are the strings "nan", "inf", "-inf", and a nan with other bits than usual is
"nan:" and its bits in hexadecimal. Floats of 8 bits are their bits, as integers. The bytes of small arrays,
which trees hold themselves, are written as `{"$numbers": "1.0 2.5"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import IO, Any

import msgspec
import numpy as np
from blake3 import blake3

from saver.errors import CannotSaveError, IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._numbers import as_it_was, bytes_of, readable, texts_of
from saver.formats._opening import Tree, opened_parts
from saver.formats._writing import spread
from saver.opened import Opened
from saver.repo.manifest import values
from saver.storage import Blob, Progress
from saver.streams import Memory
from saver.strict import strict_json
from saver.tensors import ITEM_SIZE, Shard, TensorData, TensorInfo, hash_of, in_one, whole
from saver.tree import Tensor, walk

_MARK = b'{"saver.json":1'
LARGEST = 16 << 20
"""Bytes of tensors that are written: more is nothing to read."""

_AXES = 64


class Json(Reads, Writes):
    """A readable document, which holds everything; for small models."""

    name = "json"
    title = "JSON"
    endings = (".json",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as such documents do, whatever the white space."""
        start = blob.read(0, 200).decode("utf-8", "replace")
        return "".join(start.split()).encode().startswith(_MARK)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """What was written. Its tensors are in memory then."""
        text = blob.read()
        try:
            found = msgspec.convert(strict_json(text, blob.name), _Document)
            if found.format != 1:
                raise ValueError(f"it has the form {found.format}, which a newer Saver reads")
            return _opened(found, blob, blake3(text).hexdigest())
        except CannotSaveError as error:  # a number in a tree that no codec writes
            raise IncompatibleError(f"{blob.name}: this is not what Saver writes as JSON: {error}") from None
        except SaverError:
            raise
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise IncompatibleError(f"{blob.name}: this is not what Saver writes as JSON: {error}") from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write the parts, and those that they refer to."""
        opened = chosen.opened.only(chosen.parts)
        names = dict.fromkeys(each.name for each in _tensors(opened))
        total = sum(opened.tensors.info(name).length for name in names)
        if total > LARGEST:
            raise IncompatibleError(
                f"{opened.where}: its tensors have {total:,} bytes, and JSON is written for at most "
                f"{LARGEST:,}; write another format, or choose some parts"
            )
        report = spread(progress, (opened.tensors.info(name).length for name in names))
        with open(out.path(""), "w", encoding="utf-8", newline="\n") as file:
            file.write(f'{{"saver.json": 1,\n"whole": {json.dumps(opened.manifest.whole)},\n')
            file.write(f'"environment": {json.dumps(opened.manifest.environment)},\n"parts": {{')
            _write_parts(file, opened)
            file.write('},\n"tensors": {')
            for number, name in enumerate(names):
                file.write(",\n" if number else "\n")
                _write_tensor(file, opened, name)
                report(opened.tensors.info(name).length)
            file.write("}}\n")
        return [
            Loss("$", f"{what} of the version")
            for what in ("metrics", "notes", "data")
            if getattr(opened.manifest, what)
        ]


FORMAT = Json()


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data: Any


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    tree: Any
    packages: tuple[str, ...] = ()
    batches: dict[str, Any] = {}


class _Document(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    whole: bool
    parts: dict[str, _Part]
    tensors: dict[str, _Tensor]
    environment: dict[str, Any] = {}
    format: int = msgspec.field(name="saver.json")


def _tensors(opened: Opened) -> Iterator[Tensor]:
    for tree in opened.trees.values():
        for root in tree.roots:
            yield from (each for each in walk(root) if type(each) is Tensor)


def _write_parts(file: IO[str], opened: Opened) -> None:
    for number, (name, tree, batches) in enumerate(values(opened.manifest.parts, opened.where)):
        part = opened.manifest.parts[name]
        document = {"packages": part.packages, "tree": readable(tree)}
        if batches:
            document["batches"] = readable(batches)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        file.write(f"{',' if number else ''}\n{json.dumps(name)}: {text}")


def _write_tensor(file: IO[str], opened: Opened, name: str) -> None:
    info = opened.tensors.info(name)
    start = {"dtype": info.dtype, "shape": info.shape}
    file.write(f'{json.dumps(name, ensure_ascii=False)}: {json.dumps(start)[:-1]}, "data": ')
    raw = opened.tensors.read(name)
    words = info.dtype in ("F16", "F32", "F64", "BF16")
    numbers = [json.dumps(each) if words and "n" in each else each for each in texts_of(raw, info.dtype)]
    for text in _nested(numbers, info.shape, 0):
        file.write(text)
    file.write("}")


def _nested(numbers: list[str], shape: tuple[int, ...], at: int) -> Iterator[str]:
    if not shape:
        yield numbers[at]
    elif len(shape) == 1:
        yield f"[{', '.join(numbers[at : at + shape[0]])}]"
    else:
        size = math.prod(shape[1:])
        yield "["
        for row in range(shape[0]):
            if row:
                yield ",\n"
            yield from _nested(numbers, shape[1:], at + row * size)
        yield "]"


def _opened(document: _Document, blob: Blob, digest: str) -> Opened:
    memory, infos = bytearray(), dict[str, TensorInfo]()
    for name, tensor in document.tensors.items():
        raw = _raw(tensor, name)
        extents = ((blob.name, len(memory), len(raw)),) if raw else ()
        found = hash_of(TensorData("U8", (len(raw),), np.frombuffer(raw, np.uint8)))
        infos[name] = in_one(name, Shard(tensor.dtype, whole(tensor.shape), *found, extents))
        memory += raw
    held = Memory(memory, blob.name)
    parts = {
        name: Tree(as_it_was(part.tree), as_it_was(part.batches), part.packages)
        for name, part in document.parts.items()
    }
    return opened_parts(
        parts, infos, {blob.name: held}, blob.name, blob.size, digest, document.whole, document.environment
    )


def _raw(tensor: _Tensor, name: str) -> bytes:
    """The bytes of a tensor. Raises ValueError unless it has the numbers that its shape needs."""
    if tensor.dtype not in ITEM_SIZE or len(tensor.shape) > _AXES or any(size < 0 for size in tensor.shape):
        raise ValueError(f"the tensor {name[:80]!r} has no such dtype or shape")
    flat: list[Any] = [tensor.data]
    for size in tensor.shape:
        if not all(type(row) is list and len(row) == size for row in flat):
            raise ValueError(f"the tensor {name[:80]!r} does not have the shape {str(tensor.shape)[:80]}")
        flat = [item for row in flat for item in row]
    if tensor.dtype == "BOOL":
        kinds: tuple[type, ...] = (bool,)
    else:
        real = tensor.dtype in ("BF16", "F16", "F32", "F64")
        kinds = (int, float, str) if real else (int,)
    if not all(type(item) in kinds for item in flat):
        raise ValueError(f"the tensor {name[:80]!r} holds something that is not one of its numbers")
    return bytes_of(flat, tensor.dtype)
