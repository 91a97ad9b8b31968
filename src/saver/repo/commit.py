"""A commit: what was staged becomes a durable version, or nothing changes. See docs/protocol.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3

from saver.canonical import in_order
from saver.errors import CannotWriteError
from saver.pack import PackWriter
from saver.repo import grid, stage
from saver.repo import manifest as manifests
from saver.repo.appending import append
from saver.repo.documents import Document, described, hash_part, said
from saver.repo.draft import Details
from saver.repo.events import Commit
from saver.repo.finding import named_by
from saver.repo.forms import TensorForm, tensor_form
from saver.repo.healing import heal
from saver.repo.loadable import demand_loadable
from saver.repo.log import Record, record_after
from saver.repo.manifest import MANIFEST, Manifest
from saver.repo.merging import merge
from saver.repo.numbered import PartVersion, next_number
from saver.repo.objects import pack_key, tree_key
from saver.repo.packing import put_pack
from saver.repo.paging import Placed, condemned_of, in_pages, table_of
from saver.repo.refused import CondemnedError, VoidError
from saver.repo.repository import Repository
from saver.repo.signing import sign_version, with_signatures
from saver.repo.staged import Staged
from saver.repo.state.facts import ModelState
from saver.repo.state.values import version_state
from saver.repo.version import Version, from_state, plain_metric
from saver.repo.written import Written
from saver.storage import Bytes, Progress
from saver.tensors import TensorData, TensorInfo, packs_of, put_together, shards_of


def commit(
    repo: Repository,
    staged: Sequence[Staged],
    details: Details,
    *,
    written: Written | None = None,
    progress: Progress | None = None,
    transaction: str = "",
    placed: Placed = MappingProxyType({}),
) -> Version:
    """Make one version of what was staged, or change nothing. When this returns, the version is durable.

    Raises CannotSaveError if anything was staged twice, or the version could not be loaded; CondemnedError;
    CannotWriteError; or CommitUnknownError. With `written`, the caller staged it, and removes what is left.

    `transaction` is that of the record, if others know it: then they may give the commit up (`settle`), which
    raises VoidError here. If it was staged in pages, `placed` says what is where, by their order in `staged`.
    """
    merged, tensors = merge(repo, staged, placed)
    demand_loadable(merged, str(repo.storage), check_bytes=written is None)
    if written is None:
        repo.state.expect(details.model)
        with Written(repo.storage) as own:
            own.beside = repo.open_to_write()
            return _Commit(repo, staged, merged, tensors, details, own, progress, transaction, placed).run()
    return _Commit(repo, staged, merged, tensors, details, written, progress, transaction, placed).run()


class _Commit:
    """One commit under way."""

    def __init__(
        self,
        repo: Repository,
        staged: Sequence[Staged],
        merged: Staged,
        tensors: dict[str, TensorInfo],
        details: Details,
        written: Written,
        progress: Progress | None,
        transaction: str,
        placed: Placed,
    ) -> None:
        self._repo = repo
        self._staged = staged
        self._merged = merged
        self._known = dict(merged.tensors)
        self._infos = tensors
        self._details = details
        self._written = written
        self._progress = progress
        self._is_announced = bool(transaction)
        self._transaction = transaction or repo.fresh()
        self._added, self._held_size = merged.bytes_added, 0
        self._documents: list[str] = []
        self._table = table_of(staged, merged.parts, placed) if placed else None
        self._placed = bool(placed)
        self._parts = (
            {name: hash_part(part, tensors) for name, part in merged.parts.items()}
            if self._table is None
            else self._table.parts
        )

    def run(self) -> Version:
        """Take the next record's number, and do what can be done only once the version exists."""
        version, merged, known = self._take_number(), self._merged, self._known
        documents = {part.content: part.document for part in merged.parts.values() if part.document}
        if self._table is None:
            self._repo.remembered.take(version, shards_of(self._infos.values()), documents)
        new = {**merged.fresh, **{name: known[name] for name in merged.new}}
        heal(self._repo, version, merged.harmed, new)
        return sign_version(self._repo, version) if self._placed and self._repo.signer.key else version

    def _take_number(self) -> Version:
        """Commit, with all earlier records in view."""
        repo = self._repo
        document: Document | None = None
        stated: tuple[Any, ...] = ()
        while True:
            head = repo.state.last()  # before any decision: other threads may move the state on
            self._demand_not_void()
            self._demand_all_there()
            self._place_held()
            self._put_pages()
            event = self._event(document)
            if document is None or said(event) != stated or repo.state.gone(document.key) is not None:
                document = self._put_file(event) if self._is_file() else self._put_manifest(event)
                written, event = event, self._event(document)  # of another number, if a thread was faster
                stated = (*said(written)[:-1], event.packs)
            record = record_after(head, event, self._transaction, repo.clock(), repo.author)
            record = repo.signer.record(record, repo.state)
            if self._append(record):
                self._written.remove(self._documents[:-1])
                return from_state(event.model, event.number, version_state(record, event), event.tags)
            repo.state.refresh()

    def _is_file(self) -> bool:
        """Whether the whole version is in memory and small: then it becomes one file."""
        if self._table is not None:
            return False
        merged = self._merged
        stored = any(known.length for name, known in merged.tensors.items() if name not in merged.held)
        apart = any(part.document for part in merged.parts.values())
        size = sum(map(len, merged.held.values())) + sum(part.size for part in merged.parts.values())
        return not stored and not apart and size <= stage.FILE_BYTES

    def _place_held(self) -> None:
        """Put tensors that have not been written into a pack, unless the version becomes one file; do it
        again if a collector condemned that pack."""
        held = {name: self._known[name] for name in self._merged.held}
        if not held or self._is_file():
            return
        if self._repo.condemned(held) or not all(known.extents for known in held.values()):
            writer = PackWriter(
                self._tensors(held), {}, self._progress, self._repo.fresh(), self._merged.cuts
            )
            condemned, self._held_size = self._held_size, self._put_pack(writer)
            self._added += self._held_size - condemned

    def _put_pages(self) -> None:
        """Put the tensors of a version with very many shards into pages, unless that was done; do it again if
        a collector condemned one."""
        there = self._table is not None and not any(
            self._repo.state.gone(tree_key(page)) is not None for page in self._table.grid.pages
        )
        if there or len(self._known) <= grid.BOXES or self._is_file():
            return
        found, placed = in_pages(self._repo, self._merged, self._infos, self._written)
        self._table = table_of(found, self._merged.parts, placed)
        self._parts = self._table.parts
        self._added += sum(each.bytes_added for each in found)

    def _tensors(self, names: Iterable[str]) -> dict[str, TensorData]:
        """The tensors with these names that are held in memory, and those without bytes."""
        known, held = self._merged.tensors, self._merged.held
        data = {name: np.frombuffer(held.get(name, b""), np.uint8) for name in names}
        return {name: TensorData(known[name].dtype, known[name].shape, each) for name, each in data.items()}

    def _put_pack(self, writer: PackWriter) -> int:
        """Write a pack, and note where its tensors are stored. Returns the bytes that it takes."""
        size = put_pack(self._written.put, writer, self._repo.compresses(self._merged.compress))
        for name, shard in writer.shards.items():
            self._known[name] = msgspec.structs.replace(self._known[name], extents=shard.extents)
        self._infos = put_together(self._known, self._merged.cuts)
        return size

    def _put_file(self, event: Commit) -> Document:
        """Write the whole version, for this number and parent: a pack that holds its manifest."""
        text = manifests.encode(self._manifest(event, {}, ()))
        metadata, cuts = {MANIFEST: text.decode()}, self._merged.cuts
        hashed = {name: (known.hash, known.blocks) for name, known in self._known.items()}
        writer = PackWriter(
            self._tensors(self._known), metadata, self._progress, self._repo.fresh(), cuts, hashed
        )
        self._documents.append(pack_key(writer.id))
        size = self._put_pack(writer)
        return Document(writer.hash, len(text), writer.id, size)

    def _demand_not_void(self) -> None:
        """Raise VoidError if those who wait for this commit have given it up."""
        if self._is_announced and self._repo.state.void(self._transaction) is not None:
            raise VoidError(
                f"{self._repo.storage}: those who took part in this save gave it up, because this process "
                "no longer answered them; nothing was saved; save again"
            )

    def _demand_all_there(self) -> None:
        """Raise CondemnedError if a collector was faster."""
        gone = {
            each.id: found for each in self._staged if (found := condemned_of(self._repo, each)) is not None
        }
        if gone:
            self._written.remove(self._documents)
            names = [
                name for each in gone.values() for name in (*each.tensors, *each.parts, each.page) if name
            ]
            raise CondemnedError(
                f"{self._repo.storage}: {len(names):,} staged tensors and parts were collected, or found "
                f"damaged, before they were committed ({names[0]}); stage them again",
                gone,
            )

    def _append(self, record: Record) -> bool:
        """Append the record to the log. As soon as that may have happened, nothing that it needs is removed,
        wherever an exception arrives."""
        state = self._repo.state
        self._written.keep()
        try:
            digest = self._written.call(partial(append, state, record))
        except CannotWriteError:
            self._written.release()
            raise
        if digest is None:
            self._written.release()
            return False
        state.took(record, digest)
        self._repo.signer.took(self._repo.format().id, record.number, digest)
        return True

    def _event(self, document: Document | None) -> Commit:
        details, state, parts = self._details, self._repo.state, self._merged.parts.values()
        model = state.model(details.model) or ModelState()
        described = document or Document("", 0, "", 0)
        table = self._table
        pages = () if table is None else table.grid.pages
        packs = packs_of(self._known.values()) if table is None else table.packs
        event = Commit(
            model=details.model,
            number=next_number(str(self._repo.storage), details.model, model.last, details.number),
            manifest=described.hash,
            file=described.file,
            parts={name: self._part_version(name, model.parts.get(name)) for name in in_order(self._parts)},
            packs=(described.file,) if described.file else tuple(sorted(packs)),
            trees=tuple(sorted({*pages, *(part.document for part in parts if part.document)})),
            parent=model.latest, step=details.step,
            metrics={name: plain_metric(details.metrics[name]) for name in in_order(details.metrics)},
            tags=details.tags, moved=named_by(state, details.model, details.tags), notes=details.notes,
            labels={key: details.labels[key] for key in in_order(details.labels)},
            author="" if details.author == self._repo.author else details.author,
            bytes=described.size
            + (sum(known.length for known in self._known.values()) if table is None else table.size)
            + sum(part.size for part in parts if part.document),
            bytes_added=self._added + described.added,
        )  # fmt: skip
        whole = None if self._placed else self._merged
        return with_signatures(self._repo, event, details, whole, self._infos)

    def _part_version(self, name: str, before: Sequence[Any] | None) -> PartVersion:
        digest, size = self._parts[name]
        number = 1 if before is None else before[0] + (before[1] != digest)
        return PartVersion(max(number, self._details.part_numbers.get(name, 1)), digest, size)

    def _put_manifest(self, event: Commit) -> Document:
        """Write the manifest for this number and parent."""
        packs = {pack: at for at, pack in enumerate(event.packs)}
        infos = self._infos if self._table is None else {}
        tensors = {name: tensor_form(infos[name], packs) for name in in_order(infos)}
        data = manifests.encode(self._manifest(event, tensors, event.packs))
        document = Document(blake3(data).hexdigest(), len(data), "", len(data))
        self._documents.append(document.key)
        self._written.put(document.key, Bytes(data))
        return document

    def _manifest(self, event: Commit, tensors: Mapping[str, TensorForm], packs: tuple[str, ...]) -> Manifest:
        details, table = self._details, self._table
        return Manifest(
            grid=None if table is None else table.grid,
            requires=() if table is None else (grid.FEATURE,),
            format=manifests.FORMAT,
            parts={name: described(part, event.parts[name]) for name, part in self._merged.parts.items()},
            whole=self._merged.whole, time=details.time, environment=details.environment, model=details.model,
            number=event.number, parent=event.parent, step=details.step, author=details.author,
            metrics=event.metrics, notes=details.notes, data=details.data, tensors=tensors, packs=packs,
            transaction=self._repo.fresh(), unknown=details.unknown,
        )  # fmt: skip
