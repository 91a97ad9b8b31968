"""The keys of a new store, and who can open it first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saver.errors import KeyNeededError
from saver.keys.holders import (
    HOLDERS,
    NAME,
    Holder,
    StoreKeys,
    bundle_key,
    holder_of,
    new_identity,
    new_store_keys,
    seal_header,
    wrap_identity,
    write_bundle,
)
from saver.keys.secret import Passphrase
from saver.keys.sources import Keys
from saver.storage import Bytes, Storage


def found(storage: Storage, keys: Keys, name: str) -> tuple[StoreKeys, dict[str, Any]]:
    """Make the keys of a new store in this storage, the one below the seal, for the owners of `keys`, who
    are called `name`. Returns the keys, and the header for `store.json`."""
    identities, passphrases = keys.identities(), keys.new_passphrases(str(storage))
    if not identities and not passphrases:
        identities = keys.protected(str(storage))
    if not identities and not passphrases:
        raise KeyNeededError(f"{storage}: there is no key in what was passed; pass key=PATH, or key='prompt'")
    return found_for(storage, {each.public: "" for each in identities}, passphrases, name)


def found_for(
    storage: Storage, people: Mapping[str, str], passphrases: Sequence[Passphrase], name: str
) -> tuple[StoreKeys, dict[str, Any]]:
    """The same for the owners of public keys, each with a name, and those who know passphrases. Who has no
    name, or that of another one, is called `name`. Raises ValueError if there is nobody, or too many."""
    now = time.time()
    if not 1 <= len(people) + len(passphrases) <= HOLDERS:
        raise ValueError(f"to: a store has from 1 to {HOLDERS} holders; pass so many")
    own = [each for each in people.values() if each]
    taken = {each for each in own if own.count(each) == 1}
    every = _names(name, len(people) + len(passphrases) + len(taken))
    called = (each for each in every if each not in taken)
    holders = [
        holder_of(public, given if given in taken else next(called), now) for public, given in people.items()
    ]
    for passphrase in passphrases:
        identity, holder = new_identity(next(called), now)
        wrapped = os.urandom(16).hex()
        storage.put(bundle_key(wrapped), Bytes(wrap_identity(identity, passphrase)))
        holders.append(Holder(holder.name, holder.public_key, holder.kind, holder.time, wrapped))
    new = new_store_keys()
    write_bundle(storage, os.urandom(16).hex(), new, holders)
    return new, seal_header(new)


def _names(name: str, count: int) -> Iterable[str]:
    """Names for so many holders."""
    first = "".join(each for each in name if each.isprintable()).strip()[: NAME - 4] or "founder"
    return [first, *(f"{first} {number}" for number in range(2, count + 1))]
