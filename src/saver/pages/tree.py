"""The tensors of a part as a tree by their names: `layer1.0.weight` is in `0`, which is in `layer1`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from saver.tensors import TensorInfo

DEEPEST = 12
"""Levels of the tree; what is deeper stays together in one name."""

_CUT = re.compile(r"[./]")


class Branch:
    """A name, what is below it, and the tensor of exactly this name, if there is one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.below: dict[str, Branch] = {}
        self.tensor: TensorInfo | None = None
        self.count = self.bytes = 0

    @property
    def branches(self) -> Iterable[Branch]:
        """What is below, each chain of names with nothing else beside them as one."""
        for each in self.below.values():
            found, name = each, each.name
            while len(found.below) == 1 and found.tensor is None:
                (found,) = found.below.values()
                name += f".{found.name}"
            found.name = name
            yield found


def tree(part: str, tensors: Iterable[TensorInfo], most: int) -> Branch:
    """The first `most` tensors of a part; counts and sizes are of those."""
    root = Branch(part)
    for number, each in enumerate(tensors):
        if number == most:
            break
        at, length = root, each.length
        for piece in _pieces(part, each.name):
            at.count, at.bytes = at.count + 1, at.bytes + length
            at = at.below.setdefault(piece, Branch(piece))
        at.tensor, at.count, at.bytes = each, at.count + 1, at.bytes + length
    return root


def _pieces(part: str, name: str) -> list[str]:
    own = name.removeprefix(f"{part}/") if name != part else name
    return [piece or "·" for piece in _CUT.split(own, DEEPEST)]
