"""The steps of a backup, in their order: objects, then records, then what the copy no longer needs."""

from __future__ import annotations

import msgspec

from saver.errors import CannotWriteError
from saver.human import counted, size
from saver.logger import logger
from saver.page import Facts, Page, Shown, Table
from saver.repo.backup.copy import Copy, marker
from saver.repo.backup.copying import Copying
from saver.repo.backup.needs import Gone, Needs
from saver.repo.backup.wrapped import copy_keys, remove_old_keys
from saver.repo.packs import Damage
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.storage import Progress, Storage

ROUNDS = 20
"""How often a backup starts again because a collection was faster; the grace period makes that unlikely."""


class Copied(Shown, msgspec.Struct, frozen=True):
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

    def _line(self) -> str:
        return f"copied {counted(self.objects, 'object')}, {size(self.bytes)}; damage: {len(self.damage):,}"

    def _page(self) -> Page:
        facts = {
            "versions": f"{self.versions:,}, as of record {self.head:,}",
            "copied": f"{counted(self.objects, 'object')}, {size(self.bytes)}, and "
            f"{counted(self.records, 'record')}",
            "there already": counted(self.present, "object"),
            "removed": f"{counted(self.removed, 'object')} that no version needs" if self.removed else "",
        }
        rows = [(f"{each.model}@{each.number}", each.key, each.what) for each in self.damage]
        damage = Table("Damage in the store", ("version", "object", "what"), rows)
        return [Facts("", facts), *([damage] if rows else ())]


def backup(repo: Repository, target: Storage, progress: Progress | None = None) -> Copied:
    """Bring the copy in `target` up to date. When this returns, the copy is durable and verified by reading
    it again. The store is only read.

    Raises CannotWriteError, and changes nothing, if `target` is not a copy of the store.
    """
    repo.open()
    copy = Copy(repo, repo.storage.copy_in(target))
    head, needs = copy.agreed(), Needs(repo, copy)
    copying = Copying(repo, copy, needs, progress)
    upto, versions, needed = _copied_whole(repo, needs, copying)
    copy_keys(repo, target)
    records = copy.write_records(head, upto)
    remove_old_keys(repo, target)
    damage = [each for key in needed for each in needs.damage.get(key, ())]
    removed = copy.remove_condemned(set(needed), {each.key for each in damage})
    copy.remove_left({marker(each.key) for each in damage})
    for key, what in {each.key: each.what for each in damage}.items():
        logger.warning("%s: %s: %s", repo.storage, key, what)
    copied = copying.copied
    logger.info("%s: %d objects and %d records copied to %s", repo.storage, len(copied), records, target)
    return Copied(
        upto, len(versions), records, len(copied), sum(copied.values()), copying.present, removed,
        tuple(damage),
    )  # fmt: skip


def _copied_whole(
    repo: Repository, needs: Needs, copying: Copying
) -> tuple[int, list[Version], dict[str, list[Version]]]:
    """Copy all objects that the live versions need. Returns the head at which they are live, the versions,
    and the keys of the objects, each with its versions."""
    for _ in range(ROUNDS):
        try:
            upto, versions = needs.living()
            needed = needs.of(versions)
            copying.copy(needed)
            return upto, versions, needed
        except Gone:
            logger.info("%s: collected while it was copied; the backup goes on", repo.storage)
    raise CannotWriteError(
        f"{repo.storage} was collected {ROUNDS} times while it was copied, and what was to be copied "
        "deleted; the copy is as it was; collect with a grace period, or less often"
    )
