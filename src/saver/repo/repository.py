"""A store with history. Knows trees and tensors, and no Python object. docs/protocol.md has the argument."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from blake3 import blake3

from saver.errors import CannotWrite, CommitUnknown, Damaged, NotFound, SaverError, Unsupported
from saver.pack import PackWriter
from saver.repo import dedup, document
from saver.repo import manifest as manifests
from saver.repo.dedup import Reuse, find_reuse, length_of, what_to_write
from saver.repo.log import Commit, Event, PartVersion, Record, Relocate
from saver.repo.manifest import Manifest, Part, Stored
from saver.repo.places import Known, Place, Places, overlaps
from saver.repo.refs import Ref, parse_ref
from saver.repo.state import ModelState, State, number_in, step_key, version_key, version_state
from saver.repo.version import Version, from_state, plain_metric
from saver.store import Progress, Store
from saver.tree import TensorData, decodable, to_json

if TYPE_CHECKING:
    from saver.repo.index import Index

FORMAT = 1
STORE_KEY = "store.json"
PACK_TENSORS = 100_000
"""Tensors per pack: their header stays well below the 100 MB that readers allow."""


@decodable
class Format(msgspec.Struct, frozen=True):
    """`store.json`. The features that one must know to read, to write, and to collect."""

    format: int
    id: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    seal: dict[str, Any] | None = None


FEATURES: frozenset[str] = frozenset()
"""What a store may ask for, of this Saver."""


class DraftPart(msgspec.Struct):
    """A part to be saved: its tree, the batches that belong to it, and the names of its tensors."""

    tree: Any
    batches: dict[str, Any]
    packages: tuple[str, ...]
    tensors: list[str]


class Draft(msgspec.Struct, kw_only=True):
    """A version to be saved. `bases` are refs of versions, of any model, that may share tensors with it."""

    model: str
    parts: dict[str, DraftPart]
    tensors: dict[str, TensorData]
    whole: bool
    time: float
    environment: dict[str, Any]
    author: str = ""
    step: int | None = None
    metrics: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    notes: str = ""
    data: dict[str, Any] = {}
    bases: tuple[str, ...] = ()
    unknown: dict[str, Any] = {}


def manifest_key(digest: str) -> str:
    """Where a manifest stands."""
    return f"manifests/{digest[:2]}/{digest}.json"


def pack_key(name: str) -> str:
    """Where a pack stands."""
    return f"packs/{name}.safetensors"


class Repository:
    """The versions in a store. `fresh` makes random names, `clock` tells Unix time: tests replace them.

    `index` makes the cache for whole-store deduplication from the store's id; None goes without.
    """

    def __init__(
        self,
        store: Store,
        author: str = "",
        index: Callable[[str], Index] | None = None,
        fresh: Callable[[], str] = lambda: os.urandom(16).hex(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.author = author
        self.state = State(store)
        self.places = Places(self.state)
        self.fresh = fresh
        self.clock = clock
        self.index: Index | None = None
        self._make_index = index
        self._format: Format | None = None
        self._last: tuple[str, dict[str, Known]] = ("", {})

    # The store itself

    def exists(self) -> bool:
        """Whether anything was ever saved here; raises Unsupported for stores of newer Savers."""
        if self._format is None:
            self._format = self._read_format()
            if self._format is not None and self._make_index is not None:
                self.index = self._make_index(self._format.id)
        return self._format is not None

    def _read_format(self) -> Format | None:
        data = self._format_bytes()
        if data is None:
            return None
        where = f"{self.store}: {STORE_KEY}"
        outline, _ = document.decode(data, _Outline, where)
        if outline.format != FORMAT:
            raise Unsupported(
                f"{where} has format {outline.format}; this Saver knows format {FORMAT}: install a newer one"
            )
        found, _ = document.decode(data, Format, where)
        self.demand(found.read, "read")
        return found

    def _format_bytes(self) -> bytes | None:
        """`store.json`; None where there is no store. Raises Damaged where there is one without it."""
        try:
            return self.store.read(STORE_KEY)
        except NotFound:
            if next(self.store.list("log/"), None) is None:
                return None
        try:  # again: another process may just have made the store, and saved
            return self.store.read(STORE_KEY)
        except NotFound:
            raise Damaged(
                f"{self.store}: {STORE_KEY} is missing, and there are log records; nothing was changed; "
                "restore it from a copy of the store"
            ) from None

    def demand(self, features: Iterable[str], purpose: str) -> None:
        """Raise Unsupported unless this Saver knows all `features`."""
        missing = sorted(set(features) - FEATURES)
        if missing:
            names = ", ".join(name[:40] for name in missing[:5])
            raise Unsupported(
                f"{self.store}: to {purpose} this store, Saver needs {names}, which this one does not have; "
                "nothing was changed; install a newer Saver"
            )

    def format(self) -> Format:
        """What `store.json` says. Raises NotFound where there is no store."""
        if not self.exists() or self._format is None:
            raise NotFound(f"{self.store}: there is no store here; check the path, or save something first")
        return self._format

    def open(self) -> None:
        """Be up to date. Raises NotFound where there is no store."""
        self.format()
        self.state.refresh()

    def open_to_write(self) -> None:
        """Be up to date and allowed to write; the first one makes the store."""
        if self._format is not None:
            self._look_again(self._format)
        elif not self.exists():
            self.store.create(STORE_KEY, document.encode(Format(FORMAT, self.fresh())))
        self.demand(self.format().write, "write to")
        self.state.refresh()

    def _look_again(self, known: Format) -> None:
        """Whether the store is still there, and what it asks for by now.

        What is written once its folder was deleted, moved or unmounted would begin another one, without its
        past; and a store that came back would have a gap.
        """
        found = self._read_format()
        if found is None or found.id != known.id:
            what = "is not there any more" if found is None else "is another one than it was"
            raise CannotWrite(
                f"{self.store}: the store {what}: it was deleted, moved or unmounted; nothing was written; "
                "bring it back, or begin another one with a new Saver"
            )
        self._format = found

    def append(self, decide: Callable[[], Event | None]) -> Record | None:
        """Put the event that `decide` returns into the log, durably; None when it returns none.

        `decide` is called again, with the state as it then is, whenever another writer was faster.
        """
        self.open_to_write()
        self.state.keep_checkpoint()
        transaction = self.fresh()
        while True:
            last = self.state.last()  # before the decision: other threads may move the state on meanwhile
            event = decide()
            if event is None:
                return None
            record = self._record(last, event, transaction, self.author)
            digest = self.state.log.append(record)
            if digest is not None:
                self.state.took(record, digest)
                return record
            self.state.refresh()

    def _record(self, last: tuple[int, str], event: Event, transaction: str, author: str) -> Record:
        head, previous = last
        return Record(FORMAT, head + 1, previous, transaction, self.clock(), event, author)

    # Reading

    def models(self) -> Iterator[tuple[str, ModelState]]:
        """The names of the models, sorted, each with how many versions live and the number of the newest."""
        for key, value in self.state.scan("model "):
            if value.count:
                yield key.removeprefix("model "), value

    def versions(self, model: str, reverse: bool = False) -> Iterator[Version]:
        """The versions of a model, by number."""
        tags: dict[int, list[str]] = {}
        for key, number in self.state.scan(f"tag {model} "):
            tags.setdefault(number, []).append(key.rpartition(" ")[2])
        for key, value in self.state.scan(f"version {model} ", reverse):
            number = number_in(key)
            yield from_state(model, number, value, tuple(tags.get(number, ())))

    def version(self, ref: str) -> Version:
        """The version that a ref names. Raises NotFound, which says what there is."""
        wanted = parse_ref(ref)
        number = self._number(wanted)
        value = self.state.get(version_key(wanted.model, number)) if number is not None else None
        if number is None or value is None:
            raise self._not_found(ref, wanted)
        return from_state(wanted.model, number, value, self._tags(wanted.model, number))

    def _tags(self, model: str, number: int) -> tuple[str, ...]:
        found = self.state.scan(f"tag {model} ")
        return tuple(key.rpartition(" ")[2] for key, tagged in found if tagged == number)

    def _number(self, ref: Ref) -> int | None:
        if ref.number is not None:
            return ref.number
        if ref.tag is not None:
            tagged: int | None = self.state.get(f"tag {ref.model} {ref.tag}")
            return tagged
        if ref.step is not None:
            last = next(self.state.scan(step_key(ref.model, ref.step), reverse=True), None)
            return last[1] if last is not None else None
        if ref.time is not None:
            older = (v.number for v in self.versions(ref.model, reverse=True) if v.time <= ref.time)
            return next(older, None)
        model = self.state.get(f"model {ref.model}")
        return model.latest if model is not None else None

    def _not_found(self, text: str, ref: Ref) -> NotFound:
        model = self.state.get(f"model {ref.model}")
        if model is None or not model.count:
            from difflib import get_close_matches

            names = [name for name, _ in self.models()]
            near = get_close_matches(ref.model, names, 3) or names[:5]
            there = f"there are {', '.join(near)}" if near else "nothing was saved here yet"
            return NotFound(f"{self.store}: there is no model {ref.model!r}; {there}")
        tags = [key.rpartition(" ")[2] for key, _ in self.state.scan(f"tag {ref.model} ")]
        tagged = f", tagged: {', '.join(tags[:10])}" if tags else ""
        return NotFound(
            f"{self.store}: there is no {text}; {ref.model} has {model.count} versions, the newest is "
            f"{ref.model}@{model.latest}{tagged}"
        )

    def manifest(self, version: Version) -> Manifest:
        """The manifest of a version, verified; its trees are still raw JSON.

        Raises Damaged; NotFound when the version was deleted meanwhile.
        """
        where = f"{self.store}: {version}"
        try:
            data = self.store.read(manifest_key(version.manifest))
        except NotFound:
            self.state.refresh()
            self.version(str(version))
            raise Damaged(f"{where}: its manifest {manifest_key(version.manifest)} is missing") from None
        if blake3(data).hexdigest() != version.manifest:
            raise Damaged(
                f"{where}: its manifest {manifest_key(version.manifest)} is damaged; restore that file "
                "from a copy of the store"
            )
        return manifests.decode(data.decode(errors="replace"), where)

    def known(self, version: Version) -> dict[str, Known]:
        """The tensors of a version, and where they lie now."""
        digest, known = self._last
        if digest == version.manifest and not self.condemned(known):
            return known
        return self.places.of(self.manifest(version), f"{self.store}: {version}")

    def condemned(self, known: Mapping[str, Known]) -> list[str]:
        """The names of tensors with bytes in packs that a collector condemned."""
        packs = {place[0] for item in known.values() for place in item.places}
        gone = {pack for pack in packs if self.state.get(f"gone {pack_key(pack)}") is not None}
        if not gone:
            return []
        return [name for name, item in known.items() if any(place[0] in gone for place in item.places)]

    # Committing

    def commit(self, draft: Draft, progress: Progress | None = None) -> Version:
        """Save a version, durably, or nothing. When this returns, it is there for good.

        Raises CannotWrite, and nothing is left; or CommitUnknown, when the version may be there or not.
        """
        self.open_to_write()
        self.state.keep_checkpoint()
        return _Commit(self, draft, progress).run()

    def parent_of(self, model: str) -> Version | None:
        """The newest version of a model."""
        found = self.state.get(f"model {model}")
        if found is None or found.latest is None:
            return None
        value = self.state.get(version_key(model, found.latest))
        return from_state(model, found.latest, value, ()) if value is not None else None

    def harmed(self, known: Known) -> bool:
        """Whether a check found some of the tensor's bytes damaged."""
        found = {pack: self.state.get(f"harmed {pack}") or () for pack, _, _ in known.places}
        return any(overlaps(place, found) for place in known.places)

    def read_place(self, place: Place) -> bytes:
        """Bytes of a pack."""
        pack, offset, length = place
        return self.store.open(pack_key(pack)).read(offset, offset + length)

    def remember(self, version: Version, known: dict[str, Known]) -> None:
        """Keep what was just saved at hand, for the next save."""
        self._last = (version.manifest, known)


