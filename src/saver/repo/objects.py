"""Which keys are Saver's own. Whatever has another one is left alone, whoever names it: people keep files in
folders, and the documents of a store that one was given may name anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from saver.errors import DamagedError
from saver.storage import Listed, Storage

FOLDERS = ("clock/", "log/", "manifests/", "packs/", "state/", "trees/")
"""What the keys begin with, but for that of `store.json`."""

COLLECTED = ("manifests/", "packs/", "trees/")
"""What the keys of objects begin with that versions need, and that are garbage when none does."""

_is_own = re.compile(
    r"""store\.json
    | clock/[0-9a-f]{32}
    | log/[0-9]{20}\.json
    | manifests/(?P<manifest>[0-9a-f]{2})/(?P=manifest)[0-9a-f]{62}\.json
    | packs/[0-9a-f]{32}\.safetensors
    | state/[0-9]{20}\.json
    | state/free-[0-9]
    | state/pages/(?P<page>[0-9a-f]{2})/(?P=page)[0-9a-f]{62}\.json
    | trees/(?P<tree>[0-9a-f]{2})/(?P=tree)[0-9a-f]{62}\.json""",
    re.VERBOSE,
).fullmatch

_is_folder = re.compile(r"(manifests|state/pages|trees)/[0-9a-f]{2}|state/pages").fullmatch


def pack_key(name: str) -> str:
    """Where a pack stands."""
    return f"packs/{name}.safetensors"


def tree_key(name: str) -> str:
    """Where the document of a part stands."""
    return f"trees/{name[:2]}/{name}.json"


_LAST = 10**20 - 1

PAST_NUMBERS = "state/:"
"""Comes after the keys of all checkpoints, and before those of pages."""


def checkpoint_key(number: int) -> str:
    """Where the checkpoint of a record stands. Their names descend, so the first that is listed is the
    newest."""
    return f"state/{_LAST - number:020}.json"


def checkpoint_number(key: str) -> int:
    """The record of a checkpoint, by its key; 0 for a key that is none of theirs."""
    text = key.removeprefix("state/").removesuffix(".json")
    number = _LAST - int(text) if text.isascii() and text.isdigit() and len(text) == 20 else 0
    return number if key == checkpoint_key(number) else 0


def page_key(name: str) -> str:
    """Where a page of a checkpoint stands."""
    return f"state/pages/{name[:2]}/{name}.json"


def is_own(key: str) -> bool:
    """Whether a key has the exact form of one that Saver makes."""
    return _is_own(key) is not None


def is_collectable(key: str) -> bool:
    """Whether an object with this key may be garbage: a manifest, a pack, or the document of a part."""
    return is_own(key) and key.startswith(COLLECTED)


def stands_for_folder(key: str) -> bool:
    """Whether what is listed under this key, and so is no folder, is where Saver keeps one."""
    return _is_folder(key) is not None


def own(storage: Storage, prefix: str) -> Iterator[Listed]:
    """Saver's own objects below a prefix, with sizes and times. Raises DamagedError where some
    could be hidden: for whoever must see them all."""
    for found in storage.list(prefix):
        if is_own(found.key):
            yield found
        elif stands_for_folder(found.key):
            raise DamagedError(f"{storage}: {no_folder(found.key)}")


def collectables(storage: Storage) -> Iterator[Listed]:
    """All that may be garbage: manifests, packs, documents of parts. Raises DamagedError as `own` does."""
    for prefix in COLLECTED:
        yield from own(storage, prefix)


def no_folder(key: str) -> str:
    """What to say of an object that stands where a folder should."""
    return (
        f"{key} is a file or a symbolic link, where a store has a folder; nothing behind it was looked at; "
        "restore the folder from a copy of the store"
    )
