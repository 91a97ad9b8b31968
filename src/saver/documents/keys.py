"""Keys that were made, and who can open a store, as `saver key` prints them."""

from __future__ import annotations

from typing import Literal

from saver.documents.piece import Piece, Whole, document, utc
from saver.repo.holding import Held


class MadeKey(Whole, frozen=True, tag="saver.key.1"):
    """`saver key new`: where the two halves of the key are. `public_key` is the public half: `age1…`, or
    that of a key that signs, as PEM."""

    path: str
    public_path: str
    type: Literal["x25519", "ed25519", "p256"]
    public_key: str
    protected: bool


class Holder(Piece, frozen=True):
    """Somebody who can open a store, and when they were added; with a key file, or with a passphrase."""

    name: str
    public_key: str
    kind: Literal["x25519", "passphrase"]
    time: float
    time_utc: str | None


class Holders(Whole, frozen=True, tag="saver.holders.1"):
    """`saver key add`, `remove`, `rotate` and `list`: the holders now, and the number of data keys. `changed`
    has who was added, with their public keys, and null for who was removed."""

    store: str
    holders: tuple[Holder, ...]
    data_keys: int
    changed: dict[str, str | None]


def holders(store: str, held: Held) -> Holders:
    """The document about who can open a store."""
    found = tuple(document(Holder, each, time_utc=utc(each.time)) for each in held.holders)
    return Holders(store=store, holders=found, data_keys=held.epochs, changed=held.changed)
