"""Which live versions need which packs: what a collection must know, updated record by record.

A process that collects repeatedly only reads new records, not all versions or their manifests.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import TypeAlias

import msgspec

from saver import forks
from saver.errors import NotFoundError
from saver.repo.log import Commit, Condemn, Delete, Event, Move, Relocate
from saver.repo.manifest import manifest_key
from saver.repo.objects import is_collectable, tree_key
from saver.repo.state.facts import VersionState
from saver.repo.state.state import State
from saver.repo.version import Version, from_state

MANY = 10_000
"""Up to this many new records are read one by one; beyond that, all versions at once."""

Name: TypeAlias = tuple[str, int]
"""A model, and the number of a version."""


class _Needs(msgspec.Struct, frozen=True, gc=False):
    manifest: str
    packs: tuple[str, ...]
    trees: tuple[str, ...]


class Users:
    """The live versions by what they need, as of record `head`. `refresh` advances to the head of the
    state. Safe to use while `lock` is held."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._begin()
        forks.begin_anew(self, Users._begin)

    def _begin(self) -> None:
        self.lock = RLock()
        """Held during a collection: one thread at a time."""
        self.head = 0
        """0 while nothing is known, and while it is being learned."""
        self._needs: dict[Name, _Needs] = {}
        self._of: dict[str, set[Name]] = {}
        self._manifests: set[str] = set()
        self._sources: dict[str, set[str]] = {}
        self._targets: dict[str, set[str]] = {}
        self.condemned: set[str] = set()
        """Condemned objects that may still exist."""
        self.listed = False
        """Whether all objects of the store were listed once."""

    def refresh(self) -> None:
        """Advance to the head of the state. If an exception comes in between, nothing is known any more."""
        while self.head != self._state.head:
            head, known, self.head = self._state.head, self.head, 0
            if known and head - known <= MANY:
                for number in range(known + 1, head + 1):
                    self._follow(self._state.log.read(number)[0].event)
                self.head = head
            else:
                self._read_all()
                if head == self._state.head:  # otherwise another thread moved it on meanwhile
                    self.head = head

    def _read_all(self) -> None:
        self._needs, self._of, self._manifests = {}, {}, set()
        for model, number, value in self._state.all_versions():
            self._add((model, number), _needs(value))
        self._sources, self._targets = {}, {}
        for record in sorted(self._state.all_moved()):
            event = self._state.log.read(record)[0].event
            if isinstance(event, Relocate):
                self._move(event)

    def _follow(self, event: Event) -> None:
        match event:
            case Commit():
                self._add((event.model, event.number), _needs(event))
            case Delete():
                for number in event.numbers:
                    self._drop((event.model, number))
            case Condemn():
                self.condemned.update(filter(is_collectable, event.objects))
            case Relocate():
                self._move(event)
                self.condemned.update(filter(is_collectable, event.objects))

    def _add(self, name: Name, needs: _Needs) -> None:
        self._needs[name] = needs
        self._manifests.add(needs.manifest)
        for each in (*needs.packs, *map(tree_key, needs.trees)):
            self._of.setdefault(each, set()).add(name)

    def _drop(self, name: Name) -> None:
        needs = self._needs.pop(name, None)
        if needs is None:
            return
        self._manifests.discard(needs.manifest)
        for each in (*needs.packs, *map(tree_key, needs.trees)):
            users = self._of[each]
            users.discard(name)
            if not users:
                del self._of[each]

    def _move(self, event: Relocate) -> None:
        for pack, moves in event.moves.items():
            for target in _targets(moves):
                self._sources.setdefault(target, set()).add(pack)
                self._targets.setdefault(pack, set()).add(target)

    def of(self, pack: str) -> set[Name]:
        """The versions that need a pack, or one whose bytes were moved to it: all that may need it, and no
        others."""
        found = set[Name]()
        for each in _reached(pack, self._sources):
            found |= self._of.get(each, set())
        return found

    def targets(self, packs: Iterable[str]) -> set[str]:
        """These packs, and those that their bytes were moved to."""
        return {target for pack in packs for target in _reached(pack, self._targets)}

    def needs(self, key: str) -> bool:
        """Whether a live version needs the manifest, the pack or the document with this key."""
        if self.is_manifest(key):
            return True
        return any(self._of.get(each) for each in _reached(pack_in(key), self._sources))

    def is_manifest(self, key: str) -> bool:
        """Whether this is the key of a live version's manifest, or of the pack that contains it."""
        return key in self._manifests

    def is_moved(self, pack: str) -> bool:
        """Whether bytes were moved to a pack, or from it."""
        return pack in self._sources or pack in self._targets

    def version(self, name: Name) -> Version:
        """A live version. Raises NotFoundError if another thread deleted it meanwhile."""
        found = self._state.version(*name)
        if found is None:
            raise NotFoundError(f"{name[0]}@{name[1]} was deleted meanwhile")
        return from_state(*name, found, ())


def _needs(version: VersionState | Commit) -> _Needs:
    return _Needs(manifest_key(version.manifest, version.file), version.packs, version.trees)


def pack_in(key: str) -> str:
    """The name of the pack with this key."""
    return key.removeprefix("packs/").removesuffix(".safetensors")


def _targets(moves: Iterable[Move]) -> set[str]:
    return {move[2] for move in moves}


def _reached(pack: str, links: dict[str, set[str]]) -> set[str]:
    found, waiting = {pack}, [pack]
    while waiting:
        for other in links.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
