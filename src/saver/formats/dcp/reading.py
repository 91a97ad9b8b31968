"""The values of a distributed checkpoint, from the bytes of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from saver import registry
from saver.errors import DamagedError, IncompatibleError, quoted
from saver.format import Beside
from saver.formats._blobs import Slice
from saver.formats._opening import Spool
from saver.formats._packing import Shards
from saver.formats.dcp.metadata import Metadata, Place
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.records import MAGIC
from saver.formats.pickle.torch import value_in
from saver.pickled import Call, Chunks, Global, Inert, NotReadError, Pairs
from saver.reading.arrays import row_major
from saver.stack import anywhere
from saver.storage import Blob
from saver.tensors import Box, Bytes, ShardedData, TensorData, pieces

FILES = 50_000
"""A process may have some 65,000 mappings."""

_DENSE = {Global("torch._utils", f"_rebuild_tensor_v{number}") for number in (2, 3)}
_DEPTH, _HOLES = 500, 1000
"""Steps of a path, and items that a list lacks: PyTorch leaves out empty dicts."""


class Values:
    """The values by name. Their bytes stay where they are, in mapped files; those of boxes that do not lie in
    order there are put in order in a temporary file."""

    def __init__(self, metadata: Metadata, beside: Beside, where: str) -> None:
        self._metadata, self._beside, self._where = metadata, beside, where
        self._files: dict[str, Bytes] = {}
        self._open: dict[str, Callable[[], Blob]] = {}
        self._boxes: dict[str, dict[tuple[int, ...], tuple[tuple[int, ...], Bytes]]] = {}
        """By name and offsets: the shape of a box, and its bytes."""
        self._spool: Spool | None = None
        self._spooled: list[tuple[str, Box, int, int]] = []
        self.calls: list[Call] = []
        """What the pickles of objects call."""
        self.size = 0

    def read(self) -> dict[str, Inert]:
        """All of them, a file after the other. Raises IncompatibleError or DamagedError."""
        wanted: dict[str, list[tuple[str, Box | None, Place]]] = {}
        for name, value in self._metadata.values.items():
            boxes = [(None, value)] if isinstance(value, Place) else value.boxes
            for box, place in boxes:
                wanted.setdefault(place.file, []).append((name, box, place))
        if len(wanted) > FILES:
            raise IncompatibleError(f"{self._where}: it names {len(wanted):,} files, more than {FILES:,}")
        found = dict[str, Inert]()
        for file, items in wanted.items():
            blob = self._beside(file)
            self.size += blob.size
            self._files[blob.name] = blob.map()
            self._open[blob.name] = partial(self._beside, file)
            for name, box, place in items:
                found[name] = self._one(blob, name, box, place)
        self._take_spooled()
        for name, parts in self._boxes.items():
            described: Any = self._metadata.values[name]
            found[name] = Chunks(described.dtype, described.shape, parts)
        return {name: found[name] for name in self._metadata.values}

    def shards(self, tensors: Mapping[str, ShardedData]) -> Shards:
        """The files, and tensors of several boxes."""
        return Shards(self._files, lambda name: self._open[name](), tensors)

    def _one(self, blob: Blob, name: str, box: Box | None, place: Place) -> Inert:
        what = quoted(name) if box is None else f"{quoted(name)}, {box}"
        where = f"{blob.name}: {what}"
        if place.start + place.size > blob.size:
            raise DamagedError(
                f"{where}: it ends at {place.start + place.size:,}, and the file at {blob.size:,}; it is cut "
                "off: restore a copy"
            )
        inner = Slice(blob, place.start, place.size, where)
        if inner.read(0, 4) != MAGIC:
            raise IncompatibleError(f"{where}: this is not an archive of torch.save; copy it from its source")
        root, machine, _ = value_in(Archive(inner), where)
        if box is None:
            self.calls += machine.calls
            return root
        try:
            return self._tensor(name, box, root)
        except NotReadError as error:
            raise IncompatibleError(f"{where}: {error}; copy it from its source again") from None

    def _tensor(self, name: str, box: Box, root: Inert) -> Inert:
        described: Any = self._metadata.values[name]
        if type(root) is not Call or root.function not in _DENSE:
            raise NotReadError("there is something else than a plain tensor")
        tensors: Any = registry.family("torch").module("pickles")
        found = tensors.seen(root)
        if (found.dtype, (*found.shape,)) != (described.dtype, box.sizes):
            raise NotReadError(
                f"there is a tensor of {found.dtype} {found.shape}, not of {described.dtype} {[*box.sizes]}"
            )
        if len(described.boxes) == 1:
            return root
        if found.flags:
            raise NotReadError("a tensor in several boxes is conjugated or negated")
        self._add(name, box, found)
        return None

    def _add(self, name: str, box: Box, found: Any) -> None:
        view, data = found.view, found.storage.data
        if view.nbytes > data.size:
            raise NotReadError("it has more elements than its storage")
        parts = self._boxes.setdefault(name, {})
        if (*found.steps,) == row_major((*found.shape,)):
            start = found.offset * view.itemsize
            parts[box.offsets] = box.sizes, data[start : start + view.nbytes]
            return
        if self._spool is None:
            self._spool = Spool(self._where, 1 << 62)
        self._spooled.append((name, box, self._spool.size, view.nbytes))
        for piece in pieces(TensorData("U8", (view.nbytes,), view)):
            self._spool.write(piece.data)

    def _take_spooled(self) -> None:
        """Take the boxes that were put in order."""
        if self._spool is None:
            return
        with self._spool as spool:
            blob = spool.blob()
        self._files[blob.name] = blob.map()
        self._open[blob.name] = lambda: blob
        for name, box, start, size in self._spooled:
            self._boxes[name][box.offsets] = box.sizes, blob.map()[start : start + size]


def nested(values: Mapping[str, Inert], paths: Mapping[str, tuple[str | int, ...]]) -> Pairs:
    """The nested dict: each value at its path, or else under its name. A number in a path is one in a list.

    Raises NotReadError for paths that contradict each other.
    """
    root = _Inner()
    for name, value in values.items():
        *outer, last = paths.get(name, (name,))
        if len(outer) > _DEPTH:
            raise NotReadError(f"{quoted(name)} lies {len(outer):,} levels deep")
        at: Any = root
        for step in outer:
            at = at.setdefault(step, _Inner())
            if type(at) is not _Inner:
                raise NotReadError(f"{quoted(name)} lies below another value")
        if last in at:
            raise NotReadError(f"{quoted(name)} lies where another value does")
        at[last] = value
    return anywhere(_made, root)  # type: ignore[no-any-return]


class _Inner(dict[Any, Any]):
    """The values below a step of paths."""


def _made(inner: _Inner) -> Inert:
    """A dict, or a list if the steps are numbers."""
    made = {step: _made(value) if type(value) is _Inner else value for step, value in inner.items()}
    if all(type(step) is str for step in made):
        return Pairs([*made.items()])
    if any(type(step) is str or not 0 <= step < len(made) + _HOLES for step in made):
        raise NotReadError("the numbers in its paths are not those of lists")
    return [made.get(at) for at in range(max(made) + 1)]
