"""What was staged, as data that can be sent to another process, and what a collector took of it."""

from __future__ import annotations

import msgspec

from saver.strict import decodable
from saver.tensors import Cut, Shard

NULL = msgspec.Raw(b"null")
"""The tree of a part that has a document."""


class StagedPart(msgspec.Struct, frozen=True):
    """A part: its tree and batches as JSON, or the name of the `document` in the store that holds them;
    their hash and size in bytes; and the names of the tensors that they refer to, in order. Other processes
    may have staged those.
    """

    content: str
    size: int
    packages: tuple[str, ...]
    tensors: tuple[str, ...]
    tree: msgspec.Raw = NULL
    batches: dict[str, msgspec.Raw] = {}
    document: str = ""


@decodable
class Staged(msgspec.Struct, frozen=True):
    """What was staged, as plain data for `msgspec.json` or any other encoding.

    `tensors` maps the names of shards in packs to the extents of their bytes; the bytes of `held` ones are
    included here, and the commit writes them. `cuts` says how tensors with several shards are cut. `id`
    identifies this Staged, `store` is the id of its store; `whole` is as in `Encoded`. `new` are the names
    of the shards that the store did not have. `bytes_added` is the size of everything that was written.
    `harmed` are tensors of older versions that are rewritten because a check found them damaged.

    In the grid form (`repo/paging.py`), `page` is the name of the document with the tensors, if there are
    any, and `tensors` is empty; `packs` and `size` (in bytes) are theirs, `sums` their hashes by part, and
    `fresh` those of the new ones that are like `harmed`. `compress` is as in `Encoded`.
    """

    id: str
    store: str
    parts: dict[str, StagedPart]
    whole: bool
    tensors: dict[str, Shard]
    new: tuple[str, ...]
    harmed: tuple[Shard, ...]
    bytes_added: int
    held: dict[str, bytes] = {}
    cuts: dict[str, Cut] = {}
    page: str = ""
    packs: tuple[str, ...] = ()
    size: int = 0
    sums: dict[str, str] = {}
    fresh: dict[str, Shard] = {}
    compress: bool | None = None


class Condemned(msgspec.Struct, frozen=True):
    """The names of those staged tensors and parts that a collector condemned before they were committed;
    `page` is the key of what is gone of a page, or of its packs: then its process finds out what."""

    tensors: tuple[str, ...]
    parts: tuple[str, ...]
    page: str = ""
