"""A storage around another one, whose objects are sealed: what is stored there tells nothing of them.

Log, manifests, trees and shortcuts are sealed whole, packs so that ranges of them can be read. Objects that
are named by their hashes have encrypted names. `store.json` stays as it is, and so do `keys/`, the clocks of
collections, and what reserves room.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import msgspec

from saver.errors import IncompatibleError, KeyNeededError, NotFoundError
from saver.seal import Seal
from saver.seals.aead import Aead
from saver.seals.names import FOLDERS, SealedNames
from saver.storage import ALIGNMENT, Blob, Bytes, Content, Listed, Stat, Storage
from saver.storages._founding import Founding
from saver.storages.memory import MemoryBlob

T = TypeVar("T")

STORE_KEY = "store.json"
PACKS = "packs/"
_PLAIN = re.compile(r"store\.json|keys/.*|clock/.*|state/free-.*")

Kept = Callable[[str, str, Blob], Blob]
"""Gives a blob, of the store with this id and of this name, one that keeps bytes on this machine."""


class Secrets(Protocol):
    """The keys of a store: one for `names`, which stays, and the data keys, the oldest first."""

    @property
    def names(self) -> bytes: ...
    @property
    def epochs(self) -> Sequence[bytes]: ...


class Holder(Protocol):
    """Who holds a key that opens stores."""

    def make(self, storage: Storage) -> tuple[Secrets, dict[str, Any]]:
        """Make the keys of a new store, and store them so that this holder can open them. Returns them, and
        what `store.json` says of them."""

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> Secrets:
        """The keys of a store. Raises WrongKeyError or KeyNeededError."""


class _Opened:
    """What opens the objects of the store with this id."""

    def __init__(self, ident: str, secrets: Secrets, again: Callable[[], Secrets]) -> None:
        self.ident = ident
        self.names = SealedNames(secrets.names)
        self.seal: Seal = Aead(self._epochs, self._more)
        self._secrets, self._again = secrets, again
        self.stale = False  # whether the keys may have changed

    def _epochs(self) -> Sequence[bytes]:
        return self._more() if self.stale else self._secrets.epochs

    def _more(self) -> Sequence[bytes]:
        self._secrets, self.stale = self._again(), False
        return self._secrets.epochs

    def renewed(self, secrets: Secrets | None) -> None:
        """Write with these from now on; with None, look for what is there."""
        self._secrets, self.stale = secrets or self._secrets, self.stale or secrets is None

    def name(self, key: str) -> str:
        """What the bytes of an object are bound to."""
        return f"{self.ident}/{key}"

    def listed(self, keys: Iterable[str]) -> list[str]:
        """The keys of the objects that are stored under these, sorted; foreign ones are left out."""
        return sorted(filter(None, map(self.names.opened, keys)))


class SealedStorage(Storage):
    """Seals what is stored in `storage`, for those whose key `holder` has. `kept` is as in
    `saver.repo.repository.Repository`: what it keeps is sealed.

    With `new=False`, a store that is made here is not sealed, and one that is not sealed can be used, unless
    `unsealed` raises something. `named` gives the keys to write with, once the log names their bundle; None
    if they have to be looked for.
    """

    seals = True

    def __init__(
        self, storage: Storage, holder: Holder, new: bool = True,
        kept: Kept = lambda store, pack, blob: blob,
        unsealed: Callable[[Storage], None] = lambda storage: None,
        named: Callable[[str], Secrets | None] = lambda bundle: None,
    ) -> None:  # fmt: skip
        self.storage, self.far = storage, storage.far
        self._holder = holder
        self._new = self.seals_new = new
        self._kept = kept
        self._unsealed, self._named = unsealed, named
        self._opened: _Opened | None = None
        self._plain = False
        self._founding: tuple[Founding, dict[str, Any]] | None = None

    def __str__(self) -> str:
        return str(self.storage)

    def is_inside(self, other: Storage) -> bool:
        return self.storage.is_inside(other.storage if isinstance(other, SealedStorage) else other)

    def probe(self) -> None:
        self.storage.probe()

    def copy_in(self, place: Storage) -> Storage:
        found = SealedStorage(place, self._holder, self._new, unsealed=self._unsealed, named=self._named)
        found._opened, found._plain = self._opened, self._plain
        return found

    @property
    def mask(self) -> SealedNames | None:
        """What hides names in caches on this machine; None if the store is not sealed."""
        return self._opened.names if self._opened is not None else None

    # The keys

    def begin(self, ident: str) -> dict[str, Any] | None:
        if not self._new:
            self._plain = True
            return None
        founding = Founding(self.storage)
        secrets, seal = self._holder.make(founding)
        self._founding = founding, seal
        self._open(ident, secrets, seal)
        return seal

    def admit(self, ident: str, seal: Mapping[str, Any] | None) -> None:
        if self._opened is not None and self._opened.ident == ident and seal is not None:
            return
        if seal is None:
            if self._new:
                raise IncompatibleError(
                    f"{self}: a key was given, but this store is not sealed; leave the key out, or push its "
                    "versions to a sealed store"
                )
            self._unsealed(self.storage)
            self._plain, self._opened = True, None
            return
        self._open(ident, self._holder.open(self.storage, seal), seal)

    def _open(self, ident: str, secrets: Secrets, seal: Mapping[str, Any]) -> None:
        self._opened = _Opened(ident, secrets, lambda: self._holder.open(self.storage, seal))
        self._plain = False

    def renew(self, bundle: str | None = None) -> None:
        if self._opened is not None and bundle != "":
            self._opened.renewed(self._named(bundle) if bundle else None)

    def _of(self, key: str) -> _Opened | None:
        """What seals the object with this key; None if it is stored as it is."""
        if self._plain or _PLAIN.fullmatch(key):
            return None
        if self._opened is None:
            self._look()
        return self._opened

    def _look(self) -> None:
        """Read what `store.json` says: nobody has called `admit` yet."""
        try:
            found = msgspec.json.decode(self.storage.read(STORE_KEY), type=_Store)
        except NotFoundError:
            raise NotFoundError(f"{self}: there is no store here; save something first") from None
        except msgspec.DecodeError:
            raise KeyNeededError(f"{self}: {STORE_KEY} cannot be read; restore it from a copy") from None
        self.admit(found.id, found.seal)

    def _outer(self, key: str) -> str:
        """The key under which an object is stored."""
        opened = self._of(key) if key.startswith(FOLDERS) else None
        return key if opened is None else opened.names.sealed(key)

    # Writing

    def put(self, key: str, content: Content) -> None:
        self.storage.put(self._outer(key), self._form(key, content))

    def replace(self, key: str, content: Content) -> None:
        """Sealed with the newest key."""
        self.storage.replace(self._outer(key), self._form(key, content))

    def _form(self, key: str, content: Content) -> Content:
        """The form in which an object is stored."""
        opened = self._of(key)
        if opened is None:
            return content
        if key.startswith(PACKS):
            return opened.seal.content(opened.name(key), content)
        return Bytes(opened.seal.document(opened.name(key), b"".join(content.pieces())))

    def create(self, key: str, data: bytes) -> bool:
        if self._of(key) is not None:
            return self.storage.create(self._outer(key), b"".join(self._form(key, Bytes(data)).pieces()))
        created = self.storage.create(key, data)
        if key == STORE_KEY and not created:
            self._opened = None  # another process made the store, with other keys
        if key == STORE_KEY and self._founding is not None:
            founding, seal = self._founding
            self._founding = None
            founding.won() if created else founding.lost(key, seal)
        return created

    def is_current(self, key: str) -> bool:
        """Whether an object is sealed with the newest key, or not at all."""
        opened = self._of(key)
        if opened is None:
            return True
        return opened.seal.is_current(self.storage.open(self._outer(key)).read(0, ALIGNMENT))

    # Reading

    def _sealed(self, opened: _Opened, key: str) -> Blob:
        """A pack as it is stored, with what is kept of it on this machine."""
        return self._kept(opened.ident, key.removeprefix(PACKS), self.storage.open(key))

    def open(self, key: str) -> Blob:
        opened = self._of(key)
        if opened is None:
            return self.storage.open(key)
        if key.startswith(PACKS):
            return opened.seal.blob(
                opened.name(key), self._sealed(opened, key), lambda: self.storage.open(key)
            )
        return MemoryBlob(self._where(key), self.read(key))

    def read(self, key: str) -> bytes:
        opened = self._of(key)
        if opened is None:
            return self.storage.read(key)
        if key.startswith(PACKS):
            return self.open(key).read()
        return opened.seal.opened(opened.name(key), self.storage.read(self._outer(key)), self._where(key))

    def _where(self, key: str) -> str:
        return f"{self}/{self._outer(key)}"

    def stat(self, key: str) -> Stat | None:
        return self._true_size(key, self.storage.stat(self._outer(key)))

    def _true_size(self, key: str, stat: Stat | None) -> Stat | None:
        """With the size of what was sealed."""
        opened = self._of(key) if stat is not None else None
        if stat is None or opened is None:
            return stat
        if not key.startswith(PACKS):
            return Stat(opened.seal.document_size(stat.size), stat.time)
        size = opened.seal.size(stat.size)
        return Stat(stat.size if size is None else size, stat.time)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        found = self.storage.list(*_where_to_list(prefix, after))
        for folder, some in groupby(found, lambda each: _folder(each.key)):
            opened = self._of(folder) if folder else None
            names = ((opened.names.opened(each.key) if opened else each.key, each.stat) for each in some)
            listed: Iterable[Listed] = (Listed(key, self._true_size(key, stat)) for key, stat in names if key)
            if opened is not None:
                listed = sorted(listed, key=attrgetter("key"))
            yield from (each for each in listed if each.key > after and each.key.startswith(prefix))

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        for folder, some in groupby(self.storage.keys(*_where_to_list(prefix, after)), _folder):
            opened = self._of(folder) if folder else None
            named = some if opened is None else opened.listed(some)  # noqa: B031 (it is used once)
            yield from (key for key in named if key > after and key.startswith(prefix))

    def delete(self, *keys: str) -> None:
        self.storage.delete(*map(self._outer, keys))

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return self.storage.together(asks)


class _Store(msgspec.Struct):
    id: str
    seal: dict[str, Any] | None = None


def _folder(key: str) -> str:
    """The folder of a key whose objects have encrypted names; "" for others."""
    return next((folder for folder in FOLDERS if key.startswith(folder)), "")


def _where_to_list(prefix: str, after: str) -> tuple[str, str]:
    """A prefix, and a key after which to list, such that they mean the same with encrypted names."""
    return _folder(prefix) or prefix, _folder(after) or after
