"""Which keys seal and open files and stores: what is passed as `to=` and `key=`, and `SAVER_KEY`."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from saver.admission import INTO_FILE
from saver.errors import DamagedError, IncompatibleError, KeyNeededError, SaverError, WrongKeyError
from saver.human import counted

if TYPE_CHECKING:  # imported when it is needed: `import saver` stays fast, and help needs no numpy
    from saver.keys.holders import StoreKeys
    from saver.keys.opening import Opened
    from saver.keys.secret import Passphrase
    from saver.keys.sources import Keys
    from saver.storage import Blob, Content, Storage

VARIABLE = "SAVER_KEY"
"""The environment variable that names keys, each on a line of its own, where none is passed."""

KEY = 32
"""Bytes of the data key of a file."""


def keys_of(key: Any) -> Keys | None:
    """The keys that were passed, or else those of the environment; None for none."""
    if isinstance(key, str) and not key:
        raise ValueError("key: it is empty; pass the path of a key file, or leave it out")
    named = of_environment() or None if key is None else key
    if named is None:
        return None
    from saver.keys.sources import Keys

    return Keys.of(named)


def of_environment() -> tuple[str, ...]:
    """Where the keys of the environment are."""
    return tuple(filter(None, os.environ.get(VARIABLE, "").split("\n")))


# Single files


def sealed(content: Content, to: Any, compress: bool = False, *, place: str) -> Content:
    """What `content`, of the file `place`, is when it is compressed, and sealed for those whom `to` names;
    itself for None."""
    if compress:
        from saver.seals.compressing import compressed

        content = compressed(content)
    return content if to is None else Sealer(to, place).content(content)


class Sealer:
    """Seals the file `place` for those whom `to` names, with one key. Raises TypeError and ValueError for
    what is not somebody."""

    def __init__(self, to: Any, place: str) -> None:
        from saver.seals.aead import Aead

        key = os.urandom(KEY)
        self._people, self._phrases = recipients(to, place)
        wrapped = base64.b64encode(_wrapped(key, [*self._people], self._phrases)).decode()
        self._seal = Aead(lambda: [key], wrapped=wrapped)

    def content(self, content: Content) -> Content:
        """What a file is with this content."""
        return self._seal.content("", content)

    def opened(self, blob: Blob) -> Blob:
        """What was sealed here."""
        return self._seal.file(blob)

    def mark(self, purpose: str) -> str:
        """That of those for whom files are sealed here."""
        return mark_of(self._people, self._phrases, purpose)


def _wrapped(key: bytes, people: list[str], phrases: list[Passphrase]) -> bytes:
    """The key of a file as an age file."""
    from saver.keys import age

    if (people and phrases) or len(phrases) > 1:
        raise ValueError("to: a file is sealed for public keys, or with one passphrase; pass either")
    try:
        return age.wrap_for_passphrase(key, phrases[0]) if phrases else age.wrap(key, people)
    except ValueError as error:
        if isinstance(error, SaverError):
            raise
        raise ValueError(f"to: {error}") from None


def recipients(to: Any, place: str) -> tuple[dict[str, str], list[Passphrase]]:
    """Those whom `to` names, for a new file or store `place`: public keys, each with the name of its file
    ("" for a key itself), and passphrases. Raises ValueError or TypeError for what is not somebody."""
    from saver.keys.files import recipient_in
    from saver.keys.sources import Keys

    try:
        given = [to] if isinstance(to, str | os.PathLike | Keys) or callable(to) else list(to)
        sources = [each for each in given if not isinstance(each, str | os.PathLike) or _is_source(each)]
        people = [os.fsdecode(each) for each in given if each not in sources]
        phrases = [phrase for each in sources for phrase in Keys.of(each).new_passphrases(place)]
        return dict(recipient_in(each) for each in people), phrases
    except (TypeError, ValueError) as error:
        if isinstance(error, SaverError):
            raise
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"to: {error}") from None


def mark_of(people: Iterable[str], phrases: Iterable[Passphrase], purpose: str) -> str:
    """The same for the same people and passphrases, for one purpose. A passphrase is as slow to guess from
    it as from what it wraps."""
    from hashlib import scrypt  # costs every command 2 ms

    from blake3 import blake3

    salt = blake3(purpose.encode()).digest()
    known = [
        scrypt(each.reveal().encode(), salt=salt, n=2**18, r=8, p=1, maxmem=2**29).hex() for each in phrases
    ]
    return blake3("\n".join(sorted([*people, *known])).encode(), key=salt).hexdigest()


def _is_source(value: str | os.PathLike[str]) -> bool:
    """Whether this names a passphrase, rather than somebody's public key."""
    text = os.fsdecode(value)
    return text == "prompt" or text.startswith(("env:", "command:", "keyring:"))


