"""Ranks that are threads of one process, for tests and for simulations."""

from __future__ import annotations

from saver.cluster import Cluster


class MemoryCluster(Cluster):
    """A rank whose board is a dict that all of them share: `MemoryCluster.all(4)` are four."""

    def __init__(self, board: dict[str, bytes], rank: int, size: int) -> None:
        super().__init__(rank, size)
        self._board = board

    @classmethod
    def all(cls, size: int) -> list[MemoryCluster]:
        """All ranks, each for another thread."""
        board: dict[str, bytes] = {}
        return [cls(board, rank, size) for rank in range(size)]

    def put(self, key: str, data: bytes) -> None:
        self._board[key] = data

    def get(self, key: str) -> bytes | None:
        return self._board.get(key)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._board.pop(key, None)
