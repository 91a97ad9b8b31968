"""Check: reads everything there is, and tells damage from garbage."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from blake3 import blake3

from saver.errors import CannotWrite, Damaged, NotFound, SaverError, Unsupported
from saver.pack import Pack, Range, damaged
from saver.repo import document
from saver.repo.dedup import PROBE, PROBED, probe_of
from saver.repo.format import STORE_KEY
from saver.repo.gc import check_log
from saver.repo.index import Row
from saver.repo.log import Event, Harm
from saver.repo.manifest import Manifest, manifest_key
from saver.repo.places import Known, Place, overlaps, pack_key
from saver.repo.repository import Repository
from saver.repo.state import Checkpoint, version_key
from saver.repo.version import Version
from saver.store import Blob, Progress
from saver.tree import Tensor, parse, walk


class Damage(msgspec.Struct, frozen=True):
    """Something that is not as it was saved. `model`, `number`, `part` and `tensor` say what it costs, as
    far as it costs a version anything; `key` is the object in the store, `what` a sentence.
    """

    key: str
    what: str
    model: str = ""
    number: int = 0
    part: str = ""
    tensor: str = ""


class Checked(msgspec.Struct, frozen=True):
    """What a check saw: live versions, bytes read, all damage. `garbage` is needed by no version: no
    damage, `gc` frees it. `recorded` says that the damaged bytes stand in the log, so that saving the
    same tensors again heals them.
    """

    versions: int
    bytes: int
    damage: tuple[Damage, ...]
    garbage: tuple[str, ...]
    garbage_bytes: int
    recorded: bool

    @property
    def sound(self) -> bool:
        """Whether there is no damage."""
        return not self.damage


def check(repo: Repository, progress: Progress | None = None) -> Checked:
    """Read and verify all that lies in the store.

    Raises Damaged when the log itself is damaged: without it nothing is known.
    """
    repo.open()
    return _Check(repo, progress).run()


class _Use(msgspec.Struct, frozen=True):
    """A tensor of a version."""

    version: Version
    parts: tuple[str, ...]
    tensor: str
    known: Known


class _Check:
    def __init__(self, repo: Repository, progress: Progress | None) -> None:
        self._repo = repo
        self._progress = progress
        self._damage: list[Damage] = []
        self._bytes = 0
        self._uses: dict[str, list[tuple[Place, str, _Use]]] = {}
        self._harm: dict[str, set[tuple[int, int]]] = {}
        self._needed: set[str] = set()
        self._rows: list[Row] = []

    def run(self) -> Checked:
        repo = self._repo
        objects = [*self._objects()]  # before the log is read: what is saved from here on is no garbage
        repo.state.refresh()
        self._log()
        self._checkpoints()
        versions = [version for model, _ in repo.models() for version in repo.versions(model)]
        for version in versions:
            self._version(version)
        self._packs()
        if repo.index is not None:
            repo.index.add(repo.state.head, self._rows)
        garbage = [key for key in objects if key not in self._needed]
        size = sum(stat.size for key in garbage if (stat := repo.store.stat(key)) is not None)
        return Checked(len(versions), self._bytes, tuple(self._damage), tuple(garbage), size, self._record())

    def _objects(self) -> Iterator[str]:
        yield from self._repo.store.list("manifests/")
        yield from self._repo.store.list("packs/")

    def _log(self) -> None:
        """Every record, also those that a checkpoint makes unnecessary."""
        repo = self._repo
        check_log(repo)
        self._bytes += len(repo.store.read(STORE_KEY))
        previous = None
        for number in range(1, repo.state.head + 1):
            record, digest = repo.state.log.read(number)
            if previous is not None and record.previous != previous:
                raise Damaged(f"{repo.store}: record {number} does not follow the one before it")
            previous = digest
            stat = repo.state.log.stat(number)
            self._bytes += stat.size if stat is not None else 0

    def _checkpoints(self) -> None:
        """They cost nothing but time when they are damaged: the log says the same."""
        store = self._repo.store
        for key in store.list("state/"):
            try:
                data = store.read(key)
            except NotFound:
                continue
            self._bytes += len(data)
            try:
                if not key.startswith("state/pages/"):
                    document.decode(data, Checkpoint, f"{store}: {key}")
                elif f"/{blake3(data).hexdigest()}." not in key:
                    raise Damaged(f"{store}: {key}: the bytes are not those that were written")
            except Damaged as error:
                self._damage.append(
                    Damage(key, f"{error}; it is only a shortcut: delete it, no version needs it")
                )

    def _version(self, version: Version) -> None:
        repo, key = self._repo, manifest_key(version.manifest)
        self._needed.add(key)
        try:
            found = repo.manifest(version)
            known = repo.places.of(found, f"{repo.store}: {version}")
            parts = _parts_of(found, str(version))
        except NotFound:  # deleted meanwhile
            return
        except SaverError as error:
            self._lost(version, key, str(error))
            self._needed.update(map(pack_key, self._packs_of(version)))
            return
        stat = repo.store.stat(key)
        self._bytes += stat.size if stat is not None else 0
        for name, item in known.items():
            use = _Use(version, tuple(parts.get(name, ())), name, item)
            self._learn(use)
            for _, digest, place in item.block_places():
                self._needed.add(pack_key(place[0]))
                self._uses.setdefault(place[0], []).append((place, digest, use))

    def _learn(self, use: _Use) -> None:
        """What the index of this machine may not know yet: versions that others saved."""
        known, version = use.known, use.version
        if self._repo.index is None or not known.length:
            return
        probe = None
        if known.length >= PROBED:
            try:
                pack, offset, length = known.places[0]
                blob = self._repo.store.open(pack_key(pack))
                probe = probe_of(blob.read(offset, offset + min(PROBE, length)))
            except NotFound:  # told below
                return
        self._rows.append(
            Row(known.hash, known.length, probe, version.model, version.number, version.manifest, use.tensor)
        )

    def _packs_of(self, version: Version) -> set[str]:
        """What the collector keeps for a version of which only the log tells."""
        found, waiting = set[str](), set(version.packs)
        while waiting:
            pack = waiting.pop()
            found.add(pack)
            waiting |= self._repo.places.targets(pack) - found
        return found

    def _lost(self, version: Version, key: str, what: str) -> None:
        for part in version.parts:
            self._damage.append(Damage(key, what, version.model, version.number, part))

    def _packs(self) -> None:
        """Every byte of every pack: by its own header, and by what the manifests say."""
        store = self._repo.store
        packs = [key for key in store.list("packs/") if self._is_live(key)]
        missing = {pack_key(pack) for pack in self._uses} - set(packs)
        for key in sorted(missing):
            self._report(key, self._uses_of(key), "the pack is missing")
        sizes = (stat.size for key in packs if (stat := store.stat(key)) is not None)
        total = self._bytes + sum(sizes)
        for key in packs:
            size = self._pack(key, total)
            self._bytes += size

    def _is_live(self, key: str) -> bool:
        return self._repo.state.get(f"gone {key}") is None or key in self._needed

    def _uses_of(self, key: str) -> list[tuple[Place, str, _Use]]:
        return self._uses.get(key.removeprefix("packs/").removesuffix(".safetensors"), [])

    def _pack(self, key: str, total: int) -> int:
        """Verify one pack; returns its size. Damage in it is told for every version that it costs."""
        try:
            return self._verified(key, self._repo.store.open(key), total)
        except NotFound:  # deleted by a collector since it was listed
            self._report(key, self._uses_of(key), "the pack is missing")
            return 0

    def _verified(self, key: str, blob: Blob, total: int) -> int:
        uses = self._uses_of(key)
        before, progress = self._bytes, self._progress
        report = (lambda done, _: progress(before + done, total)) if progress is not None else None
        sound: dict[tuple[int, int], str] = {}
        try:
            pack = Pack(blob)
            lost = pack.damaged(progress=report)
            sound = {(start, end): digest for name, start, end, digest in pack.places() if name not in lost}
            if lost and not uses:
                self._damage.append(
                    Damage(
                        key, f"the bytes of {', '.join(sorted(lost)[:5])} are damaged; no version needs them"
                    )
                )
        except NotFound:
            raise
        except SaverError as error:
            whom = "; the versions that lie in it are not concerned" if uses else "; no version needs it"
            self._damage.append(Damage(key, f"its header is damaged ({error}){whom}"))
        ranges, by_name = [], {}
        for number, (place, digest, use) in enumerate(uses):
            _, offset, length = place
            if offset + length > blob.size:
                self._report(key, [(place, digest, use)], "the pack is cut off")
            elif sound.get((offset, offset + length)) != digest:
                ranges.append(Range(str(number), blob, offset, offset + length, digest))
                by_name[str(number)] = (place, digest, use)
        bad = [by_name[name] for name in sorted(damaged(ranges, None), key=int)]
        self._report(key, bad, "the bytes are not those that were saved")
        return blob.size

    def _report(self, key: str, uses: Collection[tuple[Place, str, _Use]], what: str) -> None:
        told = set()
        if uses:
            self._repo.state.refresh()
        for place, _, use in uses:
            if not self._is_needed(key, use.version):
                continue
            self._harm.setdefault(place[0], set()).add((place[1], place[2]))
            for part in use.parts or ("",):
                version = use.version
                told_ = (version.model, version.number, part, use.tensor)
                if told_ not in told:
                    told.add(told_)
                    self._damage.append(Damage(key, what, *told_))

    def _is_needed(self, key: str, version: Version) -> bool:
        """Whether a version still needs an object: it was not deleted meanwhile, nor were its bytes moved."""
        state = self._repo.state
        live = state.get(version_key(version.model, version.number)) is not None
        return live and state.get(f"gone {key}") is None

    def _record(self) -> bool:
        """Put damage that is new into the log, so that no save shares these bytes any more."""
        repo = self._repo
        if not self._harm:
            return False

        def decide() -> Event | None:
            places = {}
            for pack, found in self._harm.items():
                told = {pack: repo.state.get(f"harmed {pack}") or ()}
                new = [(at, size) for at, size in sorted(found) if not overlaps((pack, at, size), told)]
                if new:
                    places[pack] = tuple(new)
            return Harm(places) if places else None

        try:
            repo.append(decide)
        except (CannotWrite, Unsupported):  # a store that is only read, a full disk; `recorded` says so
            return False
        return True


def _parts_of(found: Manifest, where: str) -> dict[str, list[str]]:
    """The parts that refer to each tensor. Raises Damaged for what are no trees."""
    parts: dict[str, list[str]] = {}
    for name, part in found.parts.items():
        trees = [parse(part.tree, where, []), *(parse(state, where, []) for state in part.batches.values())]
        for item in (item for tree in trees for item in walk(tree)):
            if type(item) is Tensor and name not in parts.setdefault(item.name, []):
                parts[item.name].append(name)
    return parts
