"""What a file or a version contains, without building or importing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from saver import trust as policy
from saver.allowing import allowing
from saver.environment import distribution
from saver.errors import UntrustedError
from saver.human import counted, size
from saver.hyperparameters import hyperparameters
from saver.needed import needed
from saver.opened import Opened
from saver.page import Facts, Page, Shown, Table
from saver.repo.manifest import structure
from saver.tensors import TensorInfo
from saver.times import moment
from saver.tree import Node, Tensor

if TYPE_CHECKING:  # imported for what has an example: `saver show` stays fast
    from saver.predicting.example import Tolerance
    from saver.schema import Schema

SHOWN = 30
"""So many fields of a part are named; the others are counted."""

SHORT_HASH = 12
"""Digits of a hash that are enough to distinguish one person's parts, and fit a table."""


class PartInfo(Shown, msgspec.Struct, frozen=True):
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

    def _line(self) -> str:
        return f"{self.name}: {self.kind}, {counted(len(self.tensors), 'tensor')}, {size(self.bytes)}"

    def _page(self) -> Page:
        return parts_page([self])

    def fields(self, most: int = SHOWN) -> str:
        """The fields that differ from the defaults of their library, in a line: at most `most`, and how many
        others there are."""
        if list(self.values) == ["value"]:
            return self.values["value"]
        chosen = [f"{name}={text}" for name, text in self.values.items() if name not in self.defaults]
        rest = {"more": len(chosen[most:]), "at their defaults": len(self.defaults)}
        more = [f"{number:,} {what}" for what, number in rest.items() if number]
        return " and ".join(filter(None, (", ".join(chosen[:most]), *more)))


class PredictionsInfo(Shown, msgspec.Struct, frozen=True):
    """How a model predicts: its `schema`; the `pipeline`, names of parts or that of a function; how many
    `rows` of golden predictions there are, and by how much these may differ."""

    schema: Schema
    pipeline: str
    rows: int
    tolerance: Tolerance

    def _line(self) -> str:
        inputs = counted(len(self.schema.inputs), "input")
        return f"{self.pipeline}: {inputs}, {counted(self.rows, 'golden row')}"

    def _page(self) -> Page:
        golden = f"{counted(self.rows, 'row')}, {self.tolerance.text()}"
        facts = {"pipeline": self.pipeline, "golden predictions": golden}
        return [Facts("Predictions", facts), *self.schema._page()]


class Description(Shown, msgspec.Struct, frozen=True):
    """What a file or a version contains. `path` is the path, or the version's ref. `time` is Unix time, UTC.

    `hash` is the hash of the file's header, or of the version's manifest: it vouches for everything. `data`
    are the fingerprints of the training data, by name. `untrusted` names the classes that loading will ask
    for. `predictions` says what goes into the model and what comes out, if it was saved with an example.
    """

    path: str
    bytes: int
    hash: str
    time: float
    parts: tuple[PartInfo, ...]
    environment: dict[str, Any]
    untrusted: tuple[str, ...]
    data: dict[str, Any] = {}
    predictions: PredictionsInfo | None = None

    def _line(self) -> str:
        names = ", ".join(part.name for part in self.parts[:8]) + ", …" * (len(self.parts) > 8)
        return f"{self.path}: {names}; {size(self.bytes)}"

    def _page(self) -> Page:
        packages = self.environment.get("packages")
        versions = packages.items() if isinstance(packages, dict) else ()
        facts = {
            "saved": moment(self.time),
            "size": size(self.bytes),
            "hash": self.hash,
            "packages": ", ".join(f"{distribution(name)} {text}" for name, text in versions),
            "to load it": f"{allowing(self.untrusted)}, if you trust its author" if self.untrusted else "",
        }
        schema = [] if self.predictions is None else self.predictions._page()
        return [Facts(self.path, facts), *parts_page(self.parts), *schema]


def parts_page(parts: Sequence[PartInfo], numbered: bool = True) -> Page:
    """Parts and their fields; `numbered` says whether they have numbers of their own, as in a version."""
    columns = ("part", ">number", "class", "package", ">size", ">tensors", "hash")
    rows = [
        (
            part.name,
            f"{part.number:,}",
            part.kind.rpartition(".")[2],
            part.kind.partition(".")[0] if "." in part.kind else "",
            size(part.bytes),
            f"{len(part.tensors):,}",
            part.hash[:SHORT_HASH],
        )
        for part in parts
    ]
    kept = [at for at, title in enumerate(columns) if numbered or title != ">number"]
    cells = [tuple(row[at] for at in kept) for row in rows]
    fields = {part.name: part.fields() for part in parts if part.values}
    table = Table("Parts", tuple(columns[at] for at in kept), cells)
    return [table, *([Facts("Fields", fields)] if fields else ())]


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
        _predictions(opened),
    )


def _predictions(opened: Opened) -> PredictionsInfo | None:
    if opened.example is None:
        return None
    from saver.predicting.record import record_of

    found = record_of(opened)
    if found is None:
        return None
    return PredictionsInfo(found.schema, found.pipeline, found.rows, found.tolerance)


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
        needed(part.packages, items, opened.manifest.environment.get("packages", {})),
    )
