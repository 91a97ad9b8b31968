"""Ranks that are threads of one process, for tests and for simulations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from saver.cluster import Cluster, Network

_Lines: TypeAlias = dict[tuple[str, int, int, int], bytes]
"""Messages by the name of their network, sender, receiver and tag."""


class MemoryCluster(Cluster):
    """A rank whose board is a dict that all of them share: `MemoryCluster.all(4)` are four."""

    def __init__(
        self, board: dict[str, bytes], rank: int, size: int, lines: tuple[_Lines, threading.Condition]
    ) -> None:
        super().__init__(rank, size)
        self._board, self._lines = board, lines

    @classmethod
    def all(cls, size: int) -> list[MemoryCluster]:
        """All ranks, each for another thread."""
        board: dict[str, bytes] = {}
        lines: tuple[_Lines, threading.Condition] = {}, threading.Condition()
        return [cls(board, rank, size, lines) for rank in range(size)]

    def put(self, key: str, data: bytes) -> None:
        self._board[key] = data

    def get(self, key: str) -> bytes | None:
        return self._board.get(key)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._board.pop(key, None)

    def network(self, name: str) -> Network:
        return MemoryNetwork(name, self.rank, *self._lines)


class MemoryNetwork(Network):
    """Messages in a dict that all ranks share."""

    def __init__(self, name: str, rank: int, sent: _Lines, changed: threading.Condition) -> None:
        self._name, self._rank = name, rank
        self._sent, self._changed = sent, changed
        self._closed = False

    def send(self, rank: int, data: NDArray[np.uint8], tag: int) -> Callable[[], object]:
        with self._changed:
            self._sent[self._name, self._rank, rank, tag] = data.tobytes()
            self._changed.notify_all()
        return lambda: None

    def receive(self, rank: int, memory: NDArray[np.uint8], tag: int) -> None:
        key = self._name, rank, self._rank, tag
        with self._changed:
            self._changed.wait_for(lambda: self._closed or key in self._sent)
            if self._closed:
                raise ConnectionError("the network was closed")
            memory[:] = np.frombuffer(self._sent.pop(key), np.uint8)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
