"""Who may read, write and collect in the folder of a store, by the modes of all that is in it.

Modes are what Saver itself sets. Lists of access rights (ACLs) beside them, and what a file server or a
container adds, are not taken into account; a list on the folder of the store is mentioned.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from saver.doctor import Finding
from saver.repo.objects import is_own
from saver.storages._shared import is_shared

_READ, _WRITE, _ENTER = 4, 2, 1

Class: TypeAlias = Literal["owner", "group", "others", "you"]

_ACL: Final = "system.posix_acl_access"


class Who(msgspec.Struct, frozen=True):
    """What somebody may do: `read` versions, `write` (save, tag, delete), `collect` what nobody needs."""

    name: str
    read: bool
    write: bool
    collect: bool

    def __str__(self) -> str:
        may = [each for each in ("read", "write", "collect") if getattr(self, each)]
        return ", ".join(may) or "nothing"


class Access(msgspec.Struct, frozen=True):
    """Who may do what in a store. `shared`: by the mode of its folder, its group may do everything there,
    and what its members create follows that. `you` are this process."""

    shared: bool
    owner: Who
    group: Who
    others: Who
    you: Who


class _Item(msgspec.Struct, frozen=True):
    """A folder or file of a store, by its path in it; "" is the store itself."""

    path: str
    found: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.found.st_mode)

    @property
    def needed(self) -> int:
        """The bits that somebody needs here to read the store."""
        return _READ | _ENTER if self.is_folder else _READ


def access(folder: str) -> tuple[Access, list[Finding]]:
    """Who may do what in the store in a folder, and what contradicts itself there. Raises OSError."""
    top = os.stat(folder)
    items, hidden = _walked(folder, top)
    above = list(_above(folder))
    by: dict[Class, Callable[[os.stat_result], int]] = {
        "owner": lambda found: _of_owner(found, top), "group": lambda found: _of_group(found, top),
        "others": lambda found: found.st_mode & 7, "you": _of_you,
    }  # fmt: skip
    names = {"owner": _user(top.st_uid), "group": _group(top.st_gid), "others": "", "you": _user(_me())}
    who = {
        each: _who(names[each], bits, items, above, hidden, _owners(each, top)) for each, bits in by.items()
    }
    found = Access(is_shared(top.st_mode), **who)
    return found, [*_said(found), *_wrong(folder, top, items, above, hidden, by, found)]


def _said(found: Access) -> Iterator[Finding]:
    shared = "its members share this store" if found.shared else ""
    for topic in ("owner", "group", "others", "you"):
        who: Who = getattr(found, topic)
        meaning = shared if topic == "group" else ""
        yield Finding("ok", f"{topic} {who.name}".rstrip(), "", str(who), meaning)


# What there is


def _walked(folder: str, top: os.stat_result) -> tuple[list[_Item], list[str]]:
    """The folders and files of a store, and the folders into which this process may not look."""
    items, hidden, left = [_Item("", top)], list[str](), [""]
    while left:
        path = left.pop()
        try:
            with os.scandir(os.path.join(folder, path)) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except PermissionError:
            hidden.append(path)
            continue
        for name, its in sorted(found):
            inner = f"{path}/{name}" if path else name
            if stat.S_ISDIR(its.st_mode) and name[0] != ".":
                left.append(inner)
                items.append(_Item(inner, its))
            elif stat.S_ISREG(its.st_mode) and is_own(inner):
                items.append(_Item(inner, its))
    return items, hidden


def _above(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The folders through which one comes to a folder, the nearest first."""
    place = os.path.realpath(folder)
    while (place := os.path.dirname(place)) != os.path.dirname(place):
        yield place, os.stat(place)


# What somebody may do


def _of_owner(found: os.stat_result, top: os.stat_result) -> int:
    """Bits of the store's owner, who is taken to be in its group."""
    if top.st_uid == 0:
        return 7
    return found.st_mode >> 6 & 7 if found.st_uid == top.st_uid else _of_group(found, top)


def _of_group(found: os.stat_result, top: os.stat_result) -> int:
    """Bits of a member of the store's group who owns nothing in it."""
    return (found.st_mode >> 3 if found.st_gid == top.st_gid else found.st_mode) & 7


def _of_you(found: os.stat_result) -> int:
    if _me() == 0:
        return 7
    if found.st_uid == _me():
        return found.st_mode >> 6 & 7
    return (found.st_mode >> 3 if found.st_gid in {os.getegid(), *os.getgroups()} else found.st_mode) & 7


def _me() -> int:
    return os.geteuid()


def _owners(who: Class, top: os.stat_result) -> int | None:
    """The number of the user, if it is one."""
    return {"owner": top.st_uid, "you": _me()}.get(who)


