"""HDF5 files, each read by a process of its own.

The compiled code of HDF5 believes what a file says, and ends the process that it runs in on some changed
ones. So it runs in another one, which has nothing of the user's: it gets the bytes that it asks for, and
answers with names, dtypes, places and bytes. A template that has imported h5py is started with the first
file; each file is read by a fork of it, which ends with the file, or with the time that its size allows. What
has no `fork` (Windows) reads in this process.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, Protocol

from saver import forks
from saver.errors import IncompatibleError, LimitExceededError, SaverError
from saver.format import missing
from saver.formats._blobs import BlobFile
from saver.formats._hdf5 import BROKEN, Held, Reader, library
from saver.storage import Blob

_SECONDS, _RATE = 60, 1 << 20
"""A reader may take so many seconds of a processor, and one more for so many bytes of the file."""

_BLOCK, _LONGEST = 1 << 16, 2 << 30
_START = """
import json, os, sys
if os.fork():
    os._exit(0)
sys.path[:] = json.loads(sys.argv[2])
from saver.formats._hdf5_apart import template
template(int(sys.argv[1]))
"""
_ERRORS: dict[str, type[SaverError]] = {
    each.__name__: each for each in (IncompatibleError, LimitExceededError)
}


class Source(Protocol):
    """What reads an HDF5 file, here or apart, as `Reader` does."""

    def sets(self) -> list[Held]: ...

    def pieces(self, name: str) -> Iterator[bytes]: ...

    def attributes(self, group: str) -> list[str] | None: ...

    def texts(self, group: str, name: str, longest: int) -> list[bytes]: ...


@contextmanager
def source_of(blob: Blob) -> Iterator[Source]:
    """An HDF5 file. Raises IncompatibleError for one that is broken, and where h5py is not installed."""
    if find_spec("h5py") is None:
        raise missing("h5py", "hdf5")
    if not hasattr(os, "fork"):
        here = Reader(BlobFile(blob), blob.name, blob.size)
        try:
            yield here
        finally:
            here.close()
        return
    with _connected(blob.name) as connection:
        yield _Apart(_Line(connection), blob)


class _Line:
    """Messages between the two processes: a letter, and bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, kind: bytes, data: bytes = b"") -> None:
        self._connection.sendall(kind + len(data).to_bytes(8, "big") + data)

    def receive(self) -> tuple[bytes, bytes]:
        """The next message. Raises EOFError if the other process has ended."""
        head = self._exactly(9)
        return head[:1], self._exactly(int.from_bytes(head[1:], "big"))

    def _exactly(self, size: int) -> bytes:
        if size > _LONGEST:
            raise EOFError
        found, at = bytearray(size), 0
        while at < size:
            more = self._connection.recv_into(memoryview(found)[at:])
            if not more:
                raise EOFError
            at += more
        return bytes(found)


class _Apart:
    """An HDF5 file, as the process that asks has it."""

    def __init__(self, line: _Line, blob: Blob) -> None:
        self._line, self._blob = line, blob
        list(self._asked({"where": blob.name, "size": blob.size}))

    def sets(self) -> list[Held]:
        return [Held(name, form, tuple(shape), *rest) for name, form, shape, *rest in self._answer("sets")]

    def pieces(self, name: str) -> Iterator[bytes]:
        for kind, data in self._asked(["pieces", name]):
            if kind == b"d":
                yield data

    def attributes(self, group: str) -> list[str] | None:
        found: list[str] | None = self._answer("attributes", group)
        return found

    def texts(self, group: str, name: str, longest: int) -> list[bytes]:
        return [text.encode("latin-1") for text in self._answer("texts", group, name, longest)]

    def _answer(self, *asked: Any) -> Any:
        return next(json.loads(data) for kind, data in self._asked(asked) if kind == b"a")

    def _asked(self, asked: Any) -> Iterator[tuple[bytes, bytes]]:
        """Ask, hand over the bytes of the file that are needed for the answer, and give what is answered."""
        try:
            self._line.send(b"q", json.dumps(asked).encode())
            while True:
                kind, data = self._line.receive()
                if kind == b"r":
                    start = int.from_bytes(data[:8], "big")
                    self._line.send(b"b", self._blob.read(start, start + int.from_bytes(data[8:], "big")))
                    continue
                if kind == b"e":
                    name, text = json.loads(data)
                    raise _ERRORS[name](text)
                yield kind, data
                if kind == b"a":
                    return
        except (EOFError, ConnectionError):
            raise IncompatibleError(
                f"{self._blob.name}: the HDF5 file is broken: what read it crashed, or took too long"
            ) from None


