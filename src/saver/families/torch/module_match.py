"""What was saved of a module, or its state dict, against the names of another one: what goes where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from saver.families.python.restoring import told
from saver.families.torch.leaves import Leaf, Leaves
from saver.families.torch.restoring import fit, pair_of
from saver.families.torch.state_names import SavedState, homes_of, is_extra
from saver.restoring import Conversion, Mismatch, PartReport, Saved
from saver.restoring.naming import suggest
from saver.tree import Value


class Match:
    """Compares the saved state with the state dict of the target: which names match, and which do not.

    `buffers` are the ids of buffers. Those that have another shape here are `outgrown` if the restore is
    exact: they are made anew before they are loaded.
    """

    def __init__(
        self, state: SavedState, here: Mapping[str, Any], buffers: Collection[int], saved: Saved
    ) -> None:
        self.here = here
        self.leaves = Leaves(saved)
        self.given: dict[str, Leaf | Value] = {}
        self.unexpected: dict[str, Leaf | Value] = {}
        self.mismatched: dict[str, Mismatch] = {}
        self.converted: list[Conversion] = []
        self.left_out: list[str] = []
        self.outgrown: dict[str, Leaf] = {}
        self._exact = saved.exact
        self._buffers = buffers
        self.unfit: dict[str, Leaf] = {}
        renamed = self._renamed(state, saved)
        homes = homes_of(renamed, here)
        self.moved = any(old != homes[new] for new, old in renamed.items() if homes[new] is not None)
        for new, old in renamed.items():
            self._place(new, homes[new], state.values[old], old in state.spare)
        self._check_ties()
        self.missing = self._missing()

    def _renamed(self, state: SavedState, saved: Saved) -> dict[str, str]:
        """The saved names, by the names that the caller's `names` gives them."""
        found: dict[str, str] = {}
        for old in state.values:
            new = saved.naming(old)
            if new is None:
                self.left_out.append(old)
            elif new in found:
                saved.refuse(
                    f"`names` gives {new!r} to both {found[new]!r} and {old!r}; leave one out with None"
                )
            else:
                found[new] = old
        return found

    def _place(self, name: str, home: str | None, value: Value, spare: bool) -> None:
        leaf = self.leaves.find(value)
        if home is None or home in self.given or home in self.mismatched:
            if not spare:
                self.unexpected[name] = value if leaf is None else leaf
        elif not isinstance(self.here[home], torch.Tensor) or is_extra(home):
            self.given[home] = value
        elif leaf is None:
            shape = tuple(self.here[home].shape)
            self.mismatched[home] = Mismatch(home, (), shape, f"{told(value)} was saved, not a tensor")
        else:
            self._compare(home, leaf)

    def _compare(self, home: str, leaf: Leaf) -> None:
        target = self.here[home]
        found = None if nn.parameter.is_lazy(target) else fit(home, leaf, target)
        if self._exact and found is not None and id(target) in self._buffers:
            self.outgrown[home] = self.given[home] = leaf
            return
        if self._exact and isinstance(found, Conversion):
            found = found.refused(leaf.shape)
        if isinstance(found, Mismatch):
            self.mismatched[home] = found
            if not found.why:
                self.unfit[home] = leaf
            return
        self.given[home] = leaf
        if found is not None:
            self.converted.append(found)

    def _check_ties(self) -> None:
        """Find tensors that have several names in the target, but were saved with different values."""
        first: dict[int, str] = {}
        for name, leaf in list(self.given.items()):
            if not isinstance(leaf, Leaf):
                continue
            other = first.setdefault(id(self.here[name]), name)
            if other != name and not self._same(leaf, self.given[other]):
                del self.given[name]
                why = f"here it is the same tensor as {other}, which was saved with other values"
                self.mismatched[name] = Mismatch(name, leaf.shape, leaf.shape, why)

    def _same(self, leaf: Leaf, other: Any) -> bool:
        """Whether two leaves have the same elements, as far as hashes show."""
        if leaf.node is other.node or not (leaf.plain and other.plain):
            return True
        return self.leaves.hash(leaf) == self.leaves.hash(other)

    def _missing(self) -> list[str]:
        """The names of the target that get nothing, not even under another name of the same tensor."""
        filled = {id(self.here[name]) for name, item in self.given.items() if isinstance(item, Leaf)}
        return [
            name
            for name, tensor in self.here.items()
            if name not in self.given and name not in self.mismatched and id(tensor) not in filled
        ]

    def accept(self, missing: Iterable[str], unexpected: Iterable[str]) -> None:
        """Accept the decision of the module's own hooks about which names fit."""
        refused = set(unexpected)
        taken = {name: item for name, item in self.unexpected.items() if name not in refused}
        self.given.update(taken)
        self.given.update(self.unfit)
        self.unexpected = {name: item for name, item in self.unexpected.items() if name in refused}
        self.mismatched.clear()
        self.missing = [name for name in missing if name not in self.given]

    def versions(self, state: SavedState) -> Any:
        """The versions of the modules' classes: those that were saved, where the names are the same."""
        if state.is_dict and not self.moved:
            return state.versions
        return getattr(self.here, "_metadata", None)

    def announce(self, saved: Saved) -> None:
        """Say what will be read, and which tensors take it."""
        for name, item in self.given.items():
            if not isinstance(item, Leaf):
                saved.want(item)
                continue
            target = self.here.get(name)
            self.leaves.want(item, target)
            if isinstance(target, torch.Tensor) and name not in self.outgrown:
                saved.fills(replace(pair_of(item, target, saved), stands=False))

    def report(self, into: str, kept: Iterable[str]) -> PartReport:
        left = [(name, leaf.shape) for name, leaf in self.unexpected.items() if isinstance(leaf, Leaf)]
        wanted = [(name, _shape(self.here.get(name))) for name in self.missing]
        return PartReport(
            into,
            matched=tuple(self.given),
            missing=tuple(self.missing),
            unexpected=tuple(self.unexpected),
            mismatched=tuple(self.mismatched.values()),
            converted=tuple(self.converted),
            left_out=tuple(self.left_out),
            kept=tuple(kept),
            renaming=suggest(left, wanted),
        )


def _shape(tensor: Any) -> tuple[int, ...] | None:
    known = isinstance(tensor, torch.Tensor) and not nn.parameter.is_lazy(tensor)
    return tuple(tensor.shape) if known else None
