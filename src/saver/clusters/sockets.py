"""Connections between all ranks, by which they pass on bytes."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from saver.cluster import Cluster, Network
from saver.clusters.meeting import connected

_WANT, _DATA = 0, 1
_HEAD = struct.Struct("!BIQ")
"""What comes before a message: whether it asks for one or brings one, its tag, and how many bytes follow."""

AT_ONCE = 1 << 20
"""Bytes that are sent or received at once: then it is the turn of another rank."""


class SocketNetwork(Network):
    """A connection of TCP between every two ranks of a cluster, which find each other by its board
    (`clusters/meeting.py`). One thread sends and receives for all.

    A rank asks for a message when it knows where its bytes go, and only then is it sent. So what arrives is
    put into its place at once, and nothing has to be kept.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._lock = threading.Lock()
        self._peers = {rank: _Peer(rank, its) for rank, its in connected(cluster, name).items()}
        self._closed = False
        self._due = set[_Peer]()
        """Peers to which something is to be sent since the thread looked."""
        self._wakes, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        for end in (self._wakes, self._woken, *(peer.socket for peer in self._peers.values())):
            end.setblocking(False)
        for peer in self._peers.values():
            self._selector.register(peer.socket, selectors.EVENT_READ, peer)
        threading.Thread(target=self._serve, name="saver-network", daemon=True).start()

    def send(self, rank: int, data: NDArray[np.uint8], tag: int) -> Callable[[], object]:
        peer, sent = self._peers[rank], _Message(data)
        with self._lock:
            if peer.failure is not None:
                raise peer.failed()
            peer.offers[tag] = sent
            if tag in peer.wanted:
                peer.grant(tag)
                self._due.add(peer)
        self._wake()
        return lambda: sent.wait(peer)

    def receive(self, rank: int, memory: NDArray[np.uint8], tag: int) -> None:
        peer, wanted = self._peers[rank], _Message(memory)
        with self._lock:
            if peer.failure is not None:
                raise peer.failed()
            peer.expected[tag] = wanted
            peer.queue.append((memoryview(_HEAD.pack(_WANT, tag, 0)), None))
            self._due.add(peer)
        self._wake()
        wanted.wait(peer)

    def close(self) -> None:
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # it is awake, as so many bytes wait for it, or closed
            self._wakes.send(b"\0")

    # What its thread does

    def _serve(self) -> None:
        try:
            while not self._closed:
                with self._lock:
                    due, self._due = self._due, set()
                for peer in due:
                    self._look_out(peer)
                for key, ready in self._selector.select():
                    if key.data is None:
                        self._woken.recv(4096)
                    else:
                        self._move(key.data, ready)
        finally:
            for peer in self._peers.values():
                self._fail(peer, "the network was closed")
            self._selector.close()
            self._wakes.close()
            self._woken.close()

    def _look_out(self, peer: _Peer) -> None:
        """Look whether a rank can be sent something only while there is something."""
        if peer.failure is None:
            writes = selectors.EVENT_WRITE if peer.queue else 0
            self._selector.modify(peer.socket, selectors.EVENT_READ | writes, peer)

    def _move(self, peer: _Peer, ready: int) -> None:
        try:
            if ready & selectors.EVENT_READ:
                peer.read(self._lock)
            if ready & selectors.EVENT_WRITE:
                peer.write()
            if bool(peer.queue) != bool(ready & selectors.EVENT_WRITE):
                self._look_out(peer)
        except Exception as error:
            self._selector.unregister(peer.socket)
            self._fail(peer, str(error))

    def _fail(self, peer: _Peer, why: str) -> None:
        with self._lock:
            peer.failure = peer.failure or why
            messages = [*peer.offers.values(), *peer.expected.values(), *peer.under_way()]
        peer.socket.close()
        for message in messages:
            message.done.set()


class _Message:
    """The bytes of a message, or the place for them; `whole` once they were sent, or are there."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self.memory = memory.data.cast("B") if memory.size else memoryview(b"")
        self.done = threading.Event()
        self.whole = False

    def finish(self) -> None:
        self.whole = True
        self.done.set()

    def wait(self, peer: _Peer) -> None:
        self.done.wait()
        if not self.whole:
            raise peer.failed()


class _Peer:
    """Another rank: messages that are offered to it, and those of them that it `wanted` before; messages
    that are expected from it, by their tags; and what is to be sent, in order."""

    def __init__(self, rank: int, connection: socket.socket) -> None:
        self.rank, self.socket = rank, connection
        self.offers: dict[int, _Message] = {}
        self.wanted: set[int] = set()
        self.expected: dict[int, _Message] = {}
        self.queue: deque[tuple[memoryview, _Message | None]] = deque()
        self.failure: str | None = None
        self._head, self._room = bytearray(_HEAD.size), memoryview(b"")
        self._into: _Message | None = None
        self._begin()

    def failed(self) -> ConnectionError:
        return ConnectionError(f"rank {self.rank}: {self.failure}")

    def under_way(self) -> Iterable[_Message]:
        sent = (message for _, message in self.queue if message is not None)
        return [*sent, *([self._into] if self._into is not None else ())]

    def grant(self, tag: int) -> None:
        """Have a message sent that is offered, and wanted."""
        message = self.offers.pop(tag)
        self.wanted.discard(tag)
        head = memoryview(_HEAD.pack(_DATA, tag, message.memory.nbytes))
        self.queue.append((head, None if message.memory.nbytes else message))
        if message.memory.nbytes:
            self.queue.append((message.memory, message))

    def write(self) -> None:
        view, message = self.queue[0]
        left = view[self.socket.send(view[:AT_ONCE]) :]
        if left.nbytes:
            self.queue[0] = left, message
            return
        self.queue.popleft()
        if message is not None:
            message.finish()

    def read(self, lock: threading.Lock) -> None:
        count = self.socket.recv_into(self._room[:AT_ONCE])
        if not count:
            raise ConnectionError("it has closed the connection")
        self._room = self._room[count:]
        if self._room.nbytes:
            return
        if self._into is None:
            with lock:
                self._understand(*_HEAD.unpack(self._head))
        else:
            whole = self._into
            self._begin()
            whole.finish()

    def _understand(self, kind: int, tag: int, size: int) -> None:
        self._begin()
        if kind == _WANT:
            self.wanted.add(tag)
            if tag in self.offers:
                self.grant(tag)
            return
        message = self.expected.get(tag)
        if kind != _DATA or message is None or message.memory.nbytes != size:
            raise ConnectionError(f"it sent {size:,} bytes under the tag {tag}, which nobody wanted")
        del self.expected[tag]
        if size:
            self._into, self._room = message, message.memory
        else:
            message.finish()

    def _begin(self) -> None:
        """The head of a message comes next."""
        self._into, self._room = None, memoryview(self._head)
