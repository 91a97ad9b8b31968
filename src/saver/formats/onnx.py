"""ONNX models: read as values without running them, and written from estimators and modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, WritesObjects
from saver.formats._onnx import ALIGNED, cut, is_model, joined
from saver.formats._opening import hashed, opened_value
from saver.formats._writing import Later, Piece, Streamed, padding
from saver.opened import Opened
from saver.repo.manifest import SOLE
from saver.storage import Blob, Progress
from saver.streams import Memory
from saver.tensors import TensorInfo
from saver.tree import Node, Tensor, Value

VALUE = "onnx.model"
"""What trees call a model."""

LIMIT = (1 << 31) - 1
"""Bytes of a message, at most; weights of a larger one are in a file beside it."""


class Onnx(Reads, WritesObjects):
    """A model of ONNX. One that was read is written without being loaded, to the same bytes."""

    name = "onnx"
    title = "ONNX"
    endings = (".onnx",)
    extra = "onnx"

    def recognizes(self, blob: Blob) -> bool:
        """Whether its fields are those of a model, the version of the format first."""
        return blob.read(0, 1) == b"\x08" and is_model(blob.map().data)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """A model as a value. Weights in other files of its folder are read from there."""
        try:
            return _opened(blob, beside)
        except SaverError:
            raise
        except (ValueError, OverflowError) as error:
            raise IncompatibleError(
                f"{blob.name}: Saver cannot read this as a model of ONNX: {error}"
            ) from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write a model as it is, and what else is written in ONNX from the object."""
        opened = chosen.opened
        root = opened.tree(self.part(chosen)).root
        if type(root) is not Node or root.codec != VALUE:
            return super().write(chosen, out, progress)
        try:
            _write(opened, root.state, out, progress)
        except ValueError as error:
            raise IncompatibleError(f"{opened.where}: its model of ONNX cannot be written: {error}") from None
        return []


FORMAT = Onnx()


def _opened(blob: Blob, beside: Beside | None) -> Opened:
    found = cut(blob, beside)
    name, infos, blobs = f"{SOLE}/message", dict[str, TensorInfo](), {blob.name: blob}
    hasher, size = blake3(blob.map().data), blob.size
    if found.message is None:
        infos[name] = hashed(name, "U8", (blob.size,), blob, 0)
    else:
        memory = Memory(bytearray(found.message), f"{blob.name}#message")
        blobs[memory.name] = memory
        infos[name] = hashed(name, "U8", (memory.size,), memory, 0)
    weights: dict[str, Value] = {}
    for number, (dtype, shape, home, start, _) in sorted(found.weights.items()):
        if home.name not in blobs:
            blobs[home.name] = home
            hasher.update(home.map().data)
            size += home.size
        own = f"{SOLE}/{number}"
        infos[own] = hashed(own, dtype, shape, home, start)
        weights[str(number)] = Tensor(own)
    root = Node(VALUE, state={"model": Tensor(name), "weights": weights})
    return opened_value(root, infos, blobs, ("onnx",), blob.name, size, hasher.hexdigest())


def _write(opened: Opened, state: Any, out: Out, progress: Progress | None) -> None:
    message, weights = _held(state)
    infos = {number: opened.tensors.info(name) for number, name in weights.items()}
    lengths = {number: info.length for number, info in infos.items()}
    whole = opened.tensors.read(message).tobytes()
    if len(whole) + sum(lengths.values()) <= LIMIT:
        pieces: list[Piece] = [
            _later(opened, weights[each], lengths[each]) if isinstance(each, int) else each
            for each in joined(whole, lengths)
        ]
        out.add("", Streamed(pieces, progress))
        return
    head = joined(whole, lengths, f"{out.stem}.data")
    pieces = []
    for number, length in sorted(lengths.items()):
        pieces += [_later(opened, weights[number], length), padding(length, ALIGNED)]
    out.add(".data", Streamed(pieces, progress))
    out.add("", Streamed([each for each in head if isinstance(each, bytes)]))


def _held(state: Any) -> tuple[str, Mapping[int, str]]:
    """The names of the tensors of a model: its message, and its weights by number."""
    weights = state.get("weights") if type(state) is dict else None
    if type(weights) is not dict or type(state.get("model")) is not Tensor:
        raise ValueError("it has no message")
    found = {}
    for number, held in weights.items():
        if not (number.isascii() and number.isdecimal() and len(number) < 10 and type(held) is Tensor):
            raise ValueError(f"{number!r:.40} is not the number of a weight")
        found[int(number)] = held.name
    return state["model"].name, found


def _later(opened: Opened, name: str, length: int) -> Later:
    return Later(length, partial(opened.tensors.stream, name), partial(opened.tensors.release, name))
