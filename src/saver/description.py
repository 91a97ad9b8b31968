"""What a file or a version contains, without building or importing any of it."""

from __future__ import annotations

from typing import Any

import msgspec

from saver import html
from saver import trust as policy
from saver.errors import UntrustedError
from saver.human import size, utc
from saver.hyperparameters import hyperparameters
from saver.opened import Opened
from saver.repo.manifest import structure
from saver.tensors import TensorInfo
from saver.tree import Node, Tensor

SHOWN = 10
"""The table of a notebook names this many fields of a part."""


class PartInfo(msgspec.Struct, frozen=True):
    """A part as `describe` reports it: its classes outermost first, its tensors, its plain fields.

    `bytes` counts the tensors and the structure in the manifest. `values` are texts from the file, for
    people to read, and `defaults` those of them that are default arguments (see saver.hyperparameters).
    `number` is the part's own version; `packages` are the import names that its classes come from.
    """

    name: str
    kind: str
    hash: str
    bytes: int
    tensors: tuple[TensorInfo, ...]
    classes: tuple[str, ...]
    values: dict[str, str]
    defaults: tuple[str, ...]
    number: int
    packages: tuple[str, ...]


class Description(msgspec.Struct, frozen=True):
    """What a file or a version contains. `path` is the path, or the version's ref. `time` is Unix time, UTC.

    `hash` is the hash of the file's header, or of the version's manifest: it vouches for everything. `data`
    are the fingerprints of the training data, by name. `untrusted` names the classes that loading will ask
    for.
    """

    path: str
    bytes: int
    hash: str
    time: float
    parts: tuple[PartInfo, ...]
    environment: dict[str, Any]
    untrusted: tuple[str, ...]
    data: dict[str, Any] = {}

    def _repr_html_(self) -> str:
        packages = self.environment.get("packages")
        told = {
            "saved": utc(self.time),
            "size": size(self.bytes),
            "hash": self.hash,
            "packages": ", ".join(f"{name} {text}" for name, text in packages.items())
            if isinstance(packages, dict)
            else "",
            "to be trusted": ", ".join(self.untrusted),
        }
        parts = [
            (part.name, part.kind, size(part.bytes), f"{len(part.tensors):,}", settings(part, SHOWN))
            for part in self.parts
        ]
        columns = ("part", "class", ">size", ">tensors", "fields")
        return html.block([html.facts(self.path, told), html.table("Parts", columns, parts)])


def settings(part: PartInfo, most: int) -> str:
    """The fields of a part that are not at their defaults, in a line: at most `most`, and how many others
    there are."""
    if list(part.values) == ["value"]:
        return part.values["value"]
    chosen = [f"{name}={text}" for name, text in part.values.items() if name not in part.defaults]
    rest = {"more": len(chosen[most:]), "at their defaults": len(part.defaults)}
    more = [f"{number:,} {what}" for what, number in rest.items() if number]
    return " and ".join(filter(None, (", ".join(chosen[:most]), *more)))


def describe_opened(opened: Opened) -> Description:
    """The description of an opened file or version."""
    try:
        opened.admit(())
        untrusted: tuple[str, ...] = ()
    except UntrustedError as error:
        untrusted = error.names
    return Description(
        opened.where,
        opened.size,
        opened.hash,
        opened.manifest.time,
        tuple(_part_info(opened, name) for name in opened.manifest.parts),
        dict(opened.manifest.environment),
        untrusted,
        dict(opened.manifest.data),
    )


def _part_info(opened: Opened, name: str) -> PartInfo:
    part, whole = opened.manifest.parts[name], opened.trees[name]
    items = whole.items
    entries = [opened.tensors.info(item.name) for item in items if isinstance(item, Tensor)]
    classes = dict.fromkeys(policy.dotted(i.cls) for i in items if isinstance(i, Node) and i.cls)
    tree = whole.root
    kind = policy.dotted(tree.cls or tree.codec) if isinstance(tree, Node) else type(tree).__name__
    fields = hyperparameters(tree)
    length = sum(e.length for e in entries) + len(structure(part.tree, part.batches))
    return PartInfo(
        name,
        kind,
        part.hash,
        length,
        tuple(entries),
        tuple(classes),
        fields.values,
        fields.defaults,
        part.version,
        part.packages,
    )
