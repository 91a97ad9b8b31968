"""A store with history. Knows trees and tensors, but no Python objects. docs/protocol.md has the argument."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from saver.errors import CannotWriteError, DamagedError, NotFoundError, is_full
from saver.repo import document, trees
from saver.repo.agreement import check_agreement
from saver.repo.appending import append
from saver.repo.beside import Beside
from saver.repo.described import Described, read_outline
from saver.repo.events import Condemn, Delete, Event
from saver.repo.extents import Extents
from saver.repo.finding import not_found, number_named, tags_of
from saver.repo.format import STORE_KEY, Format, demand, new_format, read_again, read_format
from saver.repo.log import Record, record_after
from saver.repo.manifest import Part, manifest_key
from saver.repo.objects import pack_key, tree_key
from saver.repo.refs import Ref, parse_ref
from saver.repo.remembered import Remembered
from saver.repo.signer import Signer
from saver.repo.state import State, keep_reserve, make_room
from saver.repo.state.facts import ModelState
from saver.repo.state.users import Users
from saver.repo.version import Version, from_state
from saver.repo.wholeness import check_end, check_end_if_possible
from saver.seals.recognizing import opened
from saver.storage import Blob, Storage
from saver.tensors import Shard, TensorInfo, packs_of

if TYPE_CHECKING:
    from saver.caching.recalling import RecallingStorage
    from saver.repo.index import Index

T = TypeVar("T")


class Repository:
    """The versions in a store. `fresh` makes random names, `clock` returns Unix time: tests replace them.
    `author` says who writes the records, and `index` makes the cache for whole-store deduplication from the
    store's id; None disables it. Both are called when they are first needed, which is never if one only
    reads. `kept` gives the blob of a pack one that keeps bytes on this machine. `compress` says whether
    packs are compressed.
    """

    def __init__(
        self, storage: Storage, author: Callable[[], str] = lambda: "",
        index: Callable[[str], Index] | None = None, fresh: Callable[[], str] = lambda: os.urandom(16).hex(),
        clock: Callable[[], float] = time.time,
        kept: Callable[[str, str, Blob], Blob] = lambda store, pack, blob: blob, compress: bool = False,
    ) -> None:  # fmt: skip
        self.storage, self.state = storage, State(storage)
        self.extents = Extents(self.state)
        self.users = Users(self.state)
        self.gapless = 0  # the number of the record up to which the log is known to have no gap
        self.fresh, self.clock = fresh, clock
        self.kept, self.compress = kept, compress
        self._ask_author, self._make_index = author, index
        self._author: str | None = None
        self._index: Index | None = None
        self._format: Format | None = None
        outline, condemned = (lambda each: self.outline(each)), (lambda known: self.condemned(known))
        self.remembered = Remembered(self.extents, outline, condemned)
        self._whole: Callable[[Storage, State], bool] | None = None
        self.recalling: RecallingStorage | None = None  # what keeps packs in memory for a run
        self.signer = Signer(str(storage))

    @property
    def author(self) -> str:
        """Who writes the records."""
        if self._author is None:
            self._author = self._ask_author()
        return self._author

    @property
    def index(self) -> Index | None:
        """The cache for whole-store deduplication; None if it is disabled, or there is no store."""
        if self._index is None and self._format is not None and self._make_index is not None:
            self._index = self._make_index(self._format.id)
        return self._index

    # The store itself

    def _look(self) -> None:
        """Read at once what opening a store starts with."""
        for _ in self.storage.together((self.exists, self.state.list_ahead)):
            pass

    def exists(self) -> bool:
        """Whether anything was ever saved here; raises IncompatibleError for stores of newer Savers."""
        if self._format is None:
            self._format = read_format(self.storage)
        return self._format is not None

    def format(self) -> Format:
        """What `store.json` says. Raises NotFoundError if there is no store."""
        if not self.exists() or self._format is None:
            raise NotFoundError(
                f"{self.storage}: there is no store here; check the path, or save something first"
            )
        return self._format

    def open(self) -> None:
        """Bring the state up to date. Raises NotFoundError if there is no store."""
        if self._format is None:
            self._look()
            self.format()
        try:
            self.state.refresh()
            self._check(check_end_if_possible)
        finally:
            self.state.shortcuts.forget_listing()

    def open_to_write(self) -> Beside:
        """Bring the state up to date, check that writing is allowed; create the store if there is none.
        Returns the checkpoint that is due, to be written beside what the caller does next."""
        return self._opened_to_write(self.create)

    def open_to_change(self) -> Beside:
        """The same for those who change what is there. Raises NotFoundError if there is no store."""
        return self._opened_to_write(lambda: None)

    def _opened_to_write(self, create: Callable[[], None]) -> Beside:
        self.state.expect_checkpoint()
        try:
            if self._format is not None:
                self._format, *_ = self.state.refresh(partial(read_again, self.storage, self._format))
                demand(self.storage, self.format().write, "write to")
            else:
                self._look()
                create()
                demand(self.storage, self.format().write, "write to")
                self.state.refresh()
            self._check(check_end)
            self.signer.demand_key(self.state.roles)
            self.storage.renew(self.state.bundle())
            return self.state.keep_checkpoint()
        finally:
            self.state.shortcuts.forget_listing()

    def create(self) -> None:
        """Make the store if there is none."""
        if self._format is not None:
            return
        self.storage.probe()
        if self.storage.create(STORE_KEY, document.encode(new_format(self.storage, self.fresh()))):
            keep_reserve(self.storage)

    def _check(self, check: Callable[[Storage, State], bool]) -> None:
        """Check once that what was read is the end of the log: records that were seen remain."""
        if self._whole not in (check, check_end):
            self._whole = check_end if check(self.storage, self.state) else check
        self.signer.watch(self.format().id, self.state)

    def append(self, decide: Callable[[], Event | None]) -> Record | None:
        """Append the event that `decide` returns to the log, durably; returns its record. None does nothing.

        `decide` is called again, with the current state, whenever another writer was faster. On a full
        disk, events that lead to free space may use that of the shortcuts.
        """
        with self.open_to_change() as beside:
            return self._append(decide, beside)

    def _append(self, decide: Callable[[], Event | None], beside: Beside) -> Record | None:
        transaction = self.fresh()
        while True:
            last = self.state.last()  # before the decision: other threads may move the state on meanwhile
            event = decide()
            if event is None:
                return None
            record = record_after(last, event, transaction, self.clock(), self.author)
            record = self.signer.record(record, self.state)
            try:
                digest = beside.call(partial(append, self.state, record))
            except CannotWriteError as error:
                if is_full(error) and isinstance(event, Delete | Condemn) and make_room(self.storage):
                    continue
                raise
            if digest is not None:
                self.state.took(record, digest)
                self.signer.took(self.format().id, record.number, digest)
                return record
            self.state.refresh()

    # Reading

    def models(self, group: str = "") -> Iterator[tuple[str, ModelState]]:
        """The names of the models of a group with live versions, sorted, each with its state."""
        return ((name, model) for name, model in self.state.models(group) if model.count)

    def versions(self, model: str, reverse: bool = False) -> Iterator[Version]:
        """The versions of a model, by number."""
        tags: dict[int, list[str]] = {}
        for tag, tagged in self.state.tags(model).items():
            tags.setdefault(tagged, []).append(tag)
        for number, value in self.state.versions(model, reverse):
            yield from_state(model, number, value, tuple(tags.get(number, ())))

    def find(self, ref: str, wanted: Ref) -> Version:
        """Bring the state up to date; return the version that a ref, parsed already, names. Raises
        NotFoundError."""
        self.state.expect(wanted.model, wanted.number)
        self.open()
        return self.named(ref, wanted)

    def version(self, ref: str) -> Version:
        """The version that a ref names, in the state that was read last. Raises NotFoundError, which lists
        what there is."""
        return self.named(ref, parse_ref(ref))

    def named(self, ref: str, wanted: Ref) -> Version:
        """The same for a ref that is parsed already."""
        number = number_named(self.state, wanted)
        value = self.state.version(wanted.model, number) if number is not None else None
        if number is None or value is None:
            raise not_found(str(self.storage), self.state, ref, wanted)
        return from_state(wanted.model, number, value, tags_of(self.state, wanted.model, number))

    def demand(self, version: Version) -> None:
        """Raise NotFoundError unless a version still exists. Its name may be an invalid one."""
        if self.state.version(version.model, version.number) is None:
            wanted = Ref(version.model, version.number)
            raise not_found(str(self.storage), self.state, str(version), wanted)

    def described(self, version: Version, blob: Blob | None = None) -> Described:
        """What the document of a version says, with all its parts, verified and compared with the log; the
        trees are still raw JSON. `blob` is the file that holds the manifest, if that is open already.

        Raises DamagedError, IncompatibleError if this Saver does not understand it, and NotFoundError if
        the version was deleted meanwhile.
        """
        found = self.outline(version, blob)
        if not version.trees:
            return found
        parts = {name: self.filled(version, part) for name, part in found.manifest.parts.items()}
        manifest = msgspec.structs.replace(found.manifest, parts=parts)
        return msgspec.structs.replace(found, manifest=manifest)

    def outline(self, version: Version, blob: Blob | None = None) -> Described:
        """The same, without the trees in separate documents: `filled` reads those."""
        key = manifest_key(version.manifest, version.file)

        def read(key: str) -> bytes:
            return self.reading(version, key, lambda: self.storage.read(key))

        found = self.reading(version, key, lambda: read_outline(self.storage, version, blob, read))
        check_agreement(version, found)
        return found

    def filled(self, version: Version, part: Part) -> Part:
        """A part with the content of its document, if it has one. Errors as in `manifest`."""
        if not part.document:
            return part
        where = f"{self.storage}: {version}"
        key = tree_key(part.document)
        data = self.reading(version, key, lambda: self.storage.read(key))
        tree, batches = trees.parsed(trees.verified(data, part.document, part.content, where), where)
        return msgspec.structs.replace(part, tree=tree, batches=batches, document="", content="")

    def reading(self, version: Version, key: str, read: Callable[[], T]) -> T:
        """Read an object of a version. If it is missing, so is the version, or it is a DamagedError."""
        try:
            return read()
        except NotFoundError:
            self.state.refresh()
            self.demand(version)
            what = "its manifest" if key == manifest_key(version.manifest, version.file) else "the document"
            raise DamagedError(f"{self.storage}: {version}: {what} {key} is missing", rule="5.16") from None

    def tensors(self, version: Version) -> Mapping[str, TensorInfo]:
        """The tensors of a version, with their current extents."""
        return self.extents.of(self.outline(version))

    def known(self, version: Version) -> dict[str, Shard]:
        """The shards of a version's tensors, by their names in packs, with their current extents."""
        return self.remembered.contents(version)[0]

    def open_pack(self, name: str) -> Blob:
        """A pack, opened for reading. Raises NotFoundError."""
        return opened(self.kept(self.format().id, name, self.storage.open(pack_key(name))))

    def compresses(self, choice: bool | None) -> bool:
        """Whether to compress packs for those who chose this."""
        return self.compress if choice is None else choice

    def condemned(self, known: Mapping[str, Shard]) -> list[str]:
        """The names of tensors with bytes in packs that a collector condemned."""
        packs = packs_of(known.values())
        gone = {pack for pack in packs if self.state.gone(pack_key(pack)) is not None}
        if not gone:
            return []
        return [name for name, item in known.items() if any(extent[0] in gone for extent in item.extents)]
