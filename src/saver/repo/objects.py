"""Which keys are Saver's own. Objects with other keys are left alone, no matter what names them: people
keep their own files in folders, and the documents of a received store may name anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from saver.errors import DamagedError
from saver.storage import Listed, Storage

FOLDERS = ("clock/", "keys/", "log/", "manifests/", "packs/", "state/", "trees/")
"""The prefixes of all keys, except `store.json`."""

COLLECTED = ("manifests/", "packs/", "trees/")
"""The prefixes of objects that versions need, and that are garbage if none does."""

_is_own = re.compile(
    r"""store\.json
    | clock/[0-9a-f]{32}
    | keys/[0-9a-f]{32}\.age
    | log/[0-9]{20}\.json
    | manifests/(?P<manifest>[0-9a-f]{2})/(?P=manifest)[0-9a-f]{62}\.json
    | packs/[0-9a-f]{32}\.safetensors
    | state/(users/)?[0-9]{20}\.json
    | state/free-[0-9]
    | state/pages/(?P<page>[0-9a-f]{2})/(?P=page)[0-9a-f]{62}\.json
    | trees/(?P<tree>[0-9a-f]{2})/(?P=tree)[0-9a-f]{62}\.json""",
    re.VERBOSE,
).fullmatch

_is_folder = re.compile(r"(manifests|state/pages|trees)/[0-9a-f]{2}|state/(pages|users)").fullmatch


def pack_key(name: str) -> str:
    """The key of a pack."""
    return f"packs/{name}.safetensors"


def tree_key(name: str) -> str:
    """The key of a part's document."""
    return f"trees/{name[:2]}/{name}.json"


_LAST = 10**20 - 1

STATE, USERS = "state/", "state/users/"
"""The prefixes of checkpoints: of what the log says, and of which versions need which objects."""


def past_numbers(prefix: str) -> str:
    """Sorts after the keys of all checkpoints with this prefix, and before other keys of Saver below it."""
    return f"{prefix}:"


def checkpoint_key(number: int, prefix: str = STATE) -> str:
    """The key of a record's checkpoint. Their names descend, so the first one listed is the newest."""
    return f"{prefix}{_LAST - number:020}.json"


def checkpoint_number(key: str, prefix: str = STATE) -> int:
    """The record number of a checkpoint, from its key; 0 if it is not the key of a checkpoint."""
    text = key.removeprefix(prefix).removesuffix(".json")
    number = _LAST - int(text) if text.isascii() and text.isdigit() and len(text) == 20 else 0
    return number if key == checkpoint_key(number, prefix) else 0


def page_key(name: str) -> str:
    """The key of a checkpoint's page."""
    return f"state/pages/{name[:2]}/{name}.json"


def is_own(key: str) -> bool:
    """Whether a key has exactly a form that Saver writes."""
    return _is_own(key) is not None


def is_collectable(key: str) -> bool:
    """Whether an object with this key may be garbage: a manifest, a pack, or the document of a part."""
    return is_own(key) and key.startswith(COLLECTED)


def stands_for_folder(key: str) -> bool:
    """Whether this listed key, which is not a folder, has the name of one of Saver's folders."""
    return _is_folder(key) is not None


def own(storage: Storage, prefix: str) -> Iterator[Listed]:
    """Saver's own objects below a prefix, with sizes and times. Raises DamagedError if some could be
    hidden: for callers that must see all of them."""
    for found in storage.list(prefix):
        if is_own(found.key):
            yield found
        elif stands_for_folder(found.key):
            raise DamagedError(f"{storage}: {no_folder(found.key)}")


def collectables(storage: Storage) -> Iterator[Listed]:
    """Every object that may be garbage: manifests, packs, documents of parts. Raises DamagedError as `own`
    does."""
    for prefix in COLLECTED:
        yield from own(storage, prefix)


def no_folder(key: str) -> str:
    """The message about something that is in the place of a folder."""
    return (
        f"{key} is a file or a symbolic link, where a store has a folder; nothing behind it was read; "
        "restore the folder from a copy of the store"
    )
