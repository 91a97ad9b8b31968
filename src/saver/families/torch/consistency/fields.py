"""The fields of a module, looked up without running any code of its class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from saver import codec

MISSING: Any = object()
"""Stands for a field that a module does not have."""

LARGEST = 2**31 - 1
"""The largest size: some kernels count in 32 bits, and no weights have this many rows."""


class Fields:
    """The fields of one module, and the errors about them.

    An attribute of the instance hides a parameter of the same name, as it does in Python. In a recurrent
    network torch may use either, so `every` returns all fields with a name.
    """

    def __init__(self, module: Any) -> None:
        self.own: dict[str, Any] = vars(module)
        self.kind = type(module).__name__

    def every(self, name: str) -> list[Any]:
        """All fields of the module with that name; the one that Python finds comes first."""
        places = (self.own, *(self.own.get(kind) for kind in ("_parameters", "_buffers", "_modules")))
        return [place[name] for place in places if isinstance(place, dict) and name in place]

    def get(self, name: str) -> Any:
        return next(iter(self.every(name)), MISSING)

    def tensor(self, name: str) -> Any:
        """The tensor with that name, or None."""
        found = self.get(name)
        return found if isinstance(found, torch.Tensor) else None

    def flag(self, name: str) -> bool:
        """The truth value of a field; False for a tensor or a missing field."""
        found = self.get(name)
        return found is not MISSING and type(found) in (bool, int, str, float) and bool(found)

    def count(self, name: str, least: int, most: int = LARGEST) -> int | None:
        """The whole number with that name; None if there is no such field. Raises ValueError outside of the
        bounds."""
        found = self.get(name)
        if found is MISSING:
            return None
        number = whole(found)
        if number is None or not least <= number <= most:
            raise self.wrong(f"{name} is {shown(found)}, not a whole number from {least} to {most}")
        return number

    def shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless every tensor with that name has this shape."""
        for found in self.every(name):
            if isinstance(found, torch.Tensor) and tuple(found.shape) != shape:
                raise self.wrong(f"{name} has the shape {tuple(found.shape)}, not {shape}")

    def wrong(self, fact: str) -> ValueError:
        article = "an" if self.kind[:1] in "AEFHILMNORSX" and self.kind[:2].isupper() else "a"
        return ValueError(f"{article} {self.kind}: {fact}")


def whole(value: Any) -> int | None:
    """A whole number as torch reads it; None for anything else."""
    kind = type(value)
    if issubclass(kind, int):
        return int.__int__(value)  # never the method of a subclass
    return int(value) if kind.__module__ == "numpy" and issubclass(kind, np.integer) else None


def shown(value: Any) -> str:
    """A value in a message."""
    number = whole(value)
    return codec.shown(value if number is None else number)
