"""Staging: writes what a store lacks of some parts, and describes what they need as data that can be sent
(`repo/staged.py`).

Several processes may stage pieces of one version, each with its own repository; one of them commits it
(`repo/commit.py`). Staged objects that are never committed are garbage, which a collection frees.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import islice

import msgspec
from blake3 import blake3

from saver.pack.write import SMALL, PackWriter
from saver.repo import trees
from saver.repo.dedup import Reuse, Writing, assemble, what_to_write
from saver.repo.draft import Encoded, EncodedPart
from saver.repo.manifest import content_hash, structure
from saver.repo.objects import tree_key
from saver.repo.packing import put_pack
from saver.repo.repository import Repository
from saver.repo.sharing import Sharing
from saver.repo.staged import NULL, Condemned, Staged, StagedPart
from saver.repo.trees import TREE_BYTES
from saver.repo.written import Written
from saver.storage import Bytes, Progress
from saver.tensors import (
    Cut,
    Hashed,
    Shard,
    TensorData,
    boxes_of,
    bytes_of,
    hash_whole,
    length_of,
    whole,
)

FILE_BYTES = 4 << 20
"""Up to this many bytes are not put into packs but held in memory, to become one file with a manifest."""

WORTH_SHARING = 64 << 10
"""If fewer bytes than this could be shared, all is written whole, if it fits a file: one more object takes
as long to write as a megabyte."""

PACK_TENSORS = 100_000
"""Tensors per pack: their header stays well below the 100 MB that readers allow."""

_EMPTY = blake3(b"").hexdigest()


def stage(
    repo: Repository,
    model: str,
    encoded: Encoded,
    *,
    bases: Iterable[str] = (),
    written: Written | None = None,
    progress: Progress | None = None,
    small: int | None = None,
) -> Staged:
    """Write what the store lacks of what was encoded: parts, tensors, some of both, or some boxes of a tensor
    if others stage the rest. Shares bytes with the newest version of `model`, with the versions that the
    refs `bases` name, and with all that the index knows.

    When this returns, all of it is durable. It belongs to no version until it is committed, so a collection
    may condemn it: then `commit` says so, and `stage_again` repairs it. Up to `small` bytes in all (None:
    `FILE_BYTES`) are not written but held, and travel with what this returns. Raises CannotWriteError, and
    leaves nothing; with `written`, the caller removes what is left.
    """
    if written is None:
        with Written(repo.storage) as own:
            return stage(repo, model, encoded, bases=bases, written=own, progress=progress, small=small)
    repo.state.expect(model)
    written.beside = repo.open_to_write()
    sharing = written.call(partial(Sharing, repo, model, bases, boxes_of(encoded.stored)))
    shards, cuts = encoded.in_shards()
    parts = {name: _inline(part) for name, part in encoded.parts.items()}
    writing = _Writing(repo, written, progress, cuts, encoded)
    held = _copied(shards, parts, FILE_BYTES if small is None else small)
    reuse = sharing.find(shards, {name: its for name, (_, its) in (held or {}).items()} or encoded.hashed)
    if held is not None and not _worth_sharing(shards, parts, reuse, sharing):
        harmed = {shard.hash for shard in sharing.harmed}
        writing.hold(shards, held, {name for name, shard in reuse.whole.items() if shard.hash not in harmed})
    else:
        writing.write(shards, reuse)
        parts = {name: writing.apart(part, sharing.document) for name, part in parts.items()}
    return Staged(
        id=repo.fresh(), store=repo.format().id,
        parts=parts,
        whole=encoded.whole,
        tensors=writing.known, new=tuple(writing.new), harmed=tuple(sharing.harmed),
        bytes_added=writing.added, held=writing.held, cuts=cuts, compress=encoded.compress,
    )  # fmt: skip


def stage_again(
    repo: Repository,
    staged: Staged,
    condemned: Condemned,
    encoded: Encoded,
    *,
    written: Written | None = None,
    progress: Progress | None = None,
) -> Staged:
    """What was staged, with the condemned objects written again, sharing nothing. `encoded` is the same as
    before. Errors as in `stage`."""
    if written is None:
        with Written(repo.storage) as own:
            return stage_again(repo, staged, condemned, encoded, written=own, progress=progress)
    shards, cuts = encoded.in_shards()
    writing = _Writing(repo, written, progress, cuts, encoded)
    writing.write({name: shards[name] for name in condemned.tensors}, Reuse({}, {}, encoded.hashed))
    return msgspec.structs.replace(
        staged,
        parts={
            **staged.parts,
            **{name: writing.apart(_inline(encoded.parts[name])) for name in condemned.parts},
        },
        tensors={**staged.tensors, **writing.known},
        new=tuple(dict.fromkeys((*staged.new, *writing.new))),
        bytes_added=staged.bytes_added + writing.added,
    )


def _inline(part: EncodedPart) -> StagedPart:
    text = structure(part.tree, part.batches)
    return StagedPart(
        content=content_hash(text), size=len(text), packages=part.packages, tensors=tuple(part.tensors),
        tree=part.tree, batches=dict(part.batches),
    )  # fmt: skip


def _copied(
    shards: Mapping[str, TensorData], parts: Mapping[str, StagedPart], small: int
) -> dict[str, tuple[bytes, Hashed]] | None:
    """The bytes of all tensors, which cannot change any more, and their hashes, if all of it is small enough;
    otherwise None."""
    size = sum(map(length_of, shards.values())) + sum([part.size for part in parts.values()])
    if size > small or len(shards) > PACK_TENSORS:
        return None
    found = {}
    for name, data in shards.items():
        held = bytes_of(data)
        found[name] = held, hash_whole(memoryview(held))
    return found


def _worth_sharing(
    shards: Mapping[str, TensorData], parts: Mapping[str, StagedPart], reuse: Reuse, sharing: Sharing
) -> bool:
    """Whether sharing would save more than writing one object less."""
    blocks = sum(extent[2] for found in reuse.blocks.values() for _, extent in found.values())
    if sum(length_of(shards[name]) for name in reuse.whole) + blocks >= WORTH_SHARING:
        return True
    return any(part.size >= TREE_BYTES and sharing.document(part.content) for part in parts.values())


class _Writing:
    """Tensors on their way into packs: `known` extents of their bytes, and the names of the `new` ones."""

    def __init__(
        self, repo: Repository, written: Written, progress: Progress | None, cuts: Mapping[str, Cut],
        encoded: Encoded,
    ) -> None:  # fmt: skip
        self._repo = repo
        self._cuts = cuts
        self._compress = encoded.compress
        self._written = written
        self._progress = progress
        self.known: dict[str, Shard] = {}
        self.held: dict[str, bytes] = {}
        self.new: list[str] = []
        self.added = 0

    def write(self, tensors: Mapping[str, TensorData], reuse: Reuse) -> None:
        """Put what the store lacks into packs; then the extents of all `tensors` are known."""
        writing = what_to_write(tensors, reuse)
        written = self._put_packs(writing)
        blocks = {name: dict(found) for name, found in reuse.blocks.items()}
        for block, (name, number) in writing.block_of.items():
            blocks[name][number] = written[block].hash, written[block].extents[0]
        for name, data in tensors.items():
            if name in reuse.whole:
                old = reuse.whole[name]
                self.known[name] = msgspec.structs.replace(old, dtype=data.dtype, box=whole(data.shape))
            elif length_of(data) == 0:
                self.known[name] = Shard(data.dtype, whole(data.shape), _EMPTY)
            else:
                self.known[name] = assemble(data, blocks[name]) if name in blocks else written[name]
                self.new.append(name)

    def hold(
        self,
        tensors: Mapping[str, TensorData],
        copies: Mapping[str, tuple[bytes, Hashed]],
        there: Collection[str],
    ) -> None:
        """Keep copies of the bytes of all tensors, to be written later. `there` are those that the store has,
        too."""
        for name, (held, hashed) in copies.items():
            self.known[name] = Shard(tensors[name].dtype, whole(tensors[name].shape), *hashed)
            if held:
                self.held[name] = held
                if name not in there:
                    self.new.append(name)

    def apart(self, part: StagedPart, shared: Callable[[str], str] = lambda content: "") -> StagedPart:
        """A part, with a separate document if it is large: the one that `shared` names, if there is one
        with the same content."""
        if part.size < TREE_BYTES:
            return part
        name = shared(part.content) or self._put_document(structure(part.tree, part.batches))
        return msgspec.structs.replace(part, tree=NULL, batches={}, document=name)

    def _put_document(self, text: bytes) -> str:
        name, data = trees.encode(text, self._repo.fresh())
        self._written.put(tree_key(name), Bytes(data))
        self.added += len(data)
        return name

    def _put_packs(self, writing: Writing) -> dict[str, Shard]:
        """Write tensors into packs of limited size; returns the shards with their extents."""
        total, done = sum(map(length_of, writing.tensors.values())), 0
        written: dict[str, Shard] = {}
        left = iter(writing.tensors.items())
        while some := dict(islice(left, PACK_TENSORS)):
            size = sum(map(length_of, some.values()))
            # A small pack is copied first, and then hashed: its bytes may have changed since they were.
            hashed = writing.hashed if size > SMALL and some.keys() <= writing.hashed.keys() else None
            written |= self._put_pack(some, hashed, done, total)
            done += size
        return written

    def _put_pack(
        self, tensors: dict[str, TensorData], hashed: Mapping[str, Hashed] | None, before: int, total: int
    ) -> dict[str, Shard]:
        progress = self._progress
        report = None if progress is None else lambda done, _: progress(min(before + done, total), total)
        writer = PackWriter(tensors, {}, report, self._repo.fresh(), self._cuts, hashed)
        self.added += put_pack(self._written.put, writer, self._repo.compresses(self._compress))
        return writer.shards
