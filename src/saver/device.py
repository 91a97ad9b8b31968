"""Memory of another device: how a run copies tensors from there while the device goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Copying(ABC):
    """A copy under way."""

    @abstractmethod
    def hold(self) -> None:
        """What the device is given from now on waits for the copy; the caller does not."""

    @abstractmethod
    def wait(self) -> None:
        """Until the copy is whole."""


class DeviceData(ABC):
    """The elements of a tensor that lies on a device. Calling it yields them as `TensorData.data` has it: in
    host memory, one piece after another.
    """

    @property
    @abstractmethod
    def address(self) -> int:
        """Where the first element lies."""

    @abstractmethod
    def __call__(self) -> Iterator[NDArray[Any]]:
        """The elements in C order, in pieces."""

    @abstractmethod
    def begin(self, target: NDArray[np.uint8]) -> Copying:
        """Begin to copy all bytes into `target`, beside what the device does, once it has done what it was
        given before.
        """

    @abstractmethod
    def pin(self, memory: NDArray[np.uint8]) -> Callable[[], None]:
        """Lock host memory in its place, so that the device reaches it by itself, until the function that is
        returned is called.
        """
