"""Apache Arrow: arrays, tables and types, as the bytes of an Arrow IPC stream.

Arrow's reader gets untrusted bytes: extension types (whose classes would interpret them) and compressed
buffers (which can claim any size) are refused before they are read, and everything that was read is validated
in full: offsets, indices, UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder
from saver.families.python.builtins import bytes_value, value_bytes
from saver.tree import Node, Value

_ALIGNMENT = 64
_EXTENSION = b"ARROW:extension:name"
_DICTIONARY, _BATCH = 2, 3
_V5 = 4
"""The MetadataVersion that Arrow has written since 1.0. Older versions could declare compressed buffers in
other places, in custom metadata."""


def _refuse_extensions(kind: Any, encoder: Encoder) -> None:
    if isinstance(kind, pa.BaseExtensionType):
        encoder.refuse(f"the Arrow extension type {kind} has no data form; cast to its storage type first")
    if pa.types.is_dictionary(kind):
        _refuse_extensions(kind.value_type, encoder)
    for index in range(kind.num_fields):
        _refuse_extensions(kind.field(index).type, encoder)


def _encode_batches(schema: Any, batches: Sequence[Any], encoder: Encoder) -> Value:
    for field in schema:
        _refuse_extensions(field.type, encoder)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    sink.write(bytes(-sink.tell() % _ALIGNMENT))
    stream = sink.getvalue()
    if stream.size <= INLINE_BYTES:
        return bytes_value(stream.to_pybytes(), encoder)
    return encoder.tensor(np.frombuffer(stream, np.uint8))


def _decode_batches(state: Any, decoder: Decoder) -> tuple[Any, list[Any]]:
    """The schema and the record batches of a stream, checked."""
    data = value_bytes(state, decoder) if isinstance(state, str) else decoder.array(state, "U8", 1)
    stream = pa.py_buffer(data)
    for message in pa.ipc.MessageReader.open_stream(stream):
        metadata = message.metadata.to_pybytes()
        if message.type == "schema" and _EXTENSION in metadata:
            raise ValueError("Arrow extension types are refused")
        if _version(metadata) != _V5:
            raise ValueError("Arrow metadata of a version other than 5 is refused")
        if _is_compressed(metadata):
            raise ValueError("compressed Arrow buffers are refused")
    reader = pa.ipc.open_stream(stream)
    batches = list(reader)
    decoder.budget.charge(4 * stream.size, 1000)
    for batch in batches:
        decoder.budget.charge(steps=batch.num_rows // 64 * batch.num_columns)
        batch.validate(full=True)
    return reader.schema, batches


def _version(message: bytes) -> int:
    """The version of a message's metadata."""
    at = _field(message, _number("I", message, 0), 0)
    return 0 if at is None else int(_number("H", message, at))


def _is_compressed(message: bytes) -> bool:
    """Whether a message declares compression, read from its flatbuffer (see Arrow's Message.fbs)."""
    table = _number("I", message, 0)
    kind = _field(message, table, 1)
    header = _field(message, table, 2)
    if kind is None or header is None or message[kind] not in (_DICTIONARY, _BATCH):
        return False
    batch = header + _number("I", message, header)
    if message[kind] == _DICTIONARY:
        data = _field(message, batch, 1)
        if data is None:
            return False
        batch = data + _number("I", message, data)
    return _field(message, batch, 3) is not None


def _number(code: str, data: bytes, at: int) -> int:
    if at < 0:
        raise ValueError("an offset in an Arrow message points outside the message")
    return int(struct.unpack_from(f"<{code}", data, at)[0])


def _field(data: bytes, table: int, index: int) -> int | None:
    """The offset of a field of a flatbuffer's table; None if it is not set."""
    layout = table - _number("i", data, table)
    if 4 + 2 * index >= _number("H", data, layout):
        return None
    offset = _number("H", data, layout + 4 + 2 * index)
    return table + offset if offset else None


class ArrowTypeCodec(Codec):
    """Arrow types as values."""

    name = "pyarrow.type"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, pa.DataType)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return _encode_batches(pa.schema([pa.field("", obj)]), (), encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        schema, _ = _decode_batches(node.state, decoder)
        (field,) = schema
        return field.type


class ArrowArrayCodec(Codec):
    """Arrays, and chunked arrays with their chunks as they are."""

    name = "pyarrow.array"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, (pa.Array, pa.ChunkedArray))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        chunked = isinstance(obj, pa.ChunkedArray)
        schema = pa.schema([pa.field("", obj.type)])
        chunks = obj.chunks if chunked else [obj]
        batches = [pa.RecordBatch.from_arrays([chunk], schema=schema) for chunk in chunks]
        return ["chunked" if chunked else "array", _encode_batches(schema, batches, encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, stream = node.state
        schema, batches = _decode_batches(stream, decoder)
        (field,) = schema
        chunks = [batch.column(0) for batch in batches]
        if kind == "chunked":
            return pa.chunked_array(chunks, type=field.type)
        (array,) = chunks
        return array


class ArrowTableCodec(Codec):
    """Tables and record batches, with the metadata of their schema."""

    name = "pyarrow.table"
    types = (pa.Table, pa.RecordBatch)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        whole = isinstance(obj, pa.Table)
        batches = obj.to_batches() if whole else [obj]
        return ["table" if whole else "batch", _encode_batches(obj.schema, batches, encoder)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, stream = node.state
        schema, batches = _decode_batches(stream, decoder)
        if kind == "table":
            return pa.Table.from_batches(batches, schema)
        (batch,) = batches
        return batch


CODECS: tuple[Codec, ...] = (ArrowTypeCodec(), ArrowArrayCodec(), ArrowTableCodec())
