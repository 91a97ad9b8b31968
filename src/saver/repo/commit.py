"""A commit: a draft becomes a version, durably, or nothing. docs/protocol.md has the argument."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from blake3 import blake3

from saver.errors import CannotWriteError, CommitUnknownError, SaverError
from saver.pack import PackWriter
from saver.repo import manifest as manifests
from saver.repo.dedup import Reuse, assemble, what_to_write
from saver.repo.draft import Draft, EncodedPart
from saver.repo.log import Commit, Event, Move, PartVersion, Record, Relocate, record_after
from saver.repo.manifest import Manifest, manifest_key, tensor_form
from saver.repo.objects import pack_key
from saver.repo.places import packs_of
from saver.repo.sharing import Sharing
from saver.repo.state.facts import ModelState
from saver.repo.state.view import version_state
from saver.repo.version import Version, from_state, plain_metric
from saver.storage import Bytes, Progress
from saver.tensors import Shard, TensorInfo, in_shards, length_of, put_together, whole
from saver.tree import TensorData

if TYPE_CHECKING:
    from saver.repo.repository import Repository

PACK_TENSORS = 100_000
"""Tensors per pack: their header stays well below the 100 MB that readers allow."""

_EMPTY = blake3(b"").hexdigest()


def commit(repo: Repository, draft: Draft, progress: Progress | None = None) -> Version:
    """Save a version, durably, or nothing. When this returns, it is there for good.

    Raises CannotWriteError, and nothing is left; or CommitUnknownError, when the version may be there or not.
    """
    repo.state.expect(draft.model)
    repo.open_to_write()
    repo.state.keep_checkpoint()
    return _Commit(repo, draft, progress).run()


class _Commit:
    """One commit under way: what was written for it, and is removed again if it comes to nothing."""

    def __init__(self, repo: Repository, draft: Draft, progress: Progress | None) -> None:
        self._repo = repo
        self._draft = draft
        self._shards, self._cuts = in_shards(draft.encoded.stored)
        self._progress = progress
        self._transaction = repo.fresh()
        self._own: list[str] = []
        self._manifests: list[str] = []
        self._added = 0
        self._known: dict[str, Shard] = {}
        self._new: dict[str, Shard] = {}
        self._tensors: dict[str, TensorInfo] = {}
        self._parts: dict[str, tuple[str, int]] = {}

    def run(self) -> Version:
        repo, draft = self._repo, self._draft
        try:
            sharing = Sharing(repo, draft.model, draft.bases)
            self._write(self._shards, sharing.find(self._shards))
            version = self._take_number()
        except CommitUnknownError:
            raise
        except BaseException:
            self._clean(self._own)
            raise
        repo.remember(version, self._tensors)
        sharing.tell(version, self._new, self._shards)
        self._heal(version, sharing.harmed)
        return version

    def _clean(self, keys: Iterable[str]) -> None:
        """Remove what was written and is not needed: no other writer can know of it.

        What cannot be deleted is garbage, which a collector frees: no reason to hide why the save failed.
        """
        gone = [*keys]
        with suppress(CannotWriteError):
            if gone:
                self._repo.storage.delete(*gone)

    # Packs

    def _write(self, tensors: Mapping[str, TensorData], reuse: Reuse) -> None:
        """Put what the store lacks into packs; then all of `tensors`, which are shards, are known."""
        writing = what_to_write(tensors, reuse)
        written = self._put_packs(writing.tensors)
        blocks = {name: dict(found) for name, found in reuse.blocks.items()}
        for block, (name, number) in writing.block_of.items():
            blocks[name][number] = written[block].hash, written[block].places[0]
        for name, data in tensors.items():
            if name in reuse.whole:
                old = reuse.whole[name]
                self._known[name] = msgspec.structs.replace(old, dtype=data.dtype, box=whole(data.shape))
            elif length_of(data) == 0:
                self._known[name] = Shard(data.dtype, whole(data.shape), _EMPTY)
            else:
                new = assemble(data, blocks[name]) if name in blocks else written[name]
                self._known[name] = self._new[name] = new
        self._tensors = put_together({name: self._known[name] for name in self._shards}, self._cuts)

    def _put_packs(self, tensors: Mapping[str, TensorData]) -> dict[str, Shard]:
        """Write tensors into packs that hold not too many each; returns where they lie."""
        total, done = sum(map(length_of, tensors.values())), 0
        written: dict[str, Shard] = {}
        left = iter(tensors.items())
        while some := dict(islice(left, PACK_TENSORS)):
            written |= self._put_pack(some, done, total)
            done += sum(map(length_of, some.values()))
        return written

    def _put_pack(self, tensors: dict[str, TensorData], before: int, total: int) -> dict[str, Shard]:
        progress = self._progress
        report = (lambda done, _: progress(before + done, total)) if progress is not None else None
        writer = PackWriter(tensors, None, report, ident=self._repo.fresh(), cuts=self._cuts)
        self._own.append(pack_key(writer.id))
        self._repo.storage.put(pack_key(writer.id), writer)
        self._added += writer.size
        return writer.shards

    # The record

    def _take_number(self) -> Version:
        """Commit: take the next record's number, with all that came before in view."""
        repo, digest, size = self._repo, "", 0
        last: tuple[Any, ...] | None = None
        while True:
            head = repo.state.last()  # before anything is decided: other threads may move the state on
            gone = repo.condemned(self._known)
            if gone:  # a collector was faster; write them anew, sharing nothing
                self._write({name: self._shards[name] for name in gone}, Reuse({}, {}))
                last = None
            event = self._event(digest, size)
            key = (event.number, event.parent, event.parts)
            if key != last or repo.state.gone(manifest_key(digest)) is not None:
                digest, size = self._put_manifest(event)
                last = key
                event = self._event(digest, size)
            record = record_after(head, event, self._transaction, repo.clock(), self._draft.author)
            if self._append(record):
                self._clean(self._manifests[:-1])
                return from_state(event.model, event.number, version_state(record, event), event.tags)
            repo.state.refresh()

    def _append(self, record: Record) -> bool:
        """Put the record into the log. Once that may have happened, nothing that it needs is removed."""
        state = self._repo.state
        try:
            digest = state.log.append(record)
        except CannotWriteError:
            raise
        except BaseException:
            self._own.clear()
            raise
        if digest is None:
            return False
        self._own.clear()
        state.took(record, digest)
        return True

    def _event(self, manifest: str, manifest_size: int) -> Commit:
        draft, state = self._draft, self._repo.state
        model = state.model(draft.model) or ModelState()
        return Commit(
            model=draft.model,
            number=model.last + 1,
            manifest=manifest,
            parts={name: self._part_version(name, model.parts.get(name)) for name in draft.encoded.parts},
            packs=tuple(sorted(packs_of(self._known.values()))),
            parent=model.latest,
            step=draft.step,
            metrics={name: plain_metric(value) for name, value in draft.metrics.items()},
            tags=draft.tags,
            notes=draft.notes,
            bytes=sum(known.length for known in self._known.values()) + manifest_size,
            bytes_added=self._added + manifest_size,
        )

    def _part_version(self, name: str, before: Sequence[Any] | None) -> PartVersion:
        if name not in self._parts:
            self._parts[name] = self._hash_part(self._draft.encoded.parts[name])
        digest, size = self._parts[name]
        number = 1 if before is None else before[0] + (before[1] != digest)
        return PartVersion(number, digest, size)

    def _hash_part(self, part: EncodedPart) -> tuple[str, int]:
        """The hash of a part, and its size in bytes: tensors and structure."""
        tensors = self._tensors
        digest = manifests.part_hash(part.tree, part.batches, tensors, part.tensors)
        size = sum(tensors[name].length for name in dict.fromkeys(part.tensors))
        return digest, size + len(manifests.structure(part.tree, part.batches))

    def _put_manifest(self, event: Commit) -> tuple[str, int]:
        """Write the manifest for this number and parent; returns its hash and size."""
        data = manifests.encode(self._manifest(event)).encode()
        digest = blake3(data).hexdigest()
        key = manifest_key(digest)
        self._own.append(key)
        self._manifests.append(key)
        self._repo.storage.put(key, Bytes(data))
        return digest, len(data)

    def _manifest(self, event: Commit) -> Manifest:
        draft = self._draft
        packs = {pack: at for at, pack in enumerate(event.packs)}
        return Manifest(
            format=manifests.FORMAT,
            parts={
                name: part.described(event.parts[name].hash, event.parts[name].number)
                for name, part in draft.encoded.parts.items()
            },
            whole=draft.encoded.whole, time=draft.time, environment=draft.environment, model=draft.model,
            number=event.number, parent=event.parent, step=draft.step, author=draft.author,
            metrics=event.metrics, notes=draft.notes, data=draft.data,
            tensors={name: tensor_form(info, packs) for name, info in self._tensors.items()},
            packs=event.packs, transaction=self._repo.fresh(), unknown=draft.unknown,
        )  # fmt: skip

    # Damage

    def _heal(self, version: Version, harmed: Iterable[Shard]) -> None:
        """DamagedError bytes that were written anew are read from their new place by older versions too."""
        fresh = {(known.hash, known.length): known for known in self._new.values()}
        moves: dict[str, list[Move]] = {}
        for old in harmed:
            new = fresh.get((old.hash, old.length))
            if new is not None and len(new.places) == 1 and len(old.places) == 1:
                pack, offset, length = old.places[0]
                target, there, _ = new.places[0]
                moves.setdefault(pack, []).append((offset, length, target, there))
        if not moves:
            return

        def decide() -> Event | None:
            """The version may have been deleted, and its packs condemned."""
            if self._repo.condemned(self._new):
                return None
            return Relocate({pack: tuple(sorted(found)) for pack, found in moves.items()})

        try:
            self._repo.append(decide)
        except SaverError as error:
            warnings.warn(
                f"{version} is saved, but older versions could not be healed with it: {error}", stacklevel=2
            )
