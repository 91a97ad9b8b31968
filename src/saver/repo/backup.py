"""A backup: a copy of a store, made and updated while others save, delete and collect in it.

The copy is a store: the records of the source up to `head`, and everything that the versions live at that
record need. Objects are copied first and records last, as in a save, so that an interrupted backup leaves
an older copy, and the next backup continues from there. docs/backup.md says how to use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from blake3 import blake3

from saver.errors import CannotWriteError, DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.pack import Pack, Range, damaged
from saver.repo import document
from saver.repo.described import read_outline
from saver.repo.extents import Ranges, packs_of
from saver.repo.format import STORE_KEY, Format, read_format
from saver.repo.log import ZERO, Log, log_key
from saver.repo.manifest import Manifest, manifest_key
from saver.repo.objects import collectables, is_own, own, pack_key, tree_key
from saver.repo.packs import Damage
from saver.repo.repository import Repository
from saver.repo.state.users import pack_in
from saver.repo.version import Version
from saver.storage import Blob, Bytes, Content, Progress, Storage
from saver.tensors import shards_of

ROUNDS = 20
"""How often a backup starts again because a collection was faster; the grace period makes that unlikely."""

MARKS_LEFT = 3600.0
"""Seconds after which a mark beside an object belongs to no backup that is under way."""

CHUNK = 8 << 20
"""Bytes of a pack that are copied at a time."""


class Copied(msgspec.Struct, frozen=True):
    """What a backup did, and what the copy now holds: the live `versions`, and the records up to `head`.

    `objects` (manifests, packs, documents of parts) and `records` were copied now; `bytes` is the size of
    the objects. `present` objects were there already. `removed` ones were deleted in the copy, because they
    are condemned in the store. `damage` lists what could not be copied, or was copied as it is, because it
    is damaged in the store. Sizes in bytes.
    """

    head: int
    versions: int
    records: int
    objects: int
    bytes: int
    present: int
    removed: int
    damage: tuple[Damage, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether everything could be copied, and nothing is damaged."""
        return not self.damage


def backup(repo: Repository, target: Storage, progress: Progress | None = None) -> Copied:
    """Bring the copy in `target` up to date. When this returns, the copy is durable and verified by reading
    it again. The store is only read.

    Raises CannotWriteError, and changes nothing, if `target` is not a copy of the store.
    """
    return _Backup(repo, target, progress).run()


class _Gone(Exception):
    """An object that a live version needed was collected meanwhile: read again which versions are live."""


