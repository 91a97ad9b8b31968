"""What changed between two versions, found without building their objects or importing their libraries.

Both versions are walked side by side, by the paths that people would write: `pipeline.steps.scaler.mean_`,
`model.layers.0.weight`, `optimizer.param_groups[0].lr`. Tensors with equal hashes are never read.
"""

from __future__ import annotations

from saver.compare import circumstances
from saver.compare.contents import Side
from saver.compare.difference import (
    Amount,
    ArrayChange,
    ArrayInfo,
    DataChange,
    Difference,
    Field,
    MetricChange,
    Number,
    PartChange,
    Status,
)
from saver.compare.examples import examples
from saver.compare.measure import measure
from saver.compare.sections import sections
from saver.compare.walk import Walk, stored
from saver.errors import printable
from saver.opened import Opened
from saver.repo.manifest import Part
from saver.storage import Progress

__all__ = [
    "Amount",
    "ArrayChange",
    "ArrayInfo",
    "DataChange",
    "Difference",
    "Field",
    "MetricChange",
    "Number",
    "PartChange",
    "compare",
    "sections",
]


def compare(a: Opened, b: Opened, *, progress: Progress | None = None) -> Difference:
    """What changed from `a` to `b`.

    Safe on untrusted files: runs and imports nothing from them, in time and memory in proportion to their
    size. Reads and verifies the tensors that differ, in pieces, and then calls `progress(done, total)` with
    bytes. Raises DamagedError if their bytes are not those that were saved.
    """
    walk = Walk(Side(a), Side(b))
    before, after = a.manifest.parts, b.manifest.parts
    for name in before:
        if name in after:
            walk.part(name)
    changes = list(measure(walk.pairs, a, b, progress))
    touched = {part for part, _ in walk.fields}
    touched |= {pair.part for pair, change in zip(walk.pairs, changes, strict=True) if change is not None}
    arrays = tuple(change for change in changes if change is not None)
    pairs = zip(walk.pairs, changes, strict=True)
    differing, equal = set[str](), walk.same
    for pair, change in pairs:
        (equal if change is None else differing).update(stored(pair.new))
    names = dict.fromkeys((*before, *after))
    return Difference(
        old=printable(a.where),
        new=printable(b.where),
        parts=tuple(_part(name, before.get(name), after.get(name), name in touched) for name in names),
        fields=tuple(field for _, field in walk.fields),
        arrays=arrays,
        unchanged=len(equal - differing),
        facts=(*circumstances.facts(a.manifest, b.manifest), *examples(a, b)),
        metrics=circumstances.metrics(a.manifest, b.manifest),
        data=circumstances.data(a.manifest, b.manifest),
        environment=circumstances.environment(a.manifest, b.manifest),
    )


def _part(name: str, old: Part | None, new: Part | None, touched: bool) -> PartChange:
    if old is None or new is None:
        status: Status = "added" if old is None else "removed"
    else:
        status = "changed" if touched else "same"
    sides = [(None, None) if part is None else (part.version, printable(part.hash)) for part in (old, new)]
    (old_version, old_hash), (new_version, new_hash) = sides
    return PartChange(printable(name), status, old_version, new_version, old_hash, new_hash)
