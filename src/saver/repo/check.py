"""Check: reads everything, and distinguishes damage from garbage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from saver.errors import (
    CannotWriteError,
    DamagedError,
    IncompatibleError,
    NotFoundError,
    SaverError,
    SignatureError,
)
from saver.logger import logger
from saver.repo.batches import Tally, in_batches
from saver.repo.checked import Checked as Checked
from saver.repo.contents import Contents, read_contents
from saver.repo.dedup import PROBE, PROBED, probe_of
from saver.repo.events import Event, Harm
from saver.repo.extents import Ranges
from saver.repo.format import STORE_KEY
from saver.repo.holding import missing_bundle
from saver.repo.index import Row
from saver.repo.log import ZERO, log_key
from saver.repo.manifest import Part, manifest_key, values
from saver.repo.mending import mend_shortcuts, verify_shortcuts
from saver.repo.objects import (
    COLLECTED,
    FOLDERS,
    is_own,
    no_folder,
    pack_key,
    stands_for_folder,
    tree_key,
)
from saver.repo.packing import open_stored
from saver.repo.packs import Damage as Damage
from saver.repo.packs import Packs, Use
from saver.repo.replay import Replay
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.repo.wholeness import check_end, check_gaps
from saver.storage import Progress, Stat
from saver.tensors import packs_of, shard_names
from saver.tree import Item, Tensor, parse

_CONTRADICTED = (
    "the newest checkpoint contradicts the log about it, and the log is right; checkpoints are written again "
    "from the log; if that fails, delete the folder state/"
)


def check(repo: Repository, progress: Progress | None = None) -> Checked:
    """Read and verify everything in the store.

    Raises DamagedError if the log itself is damaged, and IncompatibleError if this Saver does not
    understand it: without the log nothing is known.
    """
    repo.open()
    found = _Check(repo, progress).run()
    for key, what in {each.key: each.what for each in found.damage}.items():
        logger.warning("%s: %s: %s", repo.storage, key, what)
    logger.info("%s: checked: %d bytes, %d damaged", repo.storage, found.bytes, len(found.damage))
    return found


class _Check:
    def __init__(self, repo: Repository, progress: Progress | None) -> None:
        self._repo = repo
        self._progress = progress
        self._damage: list[Damage] = []
        self._bytes = 0
        self._replay = Replay()
        self._previous = ZERO
        self._packs = Packs(repo, self._replay)
        self._needed: set[str] = set()
        self._trees: set[str] = set()
        self._rows: list[Row] = []
        self._foreign: list[str] = []
        self._hidden: set[str] = set()
        self._stats: dict[str, Stat | None] = {}
        """Of everything listed; None for something else that has the name of an object."""

    def run(self) -> Checked:
        repo = self._repo
        # Before the log is read: what is saved from here on is not garbage.
        listed = {prefix: self._own(prefix) for prefix in FOLDERS}
        repo.state.refresh()
        check_gaps(repo.storage, repo.state)
        if "state/" not in self._hidden:
            check_end(repo.storage, repo.state)
        versions = self._versions()
        self._checkpoints(listed["state/"])
        for version, read in in_batches(repo.storage, versions, partial(read_contents, repo)):
            self._version(version, read)
        self._read_packs(listed["packs/"])
        if repo.index is not None:
            repo.index.add(repo.state.head, self._rows)
        garbage = [key for prefix in COLLECTED for key in listed[prefix] if key not in self._needed]
        size = self._garbage_bytes(garbage)
        foreign = tuple(key for key in self._foreign if key not in self._needed)
        recorded = self._record()
        damage = (*self._damage, *self._packs.damage, *missing_bundle(repo))
        refused = tuple(f"{log_key(number)}: {why}" for number, why in self._replay.refused.items())
        return Checked(len(versions), self._bytes, damage, tuple(garbage), size, recorded, foreign, refused)

    def _own(self, prefix: str) -> list[str]:
        """Saver's objects below a prefix. Notes foreign ones, and folders that cannot be listed."""
        found = []
        try:
            for listed in self._repo.storage.list(prefix):
                key = listed.key
                if is_own(key):
                    self._stats[key] = listed.stat
                    found.append(key)
                elif stands_for_folder(key):
                    self._damage.append(Damage(key, no_folder(key)))
                else:
                    self._foreign.append(key)
        except DamagedError as error:
            self._damage.append(Damage(prefix.removesuffix("/"), str(error), rule=error.rule or ""))
            self._hidden.add(prefix)
        return found

    def _size(self, key: str) -> int:
        """Bytes of an object; 0 if it is gone or not an object, which reading it will report."""
        try:
            stat = self._stats.get(key) or self._repo.storage.stat(key)
        except (DamagedError, IncompatibleError):
            return 0
        return stat.size if stat is not None else 0

    def _garbage_bytes(self, garbage: Iterable[str]) -> int:
        """The bytes of garbage. Also notes documents that are not objects, as none was opened before."""
        for key in (key for key in garbage if self._stats.get(key) is None):
            try:
                self._repo.storage.stat(key)
            except DamagedError as error:
                if not key.startswith("packs/"):
                    self._damage.append(Damage(key, str(error), rule=error.rule or ""))
        return sum(map(self._size, garbage))

    def _versions(self) -> list[Version]:
        """The live versions. What a checkpoint says about them must agree with the log."""
        repo, replay = self._repo, self._replay
        while True:
            head = repo.state.head
            self._log(head)
            models, rights = (
                dict(repo.state.models()),
                (dict(repo.state.roles), dict(repo.state.all_refused())),
            )
            versions = [version for model, _ in repo.models() for version in repo.versions(model)]
            if head == repo.state.head:  # otherwise another thread has read on
                break
        if rights != (replay.roles, replay.refused):
            self._damage.append(Damage("state", _CONTRADICTED))
        for model, number in replay.contradicted(models, versions):
            self._damage.append(Damage("state", _CONTRADICTED, model, number))
            versions = list(replay.versions().values())
        return versions

    def _log(self, head: int) -> None:
        """Read every record, including those that a checkpoint makes unnecessary."""
        repo = self._repo
        if not self._replay.head:
            self._bytes += len(repo.storage.read(STORE_KEY))
        for record, digest in repo.state.log.read_on(self._replay.head + 1, head):
            if record.previous != self._previous:
                raise DamagedError(
                    f"{repo.storage}: {log_key(record.number)} does not follow the record before it; restore "
                    "the folder log/ from a copy of the store",
                    rule="5.06",
                )
            self._previous = digest
            self._replay.follow(record)
            self._bytes += self._size(log_key(record.number))

    def _checkpoints(self, keys: list[str]) -> None:
        """Verify checkpoints, and write them again if one is damaged."""
        if "state/" in self._hidden:
            return
        damage, read = verify_shortcuts(self._repo, keys)
        self._damage += damage
        self._bytes += read
        if damage or any(each.key == "state" for each in self._damage):
            mend_shortcuts(self._repo, [each.key for each in damage])

    def _version(self, version: Version, read: Contents) -> None:
        repo, key = self._repo, manifest_key(version.manifest, version.file)
        self._needed.update((key, *map(tree_key, version.trees)))
        try:
            if isinstance(read.found, SaverError):
                raise read.found
            tensors = {**repo.extents.of(read.found)}
            parts = _parts_of(read.parts, str(version))
        except NotFoundError:  # deleted meanwhile
            return
        except SaverError as error:
            self._lost(version, read.at, error, version.parts)
            self._packs.lost.add(key)
            self._needed.update(map(pack_key, repo.extents.reached(version.packs)))
            return
        if version.file:
            self._packs.files.add(key)  # it is read, and counted, below
        else:
            self._bytes += self._size(key)
        for name, (at, what) in read.lost.items():
            self._lost(version, at, what, [name])
        self._bytes += sum(map(self._size, {*map(tree_key, version.trees)} - self._trees))
        self._trees.update(map(tree_key, version.trees))
        for tensor, info in tensors.items():
            names = shard_names(tensor, info.shape, info.boxes, tensors)
            for name, shard in zip(names, info.shards, strict=True):
                use = Use(version, tuple(parts.get(tensor, ())), name, shard)
                self._learn(use)
                self._packs.use(use)
                self._needed.update(map(pack_key, packs_of([shard])))

    def _learn(self, use: Use) -> None:
        """Note for this machine's index what it may not know yet: versions that others saved."""
        known, version = use.known, use.version
        if self._repo.index is None or not known.length:
            return
        probe = None
        if known.length >= PROBED and not self._repo.storage.far:  # there, no save compares first bytes
            try:
                pack, offset, length = known.extents[0]
                blob = open_stored(self._repo.storage, pack_key(pack))
                probe = probe_of(blob.read(offset, offset + min(PROBE, length)))
            except (DamagedError, IncompatibleError, NotFoundError):  # reported below
                return
        self._rows.append(
            Row(known.hash, known.length, probe, version.model, version.number, version.manifest, use.tensor)
        )

    def _lost(self, version: Version, key: str, error: SaverError, parts: Iterable[str]) -> None:
        for part in parts:
            each = Damage(key, str(error), version.model, version.number, part=part, rule=error.rule or "")
            self._damage.append(each)

    def _read_packs(self, listed: Iterable[str]) -> None:
        """Read every pack that exists, and every one that a version needs."""
        repo, packs = self._repo, self._packs
        keys = packs.used | {key for key in listed if key in self._needed or repo.state.gone(key) is None}
        total = self._bytes + sum(map(self._size, keys))
        self._bytes += packs.read(keys, self._size, Tally(self._progress, self._bytes, total))

    def _record(self) -> bool:
        """Record new damage in the log, so that no save shares these bytes any more."""
        repo, harm = self._repo, self._packs.harm
        if not harm or "packs/" in self._hidden:  # it may be sound, behind a link that is not followed
            return False

        def decide() -> Event | None:
            places = {}
            for pack, found in harm.items():
                told = Ranges(repo.state.harmed(pack))
                new = [(at, size) for at, size in sorted(found) if not told.meet(at, size)]
                if new:
                    places[pack] = tuple(new)
            return Harm(places) if places else None

        try:
            repo.append(decide)
        except (CannotWriteError, DamagedError, IncompatibleError, SignatureError):
            # A store that is only read or has roles, a full disk: `recorded` says so.
            return False
        return True


def _parts_of(found: Mapping[str, Part], where: str) -> dict[str, list[str]]:
    """The parts that refer to each tensor. Raises IncompatibleError if they are not trees."""
    parts: dict[str, list[str]] = {}
    for name, tree, batches in values(found, where):
        items: list[Item] = []
        for each in (tree, *batches.values()):
            parse(each, where, items)
        for item in items:
            if type(item) is Tensor and name not in parts.setdefault(item.name, []):
                parts[item.name].append(name)
    return parts
