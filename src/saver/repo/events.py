"""What records of the log say: a version was saved, a tag was set, objects were condemned, …"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from saver.repo.numbered import PartVersion
from saver.signing.signatures import Signature


class Commit(msgspec.Struct, frozen=True, omit_defaults=True, tag="commit", tag_field="kind"):
    """A version was created. `manifest` is the hash of the document that describes it, or of the header of
    the pack `file` that contains that document. `packs` are all packs that it needs, `trees` the separate
    documents of large parts; metrics that are not finite are strings. `author` is who made it, if that is
    not who wrote the record. `moved` has what each of its tags named before, if it named a version.
    `signatures` are of its statement.
    """

    model: str
    number: int
    manifest: str
    parts: dict[str, PartVersion]
    packs: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    file: str = ""
    parent: int | None = None
    step: int | None = None
    metrics: dict[str, float | str] = {}
    tags: tuple[str, ...] = ()
    moved: dict[str, int] = {}
    labels: dict[str, str] = {}
    notes: str = ""
    author: str = ""
    bytes: int = 0
    bytes_added: int = 0
    signatures: tuple[Signature, ...] = ()


class Tag(msgspec.Struct, frozen=True, omit_defaults=True, tag="tag", tag_field="kind"):
    """A tag was set to a version number, or removed (None). `before` is what it named until then."""

    model: str
    tag: str
    number: int | None
    before: int | None = None


class Label(msgspec.Struct, frozen=True, tag="label", tag_field="kind"):
    """Labels of a version were set or removed (None); those of the model if `number` is None."""

    model: str
    number: int | None
    labels: dict[str, str | None]


class Note(msgspec.Struct, frozen=True, tag="note", tag_field="kind"):
    """The notes of a version are these from now on; those of the model if `number` is None."""

    model: str
    number: int | None
    notes: str


class Delete(msgspec.Struct, frozen=True, omit_defaults=True, tag="delete", tag_field="kind"):
    """Versions were deleted, and the `tags` that named them, each with the number of its version."""

    model: str
    numbers: tuple[int, ...]
    tags: dict[str, int] = {}


class Condemn(msgspec.Struct, frozen=True, omit_defaults=True, tag="condemn", tag_field="kind"):
    """Objects that no version needs: after this record, no new version may need them. `kept` are other
    objects that deleted versions needed, but that free nothing: enough of each is live, or it is gone."""

    objects: tuple[str, ...]
    kept: tuple[str, ...] = ()


Move: TypeAlias = tuple[int, int, str, int]
"""Offset and length in the old pack; the new pack, and the offset there."""


class Relocate(msgspec.Struct, frozen=True, omit_defaults=True, tag="relocate", tag_field="kind"):
    """Bytes that must now be read elsewhere, by pack; and the packs that are condemned because of that."""

    moves: dict[str, tuple[Move, ...]]
    objects: tuple[str, ...] = ()


class Harm(msgspec.Struct, frozen=True, tag="harm", tag_field="kind"):
    """Damage that a check found: by pack, the places (offset, length) that must not be shared any more."""

    places: dict[str, tuple[tuple[int, int], ...]]


class Void(msgspec.Struct, frozen=True, tag="void", tag_field="kind"):
    """The commit with this transaction must not take place: those who waited for it no longer do. It is not
    in the log before this record, and anyone who wants to append it has read this one."""

    commit: str


class Holders(msgspec.Struct, frozen=True, tag="holders", tag_field="kind"):
    """Who can open the store from now on, with the keys in the object `keys/<bundle>.age`: public keys by
    name. `changed` has who was added, and None for who was removed; nobody if there is a new data key."""

    bundle: str
    holders: dict[str, str]
    changed: dict[str, str | None]


class Sign(msgspec.Struct, frozen=True, tag="sign", tag_field="kind"):
    """A version's statement was signed. A signature takes the place of an earlier one by the same key."""

    model: str
    number: int
    signatures: tuple[Signature, ...]


class Roles(msgspec.Struct, frozen=True, tag="roles", tag_field="kind"):
    """From here on these public keys have these rights and no others; those that are not named keep theirs.
    Then records that are not signed by one with the right are void: `state/rights.py`."""

    grants: dict[str, tuple[str, ...]]


Event: TypeAlias = (
    Commit | Tag | Label | Note | Delete | Condemn | Relocate | Harm | Void | Holders | Sign | Roles
)
