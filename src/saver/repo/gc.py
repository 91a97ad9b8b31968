"""Collection: frees what no version needs, and can never take what one needs. docs/protocol.md has the
argument.

First it condemns: a record names the objects that no version needs, by the log below it. From that record
on no commit may need them. Only then, and after a grace period for readers, are they deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from saver.errors import CannotWrite, Damaged, NotFound
from saver.pack import PackWriter, Progress
from saver.repo.format import demand
from saver.repo.log import Condemn, Event, Move, Relocate
from saver.repo.manifest import manifest_key
from saver.repo.objects import own
from saver.repo.places import Known, Place, pack_key
from saver.repo.reading import StoredTensors
from saver.repo.repository import Repository
from saver.repo.state import checkpoint_key, page_key
from saver.repo.version import Version
from saver.repo.wholeness import check_log
from saver.tree import ITEM_SIZE, TensorData

DEAD_SHARE = 0.5
"""Packs of which a larger share is dead are rewritten."""

DEAD_BYTES = 1 << 20
"""Dead bytes that are worth rewriting a pack for."""

CHECKPOINTS_KEPT = 2

CLOCK_LEFT = 3600.0
"""Seconds after which an object that was made to tell the time is of nobody any more."""


class Collected(msgspec.Struct, frozen=True):
    """What a collection did. `condemned` objects are needed by no version; they were `freed` when their
    grace period was over, and are `waiting` otherwise. `moved` packs were mostly dead: what was alive in
    them lies elsewhere now. `busy` is too young to be judged: it may belong to a save under way. Sizes in
    bytes.
    """

    condemned: tuple[str, ...]
    freed: tuple[str, ...]
    freed_bytes: int
    waiting: tuple[str, ...]
    waiting_bytes: int
    moved: tuple[str, ...]
    busy: tuple[str, ...]


def collect(
    repo: Repository, grace: float, dry_run: bool = False, progress: Progress | None = None
) -> Collected:
    """Free what no version needs. `grace` is in seconds of the store's own clock.

    Raises Damaged, and deletes nothing, when the log has a gap or its end is missing, and when something else
    stands in place of an object or a folder. Only objects whose keys have the exact form are ever deleted.
    """
    repo.open()
    demand(repo.store, repo.format().collect, "collect in")
    if not dry_run:
        demand(repo.store, repo.format().write, "write to")
    return _Collection(repo, grace, dry_run, progress).run()


class _Collection:
    def __init__(self, repo: Repository, grace: float, dry_run: bool, progress: Progress | None) -> None:
        self._repo = repo
        self._grace = grace
        self._dry = dry_run
        self._progress = progress
        self._sizes: dict[str, int] = {}

    def run(self) -> Collected:
        repo = self._repo
        check_log(repo.store, repo.state)
        now = self._now()
        moved = tuple(self._relocate()) if not self._dry else ()
        condemned, busy = self._condemn(now)
        last = repo.state.log.stat(repo.state.head)
        now = max(now, last.time if last is not None else 0.0)
        freed, waiting = self._sweep(now, () if not self._dry else condemned)
        if not self._dry:
            self._drop_pages(now)
        return Collected(condemned, freed, self._size(freed), waiting, self._size(waiting), moved, busy)

    def _size(self, keys: Iterable[str]) -> int:
        return sum(self._sizes.get(key, 0) for key in keys)

    def _now(self) -> float:
        """The time by the store's own clock: that of an object made for it, which a dry run does not make."""
        store = self._repo.store
        if self._dry:
            stat = self._repo.state.log.stat(self._repo.state.head)
            return max(self._repo.clock(), stat.time if stat is not None else 0.0)
        key = f"clock/{self._repo.fresh()}"
        store.put(key, 0, lambda sink: None)
        stat = store.stat(key)
        store.delete(key)
        if stat is None:
            raise CannotWrite(
                f"{store}: {key} was written and is not there; nothing was collected; try again"
            )
        for left in own(store, "clock/"):  # by a collector that was killed
            old = store.stat(left)
            if old is not None and stat.time - old.time > CLOCK_LEFT:
                store.delete(left)
        return stat.time

    # Condemning

    def _condemn(self, now: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Condemn, in one record, what no version needs by all records below it."""
        repo, busy = self._repo, set[str]()
        chosen: tuple[str, ...] = ()

        def decide() -> Event | None:
            nonlocal chosen
            busy.clear()
            needed = self._needed()
            garbage = []
            for key in self._objects():
                if key in needed or repo.state.get(f"gone {key}") is not None:
                    continue
                if self._age(key, now) < self._grace:
                    busy.add(key)
                else:
                    garbage.append(key)
            chosen = tuple(garbage)
            return Condemn(chosen) if chosen and not self._dry else None

        if self._dry:
            decide()
        else:
            repo.append(decide)
        return chosen, tuple(sorted(busy))

    def _objects(self) -> Iterator[str]:
        yield from own(self._repo.store, "manifests/")
        yield from own(self._repo.store, "packs/")

    def _needed(self) -> set[str]:
        """The objects that live versions need, moved bytes followed."""
        repo, packs = self._repo, set[str]()
        needed = set[str]()
        moved = {key.removeprefix("moved ") for key, _ in repo.state.scan("moved ")}
        for version in self._living():
            needed.add(manifest_key(version.manifest))
            if moved.isdisjoint(version.packs):
                packs.update(version.packs)
            else:
                packs.update(self._packs_of(version))
        return needed | set(map(pack_key, packs))

    def _packs_of(self, version: Version) -> set[str]:
        """The packs that a version needs now, after bytes were moved."""
        try:
            known = self._repo.known(version)
        except (Damaged, NotFound):  # without its manifest nobody can tell: none of them is garbage
            packs = set(version.packs)
            while more := {t for pack in packs for t in self._repo.places.targets(pack)} - packs:
                packs |= more
            return packs
        return {place[0] for item in known.values() for place in item.places}

    def _living(self) -> Iterator[Version]:
        for model, _ in self._repo.models():
            yield from self._repo.versions(model)

    def _age(self, key: str, now: float) -> float:
        stat = self._repo.store.stat(key)
        if stat is None:
            return 0.0
        self._sizes[key] = stat.size
        return now - stat.time

    # Deleting

    def _sweep(self, now: float, besides: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Delete condemned objects whose grace period is over."""
        repo, freed, waiting = self._repo, [], list(besides)
        condemned = [key for key in self._objects() if repo.state.get(f"gone {key}") is not None]
        for key in condemned:
            self._age(key, now)
        total, done = self._size(condemned), 0
        for key in condemned:
            stat = repo.state.log.stat(repo.state.get(f"gone {key}"))
            if stat is None:
                raise Damaged(
                    f"{repo.store}: the record that condemned {key} is missing; nothing more was deleted"
                )
            if now - stat.time < self._grace:
                waiting.append(key)
                continue
            if not self._dry:
                repo.store.delete(key)
            freed.append(key)
            done += self._size([key])
            if self._progress is not None:
                self._progress(done, total)
        return tuple(freed), tuple(waiting)

    def _drop_pages(self, now: float) -> None:
        """Delete old checkpoints, and pages that only they need."""
        repo, store = self._repo, self._repo.store
        keys = [*own(store, "state/")]
        found = [key for key in keys if not key.startswith("state/pages/")]
        kept = sorted(key for key in found if key <= checkpoint_key(repo.state.head))[-CHECKPOINTS_KEPT:]
        needed = {page_key(name) for key in kept for name in repo.state.pages_of(key)}
        for key in keys:
            if key not in kept and key not in needed and self._age(key, now) >= self._grace:
                store.delete(key)

    # Moving

    def _relocate(self) -> Iterator[str]:
        """Write anew what lives in packs that are mostly dead, and condemn those."""
        repo = self._repo
        if all(value.count == value.last for _, value in repo.state.scan("model ")):
            return  # nothing was ever deleted
        try:
            dying = self._mostly_dead()
        except (Damaged, NotFound):  # without all manifests nobody knows what lives; `check` tells of them
            return
        for pack, living in dying.items():
            if self._move(pack, living):
                yield pack_key(pack)

    def _mostly_dead(self) -> dict[str, _Living]:
        """The packs that are worth rewriting, with what lives in them."""
        packs: dict[str, _Living] = {}
        for version in self._living():
            for name, known in self._repo.known(version).items():
                for pack, offset, length in known.places:
                    packs.setdefault(pack, _Living()).add(name, known, (pack, offset, length))
        return {pack: living for pack, living in sorted(packs.items()) if self._is_mostly_dead(pack, living)}

    def _is_mostly_dead(self, pack: str, living: _Living) -> bool:
        stat = self._repo.store.stat(pack_key(pack))
        if stat is None or self._repo.state.get(f"gone {pack_key(pack)}") is not None:
            return False
        dead = stat.size - living.bytes()
        return dead > DEAD_BYTES and dead > DEAD_SHARE * stat.size

    def _move(self, pack: str, living: _Living) -> bool:
        repo, units = self._repo, living.units()
        stored = StoredTensors(repo.store, units, lambda: units, f"{repo.store}: {pack_key(pack)}")
        try:
            stored.verify(progress=self._progress)
        except Damaged:  # stays as it is: `check` will tell, and damage is never copied
            return False
        tensors = {name: TensorData(*stored.tensor(name)) for name in units}
        writer = PackWriter(tensors, lambda hashes: {}, None, ident=repo.fresh())
        repo.store.put(pack_key(writer.id), writer.size, writer)
        moves: list[Move] = [
            (units[entry.name].places[0][1], entry.length, writer.id, writer.start + entry.offset)
            for entry in writer.entries
        ]
        relocate = Relocate({pack: tuple(sorted(moves))}, (pack_key(pack),))

        def decide() -> Event | None:
            """Still right? A version may have come that needs more of the pack, or another collector."""
            gone = [key for key in (pack, writer.id) if repo.state.get(f"gone {pack_key(key)}") is not None]
            return None if gone or not self._covers(pack, moves) else relocate

        if repo.append(decide) is not None:
            return True
        repo.store.delete(pack_key(writer.id))
        return False

    def _covers(self, pack: str, moves: list[Move]) -> bool:
        """Whether all that lives in a pack is among the moves."""
        ranges = _joined((offset, length) for offset, length, _, _ in moves)
        return all(
            any(start <= offset and offset + length <= start + size for start, size in ranges)
            for version in self._living()
            for known in self._repo.known(version).values()
            for at, offset, length in known.places
            if at == pack
        )


class _Living:
    """What live versions need of a pack."""

    def __init__(self) -> None:
        self._wholes: dict[tuple[int, int], tuple[str, Known]] = {}
        self._blocks: dict[tuple[int, int], tuple[str, Known]] = {}

    def add(self, name: str, known: Known, place: Place) -> None:
        """A tensor of a version has bytes at this place."""
        if len(known.places) == 1:
            self._wholes.setdefault(place[1:], (name, known))
            return
        for number, digest, (pack, offset, length) in known.block_places():
            if pack == place[0] and place[1] <= offset < place[1] + place[2]:
                shape = (length // ITEM_SIZE[known.dtype],)
                block = Known(known.dtype, shape, length, digest, (), ((pack, offset, length),))
                self._blocks.setdefault((offset, length), (f"{name}[{number}]", block))

    def bytes(self) -> int:
        """How many bytes live."""
        return sum(length for _, length in _joined([*self._wholes, *self._blocks]))

    def units(self) -> dict[str, Known]:
        """What to write anew: whole tensors, and blocks that lie in none of them; by unique names."""
        found: dict[str, Known] = {}
        wholes = _joined(self._wholes)
        for (offset, length), (name, known) in [*self._wholes.items(), *self._blocks.items()]:
            within = any(start <= offset and offset + length <= start + size for start, size in wholes)
            if (offset, length) in self._wholes or not within:
                while name in found:
                    name += "#"
                found[name] = known
        return found


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (offset and length) made one where they touch or overlap."""
    found: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if found and offset <= found[-1][0] + found[-1][1]:
            end = max(offset + length, found[-1][0] + found[-1][1])
            found[-1] = (found[-1][0], end - found[-1][0])
        else:
            found.append((offset, length))
    return found
