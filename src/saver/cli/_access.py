"""Who may do what in a store: what `saver doctor STORE` reports."""

from __future__ import annotations

import os
from collections.abc import Iterator

from saver import Saver
from saver.access import Access, access
from saver.cli import Missing
from saver.doctor import Finding
from saver.errors import DamagedError, SaverError


def is_store(what: str) -> bool:
    """Whether an argument names a store rather than a version or a file: a folder that holds one, a folder
    into which this process may not look, or an address."""
    if "://" in what:
        return True
    return os.path.isdir(what) and (
        os.path.isfile(os.path.join(what, "store.json")) or not os.access(what, os.R_OK | os.X_OK)
    )


def permissions(store: str) -> tuple[Access | None, list[Finding]]:
    """Who may do what, if the system has modes that say so, and what contradicts itself."""
    if "://" in store:
        meaning = "its server or its process decides that, and does not tell Saver"
    elif not hasattr(os, "geteuid"):
        meaning = "this system has other permissions than owner, group and others; see those of the folder"
    else:
        try:
            return access(store)
        except OSError as error:
            raise Missing(f"{store}: {error.strerror}; nothing is known of who may use it") from None
    return None, [Finding("note", "permissions", "", "unknown", meaning)]


def history(store: str) -> Iterator[Finding]:
    """Whether the log of a store can be read, and goes on from where this machine saw it last."""
    try:
        held = Saver(store)
        if held.exists():
            held.models()
    except DamagedError as error:
        yield Finding("problem", "log", "", "damaged or rolled back", str(error))
    except (SaverError, OSError) as error:
        yield Finding("note", "log", "", "not read", str(error))
