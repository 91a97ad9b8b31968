"""Who can open a sealed store: holders are added and removed, and the data key is changed.

Each change is a new bundle (`saver/keys/holders.py`), and then one record, which says that it is the one that
counts; docs/decisions/0032-holders.md has the argument. `storage` is where the bundles are: the place itself,
below any seal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from saver.errors import CannotWriteError, NotFoundError, SaverError, WrongKeyError
from saver.human import counted
from saver.keys.holders import (
    HOLDERS,
    Bundle,
    Holder,
    StoreKeys,
    bundle_key,
    holder_of,
    merged,
    new_epoch,
    new_identity,
    with_new_epoch,
    wrap_identity,
    write_bundle,
)
from saver.keys.opening import Opened, opened
from saver.keys.secret import Passphrase
from saver.keys.sources import Keys
from saver.page import Facts, Page, Shown, Table
from saver.repo.events import Holders
from saver.repo.packs import Damage
from saver.repo.repository import Repository
from saver.storage import Bytes, Storage

NAMED = 6
"""How many holders a line names."""

Change = Callable[[Bundle], tuple[StoreKeys, Sequence[Holder]] | None]
"""From the bundle that counts to the keys and the holders after a change; None if there is nothing to
change."""


class Held(Shown, msgspec.Struct, frozen=True):
    """The holders of a store, by name, and how many data keys it has. `changed` is who was added, with the
    public key, or removed (None)."""

    holders: tuple[Holder, ...]
    epochs: int
    changed: dict[str, str | None] = {}

    def _line(self) -> str:
        names = ", ".join(each.name for each in self.holders[:NAMED])
        more = f" and {len(self.holders) - NAMED} more" if len(self.holders) > NAMED else ""
        return f"{counted(len(self.holders), 'holder')} ({names}{more}), {counted(self.epochs, 'data key')}"

    def _page(self) -> Page:
        changed = {name: "added" if key else "removed" for name, key in self.changed.items()}
        rows = [(each.name, each.kind, each.public_key, changed.get(each.name, "")) for each in self.holders]
        gone = [(name, "", "", "removed") for name, key in self.changed.items() if key is None]
        facts = Facts("", {"holders": f"{len(self.holders):,}", "data keys": f"{self.epochs:,}"})
        return [facts, Table("", ("holder", "with", "public key", "now"), [*rows, *gone])]


def held(repo: Repository, storage: Storage, keys: Keys) -> Held:
    """The holders now. Raises KeyNeededError and WrongKeyError."""
    repo.open()
    found = _current(repo, opened(storage, keys, repo.format().seal))
    return Held(found.holders, len(found.keys.epochs))


def add(repo: Repository, storage: Storage, keys: Keys, recipient: str, name: str) -> Held:
    """Let the holder of a public key open the store. Nothing is changed if they can already. Raises
    ValueError for a name that is taken, or another key than one of age."""
    new = holder_of(recipient, name, repo.clock())
    return _change(repo, storage, keys, lambda found: _added(found, new))


def add_passphrase(repo: Repository, storage: Storage, keys: Keys, passphrase: Passphrase, name: str) -> Held:
    """Let anyone open the store who knows a passphrase. Raises ValueError for a name that is taken."""
    identity, new = new_identity(name, repo.clock())
    wrapped = wrap_identity(identity, passphrase)

    def change(found: Bundle) -> tuple[StoreKeys, Sequence[Holder]] | None:
        place = repo.fresh()  # another for each try: the one who was faster may have deleted the last
        after = _added(found, msgspec.structs.replace(new, wrapped=place))
        storage.put(bundle_key(place), Bytes(wrapped))
        return after

    return _change(repo, storage, keys, change)


def remove(repo: Repository, storage: Storage, keys: Keys, holder: str) -> Held:
    """Wrap the keys for a holder no longer, who is named, or whose public key is passed. Raises
    NotFoundError, and ValueError for the last one."""

    def change(found: Bundle) -> tuple[StoreKeys, Sequence[Holder]] | None:
        left = [each for each in found.holders if holder not in (each.name, each.public_key)]
        if len(left) == len(found.holders):
            names = ", ".join(each.name for each in found.holders)
            raise NotFoundError(
                f"{storage}: {holder} is not a holder; nothing was changed; there are {names}"
            )
        if not left:
            raise ValueError(
                f"{holder} is the only holder, and nobody could open the store; nothing was changed; add "
                "another one first"
            )
        return found.keys, left

    return _change(repo, storage, keys, change)


def rotate(repo: Repository, storage: Storage, keys: Keys) -> Held:
    """Begin a new data key: what is written from now on is encrypted with it. What is there stays as it
    is."""
    epoch = new_epoch()
    return _change(repo, storage, keys, lambda found: (with_new_epoch(found.keys, epoch), found.holders))


def _added(found: Bundle, new: Holder) -> tuple[StoreKeys, Sequence[Holder]] | None:
    if any(each.public_key == new.public_key for each in found.holders):
        return None
    if any(each.name == new.name for each in found.holders):
        raise ValueError(f"there is a holder {new.name} already; nothing was changed; choose another name")
    if len(found.holders) >= HOLDERS:
        raise ValueError(
            f"the store has {HOLDERS} holders, which is the most; nothing was changed; remove one"
        )
    return found.keys, [*found.holders, new]


def _change(repo: Repository, storage: Storage, keys: Keys, change: Change) -> Held:
    """Write the bundle after a change and the record that names it, then delete those before it.

    Another writer may be faster: then all is decided again, from the bundle that counts by then. What a try
    leaves, this one's or another's, is found by the next: its data keys are kept, as something may be
    encrypted with them.
    """
    done = list[tuple[Opened, Bundle, dict[str, str | None]]]()
    wrote = list[Bundle]()

    def decide() -> Holders | None:
        try:
            return made()
        except (SaverError, ValueError):
            _take_back(storage, wrote)
            raise

    def made() -> Holders | None:
        found = opened(storage, keys, repo.format().seal)
        before = _current(repo, found)
        if (after := change(before)) is None:
            done[:] = [(found, before, {})]
            return None
        every = merged(after[0], [each.keys for each in found.bundles.values()])
        bundle = write_bundle(storage, repo.fresh(), every, after[1], repo.state.head + 1)
        if every.epochs[-1] in {epoch for each in found.bundles.values() for epoch in each.keys.epochs}:
            wrote.append(bundle)  # one with a new data key stays: something may be encrypted with it by now
        names = {each.name: each.public_key for each in bundle.holders}
        changed = _changed({each.name: each.public_key for each in before.holders}, names)
        done[:] = [(found, bundle, changed)]
        return Holders(bundle.name, names, changed)

    record = repo.append(decide)
    ((found, bundle, changed),) = done
    if record is not None:
        _delete(storage, found, bundle)
    return Held(bundle.holders, len(bundle.keys.epochs), changed)


def _take_back(storage: Storage, wrote: Sequence[Bundle]) -> None:
    """Delete the bundles of tries that another writer overtook, when the change is given up: they are for a
    holder who was not added."""
    own = {holder.wrapped for each in wrote for holder in each.holders[-1:]}
    storage.delete(*(bundle_key(each.name) for each in wrote), *map(bundle_key, filter(None, own)))


def _changed(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    gone: dict[str, str | None] = dict.fromkeys(name for name in before if name not in after)
    return gone | {name: key for name, key in after.items() if before.get(name) != key}


def _current(repo: Repository, found: Opened) -> Bundle:
    """The bundle that counts: the one that the newest record names; without one, the first. In a copy that
    was made while holders changed, the named one may be gone: then it is the newest.

    Raises WrongKeyError if the keys open others, but not this one: then their holder was removed.
    """
    named = repo.state.bundle()
    if named in found.bundles:
        return found.bundles[named]
    if named in found.listed:
        raise WrongKeyError(
            f"{repo.storage}: the key that was passed opened the store before its holder was removed; pass "
            "the key of a holder"
        )
    return sorted(found.bundles.values(), key=lambda each: (each.number, each.name))[-1 if named else 0]


def _delete(storage: Storage, found: Opened, now: Bundle) -> None:
    """Delete the bundles that were there before this one, and the identities of passphrases that only they
    name. All of them were written before its record: so none can be named by a later one."""
    kept = {each.wrapped for each in now.holders}
    old = {each.wrapped for bundle in found.bundles.values() for each in bundle.holders} - kept
    doomed = sorted({*found.bundles, *(name for name in old if name in found.listed)} - {now.name})
    doomed += found.foreign
    try:
        storage.delete(*map(bundle_key, doomed))
    except CannotWriteError as error:
        raise CannotWriteError(
            f"{error}; the change took place, but {counted(len(doomed), 'object')} with the keys of before "
            "may still be there, for holders of before; run `saver key rotate`, which deletes them, too"
        ) from error


def missing_bundle(repo: Repository) -> list[Damage]:
    """What is wrong if the keys are gone that the newest record names: then nobody can open the store."""
    while (named := repo.state.bundle()) and repo.storage.stat(bundle_key(named)) is None:
        repo.state.refresh()
        if repo.state.bundle() == named:
            return [Damage(bundle_key(named), "the keys of those who can open the store are missing")]
    return []
