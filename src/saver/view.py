"""One version as those see it who compare or restore it, whether it lies in a store or in a file."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from saver.reading.arrays import TensorEntry
from saver.repo.manifest import Manifest


class View(Protocol):
    """One version. Nothing of it is built or imported, so an untrusted file can be viewed."""

    @property
    def where(self) -> str:
        """What messages call it: `iris@3`, or a path."""
        ...

    @property
    def manifest(self) -> Manifest:
        """The trees and batches of its parts are parsed; ids are unique in the version."""
        ...

    def entry(self, name: str) -> TensorEntry:
        """What a tensor is, without reading it. KeyError when there is none of this name."""
        ...

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat, verified. KeyError; DamagedError when they are not
        those that were saved."""
        ...
