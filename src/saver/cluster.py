"""The contract of a cluster: the ranks that save or load one version together, and a board on which they
leave short notes for each other.

A rank is a process. Ranks never agree on anything by the training's own way to exchange tensors (its process
group), which may be busy, or hang when a rank is lost: a board is enough. To support another launcher,
implement the three methods of `Cluster`; test it by subclassing `saver.testing.ClusterTests`. One whose ranks
can pass on bytes that they read has a fourth: `network`, which may return
`saver.clusters.sockets.SocketNetwork(self, name)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Cluster(ABC):
    """Which rank this process is, of how many, and their board. Safe to use from several threads.

    `lost_after` is for how many seconds a rank may give no sign of life before all others give up; a rank
    gives five in that time. `arrive_within` is for how many seconds the ranks wait for the one that comes
    last, when they save or load together.
    """

    lost_after: float = 10.0
    arrive_within: float = 600.0

    network: Callable[[str], Network] | None = None
    """Makes a network between all ranks, which call it with the same name, one that no other network has.
    Waits for them, `lost_after` seconds at most. Raises any exception if they cannot reach each other."""

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


class Network(ABC):
    """What ranks pass bytes on by, apart from what the training sends. Safe to use from several threads.

    A message has the number of its sender, of its receiver, and a tag of its own among theirs. Both know how
    long it is.
    """

    @abstractmethod
    def send(self, rank: int, data: NDArray[np.uint8], tag: int) -> Callable[[], object]:
        """Begin to send these bytes, which stay as they are until the returned function was called, which
        waits until they were sent. Both raise any exception if the rank cannot be reached."""

    @abstractmethod
    def receive(self, rank: int, memory: NDArray[np.uint8], tag: int) -> None:
        """Wait for the bytes from a rank. Raises any exception if they cannot come any more."""

    @abstractmethod
    def close(self) -> None:
        """Have all calls that wait, in any thread, raise an exception soon; there will be no more."""
