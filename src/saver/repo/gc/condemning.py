"""What a collection condemns: the objects that no version needs, by the log at that moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from saver.errors import DamagedError, IncompatibleError, NotFoundError
from saver.repo.events import Condemn, Event
from saver.repo.gc.clock import Clock
from saver.repo.gc.listing import Listing
from saver.repo.objects import is_collectable, pack_key
from saver.repo.repository import Repository
from saver.repo.state.needs import pack_in
from saver.tensors import packs_of

ALL, SOME = 1 << 40, 16
"""How many objects one record condemns: without limit, or few on a full disk without room for many names."""


def is_needed(repo: Repository, key: str) -> bool:
    """Whether a live version needs an object, by what `repo.users` has read. If bytes were moved, only
    manifests can tell; a version whose manifest cannot be read counts as needing everything that it may need.
    """
    users, pack = repo.users, pack_in(key)
    if users.is_manifest(key):
        return True
    if not users.needs(key) or not users.is_moved(pack):
        return users.needs(key)
    for name in users.of(pack):
        try:
            known = repo.known(users.version(name))
        except (DamagedError, IncompatibleError, NotFoundError):
            return True
        if pack in packs_of(known.values()):
            return True
    return False


class Condemnation:
    """One record that condemns. It is decided, perhaps again and again, by `decide`, until the log takes it.

    `judged` are the keys of packs that stay though they were freed in part, each with the record that freed
    it. Objects that are too young at the time `now` are `busy`: they may belong to a save in progress.
    """

    def __init__(
        self, repo: Repository, listing: Listing, clock: Clock, now: float, judged: Mapping[str, int]
    ) -> None:
        self._repo, self._users = repo, repo.users
        self._listing, self._clock = listing, clock
        self._now, self._judged = now, judged
        self._suspects: list[str] | None = None
        """What is examined, once it is clear; all candidates before."""
        self._chosen: list[str] = []
        self.busy: list[str] = []
        self.most = ALL
        """How many objects are condemned at most."""

    @property
    def condemned(self) -> tuple[str, ...]:
        """The objects that are condemned."""
        return tuple(self._chosen[: self.most])

    @property
    def is_partial(self) -> bool:
        """Whether more could be condemned."""
        return len(self._chosen) > self.most

    def decide(self) -> Event | None:
        """What to write as the next record; None if nothing."""
        state = self._repo.state
        keys = self._candidates() if self._suspects is None else self._suspects
        self._users.refresh()
        freed = state.all_freed()
        settled = self._choose(keys)
        # If another writer was faster, only these are examined again.
        self._suspects = [*self._chosen, *self.busy]
        kept = {key for key, number in self._judged.items() if state.freed(key) == number}
        kept.update(key for key in settled if key in freed)
        if self.condemned or kept:
            return Condemn(self.condemned, tuple(sorted(kept)))
        return None

    def _choose(self, keys: Iterable[str]) -> list[str]:
        """Choose among these what is condemned and what is too young; returns what is settled already."""
        chosen, busy, settled = list[str](), set[str](), list[str]()
        for key in keys:
            gone = self._repo.state.gone(key) is not None
            if not gone and is_needed(self._repo, key):
                continue
            stat = self._listing.stat(key) if not gone else None
            if stat is None:
                settled.append(key)
            elif self._clock.is_young(stat.time, self._now):
                busy.add(key)
            else:
                chosen.append(key)
        self._chosen, self.busy = chosen, sorted(busy)
        return settled

    def _candidates(self) -> Iterator[str]:
        """What may be garbage: all listed objects, what deletions freed since the last collection, and what
        that one found too young."""
        yield from self._listing.keys
        freed = self._repo.state.all_freed()
        packs = self._users.targets(pack_in(key) for key in freed if key.startswith("packs/"))
        for key in sorted({*freed, *map(pack_key, packs), *self._users.young()}):
            if is_collectable(key) and key not in self._listing.all:
                yield key
