"""Which versions need which objects: what a collection must know, kept as a checkpoint of its own.

A collection reads the newest such checkpoint (`state/users/`) and the records after it, so it costs what
changed since. It is a map, in pages as those of the state are:

    need <object> <model> <number>        that version needs this pack, or this document of a part
    manifest <object> <model> <number>    this is its manifest, or the pack that holds its manifest
    from <pack> <source>                  bytes of the pack `source` were moved to this pack
    gone <object key>                     it was condemned, and may still be there
    young <object key>                    it was too young to be judged when all objects were listed

`<object>` is the name of a pack, or the key of another object. Versions that were deleted stay in the map
until all is read again; whether one is live, the state says. So a map that lacks the newest records is
never believed, and one that has too much only keeps garbage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from threading import RLock
from typing import Any, TypeAlias

from saver import forks
from saver.errors import IncompatibleError, NotFoundError, SaverError
from saver.logger import logger
from saver.repo.objects import USERS
from saver.repo.state.checkpoint import USERS_FORMAT, UsersCheckpoint
from saver.repo.state.facts import END
from saver.repo.state.moves import Moves
from saver.repo.state.needs import changes, links, needs, pack_in, reached
from saver.repo.state.shortcuts import Shortcuts
from saver.repo.state.state import INTERVAL, State
from saver.repo.version import Version, from_state

MANY = 10_000
"""Up to this many new records are read one by one; beyond that, all versions at once."""

UNKNOWN = -1

Name: TypeAlias = tuple[str, int]
"""A model, and the number of a version."""

_is_key = re.compile(r"(need|manifest) \S+ \S+ [0-9]{12}|from \S+ \S+|(gone|young) \S+").fullmatch


class Users:
    """The live versions by what they need, as of record `head`. `refresh` advances to the head of the
    state. Safe to use while `lock` is held.

    Whatever is wrong with the checkpoint or its pages, all is read from the state instead.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._begin()
        forks.begin_anew(self, Users._begin)

    def _begin(self) -> None:
        self.lock = RLock()
        """Held during a collection: one thread at a time."""
        self.head = UNKNOWN
        """Until something is known, and while it is being learned, `UNKNOWN`."""
        self.listed = 0.0
        """When all objects of the store were last listed, by its own clock; 0 if that is not known."""
        self.kept = 0
        """The record of the checkpoint that this rests on: up to there, the log had no gap."""
        self.shortcuts = Shortcuts(self._state.log.storage, self._state.log, USERS)
        self._root: str | None = None
        self._seen = False
        """Whether all condemned objects that exist are known, from a listing of this process."""
        self._relisted = False
        """Whether `listed` is newer than the checkpoint."""

    # Learning

    def refresh(self) -> None:
        """Advance to the head of the state. If an exception comes in between, nothing is known any more."""
        while self.head != self._state.head:
            head, known, self.head = self._state.head, self.head, UNKNOWN
            known = known if known != UNKNOWN else self._load(head)
            if known == UNKNOWN or head - known > MANY:
                self._read_all()
                continue
            found: dict[str, Any] = {}
            for record, _ in self._state.log.read_on(known + 1, head):
                if self._state.refused(record.number) is None:
                    found.update(changes(record.event))
            try:
                self._change(found)
            except SaverError as error:
                self._ignore(error)
            else:
                self.head = head

    def _load(self, head: int) -> int:
        """Rest on the newest checkpoint up to `head`. Returns its number, or `UNKNOWN`."""
        try:
            numbers = self.shortcuts.numbers(head)
        except SaverError:
            return UNKNOWN
        for number in reversed(numbers):
            try:
                found = self.shortcuts.read(number)
                if found.previous == self._hash(number) and isinstance(found, UsersCheckpoint):
                    self._root, self.listed, self.kept = found.root, found.listed, number
                    return number
            except SaverError as error:
                logger.info("%s: a shortcut to who needs what is unused: %s", self._state.log.storage, error)
        return UNKNOWN

    def _hash(self, number: int) -> str:
        head, digest = self._state.last()
        return digest if number == head else self._state.log.read(number)[1]

    def _ignore(self, error: SaverError) -> None:
        """Go on without the checkpoint."""
        logger.info("%s: who needs what is read again: %s", self._state.log.storage, error)
        self._read_all()

    def _read_all(self) -> None:
        """Learn everything from the state. What was condemned or listed before is then not known."""
        state, self.head = self._state, UNKNOWN
        while True:
            head, found = state.head, dict[str, Any]()
            for model, number, value in state.all_versions():
                found.update(needs(value, model, number))
            for record in sorted(state.all_moved()):
                found.update(links(state.log.read(record)[0].event))
            if head == state.head:  # otherwise another thread moved it on meanwhile
                break
        self.shortcuts.forget_held()
        self._root, self.listed, self.kept = None, 0.0, 0
        self._seen = self._relisted = False
        self._change(found)
        self.head = head

    def _change(self, found: dict[str, Any]) -> None:
        self._root = self.shortcuts.pages.update(self._root, found)
        self.shortcuts.hold_only(self._root)

    def _scan(self, prefix: str, reverse: bool = False) -> Iterator[str]:
        """The rest of the keys that begin with `prefix`, in order."""
        first, stop = prefix, prefix + END
        while True:
            try:
                for key, _ in self._pairs(first, stop, reverse):
                    first, stop = (first, key) if reverse else (key + "\0", stop)
                    yield key.removeprefix(prefix)
                return
            except SaverError as error:
                self._ignore(error)

    def _pairs(self, first: str, stop: str, reverse: bool = False) -> Iterator[tuple[str, Any]]:
        for key, value in self.shortcuts.pages.scan(self._root, first, stop, reverse):
            if not _is_key(key):
                raise IncompatibleError(f"{key[:100]!r} says nothing about who needs what")
            yield key, value

    # Who needs what

    def of(self, pack: str) -> Iterator[Name]:
        """The versions that need a pack, or one whose bytes were moved to it: all that may need it, and no
        others. Of those that need the pack itself, the newest come first."""
        found = set[Name]()
        for each in reached([pack], self._sources):
            for name in self._live(f"need {each} "):
                if name not in found:
                    found.add(name)
                    yield name

    def _live(self, prefix: str) -> Iterator[Name]:
        for key in self._scan(prefix, reverse=True):
            model, _, number = key.rpartition(" ")
            if self._state.version(model, int(number)) is not None:
                yield model, int(number)

    def _sources(self, pack: str) -> Iterator[str]:
        return self._scan(f"from {pack} ")

    def targets(self, packs: Iterable[str]) -> set[str]:
        """These packs, and those that their bytes were moved to."""
        return Moves(self._state).targets(packs)

    def needs(self, key: str) -> bool:
        """Whether a live version needs the manifest, the pack or the document with this key."""
        return self.is_manifest(key) or any(True for _ in self.of(pack_in(key)))

    def is_manifest(self, key: str) -> bool:
        """Whether this is the key of a live version's manifest, or of the pack that contains it."""
        return any(True for _ in self._live(f"manifest {pack_in(key)} "))

    def is_moved(self, pack: str) -> bool:
        """Whether bytes were moved to a pack, or from it."""
        return bool(self._state.moved(pack)) or any(True for _ in self._sources(pack))

    def version(self, name: Name) -> Version:
        """A live version. Raises NotFoundError if another thread deleted it meanwhile."""
        found = self._state.version(*name)
        if found is None:
            raise NotFoundError(f"{name[0]}@{name[1]} was deleted meanwhile")
        return from_state(*name, found, ())

    # What is to be deleted, and what is to be judged later

    def condemned(self) -> list[str]:
        """Condemned objects that may still exist."""
        return [key for key in self._scan("gone ") if self._state.gone(key) is not None]

    def young(self) -> list[str]:
        """Objects that were too young to be judged when all were listed."""
        return list(self._scan("young "))

    def took(self, condemned: Iterable[str]) -> None:
        """Follow the log beyond a record that was just written, which condemned these."""
        self.refresh()
        self._note({f"gone {key}": True for key in condemned})

    def deleted(self, keys: Iterable[str]) -> None:
        """These objects do not exist any more."""
        self._note({f"gone {key}": None for key in keys})

    def saw(self, condemned: Iterable[str]) -> None:
        """All objects were listed, and these are the condemned ones among them."""
        self._replace("gone ", condemned)
        self._seen = True

    def judged(self, young: Iterable[str], listed: float | None) -> None:
        """All that was to be judged was judged, and these objects are too young; if those were all objects of
        the store, at the time `listed`."""
        self._replace("young ", young)
        if listed is not None and self._seen:
            self.listed, self._relisted = listed, True

    def _replace(self, prefix: str, keys: Iterable[str]) -> None:
        wanted, known = set(keys), set(self._scan(prefix))
        added: dict[str, Any] = {f"{prefix}{key}": True for key in wanted - known}
        self._note(added | {f"{prefix}{key}": None for key in known - wanted})

    def _note(self, found: dict[str, Any]) -> None:
        try:
            self._change(found)
        except SaverError as error:
            self._ignore(error)  # now all pages are in memory
            self._change(found)

    # Keeping it

    def keep(self) -> None:
        """Write a checkpoint, if there is reason to: many new records, or a new listing. If that fails, the
        next collection takes longer."""
        last, digest = self._state.last()
        if last != self.head or (last - self.kept < INTERVAL and not self._relisted):
            return
        try:
            found = UsersCheckpoint(USERS_FORMAT, last, digest, self._root, listed=self.listed)
            self.shortcuts.write(found)
        except SaverError as error:
            logger.info("%s: no shortcut to who needs what: %s", self._state.log.storage, error)
            return
        self.kept, self._relisted = last, False
        self.shortcuts.forget_held()
        self.shortcuts.drop(self.shortcuts.old(last))
