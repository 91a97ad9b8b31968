"""What the server and its workers say to each other: frames of MessagePack, with arrays as their bytes.

Nothing here can become code: a worker that a hostile model took over can send numbers and texts, no objects.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np

from saver.errors import IncompatibleError

Arrays: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
"""Columns or tensors by name, each with the rows along its first axis; texts have the dtype object."""

_LENGTH = struct.Struct("<Q")
FRAME = 1 << 31
"""Bytes of one frame at most."""
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


def packed(arrays: Arrays) -> list[object]:
    """Arrays as what MessagePack holds."""
    found: list[object] = []
    for name, array in arrays.items():
        if array.dtype == object:
            found.append((name, "O", array.shape, array.ravel().tolist()))
        else:
            found.append((name, array.dtype.str, array.shape, np.ascontiguousarray(array).data.cast("B")
                          if array.size and array.dtype.kind in "biufc" else array.tobytes()))  # fmt: skip
    return found


def unpacked(items: object) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays again; those of numbers are views of what came. Raises IncompatibleError."""
    found = {}
    try:
        for name, dtype, shape, data in items:  # type: ignore[attr-defined]
            if dtype == "O":
                array = np.empty(math.prod(shape), object)
                if len(data) != array.size:
                    raise ValueError(f"{len(data)} values for the shape {shape}")
                array[:] = data
            else:
                array = np.frombuffer(data, np.dtype(dtype))
            found[name] = array.reshape(shape)
    except (TypeError, ValueError) as error:
        raise IncompatibleError(
            f"a worker's arrays: {error}; this is a defect of Saver or its model"
        ) from None
    return found


def frame(message: object) -> bytes:
    """A message, with its length before it."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


def send(to: socket.socket, message: object) -> None:
    """Send a message, and wait until it is sent."""
    to.sendall(frame(message))


PIECE = 64 * 1024
"""Bytes that are read at once: most messages in one system call."""


def receive(of: socket.socket) -> Any:
    """The next message; None if the other side has gone. It sends no second one before this is answered."""
    data = of.recv(PIECE)
    while 0 < len(data) < _LENGTH.size:
        more = of.recv(PIECE)
        if not more:
            return None
        data += more
    if not data:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if len(data) == _LENGTH.size + length:
        return _decode(memoryview(data)[_LENGTH.size :])
    found = bytearray(length)
    view = memoryview(found)
    view[: len(data) - _LENGTH.size] = data[_LENGTH.size :]
    view = view[len(data) - _LENGTH.size :]
    while view:
        got = of.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return _decode(found)


class Line(asyncio.Protocol):
    """The server's end: calls `heard` with each message, and `ended` once the other side is gone."""

    def __init__(self, heard: Callable[[Any], None], ended: Callable[[], None]) -> None:
        self._heard, self._ended = heard, ended
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop has another base
        self._transport.set_write_buffer_limits(high=FRAME - 1)

    def say(self, message: object) -> None:
        """Send a message; without effect if the other side has gone, which `ended` reports."""
        if self._transport is not None:
            self._transport.write(frame(message))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > FRAME:
                self.close()
                return
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = _decode(bytes(memoryview(self._buffer)[_LENGTH.size : end]))
            del self._buffer[:end]
            self._heard(message)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended()


async def connect(end: socket.socket, heard: Callable[[Any], None], ended: Callable[[], None]) -> Line:
    """A line over this end of a pair of sockets."""
    end.setblocking(False)
    _, line = await asyncio.get_running_loop().create_connection(lambda: Line(heard, ended), sock=end)
    return line