def opened(blob: Blob, key: Any, ways_in: str = INTO_FILE) -> Blob:
    """The content of a sealed or compressed file. Raises KeyNeededError and WrongKeyError, which say what
    helps: `ways_in`."""
    from saver.seals.aead import Aead, parsed
    from saver.seals.recognizing import opened as decompressed

    plain = decompressed(blob)
    if plain is not blob:
        return plain

    head, _ = parsed(blob)
    if not head.keys:
        raise IncompatibleError(f"{blob.name} is a pack of a sealed store; open its store instead")
    keys = keys_of(key)
    if keys is None:
        raise KeyNeededError(f"{blob.name} is sealed, and no key was passed; {ways_in}")
    where = f"{blob.name}: its key"
    try:
        wrapped = base64.b64decode(head.keys, validate=True)
    except ValueError:
        raise DamagedError(f"{where} is not base64 as it was written; restore the file from a copy") from None
    found = _unwrapped(wrapped, keys, blob.name, ways_in)
    if len(found) != KEY:
        raise IncompatibleError(f"{where} has {len(found):,} bytes, and not {KEY}; seal the file again")
    return decompressed(Aead(lambda: [found]).file(blob))


def _unwrapped(wrapped: bytes, keys: Keys, place: str, ways_in: str) -> bytes:
    """What was wrapped for these keys, in the file `place`."""
    from saver.keys import age

    phrased = age.for_passphrase(wrapped, where := f"{place}: its key")
    own, tried = (lambda _: keys.identities()), list[Any]()
    tries: list[Callable[[str], list[Any]]] = [keys.passphrases] if phrased else [own, keys.protected]
    while True:
        for ways in tries:
            known = [each for each in ways(place) if each not in tried]
            tried += known
            try:
                if known:
                    return age.unwrap(wrapped, () if phrased else known, known if phrased else (), where)
            except WrongKeyError:
                continue
        if not keys.again(place):
            break
    if not tried:
        lacks = "with a passphrase" if phrased else "for keys"
        raise KeyNeededError(f"{place} is sealed {lacks}, and none was passed; {ways_in}")
    kind = counted(len(tried), "passphrase" if phrased else "key")
    raise WrongKeyError(f"{place} is sealed: {kind} tried, and none opens it; {ways_in}")


# Stores


class StoreHolder:
    """Opens stores with these keys, and makes the keys of new ones, whose first holders own these."""

    def __init__(self, keys: Keys, author: Callable[[], str]) -> None:
        self._keys = keys
        self._author = author
        self._found: Opened | None = None
        self._named = ""

    def make(self, storage: Storage) -> tuple[StoreKeys, dict[str, Any]]:
        from saver.keys.founding import found

        return found(storage, self._keys, self._author())

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> StoreKeys:
        from saver.keys.holders import SEAL
        from saver.keys.known import note
        from saver.keys.opening import opened

        if seal.get("seal") != SEAL:
            raise IncompatibleError(
                f"{storage} has the seal {str(seal.get('seal'))[:40]!r}, which this Saver does not know; "
                "install a newer one"
            )
        self._found = opened(storage, self._keys, seal)
        note(_memory(storage))
        return self._found.keys(self._named)

    def named(self, bundle: str) -> StoreKeys | None:
        """The keys, now that the log names this bundle, with whose data key is written; None if it has to be
        looked for."""
        self._named = bundle
        there = self._found is not None and bundle in self._found.bundles
        return self._found.keys(bundle) if there and self._found is not None else None

    def plain(self, storage: Storage) -> None:
        """Called for a store that is not sealed. Raises IncompatibleError if this machine saw a sealed one at
        that place."""
        path = _memory(storage)
        if path is not None and os.path.exists(path):
            raise IncompatibleError(
                f"{storage} is not sealed, but the store was that this machine saw there before, so somebody "
                f"may have put another one in its place; if that was you, delete {path}"
            )


def _memory(storage: Storage) -> str | None:
    """The file that says that a sealed store was at this place."""
    from saver.keys.known import memory
    from saver.signing.heads import heads_folder

    return memory(heads_folder(), str(storage))


class Founder:
    """Makes the store `place` for those whom `to` names. `author` is what those are called who have no
    name."""

    def __init__(self, to: Any, author: Callable[[], str], place: str) -> None:
        self.people, self.phrases = recipients(to, place)
        self._author = author

    def make(self, storage: Storage) -> tuple[StoreKeys, dict[str, Any]]:
        from saver.keys.founding import found_for

        return found_for(storage, self.people, self.phrases, self._author())

    def mark(self, purpose: str) -> str:
        """That of those for whom stores are made."""
        return mark_of(self.people, self.phrases, purpose)

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> StoreKeys:
        raise KeyNeededError(f"{storage} is sealed by somebody else meanwhile; pass a key that opens it")


def beneath(storage: Storage) -> Storage:
    """The place itself, in which sealed objects are stored."""
    from saver.storages.sealed import SealedStorage

    return storage.storage if isinstance(storage, SealedStorage) else storage


def storage_for(storage: Storage, key: Any, author: Callable[[], str]) -> Storage:
    """The storage of a store, sealed if a key was passed. With a key of the environment alone, sealed stores
    are opened, and new ones are not sealed."""
    keys = keys_of(key)
    if keys is None or (key is None and storage.seals):
        return storage
    from saver.addresses import sealed

    holder = StoreHolder(keys, author)
    return sealed(storage, holder, key is not None, holder.plain, holder.named)
