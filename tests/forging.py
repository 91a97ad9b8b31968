"""Opened versions whose trees somebody changed, and files that Saver would not have written."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import saver
from saver.codec import Encoder
from saver.opened import Opened, Tree
from saver.tree import Node, Value, walk


def forged(opened: Opened, **roots: Value) -> Opened:
    """As if the trees had been read as they are now, or with these roots for the parts of these names."""
    found = copy.copy(opened)
    found.__dict__.pop("nodes", None)
    trees = {name: Tree(roots.get(name, tree.root), tree.batches, []) for name, tree in opened.trees.items()}
    for tree in trees.values():
        tree.items.extend(item for root in tree.roots for item in walk(root))
    found.trees = trees
    return found


def dump_unchecked(obj: Any, path: Path) -> None:
    """Save an object that is not sound, as an attacker would who writes the file with other means."""
    with mock.patch.object(Encoder, "check", return_value=None):
        saver.dump(obj, path)


def places_of(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree where something stands, as its container and key."""
    found: list[tuple[Any, Any]] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            found += [(item, field) for field in ("codec", "cls", "state")]
            stack.append(item.state)
        elif isinstance(item, (list, dict)):
            found += [(item, key) for key in (range(len(item)) if isinstance(item, list) else item)]
            stack.extend(item if isinstance(item, list) else item.values())
    return found


def rewritten(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    """The archive with other contents, whose sums are right."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, change(name, data))
