"""What takes longer than a page: reading every byte, looking for garbage, adding up sizes. In a
thread, one of each kind at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from saver import Saver, documents
from saver.errors import limited
from saver.human import counted, size
from saver.logger import logger

Progress = Callable[[int, int], None]
Did = dict[str, str]


class Works:
    """The last work of each kind, and what it found. Thread-safe."""

    def __init__(self, store: Saver) -> None:
        self._store, self._lock = store, threading.Lock()
        self._found: dict[str, documents.Work] = {}

    def all(self) -> tuple[documents.Work, ...]:
        """What was begun, by kind."""
        with self._lock:
            return tuple(self._found[kind] for kind in sorted(self._found))

    def begin(self, kind: str, store: Saver) -> bool:
        """Begin a work of a kind of `WORKS`, unless one is running. It stops with the server."""
        with self._lock:
            if kind in self._found and self._found[kind].running:
                return False
            self._found[kind] = _work(kind, running=True)
        threading.Thread(target=self._run, args=(kind, store), daemon=True).start()
        return True

    def _run(self, kind: str, store: Saver) -> None:
        def progress(done: int, total: int) -> None:
            with self._lock:
                self._found[kind] = _work(kind, running=True, done=done, total=total)

        try:
            found = _work(kind, said=WORKS[kind](store, progress))
        except Exception as error:  # whatever it is, the page says it
            logger.info("%s: %s: %s", store.storage, kind, error)
            found = _work(kind, error=limited(str(error) or type(error).__name__))
        with self._lock:
            self._found[kind] = found


def _work(
    kind: str, running: bool = False, done: int = 0, total: int = 0, error: str = "", said: Did | None = None
) -> documents.Work:
    return documents.Work(kind=kind, running=running, done=done, total=total, error=error, said=said or {})


def _check(store: Saver, progress: Progress) -> Did:
    found = store.check(progress=progress)
    said = {"verdict": found.verdict(), "versions": f"{found.versions:,}", "read": size(found.bytes)}
    losses = found.losses()
    said |= {
        f"damage {number}": " · ".join(filter(None, row)) for number, row in enumerate(losses[:SHOWN], 1)
    }
    if len(losses) > SHOWN:
        said["more damage"] = counted(len(losses) - SHOWN, "row") + ": saver check lists them all"
    said["garbage"] = f"{counted(len(found.garbage), 'object')}, {size(found.garbage_bytes)}"
    if found.foreign:
        said["not Saver's"] = counted(len(found.foreign), "file")
    if found.refused:
        said["void records"] = f"{len(found.refused):,}"
    return said


SHOWN = 50
"""Rows of damage on the page."""


def _collect(store: Saver, progress: Progress) -> Did:
    """What a collection would free; nothing is changed."""
    found = store.gc(dry_run=True, progress=progress)
    return {
        "would be condemned": counted(len(found.condemned), "object"),
        "would be freed": f"{counted(len(found.freed), 'object')}, {size(found.freed_bytes)}",
        "wait for their grace period": counted(len(found.waiting), "object")
        + f", {size(found.waiting_bytes)}",
        "mostly dead packs": f"{len(found.moved):,}",
    }


def _measure(store: Saver, progress: Progress) -> Did:
    """How much space sharing saves: the sizes of all versions, and what the store grew by."""
    whole = added = 0
    models = store.models()
    for number, model in enumerate(models):
        for _, state in store._repo.state.versions(model):
            whole, added = whole + state.bytes, added + state.bytes_added
        progress(number + 1, len(models))
    saved = whole - added
    percent = f", {100 * saved / whole:.0f} % of it" if whole > 0 and saved > 0 else ""
    return {
        "all versions, each alone": size(whole),
        "what the store grew by": size(added),
        "saved by sharing": f"{size(max(0, saved))}{percent}",
    }


WORKS: dict[str, Callable[[Saver, Progress], Did]] = {
    "check": _check, "collect": _collect, "measure": _measure,
}  # fmt: skip
