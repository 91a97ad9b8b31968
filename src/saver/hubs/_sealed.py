"""What is pushed to a hub in a form that only some can open, and pulled by those."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from saver.errors import CannotWriteError, KeyNeededError
from saver.hubs._founding import Passing
from saver.repo import holding
from saver.repo.format import is_sealed
from saver.repo.repository import Repository
from saver.sealing import Founder, StoreHolder, keys_of
from saver.storage import Storage
from saver.storages.sealed import SealedStorage

if TYPE_CHECKING:
    from saver.keys.sources import Keys


def own_keys(key: Any, where: str, ways_in: str) -> Keys:
    """The keys that open what is sealed. Raises KeyNeededError if there are none, which says what helps."""
    keys = keys_of(key)
    if not keys:
        raise KeyNeededError(f"{where}: what is there is sealed, and no key was passed; {ways_in}")
    return keys


def place_for(storage: Storage, to: Founder | None, key: Any, author: Callable[[], str]) -> Storage:
    """The storage in which a push saves: a sealed one if there is a sealed store, which `key` opens, or for
    those whom `to` names if there is none. Raises CannotWriteError if `to` asks for anything else than is
    there."""
    sealed = is_sealed(storage)
    if sealed is None:
        return storage if to is None else SealedStorage(storage, to)
    if not sealed:
        if to is not None:
            raise CannotWriteError(
                f"{storage}: what was pushed there before is not sealed; nothing was changed; seal for "
                "somebody under another tag, or in another repository"
            )
        return storage
    keys = own_keys(key, str(storage), storage.ways_in())
    found = SealedStorage(storage, StoreHolder(keys, author))
    if to is not None:
        _demand_holders(Repository(found), keys, to.people, bool(to.phrases))
    return found


def _demand_holders(repo: Repository, keys: Keys, people: Iterable[str], phrase: bool) -> None:
    """Raise CannotWriteError unless these can open the store that is there."""
    place = repo.storage
    assert isinstance(place, SealedStorage)
    there = holding.held(repo, place.storage, keys).holders
    missing = sorted({*people} - {each.public_key for each in there})
    if missing or (phrase and all(each.kind != "passphrase" for each in there)):
        who = missing[0] if missing else "the passphrase"
        raise CannotWriteError(
            f"{place}: what is there was sealed for others, and {who} cannot open it; nothing was changed; "
            "push under another tag, or leave `to` out, to seal for those"
        )


def passing(storage: Storage) -> SealedStorage:
    """A storage for what is on its way, which this process alone can read."""
    return SealedStorage(storage, Passing())
