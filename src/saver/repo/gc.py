"""Collection: frees what no version needs, and can never take what one needs. docs/protocol.md has the
argument.

First it condemns: a record names the objects that no version needs, according to the log before it. After
that record, no commit may need them. Only then, and after a grace period for readers, are they deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

import msgspec

from saver.errors import CannotWriteError, DamagedError, IncompatibleError, NotFoundError, SaverError, is_full
from saver.pack import PackedTensors, PackWriter, Progress
from saver.repo.extents import Ranges, packs_of
from saver.repo.format import demand
from saver.repo.log import Condemn, Event, Move, Relocate
from saver.repo.objects import checkpoint_key, collectables, is_collectable, own, pack_key
from saver.repo.repository import Repository
from saver.repo.state.users import Name, pack_in
from saver.repo.wholeness import check_log
from saver.storage import Bytes, Stat
from saver.tensors import ITEM_SIZE, Cut, Extent, Shard, TensorData, TensorInfo, in_one, shard_names, whole

DEAD_SHARE = 0.5
"""Packs with a larger share of dead bytes are rewritten."""

DEAD_BYTES = 1 << 20
"""The least number of dead bytes for which a pack is rewritten."""

PAGES_LEFT = 60.0
"""Seconds for which pages that no checkpoint needs are left alone: a checkpoint may be in progress."""

CLOCK_LEFT = 3600.0
"""Seconds after which an object that was made to read the clock belongs to no running process."""


DELETED_TOGETHER = 1000
"""How many objects are deleted in one call: as many as S3 takes."""


class Collected(msgspec.Struct, frozen=True):
    """What a collection did. `condemned` objects are needed by no version; they were `freed` if their grace
    period is over, and are `waiting` otherwise. `moved` packs were mostly dead: their live bytes are now
    stored elsewhere. `busy` objects are too young to be judged: they may belong to a save in progress.
    Sizes in bytes.
    """

    condemned: tuple[str, ...]
    freed: tuple[str, ...]
    freed_bytes: int
    waiting: tuple[str, ...]
    waiting_bytes: int
    moved: tuple[str, ...]
    busy: tuple[str, ...]


def collect(
    repo: Repository,
    grace: float,
    dry_run: bool = False,
    progress: Progress | None = None,
    listing: bool = True,
) -> Collected:
    """Free what no version needs. `grace` is in seconds of the store's own clock.

    Without `listing`, only what was freed since the last collection of this process is examined, not
    everything in the store: what a killed save left is not found then.

    Raises DamagedError, and deletes nothing, if the log has a gap or its end is missing, or if something
    else is in the place of an object or a folder. Only objects whose keys have the exact form are ever
    deleted.
    """
    repo.open()
    demand(repo.storage, repo.format().collect, "collect in")
    if not dry_run:
        demand(repo.storage, repo.format().write, "write to")
    with repo.users.lock:
        return _Collection(repo, grace, dry_run, progress, listing).run()


class _Collection:
    def __init__(
        self, repo: Repository, grace: float, dry_run: bool, progress: Progress | None, listing: bool
    ) -> None:
        self._repo = repo
        self._grace = grace
        self._dry = dry_run
        self._progress = progress
        self._users = repo.users
        self._lists = listing or not repo.users.listed
        self._sizes: dict[str, int] = {}
        self._stats: dict[str, Stat | None] = {}
        self._records: dict[int, Stat | None] = {}
        self._objects: list[str] = []
        self._waiting: list[str] = []
        self._partial = False

    def run(self) -> Collected:
        repo, users = self._repo, self._users
        check_log(repo.storage, repo.state, repo.gapless)
        repo.gapless = repo.state.head
        users.refresh()
        if self._lists:
            for found in collectables(repo.storage):
                self._objects.append(found.key)
                if found.stat is not None:
                    self._stats[found.key] = found.stat
            users.condemned = set(repo.state.all_gone()).intersection(self._objects)
            users.listed = True
        # Deletions come first: on a full disk, nothing can be written before.
        freed = [] if self._dry else self._sweep(self._newest())
        now = self._now()
        judged, moved = self._judge() if not self._dry else ({}, ())
        condemned, busy = self._condemn(now, judged)
        while self._partial and self._grace <= 0:
            freed += self._sweep(self._newest())
            condemned += self._condemn(now, judged)[0]
        freed += self._sweep(max(now, self._newest()))
        if self._dry:
            self._waiting += condemned
        elif self._lists:
            self._drop_pages(now)
        waiting = tuple(self._waiting)
        return Collected(
            condemned, tuple(freed), self._size(freed), waiting, self._size(waiting), moved, busy
        )

    def _size(self, keys: Iterable[str]) -> int:
        return sum(self._sizes.get(key, 0) for key in keys)

    def _newest(self) -> float:
        """When the last record was written, by the storage's own clock."""
        stat = self._repo.state.log.stat(self._repo.state.head)
        return stat.time if stat is not None else 0.0

    def _now(self) -> float:
        """The time by the storage's own clock, from an object made for that. In a dry run and on a full
        disk there is none: then the later of this machine's clock and the last record."""
        storage = self._repo.storage
        key, stat = f"clock/{self._repo.fresh()}", None
        if not self._dry:
            try:
                storage.put(key, Bytes(b""))
                stat = storage.stat(key)
            except CannotWriteError as error:
                if not is_full(error):
                    raise
        if stat is None:
            return max(self._repo.clock(), self._newest())
        left = {found.key: found.stat for found in own(storage, "clock/")}
        old = [  # left by a killed collector
            key for key, its in left.items() if its is not None and abs(stat.time - its.time) > CLOCK_LEFT
        ]
        storage.delete(key, *old)
        return stat.time

    def _is_young(self, time: float, now: float) -> bool:
        """Whether something of that time is within the grace period. Times more than an hour ahead are not:
        the clock was set back."""
        return self._grace > 0 and -CLOCK_LEFT < now - time < self._grace

    # Condemning

    def _condemn(self, now: float, judged: dict[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Condemn, in one record, what no version needs. Returns what it condemned, and what is too young."""
        repo, busy = self._repo, set[str]()
        condemned: tuple[str, ...] = ()
        chosen: list[str] = []
        suspects: list[str] | None = None
        most = _ALL

        def decide() -> Event | None:
            nonlocal condemned, suspects
            keys = self._candidates() if suspects is None else suspects
            chosen.clear()
            busy.clear()
            self._users.refresh()
            settled = list[str]()
            freed = repo.state.all_freed()
            for key in keys:
                gone = repo.state.gone(key) is not None
                if not gone and self._is_needed(key):
                    continue
                stat = self._stat(key) if not gone else None
                if stat is None:
                    settled.append(key)
                    continue
                if self._is_young(stat.time, now):
                    busy.add(key)
                else:
                    chosen.append(key)
            suspects = [*chosen, *busy]  # if another writer was faster, only these are examined again
            condemned = tuple(chosen[:most])
            kept = {key for key, number in judged.items() if repo.state.freed(key) == number}
            kept.update(key for key in settled if key in freed)
            if (condemned or kept) and not self._dry:
                return Condemn(condemned, tuple(sorted(kept)))
            return None

        if self._dry:
            decide()
            return condemned, tuple(sorted(busy))
        for most in (_ALL, _SOME, 1):
            try:
                repo.append(decide)
                break
            except CannotWriteError as error:
                if not is_full(error) or most == 1:
                    raise
        self._users.condemned.update(condemned)
        self._partial = len(condemned) < len(chosen)
        return condemned, tuple(sorted(busy))

    def _stat(self, key: str) -> Stat | None:
        """Size and time of an object, from the listing or else from one call: they do not change."""
        if key not in self._stats:
            self._stats[key] = self._repo.storage.stat(key)
        found = self._stats[key]
        self._sizes[key] = found.size if found is not None else 0
        return found

    def _is_needed(self, key: str) -> bool:
        """Whether a live version needs an object. If bytes were moved, only manifests can tell; a version
        whose manifest cannot be read counts as needing everything that it may need."""
        users, pack = self._users, pack_in(key)
        if users.is_manifest(key):
            return True
        if not users.needs(key) or not users.is_moved(pack):
            return users.needs(key)
        for name in users.of(pack):
            try:
                known = self._repo.known(users.version(name))
            except (DamagedError, IncompatibleError, NotFoundError):
                return True
            if pack in packs_of(known.values()):
                return True
        return False

    def _candidates(self) -> Iterator[str]:
        """What may be garbage: all objects, or what deletions freed since the last collection."""
        if self._lists:
            yield from self._objects
        freed = self._repo.state.all_freed()
        packs = self._users.targets(pack_in(key) for key in freed if key.startswith("packs/"))
        for key in sorted({*freed, *map(pack_key, packs)}):
            if is_collectable(key) and key not in self._all:
                yield key

    @cached_property
    def _all(self) -> set[str]:
        return set(self._objects)

    # Deleting

    def _sweep(self, now: float) -> list[str]:
        """Delete condemned objects whose grace period is over; the others are waiting."""
        repo, self._waiting = self._repo, []
        freed: list[str] = []
        condemned = sorted(self._users.condemned)
        for key in condemned:
            self._stat(key)
        total, done = self._size(condemned), 0
        due = []
        for key in condemned:
            if self._is_young(self._condemned_at(key), now):
                self._waiting.append(key)
            else:
                due.append(key)
        for at in range(0, len(due), DELETED_TOGETHER):
            keys = due[at : at + DELETED_TOGETHER]
            if not self._dry:
                repo.storage.delete(*keys)
                self._users.condemned.difference_update(keys)
            freed += [key for key in keys if self._sizes[key] or key in self._all]
            done += self._size(keys)
            if self._progress is not None:
                self._progress(done, total)
        return freed

    def _condemned_at(self, key: str) -> float:
        """When an object was condemned, by the storage's own clock."""
        repo = self._repo
        number = repo.state.gone(key)
        if number is not None and number not in self._records:
            self._records[number] = repo.state.log.stat(number)
        record = self._records[number] if number is not None else None
        if record is None:
            raise DamagedError(
                f"{repo.storage}: the record that condemned {key} is missing; nothing more was deleted"
            )
        return record.time

    def _drop_pages(self, now: float) -> None:
        """Delete the remains of old checkpoints, and of those that were never finished."""
        state, storage = self._repo.state, self._repo.storage
        try:
            needed = state.needed()
        except SaverError:  # the checkpoints are useless
            with suppress(CannotWriteError):
                state.make_anew()
            return
        old = []
        for found in own(storage, "state/"):
            beyond = found.key < checkpoint_key(state.head)
            if found.key in needed or beyond:
                continue
            stat = found.stat if found.stat is not None else storage.stat(found.key)
            if stat is not None and not (-CLOCK_LEFT < now - stat.time < max(self._grace, PAGES_LEFT)):
                old.append(found.key)
        if old:
            storage.delete(*old)

    # Moving

    def _judge(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """Move the live bytes of packs that are mostly dead. Returns the keys of the packs that stay, each
        with the record that freed it in part, and the keys of those that were moved."""
        repo, users = self._repo, self._users
        stay: dict[str, int] = {}
        moved: list[str] = []
        freed = {
            pack_in(key): number for key, number in repo.state.all_freed().items() if key.startswith("packs/")
        }
        for pack in filter(users.of, sorted(users.targets(freed))):
            if not is_collectable(pack_key(pack)):
                continue
            try:
                gone = repo.state.gone(pack_key(pack)) is not None
                stays = gone or users.is_manifest(pack_key(pack))
                living = self._mostly_dead(pack) if not stays else None
                if living is not None and self._move(pack, living):
                    moved.append(pack_key(pack))
                elif living is None and pack in freed:
                    stay[pack_key(pack)] = freed[pack]
            except (DamagedError, IncompatibleError, NotFoundError):
                continue  # without all manifests it is unknown what is live; `check` reports them
        return stay, tuple(moved)

    def _mostly_dead(self, pack: str) -> _Living | None:
        """What is live in a pack that is worth rewriting; None if enough of the pack is live.

        Reads the manifests of versions that need it until that is clear, which usually takes one.
        """
        repo, living = self._repo, _Living()
        stat = repo.storage.stat(pack_key(pack))
        if stat is None or stat.size <= DEAD_BYTES:
            return None
        enough = stat.size - max(DEAD_BYTES, DEAD_SHARE * stat.size)
        look = 1
        for count, name in enumerate(sorted(self._users.of(pack), reverse=True), 1):
            living.add_version(name, repo.tensors(self._users.version(name)), pack)
            if count == look:
                look *= 2
                if living.bytes() >= enough:
                    return None
        return living if living.bytes() < enough else None

    def _move(self, pack: str, living: _Living) -> bool:
        repo, units = self._repo, living.units()
        where = f"{repo.storage}: {pack_key(pack)}"
        stored = PackedTensors(
            {name: in_one(name, unit) for name, unit in units.items()},
            repo.open_packs,
            where,
            "run `saver check`",
        )
        try:
            stored.verify(progress=self._progress)
        except (
            DamagedError,
            IncompatibleError,
        ):  # it stays: `check` will report it, and damage is never copied
            return False
        tensors = {
            name: TensorData(unit.dtype, unit.shape, stored.read(name)) for name, unit in units.items()
        }
        writer = PackWriter(tensors, ident=repo.fresh(), cuts=living.cuts(units))
        try:
            repo.storage.put(pack_key(writer.id), writer)
        except CannotWriteError as error:
            if is_full(error):  # later, when there is room
                return False
            raise
        moves: list[Move] = [
            (units[name].extents[0][1], length, target, offset)
            for name, shard in writer.shards.items()
            for target, offset, length in shard.extents
        ]
        relocate = Relocate({pack: tuple(sorted(moves))}, (pack_key(pack),))

        def decide() -> Event | None:
            """Decide again: there may be a new version that needs more of the pack, or another collector."""
            gone = [key for key in (pack, writer.id) if repo.state.gone(pack_key(key)) is not None]
            return None if gone or not self._covers(pack, living, moves) else relocate

        if repo.append(decide) is not None:
            self._users.condemned.add(pack_key(pack))
            return True
        repo.storage.delete(pack_key(writer.id))
        return False

    def _covers(self, pack: str, living: _Living, moves: list[Move]) -> bool:
        """Whether all live bytes of a pack are among the moves."""
        self._users.refresh()
        ranges = Ranges((offset, length) for offset, length, _, _ in moves)
        return all(
            ranges.hold(offset, length)
            for name in self._users.of(pack) - living.versions
            for known in self._repo.known(self._users.version(name)).values()
            for at, offset, length in known.extents
            if at == pack
        )


_ALL, _SOME = 1 << 40, 16
"""How many objects one record condemns: without limit, or few on a full disk without room for many names."""


class _Home(NamedTuple):
    """The tensor of a version to which a shard belongs, if it has several."""

    version: Name
    tensor: str
    shape: tuple[int, ...]


class _Living:
    """What live versions need of a pack."""

    def __init__(self) -> None:
        self.versions: set[Name] = set()
        self._wholes: dict[tuple[int, int], tuple[str, Shard]] = {}
        self._blocks: dict[tuple[int, int], tuple[str, Shard]] = {}
        self._homes: dict[tuple[int, int], tuple[_Home, tuple[int, ...]]] = {}

    def add_version(self, version: Name, tensors: Mapping[str, TensorInfo], pack: str) -> None:
        """Add a version: it needs the bytes of these tensors that are in the pack."""
        self.versions.add(version)
        for tensor, info in tensors.items():
            home = _Home(version, tensor, info.shape) if len(info.shards) > 1 else None
            names = shard_names(tensor, info.shape, info.boxes, tensors)
            for name, shard in zip(names, info.shards, strict=True):
                for extent in shard.extents:
                    if extent[0] == pack:
                        self._add(name, shard, extent, home)

    def _add(self, name: str, shard: Shard, extent: Extent, home: _Home | None) -> None:
        """Add a shard of a version that has bytes at this extent."""
        if len(shard.extents) == 1:
            if extent[1:] not in self._wholes and home is not None:
                self._homes[extent[1:]] = home, shard.box.offsets
            alone = msgspec.structs.replace(shard, box=whole(shard.shape))
            self._wholes.setdefault(extent[1:], (name, alone))
            return
        for number, digest, (pack, offset, length) in shard.block_extents():
            if pack == extent[0] and extent[1] <= offset < extent[1] + extent[2]:
                shape = (length // ITEM_SIZE[shard.dtype],)
                block = Shard(shard.dtype, whole(shape), digest, (), ((pack, offset, length),))
                self._blocks.setdefault((offset, length), (f"{name}[{number}]", block))

    def bytes(self) -> int:
        """How many bytes are live."""
        return sum(length for _, length in _joined([*self._wholes, *self._blocks]))

    def units(self) -> dict[str, Shard]:
        """What to rewrite: whole shards, and blocks outside of them; by unique names."""
        found: dict[str, Shard] = {}
        wholes, times = Ranges(self._wholes), Counter[str]()
        for (offset, length), (name, shard) in [*self._wholes.items(), *self._blocks.items()]:
            if (offset, length) in self._wholes or not wholes.hold(offset, length):
                unique = name
                while unique in found:
                    times[name] += 1
                    unique = f"{name}~{times[name]}"
                found[unique] = shard
        return found

    def cuts(self, units: Mapping[str, Shard]) -> dict[str, Cut]:
        """How the tensors with shards among the units are cut; by unique names."""
        shards: dict[_Home, dict[str, tuple[int, ...]]] = {}
        for name, unit in units.items():
            home, offsets = self._homes.get(unit.extents[0][1:], (None, ()))
            if home is not None:
                shards.setdefault(home, {})[name] = offsets
        found: dict[str, Cut] = {}
        for home, members in shards.items():
            unique = home.tensor
            while unique in found or unique in units:
                unique += "~"
            found[unique] = Cut(home.shape, members)
        return found


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (offset and length), merged if they touch or overlap."""
    found: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if found and offset <= found[-1][0] + found[-1][1]:
            end = max(offset + length, found[-1][0] + found[-1][1])
            found[-1] = (found[-1][0], end - found[-1][0])
        else:
            found.append((offset, length))
    return found
