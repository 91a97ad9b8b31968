"""What one load may use: bytes and steps, in proportion to the size of what is loaded.

A small file can ask for much: one tensor used by many nodes, keys nested over and over, a compressed
buffer. Every codec charges for what it creates or scans, for each use, before it does so.
"""

from __future__ import annotations

from typing import NoReturn

from saver.errors import LimitExceededError

BYTES_FLOOR, BYTES_FACTOR = 64 << 20, 16
"""What the smallest file may use, in bytes of arrays; and how many times its own size a larger one may
use."""

STEPS_FLOOR, STEPS_FACTOR = 2_000_000, 16
"""The same for steps: some 100 ns or 100 bytes of Python objects each."""


class Budget:
    """What is left of the bytes and steps that loading `size` bytes may use.

    `limit` is how many bytes the caller allows instead, with steps in proportion. `part` is the name of the
    part that is being loaded.
    """

    __slots__ = ("_all", "_size", "_where", "bytes", "part", "steps")

    def __init__(self, size: int, limit: int | None = None, where: str = "$") -> None:
        most = max(BYTES_FLOOR, BYTES_FACTOR * size) if limit is None else limit
        self.bytes = most
        self.steps = max(STEPS_FLOOR, STEPS_FACTOR * size if limit is None else limit // 16)
        self.part = ""
        self._all = (self.bytes, self.steps)
        self._size = size
        self._where = where

    def charge(self, bytes: int = 0, steps: int = 0) -> None:
        """Charge what is about to be created. Raises LimitExceededError if there is not enough left."""
        self.bytes -= bytes
        self.steps -= steps
        if self.bytes < 0 or self.steps < 0:
            self.exceeded(bytes, steps)

    def exceeded(self, bytes: int = 0, steps: int = 1) -> NoReturn:
        """Raise LimitExceededError for what was just charged."""
        what, asked, most = (
            ("bytes", bytes, self._all[0]) if self.bytes < 0 else ("steps", steps, self._all[1])
        )
        part = f"part {self.part!r} " if self.part else ""
        wanted = 2 * max(self._all[0] - self.bytes, 16 * (self._all[1] - self.steps), 1 << 30) >> 30
        raise LimitExceededError(
            f"{self._where}: {part}asks for {asked:,} {what} more, beyond the {most:,} that {self._size:,} "
            "stored bytes may use; nothing of it was kept. If you trust its author, pass "
            f'limit="{wanted}GiB"'
        )


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}  # fmt: skip


def bytes_of(limit: int | str | None) -> int | None:
    """A limit as a number of bytes, from an integer or a string such as "8GB". Raises TypeError or
    ValueError."""
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0):
        return limit
    if isinstance(limit, str):
        digits = limit.strip().rstrip("BbKkMmGgTtIi ")
        unit = limit.strip()[len(digits) :].strip().upper()
        try:
            number = float(digits)
        except ValueError:
            number = 0.0
        if unit in UNITS and 0 < number * UNITS[unit] < 1 << 62:
            return int(number * UNITS[unit])
    elif not isinstance(limit, int):
        raise TypeError(f"limit={limit!r}: pass a number of bytes or a string, as in limit='8GB'")
    raise ValueError(f"limit={limit!r} is not a number of bytes; write limit='8GB'")