class _Template:
    """The process that readers are forked from."""

    def __init__(self) -> None:
        self._begin()
        forks.begin_anew(self, _Template._begin)

    def _begin(self) -> None:
        self._lock, self._control = Lock(), None

    _control: socket.socket | None

    def reader(self, theirs: socket.socket, anew: bool) -> None:
        """Have a file read at the other end of this connection, by a fork of a new template if `anew`."""
        with self._lock:
            if anew and self._control is not None:
                self._control.close()
                self._control = None
            self._control = self._control or _started()
            with suppress(ConnectionError):  # its end of the connection is closed then
                socket.send_fds(self._control, [b"."], [theirs.fileno()])


_template = _Template()


def _started() -> socket.socket:
    ours, theirs = socket.socketpair()
    atexit.register(ours.close)
    with theirs:
        command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), json.dumps(sys.path)]
        none = subprocess.DEVNULL
        subprocess.run(command, pass_fds=(theirs.fileno(),), stdin=none, stdout=none, stderr=none, check=True)
    return ours


@contextmanager
def _connected(where: str) -> Iterator[socket.socket]:
    """A connection to a reader that is there."""
    for anew in (False, True):
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    _template.reader(theirs, anew)
                there = ours.recv(1) == b"."
            except (OSError, subprocess.SubprocessError) as error:
                raise IncompatibleError(f"{where}: no process to read it could be started: {error}") from None
            if there:
                yield ours
                return
    raise IncompatibleError(f"{where}: the process to read it ended at once; does `import h5py` work?")


def template(control: int) -> None:
    """Fork a reader for each connection that comes, until nobody can send one any more."""
    import signal

    library()
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connections = socket.socket(fileno=control)
    while True:
        data, found, _, _ = socket.recv_fds(connections, 1, 1)
        if not data:
            os._exit(0)
        if not os.fork():
            connections.close()
            try:
                _read(socket.socket(fileno=found[0]))
            finally:
                os._exit(0)
        os.close(found[0])


def _read(connection: socket.socket) -> None:
    """Answer what is asked of one file."""
    import resource

    connection.send(b".")
    line = _Line(connection)
    opened = json.loads(line.receive()[1])
    where, size = opened["where"], opened["size"]
    seconds = _SECONDS + size // _RATE
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        reader = Reader(BlobFile(_Far(line, size)), where, size)
        line.send(b"a", b"null")
        while True:
            name, *arguments = json.loads(line.receive()[1])
            found = getattr(reader, name)(*arguments)
            if name == "pieces":
                for piece in found:
                    line.send(b"d", piece)
                found = None
            elif name == "texts":
                found = [text.decode("latin-1") for text in found]
            line.send(b"a", json.dumps(found).encode())
    except (EOFError, ConnectionError):
        return  # nobody asks any more
    except SaverError as error:
        line.send(b"e", json.dumps([type(error).__name__, str(error)]).encode())
    except BROKEN as error:
        text = f"{where}: the HDF5 file is broken: {error!s:.200}"
        line.send(b"e", json.dumps([IncompatibleError.__name__, text]).encode())


class _Far:
    """The file in the other process. Bytes come in blocks, the last of which are kept."""

    def __init__(self, line: _Line, size: int) -> None:
        self._line, self.size = line, size
        self._block = lru_cache(maxsize=64)(self._fetch)

    def read(self, start: int, end: int) -> bytes:
        """All that there is: HDF5 takes a part for the whole."""
        size = max(0, min(end, self.size) - start)
        if size > _BLOCK:
            return self._fetch(start, size)
        number, skip = divmod(start, _BLOCK)
        data = self._block(number * _BLOCK, _BLOCK)[skip : skip + size]
        more = self._block((number + 1) * _BLOCK, _BLOCK) if len(data) < size else b""
        return data + more[: size - len(data)]

    def _fetch(self, start: int, size: int) -> bytes:
        if start >= self.size:
            return b""
        self._line.send(b"r", start.to_bytes(8, "big") + size.to_bytes(8, "big"))
        return self._line.receive()[1]
