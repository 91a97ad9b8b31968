"""What a rank holds, and what it writes of that."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from saver.distributed.planning import Described, Held, Task
from saver.repo.draft import Encoded, EncodedPart
from saver.repo.manifest import content_hash, structure
from saver.tensors import ITEM_SIZE, Box, ShardedData, TensorData, whole


def described(encoded: Encoded) -> Described:
    """What this rank holds. The elements of tensors are not looked at."""
    tensors: dict[str, Held] = {}
    for name, data in encoded.tensors.items():
        box = whole(data.shape)
        solid = not isinstance(data.data, np.ndarray)
        tensors[name] = Held(data.dtype, data.shape, [(box.offsets, box.sizes)], solid)
    for name, cut in encoded.sharded.items():
        boxes = [(offsets, each.shape) for offsets, each in sorted(cut.shards.items())]
        solid = not all(isinstance(each.data, np.ndarray) for each in cut.shards.values())
        tensors[name] = Held(cut.dtype, cut.shape, boxes, solid)
    parts = {name: content_hash(structure(part.tree, part.batches)) for name, part in encoded.parts.items()}
    return Described(parts, encoded.whole, tensors)


def assigned(encoded: Encoded, task: Task) -> Encoded:
    """What this rank stages: the very elements of `encoded`. Raises KeyError if it does not have them all."""
    tensors: dict[str, TensorData] = {}
    sharded: dict[str, ShardedData] = {}
    complete, stored = set(task.complete), encoded.stored
    for name, boxes in task.tensors.items():
        data = stored[name]
        held = data.shards if isinstance(data, ShardedData) else {(0,) * len(data.shape): data}
        pieces = {offsets: _piece(held, Box(offsets, sizes)) for offsets, sizes in boxes}
        if name in complete:
            (tensors[name],) = pieces.values()
        else:
            sharded[name] = ShardedData(data.dtype, data.shape, pieces)
    parts: dict[str, EncodedPart] = {name: encoded.parts[name] for name in task.parts}
    return Encoded(parts, tensors, encoded.whole, encoded.seeds, sharded, compress=encoded.compress)


def _piece(held: Mapping[tuple[int, ...], TensorData], box: Box) -> TensorData:
    """A box of a tensor, from the one of this rank's that it is in."""
    for offsets, data in held.items():
        outer = Box(offsets, data.shape)
        if outer == box:
            return data
        if outer.cut(box) == box and isinstance(data.data, np.ndarray):
            slices = box.within(outer).slices
            if data.data.flags.c_contiguous:  # of any type, also copied bytes
                items = data.data.reshape(-1).view(np.uint8).reshape(*data.shape, ITEM_SIZE[data.dtype])
            else:
                items = data.data
            return TensorData(data.dtype, box.sizes, items[slices], data.changes)
    raise KeyError(box)


def everything(encoded: Encoded) -> Task:
    """The task to stage all that this rank holds."""
    tensors = {name: held.boxes for name, held in described(encoded).tensors.items()}
    return Task(parts=[*encoded.parts], tensors=tensors, complete=[*encoded.tensors])
