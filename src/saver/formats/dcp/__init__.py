"""Distributed checkpoints of PyTorch (DCP): folders that `torch.distributed.checkpoint.save` writes.

Each rank writes its boxes of the tensors into files of its own; `.metadata` says where each of them is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from saver.disk import mapped
from saver.errors import IncompatibleError, SaverError
from saver.format import Around, Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._packing import opened_parts
from saver.formats._writing import Streamed
from saver.formats.dcp import metadata
from saver.formats.dcp.metadata import MODULE
from saver.formats.dcp.reading import Values, nested
from saver.formats.dcp.writing import FILE, Checkpoint, Flattened
from saver.formats.pickle.contents import is_pickle
from saver.formats.pickle.opening import encoded
from saver.formats.pickle.readers import notes_of
from saver.opened import Opened
from saver.pickled import NotReadError
from saver.stack import anywhere
from saver.storage import Blob, Bytes, Progress

_NAME = ".metadata"
_FIRST = 256


class DistributedCheckpoint(Reads, Writes):
    """A folder of a distributed checkpoint."""

    name = "dcp"
    title = "a distributed checkpoint of PyTorch"

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is the `.metadata` of such a folder: a pickle that begins with its class."""
        first = blob.read(0, _FIRST)
        return is_pickle(first) and MODULE.encode() in first

    def first_of(self, path: str) -> str | None:
        """The `.metadata` of a folder."""
        found = os.path.join(path, _NAME)
        try:
            return found if os.path.isfile(found) and self.recognizes(mapped.open_file(found)) else None
        except SaverError:
            return None

    def around(self, folder: str, names: Sequence[str]) -> Around | None:
        """The files of a folder that is a checkpoint, which are no models by themselves."""
        if _NAME not in names or self.first_of(folder) is None:
            return None
        return Around({}, [name for name in names if name == _NAME or name.endswith(".distcp")])

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The state dict, nested as it was saved; its keys are the parts. Each tensor is put together of its
        boxes, which stay where they are."""
        if beside is None:
            raise IncompatibleError(
                f"{blob.name}: its tensors are in other files; pass the path of the folder"
            )
        text = blob.read()
        try:
            found = metadata.read(memoryview(text), blob.name)
            values = Values(found, beside, blob.name)
            root = nested(values.read(), found.paths)
        except NotReadError as error:
            raise IncompatibleError(
                f"{blob.name}: this is not what {self.title} says of itself: {error}; copy the folder from "
                "its source again"
            ) from None
        walk, trees, whole = encoded(root, blob.name)
        environment = {"imported from": self.title}
        packages = notes_of(values.calls)
        return opened_parts(
            trees, walk.batches, walk.tensors, whole=whole, blob=blob, mapped=None,
            size=len(text) + values.size,
            environment=environment | ({"packages": packages} if packages else {}),
            more=values.shards(walk.sharded),
        )  # fmt: skip

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write dicts and lists as they are, a module or an optimizer as its state dict, and of other objects
        the arrays by name. A tensor is written in the boxes that it is stored in."""
        found: Flattened
        made: Checkpoint
        found, made = anywhere(_made, chosen)
        if not found.apart.storages:
            raise IncompatibleError(
                f"{chosen.opened.where}: there are no arrays in it that {self.title} could hold; nothing was "
                "written; write a Saver file instead, or choose other parts"
            )
        out.add(f"/{FILE}", Streamed(made.pieces, progress))
        out.add(f"/{_NAME}", Bytes(made.metadata))
        return found.losses


def _made(chosen: Chosen) -> tuple[Flattened, Checkpoint]:
    found = Flattened(chosen)
    return found, Checkpoint(found)


FORMAT = DistributedCheckpoint()