class _Backup:
    def __init__(self, repo: Repository, target: Storage, progress: Progress | None) -> None:
        self._repo = repo
        self._source = repo.storage
        self._target = target
        self._progress = progress
        self._log = Log(target)
        self._damage: dict[str, list[Damage]] = {}
        self._copied: dict[str, int] = {}
        self._hashes: dict[str, set[tuple[int, int, str]]] = {}
        """By pack, the places that the manifests name: start, end, and the hash of the bytes there."""
        self._files: dict[str, str] = {}
        """By pack that holds a manifest, the hash of its header."""
        self._done = self._present = 0
        self._now = 0.0
        """When this began, by the clock of the target."""

    def run(self) -> Copied:
        self._repo.open()
        head = self._agreed()
        for _ in range(ROUNDS):
            try:
                upto, versions = self._living()
                needed = self._needed(versions)
                self._copy(needed)
                break
            except _Gone:
                continue
        else:
            raise CannotWriteError(
                f"{self._source} was collected {ROUNDS} times while it was copied, and what was to be copied "
                "deleted; the copy is as it was; collect with a grace period, or less often"
            )
        records = self._write_records(head, upto)
        damage = [each for key in needed for each in self._damage.get(key, ())]
        removed = self._remove_condemned(set(needed), {each.key for each in damage})
        self._remove_left({_marker(each.key) for each in damage})
        return Copied(
            upto, len(versions), records, len(self._copied), sum(self._copied.values()), self._present,
            removed, tuple(damage),
        )  # fmt: skip

    # Whether the target is a copy of the store

    def _agreed(self) -> int:
        """The number of the copy's last record. Raises CannotWriteError unless it is a copy of this store."""
        target, repo = self._target, self._repo
        try:
            found = read_format(target)
        except DamagedError:  # while the records of a first backup are written
            found = None
        if found is not None and found.id != repo.format().id:
            raise self._refused("it is another store, or a copy of another one")
        foreign = next((key for key in target.keys("") if not is_own(key)), None) if found is None else None
        if foreign is not None:
            raise self._refused(f"it is no store, and holds other files: {foreign}")
        head = self._log.head()
        if head > repo.state.head:
            raise self._refused(f"it has {head:,} records, and the store {repo.state.head:,}")
        if head and target.read(log_key(head)) != self._source.read(log_key(head)):
            raise self._refused(f"{log_key(head)} is another record there: somebody wrote to it")
        self._demand_apart()
        return head

    def _refused(self, why: str) -> CannotWriteError:
        return CannotWriteError(
            f"{self._target} is no copy of {self._source}: {why}; nothing was changed; name another place, "
            "which may be new"
        )

    def _demand_apart(self) -> None:
        """Raise CannotWriteError if both are the same place, under whatever names."""
        key = f"clock/{os.urandom(16).hex()}"
        self._target.put(key, Bytes(b""))
        try:
            same = self._source.stat(key) is not None
            stat = self._target.stat(key)
            self._now = stat.time if stat is not None else 0.0
        finally:
            self._target.delete(key)
        if same:
            raise CannotWriteError(
                f"{self._target} is {self._source} itself; nothing was copied; name another place"
            )

    # What is needed

    def _living(self) -> tuple[int, list[Version]]:
        """The head, and the versions that are live at that record."""
        repo = self._repo
        while True:
            repo.state.refresh()
            head = repo.state.head
            versions = [version for model, _ in repo.models() for version in repo.versions(model)]
            if head == repo.state.head:
                return head, versions

    def _needed(self, versions: list[Version]) -> dict[str, list[Version]]:
        """The keys of all objects that these versions need, manifests last, each with its versions."""
        packs: dict[str, list[Version]] = {}
        self._damage.clear()
        for version in versions:
            for pack in sorted(self._packs_of(version)):
                packs.setdefault(pack_key(pack), []).append(version)
            for tree in version.trees:
                packs.setdefault(tree_key(tree), []).append(version)
        for version in versions:
            users = packs.setdefault(_described_by(version), [])
            users += [version] if version not in users else []
        return packs

    def _packs_of(self, version: Version) -> set[str]:
        """The packs of a version. If its manifest is not sound, the packs that the log names."""
        key = _described_by(version)
        if version.file:
            self._files[key] = version.manifest
        try:
            found = self._outline(version)
            known = shards_of(self._repo.extents.of(found, f"{self._source}: {version}").values())
        except NotFoundError:
            self._gone(version)
            self._note(key, [version], "the manifest is missing")
        except (DamagedError, IncompatibleError) as error:
            self._note(key, [version], str(error))
        else:
            for item in known.values():
                for _, digest, (pack, offset, length) in item.block_extents():
                    self._hashes.setdefault(pack_key(pack), set()).add((offset, offset + length, digest))
            return packs_of(known.values())
        packs = self._repo.extents.reached(version.packs)
        return {pack for pack in packs if self._repo.state.gone(pack_key(pack)) is None}

    def _outline(self, version: Version) -> Manifest:
        """The manifest, from the store or, if that is damaged, from the copy. Raises NotFoundError,
        DamagedError or IncompatibleError."""
        damage: DamagedError | IncompatibleError | None = None
        for storage in (self._source, self._target):
            try:
                return read_outline(storage, version)
            except NotFoundError:
                continue
            except (DamagedError, IncompatibleError) as error:
                damage = damage or error
        raise damage or NotFoundError(f"{self._source}: {_described_by(version)} is missing")

    def _gone(self, version: Version) -> None:
        """Raise _Gone if the log has new records: the version may be deleted, or its bytes moved."""
        before = self._repo.state.head
        self._repo.state.refresh()
        if self._repo.state.head != before:
            raise _Gone

    def _note(self, key: str, versions: list[Version], what: str) -> None:
        self._damage.setdefault(key, []).extend(
            Damage(key, what, version.model, version.number) for version in versions
        )

    # Copying

    def _copy(self, needed: dict[str, list[Version]]) -> None:
        missing = [key for key in needed if not self._is_there(key)]
        self._present = len(needed) - len(missing) - len(self._copied.keys() & needed.keys())
        total = self._done + sum(self._size(key) for key in missing)
        for key in missing:
            try:
                blob = self._source.open(key)
            except NotFoundError:
                self._gone(needed[key][0])
                if not self._damage.get(key):
                    self._note(key, needed[key], f"{key} is missing")
                continue
            self._copy_object(key, blob, needed[key], total)

    def _size(self, key: str) -> int:
        stat = self._source.stat(key)
        return stat.size if stat is not None else 0

    def _is_there(self, key: str) -> bool:
        """Whether the copy has an object, and it was sound when it was copied."""
        found = self._target.stat(key)
        return found is not None and self._target.stat(_marker(key)) is None

    def _copy_object(self, key: str, blob: Blob, versions: list[Version], total: int) -> None:
        target = self._target

        target.create(_marker(key), b"")  # until the copy is found sound
        if target.stat(key) is not None:
            if self._damage_of(key, target.open(key)) is None:  # a killed backup left the marker
                target.delete(_marker(key))
                return
            target.delete(key)
        try:
            target.put(key, _Copy(blob, partial(self._report, total)))
        except CannotWriteError:
            if target.stat(key) is None:  # otherwise another backup was faster
                raise
        except DamagedError as error:  # the source cannot be read to its end
            self._note(key, versions, str(error))
            return
        self._copied[key] = blob.size
        what = self._damage_of(key, target.open(key))
        if what is None:
            target.delete(_marker(key))
            return
        if self._damage_of(key, self._source.open(key)) is None:
            target.delete(key)
            raise CannotWriteError(
                f"{target}: {key} is not what was written there ({what}); it was deleted; check that disk"
            )
        if not self._damage.get(key):
            self._note(key, versions, what)
        if self._lies_elsewhere(key, versions):
            target.delete(key)

    def _lies_elsewhere(self, key: str, versions: list[Version]) -> bool:
        """Whether the copy has all that versions need of a pack in those that its bytes were moved out of:
        whoever reads looks there, unless the pack is there."""
        for version in versions:
            where = f"{self._target}: {version}"
            try:
                found = self._outline(version)
                now = packs_of(shards_of(self._repo.extents.of(found, where).values()).values())
                before = self._repo.extents.of(found, where, partial(self._has_kept, key, now))
            except SaverError:
                return False
            older = {pack_key(pack) for pack in packs_of(shards_of(before.values()).values()) - now}
            if not older or not all(map(self._is_there, older)):
                return False
        return True

    def _has_kept(self, lost: str, now: set[str], pack: str) -> bool:
        key = pack_key(pack)
        return key != lost and (pack in now or self._is_there(key))

    def _report(self, total: int, count: int) -> None:
        """Report that `count` more bytes were copied."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, max(total, self._done))

    def _damage_of(self, key: str, blob: Blob) -> str | None:
        """What is wrong with a document or a pack, by its own hashes and by what manifests say about it;
        None if nothing is."""
        try:
            if not key.startswith("packs/"):
                sound = blake3(blob.read()).hexdigest() == key.rpartition("/")[2].removesuffix(".json")
                return None if sound else "the bytes are not those that were written"
            pack = Pack(blob)
            if pack.hash != self._files.get(key, pack.hash):
                return "its header is not the one that was written"
            harmed = Ranges(self._repo.state.harmed(pack_in(key)))
            # What a check told of may be healed; what versions need of it is looked at below.
            told = {name for name, at, end, _ in pack.ranges() if harmed.meet(at, end - at)}
            lost = pack.damaged() - told
            places = self._hashes.get(key, ())
            if lost or damaged([Range(key, blob, start, end, digest) for start, end, digest in places]):
                return "the bytes are not those that were saved"
        except SaverError as error:
            return str(error)
        return None

    # Records

    def _write_records(self, head: int, upto: int) -> int:
        """Copy the records after `head`, in order. Until the last one is written, the copy may still lack
        versions of the store."""
        previous = self._log.read(head)[1] if head else ZERO
        for number in range(head + 1, upto + 1):
            data = self._source.read(log_key(number))
            record, digest = self._repo.state.log.decoded(number, data)  # these very bytes
            if record.previous != previous:
                raise DamagedError(
                    f"{self._source}: {log_key(number)} does not follow the record before it; the copy ends "
                    "there; run `saver check`"
                )
            if not self._target.create(log_key(number), data) and self._target.read(log_key(number)) != data:
                raise self._refused(f"{log_key(number)} is another record there: somebody wrote to it")
            if self._target.read(log_key(number)) != data:
                raise CannotWriteError(
                    f"{self._target}: {log_key(number)} is not what was written; check that disk"
                )
            previous = digest
        data = self._source.read(STORE_KEY)
        document.decode(data, Format, f"{self._source}: {STORE_KEY}")  # these very bytes
        self._target.create(STORE_KEY, data)
        return upto - head

    def _remove_condemned(self, needed: set[str], lost: set[str]) -> int:
        """Delete in the copy what its own records condemn: no version will ever need it, but for packs whose
        bytes were moved to one that is `lost`, and may be whole there."""
        state, removed = self._repo.state, list[str]()
        head = self._log.head()
        for found in list(collectables(self._target)):
            number = state.gone(found.key)
            if number is None or number > head or found.key in needed:
                continue
            if not lost or lost.isdisjoint(map(pack_key, self._repo.extents.reached([pack_in(found.key)]))):
                removed.append(found.key)
        self._target.delete(*removed)
        return len(removed)

    def _remove_left(self, markers: set[str]) -> None:
        """Delete the marks that backups left which were killed, once they are an hour old. `markers` say
        that an object is damaged still."""
        left = [each for each in own(self._target, "clock/") if each.key not in markers]
        stats = ((each.key, each.stat or self._target.stat(each.key)) for each in left)
        self._target.delete(*(key for key, its in stats if its and self._now - its.time > MARKS_LEFT))


class _Copy(Content):
    """The content of an object of another storage. `report` is called with the size of each piece."""

    def __init__(self, blob: Blob, report: Callable[[int], None]) -> None:
        self.size = blob.size
        self._blob = blob
        self._report = report

    def pieces(self) -> Iterator[bytes | memoryview]:
        for at in range(0, self.size, CHUNK):
            data = self._blob.read(at, at + CHUNK)
            self._report(len(data))
            yield data


def _described_by(version: Version) -> str:
    """The key of the object that holds the manifest of a version."""
    return manifest_key(version.manifest, version.file)


def _marker(key: str) -> str:
    """The key of the marker beside an object in the copy that has not been found sound yet."""
    return f"clock/{key.rpartition('/')[2][:32]}"
