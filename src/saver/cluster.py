"""The contract of a cluster: the ranks that save or load one version together, and a board on which they
leave short notes for each other.

A rank is a process. Saver never uses the training's own way to exchange tensors (its process group), which
may be busy, or hang when a rank is lost: a board is enough. To support another launcher, implement the
three methods of `Cluster`; test it by subclassing `saver.testing.ClusterTests`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class Cluster(ABC):
    """Which rank this process is, of how many, and their board. Safe to use from several threads.

    `lost_after` is for how many seconds a rank may give no sign of life before all others give up; a rank
    gives five in that time. `arrive_within` is for how many seconds the ranks wait for the one that comes
    last, when they save or load together.
    """

    lost_after: float = 10.0
    arrive_within: float = 600.0

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        """The number of this process, from 0 to `size` - 1; rank 0 coordinates. How many there are."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Leave a note under a key, in the place of an older one. Only one rank writes under a key.

        Keys are paths of lower-case letters, digits and hyphens. Raises any exception if the board does not
        answer.
        """

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """The note under a key; None if there is none. Never waits for one. Raises any exception if the
        board does not answer."""

    @abstractmethod
    def delete(self, *keys: str) -> None:
        """Take notes away, if they are there. Raises any exception if the board does not answer."""
