"""The steps of a collection, in their order: delete what was condemned, move, condemn, delete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from saver.errors import CannotWriteError, DamagedError, SaverError, is_full
from saver.human import counted, size
from saver.logger import logger
from saver.pack import Progress
from saver.page import Facts, Page, Shown
from saver.repo.format import demand
from saver.repo.gc.clock import CLOCK_LEFT, Clock
from saver.repo.gc.condemning import ALL, SOME, Condemnation
from saver.repo.gc.listing import Listing
from saver.repo.gc.moving import Mover
from saver.repo.objects import checkpoint_key, own
from saver.repo.repository import Repository
from saver.repo.wholeness import check_log
from saver.storage import Stat
from saver.times import local, span

PAGES_LEFT = 60.0
"""Seconds for which pages that no checkpoint needs are left alone: a checkpoint may be in progress."""

SMALL = 100
"""Up to this many records, a collection always lists everything: that takes no time."""

LISTED_FOR = 86_400.0
"""Seconds for which a listing of everything is enough. Only what a killed save left since is missed."""

DELETED_TOGETHER = 1000
"""How many objects are deleted in one call: as many as S3 takes."""


class Collected(Shown, msgspec.Struct, frozen=True):
    """What a collection did. `condemned` objects are needed by no version; they were `freed` if their grace
    period is over, and are `waiting` otherwise. `moved` packs were mostly dead: their live bytes are now
    stored elsewhere. `busy` objects are too young to be judged: they may belong to a save in progress.
    Sizes in bytes. With `dry_run`, it is what would be done. `grace` is the period in seconds.
    """

    condemned: tuple[str, ...]
    freed: tuple[str, ...]
    freed_bytes: int
    waiting: tuple[str, ...]
    waiting_bytes: int
    moved: tuple[str, ...]
    busy: tuple[str, ...]
    dry_run: bool = False
    grace: float = 0.0

    def _page(self) -> Page:
        facts = self.facts(time.time())
        return [Facts("", facts or {"nothing to free": "versions need every object"})]

    def _line(self) -> str:
        freed = (
            f"{'would free' if self.dry_run else 'freed'} {_objects(self.freed)}, {size(self.freed_bytes)}"
        )
        return f"{freed}; waiting: {_objects(self.waiting)}, {size(self.waiting_bytes)}"

    def facts(self, now: float) -> dict[str, str]:
        """What was done, or would be done, to which objects; {} if there was nothing to do."""
        found, then = {}, local(now + self.grace)
        freed, count, waiting = self.freed, self.freed_bytes, self.waiting
        if self.dry_run and not self.grace:  # objects that it would condemn would not have to wait
            freed, count, waiting = freed + waiting, count + self.waiting_bytes, ()
        if freed:
            found["would free" if self.dry_run else "freed"] = f"{_objects(freed)}, {size(count)}"
        if waiting:
            found["waiting"] = (
                f"{_objects(waiting)}, {size(self.waiting_bytes)}: no version needs them, but somebody may "
                f"be reading them; the first `saver gc` after {then} frees them"
            )
        if self.moved:
            found["moved"] = f"the live bytes of {_objects(self.moved)} that were mostly dead"
        if self.busy:
            found["too young"] = (
                f"{_objects(self.busy)}, made less than {span(self.grace)} ago: a save under way may need "
                f"them; the first `saver gc` after {then} looks at them, or `--grace 0` now, if nobody is "
                "saving"
            )
        return found


def _objects(keys: Sequence[str]) -> str:
    """`2 packs and 1 manifest`."""
    packs = sum(key.startswith("packs/") for key in keys)
    counts = {"pack": packs, "manifest": len(keys) - packs}
    return " and ".join(counted(count, noun) for noun, count in counts.items() if count) or "nothing"


def collect(
    repo: Repository,
    grace: float,
    dry_run: bool = False,
    progress: Progress | None = None,
    listing: bool = True,
) -> Collected:
    """Free what no version needs. `grace` is in seconds of the store's own clock.

    With `listing`, or if that was not done for a day, or if the store is small, everything in the store is
    examined; otherwise what was freed since the last collection, which does not show what a killed save left.

    Raises DamagedError, and deletes nothing, if the log has a gap or its end is missing, or if something
    else is in the place of an object or a folder. Only objects whose keys have the exact form are ever
    deleted.
    """
    repo.open()
    demand(repo.storage, repo.format().collect, "collect in")
    if not dry_run:
        demand(repo.storage, repo.format().write, "write to")
    with repo.users.lock:
        found = _Collection(repo, grace, dry_run, progress, listing).run()
    if not dry_run:
        logger.info(
            "%s: collected: %d objects freed (%d bytes), %d waiting (%d bytes), %d packs moved",
            repo.storage, len(found.freed), found.freed_bytes, len(found.waiting), found.waiting_bytes,
            len(found.moved),
        )  # fmt: skip
    return found


class _Collection:
    def __init__(
        self, repo: Repository, grace: float, dry_run: bool, progress: Progress | None, listing: bool
    ) -> None:
        self._repo, self._users = repo, repo.users
        self._dry, self._progress = dry_run, progress
        self._lists = listing
        self._clock = Clock(repo, grace, dry_run)
        self._listing = Listing(repo.storage)
        self._records: dict[int, Stat | None] = {}
        self._waiting: list[str] = []

    def run(self) -> Collected:
        repo, clock = self._repo, self._clock
        self._users.refresh()
        self._lists = self._lists or self._must_list()
        known = repo.gapless if self._lists else max(repo.gapless, self._users.kept)
        check_log(repo.storage, repo.state, known)
        repo.gapless = repo.state.head
        if self._lists:
            self._listing.read()
            self._users.saw({key for key in repo.state.all_gone() if key in self._listing.all})
        # Deletions come first: on a full disk, nothing can be written before.
        freed = [] if self._dry else self._sweep(clock.newest())
        now = clock.now()
        judged, moved = Mover(repo, self._progress).judge() if not self._dry else ({}, ())
        records = [self._condemn(now, judged)]
        while records[-1].is_partial and clock.grace <= 0:
            freed += self._sweep(clock.newest())
            records.append(self._condemn(now, judged))
        condemned = tuple(key for record in records for key in record.condemned)
        freed += self._sweep(max(now, clock.newest()))
        if self._dry:
            self._waiting += condemned
        else:
            whole = self._lists and not records[-1].is_partial
            self._users.judged(records[0].busy, clock.about() if whole else None)
            self._keep_shortcuts(now)
        waiting, size = tuple(self._waiting), self._listing.size
        return Collected(
            condemned, tuple(freed), size(*freed), waiting, size(*waiting), moved, tuple(records[0].busy),
            self._dry, self._clock.grace,
        )  # fmt: skip

    def _must_list(self) -> bool:
        """Whether everything must be listed: it is not known what was found the last time, or that was long
        ago, or it takes no time."""
        if not self._users.listed or self._repo.state.head <= SMALL:
            return True
        return abs(self._clock.about() - self._users.listed) >= LISTED_FOR

    def _condemn(self, now: float, judged: dict[str, int]) -> Condemnation:
        """Condemn, in one record, what no version needs: less of it if the disk is full. A dry run only
        decides."""
        found = Condemnation(self._repo, self._listing, self._clock, now, judged)
        if self._dry:
            found.decide()
            return found
        for most in (ALL, SOME, 1):
            found.most = most
            try:
                self._repo.append(found.decide)
                break
            except CannotWriteError as error:
                if not is_full(error) or most == 1:
                    raise
        self._users.took(found.condemned)
        return found

    def _sweep(self, now: float) -> list[str]:
        """Delete condemned objects whose grace period is over; the others are waiting."""
        repo, self._waiting = self._repo, []
        freed: list[str] = []
        condemned = sorted(self._users.condemned())
        total, done = self._listing.size(*condemned), 0
        due = []
        for key in condemned:
            if self._clock.is_young(self._condemned_at(key), now):
                self._waiting.append(key)
            else:
                due.append(key)
        for at in range(0, len(due), DELETED_TOGETHER):
            keys = due[at : at + DELETED_TOGETHER]
            if not self._dry:
                repo.storage.delete(*keys)
                self._users.deleted(keys)
            freed += [key for key in keys if self._listing.size(key) or key in self._listing.all]
            done += self._listing.size(*keys)
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

    def _keep_shortcuts(self, now: float) -> None:
        """Keep what the next collection needs to know; delete remains of old checkpoints."""
        if self._repo.state.head > SMALL:
            self._users.keep()
        if self._lists:
            self._drop_pages(now)

    def _drop_pages(self, now: float) -> None:
        """Delete the remains of old checkpoints, and of those that were never finished."""
        state, storage = self._repo.state, self._repo.storage
        try:
            needed = state.needed() | self._users.shortcuts.needed(state.head)
        except SaverError:  # the checkpoints are useless
            with suppress(CannotWriteError):
                self._users.shortcuts.delete_all()
                state.make_anew()
            return
        old = []
        for found in own(storage, "state/"):
            beyond = found.key < checkpoint_key(state.head)
            if found.key in needed or beyond:
                continue
            stat = found.stat if found.stat is not None else storage.stat(found.key)
            if stat is not None and not (-CLOCK_LEFT < now - stat.time < max(self._clock.grace, PAGES_LEFT)):
                old.append(found.key)
        if old:
            storage.delete(*old)