def _who(
    name: str, bits: Callable[[os.stat_result], int], items: list[_Item],
    above: list[tuple[str, os.stat_result]], hidden: list[str], user: int | None,
) -> Who:  # fmt: skip
    """Nobody is said to read or write what this process could not look into."""
    reach = all(bits(found) & _ENTER for _, found in above) and not hidden
    read = reach and all(bits(each.found) & each.needed == each.needed for each in items)
    folders = [each.found for each in items if each.is_folder]
    write = read and all(bits(found) & _WRITE for found in folders)
    sticky = any(found.st_mode & stat.S_ISVTX and user not in (0, found.st_uid) for found in folders)
    return Who(name, read, write, write and not sticky)


# What is wrong


def _wrong(
    folder: str, top: os.stat_result, items: list[_Item], above: list[tuple[str, os.stat_result]],
    hidden: list[str], by: dict[Class, Callable[[os.stat_result], int]], access: Access,
) -> Iterator[Finding]:  # fmt: skip
    if hidden:
        yield _finding("not looked into", hidden, "this process may not list it, so more may be wrong there")
    yield from _lacking(folder, top, items, by, access)
    yield from _of_another_group(folder, top, items, access)
    yield from _blocked(above, by, access)
    yield from _sharing(folder, top, items, access)


def _lacking(
    folder: str, top: os.stat_result, items: list[_Item],
    by: dict[Class, Callable[[os.stat_result], int]], access: Access,
) -> Iterator[Finding]:  # fmt: skip
    """Folders and files in which somebody may not do what they may in the folder of the store itself."""
    for each in ("owner", "group", "others"):
        bits, name = by[each], f"{each} {getattr(access, each).name}".rstrip()
        wanted, letter = bits(top), {"owner": "u", "group": "g", "others": "o"}[each]
        if wanted & (_READ | _ENTER) != _READ | _ENTER:
            continue
        unread = [one.path for one in items if one.needed & ~bits(one.found)]
        if unread:
            meaning = f"the {name} cannot read it; its owner can change that: chmod -R {letter}+rX {folder}"
            yield _finding("not readable", unread, meaning)
        if wanted & _WRITE:
            fixed = [one.path for one in items if one.is_folder and not bits(one.found) & _WRITE]
            meaning = (
                f"the {name} cannot save or collect there; its owner can change that: chmod -R {letter}+rwX "
                f"{folder}"
            )
            if fixed:
                yield _finding("not writable", fixed, meaning)


def _of_another_group(
    folder: str, top: os.stat_result, items: list[_Item], access: Access
) -> Iterator[Finding]:
    if not access.shared:
        return
    foreign = [each.path for each in items if each.found.st_gid != top.st_gid]
    if foreign:
        group = access.group.name
        meaning = f"it does not belong to {group}; its owner can change that: chgrp -R {group} {folder}"
        yield _finding("another group", foreign, meaning)
    unset = [each.path for each in items if each.is_folder and not each.found.st_mode & stat.S_ISGID]
    if unset:
        meaning = (
            "what is created there will belong to another group; its owner can change that: "
            f"find {folder} -type d -exec chmod g+s {{}} +"
        )
        yield _finding("no set-gid bit", unset, meaning)


def _blocked(
    above: list[tuple[str, os.stat_result]],
    by: dict[Class, Callable[[os.stat_result], int]], access: Access,
) -> Iterator[Finding]:  # fmt: skip
    """A folder above the store through which its group cannot come."""
    if access.shared:
        paths = [path for path, found in above if not by["group"](found) & _ENTER]
        if paths:
            meaning = (
                f"the group {access.group.name} cannot come through it to the store: chmod g+x or o+x it"
            )
            yield _finding("closed folder", paths, meaning)


def _sharing(folder: str, top: os.stat_result, items: list[_Item], access: Access) -> Iterator[Finding]:
    """What the modes of the folders let happen that hardly anybody wants."""
    sticky = [each.path for each in items if each.is_folder and each.found.st_mode & stat.S_ISVTX]
    if sticky and access.group.write:
        meaning = "its sticky bit keeps all but the owner from collecting what others saved: chmod -t it"
        yield _finding("sticky bit", sticky, meaning)
    if top.st_mode & 0o020 and not access.shared and access.group.name != access.owner.name:
        meaning = (
            f"{access.group.name} may write, but what it saves will have the group and the umask of each "
            f"member: chmod g+rwxs {folder}, or `saver init --shared` for a new store"
        )
        yield Finding("warning", "not shared", "", "group may write", meaning)
    if top.st_mode & 0o002 and not top.st_mode & stat.S_ISVTX:
        meaning = f"every user of this machine may delete the store: chmod o-w {folder}"
        yield Finding("warning", "open to all", "", "others may write", meaning)
    try:
        listed = _ACL in os.listxattr(folder)
    except (AttributeError, OSError):  # other systems, and file systems that have no such lists
        listed = False
    if listed:
        yield Finding("note", "access list", "", "yes", "`getfacl` shows what it adds to the modes above")


def _finding(topic: str, paths: list[str], meaning: str) -> Finding:
    shown = paths[0] or "the store's folder"
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return Finding("warning", topic, "", shown + more, meaning)


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