class _Commit:
    """One commit under way: what was written for it, and is removed again if it comes to nothing."""

    def __init__(self, repo: Repository, draft: Draft, progress: Progress | None) -> None:
        self._repo = repo
        self._draft = draft
        self._progress = progress
        self._transaction = repo.fresh()
        self._own: list[str] = []
        self._manifests: list[str] = []
        self._added = 0
        self._known: dict[str, Known] = {}
        self._new: list[str] = []
        self._harmed: list[Known] = []
        self._parts: dict[str, tuple[str, int]] = {}

    def run(self) -> Version:
        try:
            sources = self._sources()
            reuse = self._find_reuse(sources)
            self._write(self._draft.tensors, reuse, sources)
            version = self._take_number()
        except CommitUnknown:
            raise
        except BaseException:
            self._clean(self._own)
            raise
        self._repo.remember(version, self._known)
        self._note(version)
        self._heal(version)
        return version

    def _clean(self, keys: Iterable[str]) -> None:
        """Remove what was written and is not needed: no other writer can know of it.

        What cannot be deleted is garbage, which a collector frees: no reason to hide why the save failed.
        """
        for key in keys:
            with suppress(CannotWrite):
                self._repo.store.delete(key)

    def _sources(self) -> list[dict[str, Known]]:
        """The tensors that may be shared: the parent's, then those of the bases; damaged ones apart."""
        versions = [self._repo.version(ref) for ref in self._draft.bases]
        parent = self._repo.parent_of(self._draft.model)
        sources = []
        for version in [parent, *versions] if parent is not None else versions:
            known = self._known_of(version)
            harmed = {name for name, item in known.items() if self._repo.harmed(item)}
            self._harmed += [known[name] for name in harmed]
            sources.append({name: item for name, item in known.items() if name not in harmed})
        return sources

    def _find_reuse(self, sources: Sequence[Mapping[str, Known]]) -> Reuse:
        index = self._repo.index
        if not sources and index is None:
            return Reuse({}, {})
        return find_reuse(self._draft.tensors, sources, self._read_probe(), index, self._elsewhere)

    def _read_probe(self) -> Callable[[Place], bytes]:
        """Reads places, keeping the packs open; what cannot be read is no reason not to save."""
        blobs: dict[str, Any] = {}

        def read(place: Place) -> bytes:
            pack, offset, length = place
            try:
                if pack not in blobs:
                    blobs[pack] = self._repo.store.open(pack_key(pack))
                found: bytes = blobs[pack].read(offset, offset + length)
            except NotFound:
                return b""
            return found

        return read

    def _elsewhere(self, hashes: Iterable[str]) -> dict[str, Known]:
        """Tensors that the index knows of, as far as a live version confirms them."""
        index, found = self._repo.index, {}
        opened: dict[str, dict[str, Known]] = {}
        if index is None:
            return {}
        for digest, candidates in index.find(hashes).items():
            for model, number, manifest, name in candidates:
                if manifest not in opened:
                    opened[manifest] = self._confirmed(model, number, manifest)
                known = opened[manifest].get(name)
                if known is not None and known.hash == digest and not self._repo.harmed(known):
                    found[digest] = known
                    break
        return found

    def _confirmed(self, model: str, number: int, manifest: str) -> dict[str, Known]:
        value = self._repo.state.get(version_key(model, number))
        if value is None or value.manifest != manifest:
            return {}
        return self._known_of(from_state(model, number, value, ()))

    def _known_of(self, version: Version) -> dict[str, Known]:
        try:
            return self._repo.known(version)
        except (Damaged, NotFound):  # a damaged old version is no reason not to save a new one
            return {}

    def _write(
        self, tensors: Mapping[str, TensorData], reuse: Reuse, sources: Sequence[Mapping[str, Known]]
    ) -> None:
        """Put what the store lacks into packs; then all of `tensors` are known."""
        writing = what_to_write(tensors, reuse)
        written: dict[str, Known] = {}
        names = list(writing.tensors)
        total = sum(map(length_of, writing.tensors.values()))
        done = 0
        for start in range(0, len(names), PACK_TENSORS):
            some = {name: writing.tensors[name] for name in names[start : start + PACK_TENSORS]}
            written |= self._put_pack(some, done, total)
            done += sum(map(length_of, some.values()))
        blocks: dict[str, dict[int, tuple[str, Place]]] = {}
        for block, (name, number) in writing.block_of.items():
            known = written[block]
            blocks.setdefault(name, {})[number] = (known.hash, known.places[0])
        for name, data in tensors.items():
            if name in reuse.whole:
                old = reuse.whole[name]
                self._known[name] = msgspec.structs.replace(old, dtype=data.dtype, shape=data.shape)
            elif name in reuse.blocks:
                old = next(s[name] for s in sources if name in s and s[name].length == length_of(data))
                self._known[name] = dedup.assemble(data, reuse.blocks[name], old, blocks.get(name, {}))
                self._new.append(name)
            elif length_of(data) == 0:
                self._known[name] = Known(data.dtype, data.shape, 0, _EMPTY, (), ())
            else:
                self._known[name] = written[name]
                self._new.append(name)

    def _put_pack(self, tensors: dict[str, TensorData], before: int, total: int) -> dict[str, Known]:
        progress = self._progress
        report = (lambda done, _: progress(before + done, total)) if progress is not None else None
        writer = PackWriter(tensors, lambda hashes: {}, report, ident=self._repo.fresh())
        self._own.append(pack_key(writer.id))
        self._repo.store.put(pack_key(writer.id), writer.size, writer)
        self._added += writer.size
        return {
            entry.name: Known(
                entry.dtype, entry.shape, entry.length, entry.hash, entry.blocks,
                ((writer.id, writer.start + entry.offset, entry.length),) if entry.length else (),
            )
            for entry in writer.entries
        }  # fmt: skip

    def _take_number(self) -> Version:
        """Commit: take the next record's number, with all that came before in view."""
        repo, digest, size = self._repo, "", 0
        last: tuple[Any, ...] | None = None
        while True:
            head = repo.state.last()  # before anything is decided: other threads may move the state on
            gone = repo.condemned(self._known)
            if gone:  # a collector was faster; write them anew, sharing nothing
                self._write({name: self._draft.tensors[name] for name in gone}, Reuse({}, {}), ())
                last = None
            event = self._event(digest, size)
            key = (event.number, event.parent, event.parts)
            if key != last or repo.state.get(f"gone {manifest_key(digest)}") is not None:
                digest, size = self._put_manifest(event)
                last = key
                event = self._event(digest, size)
            record = repo._record(head, event, self._transaction, self._draft.author)
            if self._append(record):
                self._clean(self._manifests[:-1])
                return from_state(event.model, event.number, version_state(record, event), event.tags)
            repo.state.refresh()

    def _append(self, record: Record) -> bool:
        """Put the record into the log. Once that may have happened, nothing that it needs is removed."""
        state = self._repo.state
        try:
            digest = state.log.append(record)
        except CannotWrite:
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
        model: ModelState = state.get(f"model {draft.model}") or ModelState()
        packs = sorted({place[0] for known in self._known.values() for place in known.places})
        return Commit(
            model=draft.model,
            number=model.last + 1,
            manifest=manifest,
            parts={name: self._part_version(name, model.parts.get(name)) for name in draft.parts},
            packs=tuple(packs),
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
            self._parts[name] = self._hash_part(self._draft.parts[name])
        digest, size = self._parts[name]
        number = 1 if before is None else before[0] + (before[1] != digest)
        return PartVersion(number, digest, size)

    def _hash_part(self, part: DraftPart) -> tuple[str, int]:
        """The hash of a part, and its size in bytes: tensors and structure."""
        held = {name: self._known[name] for name in part.tensors}
        named = {name: _Named(name, known.dtype, known.shape, known.hash) for name, known in held.items()}
        digest = manifests.part_hash(part.tree, part.batches, named, part.tensors)
        size = sum(known.length for known in held.values())
        return digest, size + len(to_json([part.tree, part.batches]))

    def _put_manifest(self, event: Commit) -> tuple[str, int]:
        """Write the manifest for this number and parent; returns its hash and size."""
        draft = self._draft
        packs = {pack: at for at, pack in enumerate(event.packs)}
        found = Manifest(
            format=manifests.FORMAT,
            parts={
                name: Part(
                    tree=part.tree, hash=event.parts[name].hash, version=event.parts[name].number,
                    batches=part.batches, packages=part.packages,
                )
                for name, part in draft.parts.items()
            },
            whole=draft.whole, time=draft.time, environment=draft.environment, model=draft.model,
            number=event.number, parent=event.parent, step=draft.step, author=draft.author,
            metrics=event.metrics, notes=draft.notes, data=draft.data,
            tensors={
                name: Stored(
                    known.dtype, known.shape, known.hash,
                    tuple((packs[pack], offset, length) for pack, offset, length in known.places),
                    known.blocks,
                )
                for name, known in self._known.items()
            },
            packs=event.packs, transaction=self._repo.fresh(), unknown=draft.unknown,
        )  # fmt: skip
        data = manifests.encode(found).encode()
        digest = blake3(data).hexdigest()
        key = manifest_key(digest)
        self._own.append(key)
        self._manifests.append(key)
        self._repo.store.put(key, len(data), lambda sink: sink.write(data, 0))
        return digest, len(data)

    def _heal(self, version: Version) -> None:
        """Damaged bytes that were written anew are read from their new place by older versions too."""
        fresh = {(self._known[name].hash, self._known[name].length): self._known[name] for name in self._new}
        moves: dict[str, list[tuple[int, int, str, int]]] = {}
        for old in self._harmed:
            new = fresh.get((old.hash, old.length))
            if new is not None and len(new.places) == 1 and len(old.places) == 1:
                pack, offset, length = old.places[0]
                moves.setdefault(pack, []).append((offset, length, new.places[0][0], new.places[0][1]))
        if not moves:
            return
        used = {name: self._known[name] for name in self._new}

        def decide() -> Event | None:
            """The version may have been deleted, and its packs condemned."""
            if self._repo.condemned(used):
                return None
            return Relocate({pack: tuple(sorted(m)) for pack, m in moves.items()})

        try:
            self._repo.append(decide)
        except SaverError as error:
            warnings.warn(
                f"{version} is saved, but older versions could not be healed with it: {error}", stacklevel=2
            )

    def _note(self, version: Version) -> None:
        """Tell the index of the tensors that are new."""
        index = self._repo.index
        if index is None:
            return
        from saver.repo.index import Row

        rows = []
        for name in self._new:
            known, data = self._known[name], self._draft.tensors[name]
            probe = dedup.probe_of(dedup.first_bytes(data)) if known.length >= dedup.PROBED else None
            rows.append(
                Row(known.hash, known.length, probe, version.model, version.number, version.manifest, name)
            )
        index.add(self._repo.state.head, rows)


@decodable
class _Outline(msgspec.Struct):
    format: int


class _Named(msgspec.Struct, frozen=True):
    """As much of a tensor as the hash of a part covers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    hash: str


_EMPTY = blake3(b"").hexdigest()
