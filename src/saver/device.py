"""Memory of another device: how a run copies tensors from there while the device goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Copying(ABC):
    """A copy in progress."""

    @abstractmethod
    def hold(self) -> None:
        """Make work that the device is given from now on wait for the copy; the caller does not wait."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until the copy is complete."""


class DeviceData(ABC):
    """The elements of a tensor on a device. Calling this yields them as `TensorData.data` does: in host
    memory, one piece after another.
    """

    @property
    @abstractmethod
    def address(self) -> int:
        """The address of the first element."""

    @abstractmethod
    def __call__(self) -> Iterator[NDArray[Any]]:
        """The elements in C order, in pieces."""

    @abstractmethod
    def begin(self, target: NDArray[np.uint8]) -> Copying:
        """Begin to copy all bytes into `target`, in parallel with the device's work, but after the work that
        it was given before.
        """

    @abstractmethod
    def pin(self, memory: NDArray[np.uint8]) -> Callable[[], None]:
        """Pin host memory, so that the device can access it directly, until the returned function is
        called.
        """
