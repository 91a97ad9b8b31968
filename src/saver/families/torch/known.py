"""Which live parameter a saved one is: by its name in the modules that are restored together with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from saver.families.python.restoring import elements, items
from saver.families.torch.leaves import Leaf, Leaves
from saver.families.torch.state_names import MODULE, SavedState, homes_of
from saver.restoring import Saved, ask
from saver.restoring.reach import root_of
from saver.tree import Node, Value

Key = tuple[int, int, tuple[int, ...]]


class KnownParameters:
    """The live tensors of all modules that one restore fills, and their names, by the saved tensors that go
    there. A state dict holds views of the parameters, so a tensor is known by the memory that it was in."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._leaves = Leaves(saved)
        self._found: dict[Key, tuple[Any, str]] = {}
        for value, module in _modules(saved.roots, saved):
            self._add(value, module)

    def __call__(self, value: Value) -> tuple[Any, str] | None:
        """The live tensor that takes the place of a saved one, and its name; None if no module has it."""
        leaf = self._leaves.find(value)
        return None if leaf is None else self._found.get(self._key(leaf))

    def _add(self, value: Value, module: Any) -> None:
        state, here = (
            SavedState(value, self._saved),
            ask(self._saved.where, module.state_dict, keep_vars=True),
        )
        renamed = {new: old for old in state.values if (new := self._saved.naming(old)) is not None}
        for new, home in homes_of(renamed, here).items():
            leaf = self._leaves.find(state.values[renamed[new]])
            if leaf is not None and home is not None and isinstance(here[home], torch.Tensor):
                self._found.setdefault(self._key(leaf), (here[home], home))

    def _key(self, leaf: Leaf) -> Key:
        state = leaf.origin.state
        offset = state["offset"] * leaf.dtype.itemsize if "base" in state else 0
        return id(root_of(leaf.origin, self._saved.follow)), offset, leaf.shape


def _modules(roots: list[tuple[Value, Any]], saved: Saved) -> Iterator[tuple[Value, Any]]:
    """The modules among the targets of a restore, in containers as well, and what was saved for them."""
    waiting, seen = roots[::-1], set[int]()
    while waiting:
        value, target = waiting.pop()
        node = saved.follow(value)
        if isinstance(target, nn.Module):
            if (type(node) is Node and node.codec == MODULE) or items(node, saved) is not None:
                yield node, target
        elif isinstance(target, (dict, list, tuple)) and id(target) not in seen:
            seen.add(id(target))
            here = target if isinstance(target, dict) else dict(enumerate(target))
            found = items(node, saved) or dict(enumerate(elements(node, saved) or ()))
            waiting += [(found[key], item) for key, item in here.items() if key in found]
