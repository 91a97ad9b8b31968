"""The keys of a sealed store, and who holds them.

A *bundle* is an object `keys/<32 hex digits>.age`: an age file for all holders, with the keys of the store
and the list of its holders. It is immutable; a change writes another one, with all keys of those before it,
and deletes them (docs/decisions/0032-holders.md).

A holder is a public key. Somebody who opens the store with a passphrase has one, too: its identity is an
object of the same form, encrypted with the passphrase.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn, final

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import IncompatibleError
from saver.keys import age
from saver.keys.header import STANZAS
from saver.keys.secret import Identity, Passphrase, SecretBytes, shielded
from saver.page import Said
from saver.storage import Bytes, Storage
from saver.strict import decodable, strict_json

HOLDERS = STANZAS
"""The most holders of a store."""

EPOCHS = 1024
"""The most data keys of a store."""

NAME = 100
"""Characters of the name of a holder."""

FOLDER = "keys/"

SEAL = "aead-1"

_FORMAT = 1
_SIZE = 32
_COMMITMENT = "saver.store 1 2026-11 commitment to the keys"

_is_key = re.compile(r"keys/[0-9a-f]{32}\.age").fullmatch
is_name = re.compile(r"[0-9a-f]{32}").fullmatch
"""Whether a text can be the name of a bundle."""


def bundle_key(name: str) -> str:
    """The key of a bundle, or of the identity of a passphrase."""
    return f"{FOLDER}{name}.age"


def bundle_name(key: str) -> str | None:
    """The name in such a key; None for other keys."""
    return key[len(FOLDER) : -4] if _is_key(key) else None


@decodable
class Holder(Said, msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who can open the store: a name, a public key (`age1…`), and when they were added (Unix time).
    The identity of a `passphrase` is in the object `wrapped`."""

    name: str
    public_key: str
    kind: Literal["x25519", "passphrase"] = "x25519"
    time: float = 0.0
    wrapped: str = ""

    def _line(self) -> str:
        return f"{self.name} ({self.public_key})"


@final
class StoreKeys:
    """The keys of a store. `names` is the key for the names of objects, which survives rotation. `epochs` are
    the data keys, the oldest first; what is written now is encrypted with the last one. All have 32 bytes."""

    __slots__ = ("epochs", "names")

    def __init__(self, names: bytes, epochs: Sequence[bytes]) -> None:
        if not 1 <= len(epochs) <= EPOCHS or any(len(each) != _SIZE for each in (names, *epochs)):
            raise ValueError("the keys of a store are of 32 bytes each, and there is at least one data key")
        object.__setattr__(self, "names", SecretBytes(names))
        object.__setattr__(self, "epochs", tuple(map(SecretBytes, epochs)))

    names: bytes
    epochs: tuple[bytes, ...]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("the keys of a store do not change")

    def __repr__(self) -> str:
        return f"<the keys of a store, {len(self.epochs)} of data>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreKeys) and hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash(self._bytes())

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the keys of a store are not pickled or copied; open the store in the other process")

    def _bytes(self) -> bytes:
        return b"".join((self.names, *self.epochs))

    def commitment(self) -> str:
        """What anyone may see, and only these keys have: 64 hexadecimal digits."""
        return blake3(self.names, derive_key_context=_COMMITMENT).hexdigest()

    def to_json(self) -> bytes:
        """Canonical JSON, which `from_json` reads. It is secret."""
        return canonical({"names": self.names.hex(), "epochs": [each.hex() for each in self.epochs]})

    @staticmethod
    @shielded
    def from_json(data: bytes, where: str) -> StoreKeys:
        """The keys in this JSON. Raises IncompatibleError."""
        return _store_keys(strict_json(data, where), where)


def _store_keys(found: Any, where: str) -> StoreKeys:
    try:
        return StoreKeys(bytes.fromhex(found["names"]), [bytes.fromhex(each) for each in found["epochs"]])
    except (TypeError, ValueError, LookupError):
        raise IncompatibleError(
            f"{where}: it does not hold the keys of a store as Saver writes them; install a newer Saver, or "
            "restore it from a copy"
        ) from None


def new_store_keys() -> StoreKeys:
    """Random keys for a new store."""
    return StoreKeys(os.urandom(_SIZE), [os.urandom(_SIZE)])


