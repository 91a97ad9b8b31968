"""Opens the bundles of a store: tries the keys that there are on the objects below `keys/`, within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from saver.errors import (
    DamagedError,
    IncompatibleError,
    KeyNeededError,
    NotFoundError,
    SaverError,
    WrongKeyError,
)
from saver.human import counted
from saver.keys import age
from saver.keys.files import identities_in
from saver.keys.holders import (
    FOLDER,
    HOLDERS,
    Bundle,
    StoreKeys,
    bundle_in,
    bundle_key,
    bundle_name,
    is_of,
    merged,
)
from saver.keys.secret import Identity, Passphrase, shielded
from saver.keys.sources import Keys
from saver.logger import logger
from saver.storage import Storage

OBJECTS = 4 * HOLDERS
"""The most objects below `keys/`: a bundle, an identity for each passphrase, and what killed changes left."""

SIZE = 256 << 10
"""Bytes of such an object: 64 holders, and a thousand data keys."""

TRIES = 5
"""How often the objects are listed again if some vanish meanwhile, as they do when a holder is added."""


class Opened(msgspec.Struct, frozen=True):
    """The bundles that the keys open, by name, and the names of all objects that are there. Those that are
    `foreign` have the keys of another store, which was never made here or was put there by somebody."""

    bundles: dict[str, Bundle]
    listed: frozenset[str]
    foreign: tuple[str, ...] = ()

    def keys(self, named: str = "") -> StoreKeys:
        """The keys of the store: every data key of any bundle. To write with, that of the one that the log
        names, which a holder who was removed cannot put there; if it names none, that of the newest."""
        newest, *others = sorted(
            self.bundles.values(),
            key=lambda each: (each.name != named, -len(each.keys.epochs), -each.number, each.name),
        )
        return merged(newest.keys, [each.keys for each in others])


class _Objects(msgspec.Struct, frozen=True):
    """The objects below `keys/`, by name: for recipients, for a passphrase, and what cannot be used."""

    sealed: dict[str, bytes]
    phrased: dict[str, bytes]
    broken: dict[str, SaverError]

    @property
    def listed(self) -> frozenset[str]:
        """The names of all."""
        return frozenset((*self.sealed, *self.phrased, *self.broken))


def open_bundles(storage: Storage, keys: Keys, seal: Mapping[str, Any] | None) -> StoreKeys:
    """The keys of the store in this storage, which is the one below any seal; `seal` is the header in its
    `store.json`.

    Raises KeyNeededError if no key was passed, WrongKeyError if none opens a bundle, and DamagedError if
    there is no bundle of this store.
    """
    return opened(storage, keys, seal).keys()


def opened(storage: Storage, keys: Keys, seal: Mapping[str, Any] | None) -> Opened:
    """The same bundles, each for itself."""
    if not keys:
        raise KeyNeededError(f"{storage} is sealed, and no key was passed; {storage.ways_in()}")
    for _ in range(TRIES):
        objects = _read(storage, _names(storage))
        found = _opened(storage, objects, keys)
        own = _of_this_store(storage, found, seal)
        if own or objects.listed == {*_names(storage)}:
            break  # otherwise holders changed meanwhile: a listing may lack both what came and what went
    if not found and objects.sealed and keys.again(str(storage)):
        return opened(storage, keys, seal)
    if not own:
        raise _none(storage, objects, keys, seal, bool(found))
    return Opened(own, objects.listed, tuple(found.keys() - own.keys()))


def _names(storage: Storage) -> list[str]:
    """The names of the objects below `keys/`. Raises IncompatibleError if there are too many."""
    names = []
    for key in storage.keys(FOLDER):
        if (name := bundle_name(key)) is not None:
            names.append(name)
        if len(names) > OBJECTS:
            raise IncompatibleError(
                f"{storage}: there are more than {OBJECTS} objects in {FOLDER}, which Saver never writes; "
                "remove those that are not of this store"
            )
    return names


def _read(storage: Storage, names: Sequence[str]) -> _Objects:
    """Read these objects; those that have vanished are left out."""
    sealed, phrased, broken = dict[str, bytes](), dict[str, bytes](), dict[str, SaverError]()
    answers = storage.together(partial(_object, storage, name) for name in names)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, SaverError):
            broken[name] = answer
        elif answer is not None:
            (phrased if answer[1] else sealed)[name] = answer[0]
    return _Objects(sealed, phrased, broken)


def _object(storage: Storage, name: str) -> tuple[bytes, bool] | SaverError | None:
    """An object, and whether it is for a passphrase; what is wrong with it; or None if it has vanished."""
    where = f"{storage}: {bundle_key(name)}"
    try:
        blob = storage.open(bundle_key(name))
        if blob.size > SIZE:
            return IncompatibleError(f"{where} has more than {SIZE:,} bytes; remove it")
        data = blob.read()
        return data, age.for_passphrase(data, where)
    except NotFoundError:
        return None
    except (DamagedError, IncompatibleError) as error:
        return error


def _opened(storage: Storage, objects: _Objects, keys: Keys) -> dict[str, Bundle]:
    """The bundles that the keys open. What asks for a passphrase comes last, and so does what costs time."""
    found, place = _unwrapped(storage, objects, keys.identities()), str(storage)
    if not found:
        found = _unwrapped(storage, objects, keys.protected(place))
    if not found and objects.phrased:
        found = _unwrapped(storage, objects, _identities(storage, objects, keys.passphrases(place)))
    return found


def _unwrapped(storage: Storage, objects: _Objects, identities: Sequence[Identity]) -> dict[str, Bundle]:
    """The bundles that these identities open; what is wrong with others is noted."""
    found = {}
    for name, data in objects.sealed.items() if identities else ():
        try:
            found[name] = bundle_in(data, identities, name, f"{storage}: {bundle_key(name)}")
        except WrongKeyError:
            continue
        except (DamagedError, IncompatibleError) as error:
            objects.broken[name] = error
    return found


def _identities(storage: Storage, objects: _Objects, passphrases: Sequence[Passphrase]) -> list[Identity]:
    """The identities that these passphrases open. Each try takes a second: there is one for each holder."""
    found = []
    for name, data in list(objects.phrased.items())[:HOLDERS] if passphrases else ():
        where = f"{storage}: {bundle_key(name)}"
        try:
            found += _identity(data, passphrases, where)
        except WrongKeyError:
            continue
        except (DamagedError, IncompatibleError) as error:
            objects.broken[name] = error
    return found


@shielded
def _identity(data: bytes, passphrases: Sequence[Passphrase], where: str) -> list[Identity]:
    return identities_in(age.unwrap(data, (), passphrases, where).decode("utf-8", "replace"), where)


def _of_this_store(
    storage: Storage, found: dict[str, Bundle], seal: Mapping[str, Any] | None
) -> dict[str, Bundle]:
    """The bundles with the keys that the header commits to."""
    own = {name: each for name, each in found.items() if seal is None or is_of(each.keys, seal)}
    for name in found.keys() - own.keys():
        logger.warning("%s: %s has the keys of another store; it is not used", storage, bundle_key(name))
    if len({each.keys.names for each in own.values()}) > 1:
        raise DamagedError(f"{storage}: {FOLDER} has the keys of several stores; restore it from a copy")
    return own


def _none(
    storage: Storage, objects: _Objects, keys: Keys, seal: Mapping[str, Any] | None, foreign: bool
) -> SaverError:
    """Why nothing was opened."""
    if foreign:
        return DamagedError(
            f"{storage}: the key opens what is in {FOLDER}, but that is not of this store: somebody put it "
            "there; restore the folder from a copy"
        )
    if objects.broken and not objects.sealed.keys() - objects.broken.keys():
        return next(iter(objects.broken.values()))
    if seal is None and not objects.listed:
        return NotFoundError(f"{storage}: the store is not sealed, so nobody needs a key")
    if not objects.sealed:
        return DamagedError(
            f"{storage}: {FOLDER} has no keys for anyone; restore it from a copy of the store"
        )
    identities = len(keys.identities()) + len(keys.protected(str(storage)))
    tried = counted(identities, "key") if identities else ""
    if not identities and not objects.phrased:
        return KeyNeededError(f"{storage}: no passphrase opens the store; {storage.ways_in()}")
    count = len(keys.passphrases(str(storage))) if objects.phrased else 0
    phrases = counted(count, "passphrase") if count else ""
    return WrongKeyError(
        f"{storage}: {' and '.join(filter(None, (tried, phrases))) or 'no key'} tried, and none opens "
        f"the store; {storage.ways_in()}"
    )
