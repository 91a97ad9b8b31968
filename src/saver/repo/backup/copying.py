"""Copying objects: what was copied is read again, and what is damaged is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from saver.errors import CannotWriteError, DamagedError, NotFoundError, SaverError
from saver.repo.backup.copy import Copy, marker
from saver.repo.backup.needs import Needs
from saver.repo.batches import Tally, in_batches
from saver.repo.objects import pack_key
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.storage import Blob, Content, Progress
from saver.tensors import packs_of, shards_of

CHUNK = 8 << 20
"""Bytes of an object that are copied at a time."""


class Copying:
    """Copies objects of a store that its copy lacks: `copied` are their sizes, `present` counts others."""

    def __init__(self, repo: Repository, to: Copy, needs: Needs, progress: Progress | None) -> None:
        self._repo, self._from, self._to = repo, repo.storage, to
        self._needs, self._progress = needs, progress
        self.copied: dict[str, int] = {}
        self.present = 0
        self._done = 0

    def copy(self, needed: dict[str, list[Version]]) -> None:
        """Copy those of these objects that the copy lacks; each is named with the versions that need it.
        Raises Gone."""
        there = self._to.storage.together(partial(self._to.has, key) for key in needed)
        missing = [key for key, has in zip(needed, there, strict=True) if not has]
        self.present = len(needed) - len(missing) - len(self.copied.keys() & needed.keys())
        sizes = {
            key: stat.size for key, stat in zip(missing, self._from.stats(*missing), strict=True) if stat
        }
        tally = Tally(self._progress, self._done, self._done + sum(sizes.values()))
        slow = self._from if self._from.far else self._to.storage
        copy = partial(self._copy, needed, tally)
        try:
            for _ in in_batches(slow, missing, copy, lambda key: sizes.get(key, 0)):
                pass
        finally:
            self._done = tally.done

    def _copy(self, needed: Mapping[str, list[Version]], tally: Tally, key: str) -> None:
        """Copy one object, while others are copied."""
        try:
            blob = self._from.open(key)
        except NotFoundError:
            self._needs.demand_unchanged()
            if not self._needs.damage.get(key):
                self._needs.note(key, needed[key], f"{key} is missing")
            return
        self._copy_object(key, blob, needed[key], tally)

    def _copy_object(self, key: str, blob: Blob, versions: list[Version], tally: Tally) -> None:
        """Copy one object and read it again. What is damaged in the store is copied as it is, and noted."""
        target = self._to.storage
        target.create(marker(key), b"")  # until the copy is found sound
        if target.stat(key) is not None:
            if self._needs.damage_of(key, target.open(key)) is None:  # a killed backup left the marker
                target.delete(marker(key))
                return
            target.delete(key)
        try:
            target.put(key, _Piecewise(blob, tally.add))
        except CannotWriteError:
            if target.stat(key) is None:  # otherwise another backup was faster
                raise
        except DamagedError as error:  # the source cannot be read to its end
            self._needs.note(key, versions, str(error))
            return
        self.copied[key] = blob.size
        self._verify(key, versions)

    def _verify(self, key: str, versions: list[Version]) -> None:
        """Read a copied object again: it must be sound, or damaged in the store, too."""
        target = self._to.storage
        what = self._needs.damage_of(key, target.open(key))
        if what is None:
            target.delete(marker(key))
            return
        if self._needs.damage_of(key, self._from.open(key)) is None:
            target.delete(key)
            raise CannotWriteError(
                f"{target}: {key} is not what was written there ({what}); it was deleted; check that disk"
            )
        if not self._needs.damage.get(key):
            self._needs.note(key, versions, what)
        if self._is_in_older_packs(key, versions):
            target.delete(key)

    def _is_in_older_packs(self, key: str, versions: list[Version]) -> bool:
        """Whether the copy has everything that versions need of a pack in the packs from which its bytes were
        moved: readers look there if the pack itself is missing."""
        for version in versions:
            try:
                found = self._needs.outline(version)
                now = packs_of(shards_of(self._repo.extents.of(found).values()).values())
                before = self._repo.extents.of(found, partial(self._has_kept, key, now))
            except SaverError:
                return False
            older = {pack_key(pack) for pack in packs_of(shards_of(before.values()).values()) - now}
            if not older or not all(map(self._to.has, older)):
                return False
        return True

    def _has_kept(self, lost: str, now: set[str], pack: str) -> bool:
        key = pack_key(pack)
        return key != lost and (pack in now or self._to.has(key))


class _Piecewise(Content):
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
