"""Actors that save, load, tag, delete and collect, and what they begin with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import patch

import msgspec
import numpy as np
from asking import Held
from explorer import Actor, Failed

from saver.encoding import encode
from saver.errors import NotFoundError
from saver.repo import stage as staging
from saver.repo.commit import commit
from saver.repo.draft import Draft
from saver.repo.refused import CondemnedError, VoidError
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.settling import settle
from saver.repo.stage import stage, stage_again
from saver.repo.staged import Staged
from saver.saver import Saver
from saver.storage import Storage
from saver.storages.memory import MemoryStorage

SIZES = {"a": 1000, "b": 9000, "c": 9000, "d": 1000, "e": 1000, "f": 1000}
ARRAYS = {
    name: np.random.default_rng(number).integers(0, 256, size, np.uint8)
    for number, (name, size) in enumerate(SIZES.items())
}
ARRAYS["B"] = ARRAYS["b"].copy()
ARRAYS["B"][4000:4500] += 1
"""What versions are made of: a version is named by the arrays that it holds, `ac`. `B` is `b`, changed."""


class Saved(NamedTuple):
    """What a save returned."""

    ref: str
    holds: str


class Loaded(NamedTuple):
    """What a reader got: see `held`."""

    ref: str
    holds: str


class Done(NamedTuple):
    """What somebody did: `tag`, `delete`, …"""

    what: str
    ref: str = ""


Change: TypeAlias = Callable[[Repository], object]
"""Takes a rule away from a repository, to see what happens."""


def opened(store: Storage, name: str, change: Change = id) -> Saver:
    """The store as the actor of this name opens it.

    What is random or a time otherwise is not, for an actor must do the same each time that it lives.
    """
    numbers = itertools.count(1)
    found = Saver(store)
    own = name if name in "0123456789abcdef" else name.encode().hex()
    found._repo = Repository(store, fresh=lambda: f"{own}{next(numbers):0{32 - len(own)}}", clock=lambda: 1.0)
    change(found._repo)
    return found


def draft(holds: str, **more: Any) -> Draft:
    encoded = encode({name.lower(): {"x": ARRAYS[name]} for name in holds})
    return Draft(model="m", encoded=encoded, time=0.0, environment={}, notes=holds, **more)


def saves(name: str, holds: str, change: Change = id, **more: Any) -> Actor:
    wanted = draft(holds, **more)

    def act(store: Storage) -> Saved:
        return Saved(str(save_version(opened(store, name, change)._repo, wanted)), holds)

    return act


def stages(name: str, holds: str) -> Actor:
    """Stages these arrays, and leaves word of it beside the store, for the committer."""
    wanted = draft(holds)

    def act(store: Storage) -> Done:
        staged = stage(opened(store, name)._repo, "m", wanted.encoded)
        store.create(f"notes/{name}", msgspec.json.encode(staged))
        return Done("stage")

    return act


def commits(name: str, stagers: Mapping[str, str], asks: bool = True) -> Actor:
    """Commits what these stagers (who holds what) staged, if all have left word. Unless it does not ask,
    the stager of what was condemned stages it again."""
    held = "".join(stagers.values())
    wanted = {each: draft(holds) for each, holds in stagers.items()}

    def act(store: Storage) -> Saved | Done:
        try:
            told = [msgspec.json.decode(store.read(f"notes/{each}"), type=Staged) for each in stagers]
        except NotFoundError:
            return Done("early")
        staged = dict(zip(stagers, told, strict=True))
        others = {each: opened(store, f"{each}again")._repo for each in stagers}
        repo = opened(store, name)._repo
        while True:
            try:
                return Saved(str(commit(repo, list(staged.values()), draft(held))), held)
            except CondemnedError as error:
                if not asks:
                    raise
                for each, old in staged.items():
                    lost, own = error.condemned.get(old.id), wanted[each]
                    if lost is not None:
                        staged[each] = stage_again(others[each], old, lost, own.encoded)

    return act


TRANSACTION = "c0" * 16


def announces(name: str, stagers: Mapping[str, str], dies: bool = False) -> Actor:
    """Commits what these stagers staged, after it announced the transaction and the head of the log. If those
    who wait gave it up, nothing takes place."""

    def act(store: Storage) -> Saved | Done:
        held = "".join(stagers.values())
        repo = opened(store, name)._repo
        repo.open()
        head = repo.state.last()[0]
        try:
            told = [msgspec.json.decode(store.read(f"notes/{each}"), type=Staged) for each in stagers]
        except NotFoundError:
            return Done("early")
        store.create("notes/commit", str(head).encode())
        try:
            return Saved(str(commit(repo, told, draft(held), transaction=TRANSACTION)), held)
        except VoidError:
            return Done("void")

    return act


def settles(name: str, holds: str) -> Actor:
    """Waits for a commit no longer: finds out whether it took place, and lets it take place no more."""

    def act(store: Storage) -> Saved | Done:
        try:
            head = int(store.read("notes/commit"))
        except NotFoundError:
            return Done("early")
        found = settle(opened(store, name)._repo, TRANSACTION, head)
        return Done("void") if found is None else Saved(str(found), holds)

    return act


def loads(ref: str) -> Actor:
    def act(store: Storage) -> Loaded:
        return Loaded(ref, held(opened(store, "r").load(ref)))

    return act


def held(loaded: dict[str, Any]) -> str:
    """The names of the arrays; `?` for one that was never saved."""
    names = ((name, name.upper()) if name.upper() in ARRAYS else (name,) for name in loaded)
    found = zip(names, loaded.values(), strict=True)
    return "".join(
        next((name for name in each if np.array_equal(part["x"], ARRAYS[name])), "?") for each, part in found
    )


def collects(name: str, deleting: str = "", change: Change = id, times: int = 1) -> Actor:
    """Collects without any grace period; perhaps deletes a version before."""

    def act(store: Storage) -> Done:
        saver = opened(store, name, change)
        if deleting:
            saver.delete(deleting, tags=True)
        for _ in range(times):
            saver.gc(grace=0)
        return Done("gc")

    return act


def deletes(name: str, ref: str) -> Actor:
    def act(store: Storage) -> Done:
        opened(store, name).delete(ref, tags=True)
        return Done("delete", ref)

    return act


def tags(name: str, ref: str, tag: str) -> Actor:
    def act(store: Storage) -> Done:
        opened(store, name).tag(ref, tag)
        return Done("tag", ref)

    return act


def untags(name: str, tag: str) -> Actor:
    def act(store: Storage) -> Done:
        opened(store, name).untag("m", tag)
        return Done("untag", tag)

    return act


def checks(store: Storage) -> Done:
    """Says whether all is sound."""
    found = opened(store, "k").check()
    return Done("sound" if found.sound else str(found.damage))


def filled(*versions: str, files: bool = False) -> Held:
    """What a store with these versions holds. With `files`, those that share nothing are one file each."""
    store = MemoryStorage()
    saver = opened(store, "0")
    with (
        patch.object(staging, "WORTH_SHARING", 1),
        patch.object(staging, "FILE_BYTES", staging.FILE_BYTES if files else -1),
    ):
        for holds in versions:
            save_version(saver._repo, draft(holds))
    return content_of(store)


def content_of(store: Storage) -> Held:
    return {key: store.read(key) for key in store.keys("")}


def stored(content: Held) -> MemoryStorage:
    store = MemoryStorage()
    for key, data in content.items():
        store.create(key, data)
    return store


ONE = filled("ab")

TWO = filled("ab", "ac")
"""m@2 shares `a` with m@1."""

FILES = filled("ab", "ac", files=True)
"""m@1 is one file, and m@2 shares `a` with it."""

LARGE = filled("abc", "ad")
"""m@2 needs `a` alone of the pack of m@1, which is mostly `b` and `c`."""


def fails(*kinds: str) -> Callable[[str, Failed], bool]:
    return lambda name, end: end.kind in kinds
