"""Stores for the benchmarks: built fast, measured on disk, and with their own index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
from blake3 import blake3

from saver import Saver
from saver.repo import document, stage
from saver.repo import manifest as manifests
from saver.repo.events import Commit, Condemn, Delete, Event
from saver.repo.format import STORE_KEY
from saver.repo.log import log_key, record_after
from saver.repo.manifest import Manifest, manifest_key
from saver.repo.objects import pack_key
from saver.repo.state import State
from saver.storages.memory import MemoryStorage

_COEFFICIENTS = np.linspace(-1, 1, 1000)

_CHECKPOINT = 320
"""Records between two checkpoints of a long log that is built. With more of them each deletion takes longer,
with fewer there are more pages to write."""

_TIME = 1_767_225_600.0
"""The time of the first record of a long log."""


@contextmanager
def index_in(folder: Path) -> Iterator[None]:
    """Make Saver keep its indexes in `folder`, so that the user's cache is not touched."""
    before = os.environ.get("SAVER_CACHE")
    os.environ["SAVER_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SAVER_CACHE"]
        else:
            os.environ["SAVER_CACHE"] = before


def model_name(number: int) -> str:
    """The name of a model in a store that `build` made."""
    return f"model-{number:04}"


def small_model(step: int) -> dict[str, Any]:
    """A version in a store that `build` made: 8 kB that are always the same, and numbers that differ."""
    return {"model": {"coef": _COEFFICIENTS, "intercept": 0.5, "step": step}}


def build(folder: Path, models: int, versions: int) -> None:
    """Build a store of `models` models with `versions` versions each, saved in turn.

    Its bytes are those that `Saver.save` writes, but it saves in memory, and the files are not fsynced one by
    one: 100,000 versions take a minute or two instead of half an hour.
    """
    memory = MemoryStorage()
    with index_in(
        Path(os.devnull) / "none"
    ):  # no folder can exist there, so that nothing is looked up or noted
        store = Saver(memory)
        for step in range(versions):
            metrics = {"loss": 1 / (step + 1)}
            for number in range(models):
                store.save(model_name(number), small_model(step), step=step, metrics=metrics)
    _write_all(folder, ((key, memory.read(key)) for key in memory.keys("")))


def build_long(folder: Path, models: int, kept: int, deleted: int) -> int:
    """Build a store in which each of the models had `deleted` versions in addition to the `kept` newest ones,
    which still exist; returns how many records its log has.

    All versions are `small_model(0)`. It is the result of saving, deleting and collecting, done for one model
    after the other.
    """
    memory = MemoryStorage()
    with index_in(Path(os.devnull) / "none"), patch.object(stage, "FILE_BYTES", 0):  # all share one pack
        first = Saver(memory).save(model_name(0), small_model(0), step=0, metrics={"loss": 1.0})
    model = _Long(memory, manifests.decode(memory.read(manifest_key(first.manifest)), "first"))
    for number in range(models):
        model.live(model_name(number), kept, deleted)
    _write_all(folder, model.objects())
    return model.state.head


class _Long:
    """A store whose log grows, with the objects that its live versions need. The store in memory has only the
    first version and the checkpoints: everything else is written only to the folder."""

    def __init__(self, memory: MemoryStorage, manifest: Manifest) -> None:
        self.state = State(memory)
        self.state.refresh()
        self._memory = memory
        self._manifest = manifest
        event = self.state.log.read(1)[0].event
        assert isinstance(event, Commit)
        self._event = event
        self._newest = manifest_key(event.manifest)
        self._needed = {STORE_KEY, log_key(1), *memory.keys("packs/")}
        self._records: list[bytes] = []
        self._manifests: dict[str, bytes] = {}

    def live(self, model: str, kept: int, deleted: int) -> None:
        """Give a model versions, then delete all but the newest at once, and collect them."""
        freed = []
        for number in range(1, kept + deleted + 1):
            is_kept = number > deleted
            parent = number - 1 if number > deleted + 1 else None
            if (model, number) != (self._event.model, 1):
                self._append(self._commit(model, number, parent, is_kept))
            elif is_kept:  # this version was saved to create the store
                self._needed.add(manifest_key(self._event.manifest))
            if not is_kept:
                freed.append(self._newest)
                self._append(Delete(model, (number,)))
        if freed:
            self._append(Condemn(tuple(freed), tuple(map(pack_key, self._event.packs))))

    def _commit(self, model: str, number: int, parent: int | None, is_kept: bool) -> Event:
        manifest = msgspec.structs.replace(
            self._manifest, model=model, number=number, parent=parent, step=number - 1,
            transaction=f"{self.state.head:032x}",
        )  # fmt: skip
        data = manifests.encode(manifest)
        digest = blake3(data).hexdigest()
        self._newest = manifest_key(digest)
        if is_kept:
            self._manifests[self._newest] = data
        return msgspec.structs.replace(
            self._event, model=model, number=number, manifest=digest, parent=parent, step=number - 1
        )

    def _append(self, event: Event) -> None:
        state, author = self.state, self._manifest.author
        record = record_after(state.last(), event, f"{state.head:032x}", _TIME + state.head, author)
        data = document.encode(record)
        self._records.append(data)
        state.took(record, document.digest(data))
        if state.head % _CHECKPOINT == 0:
            state.keep_checkpoint()

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """The state that a collector would leave: the newest checkpoints and their pages."""
        needed = self.state.needed().intersection(self._memory.keys("state/"))
        yield from ((key, self._memory.read(key)) for key in sorted(needed | self._needed))
        yield from sorted(self._manifests.items())
        yield from ((log_key(number), data) for number, data in enumerate(self._records, 2))


def _write_all(folder: Path, objects: Iterable[tuple[str, bytes]]) -> None:
    """Write objects of a store, without waiting for the disk."""
    made = set()
    for key, data in objects:
        home, name = os.path.split(folder / key)
        if home not in made:
            os.makedirs(home, exist_ok=True)
            made.add(home)
        _write(f"{home}/{name}", data)


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def allocated(folder: Path) -> int:
    """Bytes that the files in a folder take on disk, in whole blocks, as `du` counts them."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
