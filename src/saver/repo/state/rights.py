"""Who may do what: rights of public keys, as the records `roles` of the log grant them.

From the first valid `roles` record on, every record must be signed by a key with the right to it. Others are
void: they stay in the log and change nothing, for everybody. What is decided here depends on the record and
on what the log says before it, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from saver.repo.events import Commit, Delete, Event, Relocate, Roles, Tag
from saver.repo.log import Record
from saver.signing.keys import brief, flaw, is_key
from saver.signing.signatures import record_failure

Granted: TypeAlias = Mapping[str, tuple[str, ...]]
"""The rights of each public key."""

NOBODY: Granted = MappingProxyType({})
"""No roles: everybody may do everything."""

RIGHTS = ("save", "tag", "delete", "collect", "sign", "grant")
"""`tag` is every tag; `tag:production` that one, and `tag:rc-*` those that begin so."""

KEYS, LONGEST = 1000, 200
"""So many keys may have rights, and so many characters may a key and a right have."""

_NEEDED = {
    "commit": ("save",), "tag": (), "label": ("save",), "note": ("save",), "void": ("save",),
    "delete": ("delete",), "condemn": ("collect",), "relocate": ("collect",), "harm": ("collect", "save"),
    "sign": ("sign", "save"), "roles": ("grant",), "holders": ("grant",),
}  # fmt: skip
"""For each kind of record, the rights of which one is needed. Of other kinds, `grant`."""


def is_right(right: str) -> bool:
    """Whether this can be granted."""
    kind, colon, tag = right.partition(":")
    return right in RIGHTS or (kind == "tag" and bool(colon and tag) and len(right) <= LONGEST)


def refusal(record: Record, roles: Granted, tags_of: Callable[[str], Mapping[str, int]]) -> str:
    """Why a record is void, given what the log says before it; "" if it counts."""
    event, signed = record.event, record.signed
    if not roles and not isinstance(event, Roles):
        return ""
    if signed is None:
        return "it is not signed"
    after = roles_after(roles, event)
    rights = roles.get(signed.key, ()) if roles else after.get(signed.key, ())
    lacks = lacking(event, rights, tags_of)
    if lacks:
        return f"{brief(signed.key)} has no right to {lacks}"
    if isinstance(event, Roles) and not any("grant" in after[key] and _signs(key) for key in after):
        return "nobody could grant anything after it"
    if isinstance(event, Roles) and not _fit(after):
        return "it grants more than a log can say"
    return record_failure(record, signed)


def _signs(key: str) -> bool:
    """Whether somebody can sign with a key so that it counts."""
    return is_key(key) and not flaw(key)


def lacking(event: Event, rights: Iterable[str], tags_of: Callable[[str], Mapping[str, int]]) -> str:
    """The right that an event needs and that is not among these; "" if none is missing."""
    held = {*rights}
    kind = str(event.__struct_config__.tag)
    needed = _NEEDED.get(kind, ("grant",))
    if isinstance(event, Relocate) and not event.objects:  # a save that heals what a check found damaged
        needed = ("collect", "save")
    if needed and held.isdisjoint(needed):
        return needed[0]
    for tag in _tags(event, tags_of):
        if not any(map(partial(_admits, tag=tag), held)):
            return f"tag:{tag}"
    return ""


def _admits(right: str, tag: str) -> bool:
    """Whether a right is one to this tag."""
    kind, _, named = right.partition(":")
    begins = named[-1:] == "*" and tag.startswith(named[:-1])
    return kind == "tag" and (right == "tag" or named == tag or begins)


def _tags(event: Event, tags_of: Callable[[str], Mapping[str, int]]) -> Iterable[str]:
    """The tags that an event sets, moves or removes."""
    match event:
        case Commit():
            return event.tags
        case Tag():
            return (event.tag,)
        case Delete():
            return [tag for tag, number in tags_of(event.model).items() if number in event.numbers]
    return ()


def roles_after(roles: Granted, event: Event) -> Granted:
    """Who may do what after an event."""
    if not isinstance(event, Roles):
        return roles
    after = {**roles, **event.grants}
    return {key: tuple(rights) for key, rights in sorted(after.items()) if rights}


def _fit(roles: Granted) -> bool:
    texts = [*roles, *(right for rights in roles.values() for right in rights)]
    return len(roles) <= KEYS and len(texts) <= 10 * KEYS and max(map(len, texts), default=0) <= LONGEST
