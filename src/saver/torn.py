"""Tensors that change while they are copied: by their counters, and by some of their bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from saver.tensors import TensorData

WITNESSES = 64
"""Bytes of a tensor that are compared again once it is copied. A change of the whole tensor that does not
increase its counter, such as `weight.data.mul_(0.9)`, is missed if it left all of these bytes unchanged."""


class Torn(Exception):
    """Tensors of these `names` changed while they were being copied."""

    def __init__(self, *names: str) -> None:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        super().__init__(", ".join(names[:3]) + more)
        self.names = names


class Changes:
    """Detects whether tensors changed since this was made: by their counters, and by some of their bytes."""

    def __init__(self, tensors: Mapping[str, TensorData], witnessed: bool) -> None:
        self._counts = {name: data.changes for name, data in tensors.items() if data.changes is not None}
        self._before = {name: count() for name, count in self._counts.items()}
        self._samples = {}
        if witnessed:
            found = {name: _sample(data) for name, data in tensors.items()}
            self._samples = {name: (s, s.copy()) for name, s in found.items() if s is not None}

    def look(self) -> Torn | None:
        """The error to raise if any did."""
        changed = [name for name, count in self._counts.items() if count() != self._before[name]]
        changed += [
            name for name, (now, then) in self._samples.items()
            if name not in changed and not np.array_equal(now, then)
        ]  # fmt: skip
        return Torn(*changed) if changed else None


def _sample(data: TensorData) -> NDArray[np.uint8] | None:
    """Bytes at equal distances. The distance is odd, so that they come from all positions in an element."""
    if not isinstance(data.data, np.ndarray) or not data.data.flags.c_contiguous:
        return None
    raw = data.data.reshape(-1).view(np.uint8)
    return raw[:: raw.size // WITNESSES | 1]