def new_epoch() -> bytes:
    """A random data key."""
    return SecretBytes(os.urandom(_SIZE))


def with_new_epoch(keys: StoreKeys, epoch: bytes) -> StoreKeys:
    """The keys with another data key, which is the one to write with. Raises ValueError if there are too
    many."""
    if len(keys.epochs) >= EPOCHS and epoch not in keys.epochs:
        raise ValueError(f"a store has at most {EPOCHS:,} data keys; push its versions to a new store")
    return StoreKeys(keys.names, [*(each for each in keys.epochs if each != epoch), epoch])


def merged(keys: StoreKeys, others: Sequence[StoreKeys]) -> StoreKeys:
    """The keys with every data key of others, too. The one to write with is that of `keys`."""
    epochs = dict.fromkeys(each for other in others for each in other.epochs)
    older = [*keys.epochs[:-1], *(each for each in epochs if each not in keys.epochs)]
    return StoreKeys(keys.names, [*older, keys.epochs[-1]])


def seal_header(keys: StoreKeys) -> dict[str, Any]:
    """What `store.json` says of the seal of a store with these keys."""
    return {"seal": SEAL, "keys": keys.commitment()}


def is_of(keys: StoreKeys, seal: Mapping[str, Any]) -> bool:
    """Whether these are the keys of the store with this header: others may have been put there by somebody
    who knows the public keys of its holders."""
    return hmac.compare_digest(keys.commitment().encode(), str(seal.get("keys", "")).encode())


def check_name(name: str) -> str:
    """The name of a holder, checked. Raises ValueError."""
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= NAME
        or not name.isprintable()
        or name != name.strip()
    ):
        raise ValueError(f"name: {str(name)[:80]!r} is not a name of 1 to {NAME} printable characters")
    return name


class Bundle(msgspec.Struct, frozen=True):
    """A bundle, opened. `number` is that of the record for which it was made; 0 for that of a new store."""

    name: str
    number: int
    keys: StoreKeys
    holders: tuple[Holder, ...]


@decodable
class _Outline(msgspec.Struct, frozen=True):
    """What is not secret of the content of a bundle."""

    format: int
    number: int
    holders: tuple[Holder, ...]


def write_bundle(
    storage: Storage, name: str, keys: StoreKeys, holders: Sequence[Holder], number: int = 0
) -> Bundle:
    """Store a bundle for these holders, durably. Raises ValueError without holders, or for too many."""
    bundle = Bundle(name, number, keys, tuple(holders))
    storage.put(bundle_key(name), Bytes(age.wrap(_content(bundle), [each.public_key for each in holders])))
    return bundle


def _content(bundle: Bundle) -> bytes:
    keys = bundle.keys
    return canonical(
        {
            "format": _FORMAT, "number": bundle.number, "holders": bundle.holders,
            "names": keys.names.hex(), "epochs": [each.hex() for each in keys.epochs],
        }
    )  # fmt: skip


@shielded
def bundle_in(data: bytes, identities: Sequence[Identity], name: str, where: str) -> Bundle:
    """The bundle in an object. Raises WrongKeyError, DamagedError, IncompatibleError."""
    found = strict_json(age.unwrap(data, identities, (), where), where)
    try:
        outline = msgspec.convert(found, _Outline)
    except msgspec.ValidationError:
        outline = None
    if outline is None or outline.format != _FORMAT or not outline.holders:
        raise IncompatibleError(f"{where}: the list of holders is not one that Saver {_FORMAT} writes")
    return Bundle(name, outline.number, _store_keys(found, where), outline.holders)


def new_identity(holder: str, time: float) -> tuple[Identity, Holder]:
    """A new identity for somebody who opens the store with a passphrase, and the holder that they are."""
    identity = age.new_identity()
    return identity, Holder(check_name(holder), identity.public, "passphrase", time)


def wrap_identity(identity: Identity, passphrase: Passphrase) -> bytes:
    """An identity, encrypted with a passphrase: a key file as `age -p` makes it."""
    return age.wrap_for_passphrase(
        f"# public key: {identity.public}\n{identity.reveal()}\n".encode(), passphrase
    )


def holder_of(public_key: str, name: str, time: float) -> Holder:
    """The holder of a public key. Raises ValueError."""
    return Holder(check_name(name), age.check_recipient(public_key), "x25519", time)
