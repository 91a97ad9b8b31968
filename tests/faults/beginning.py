"""Stores to begin with: made once, and copied for each fault."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from judging import value

import saver
from saver.disk.files import Files
from saver.storages.local import LocalStorage

RECORDS = 400
"""Of the store that is read under faults: several levels of pages."""


class Unsynced(Files):
    """The local file system, without waiting for the disk."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: Any) -> None:
        pass


class Before(NamedTuple):
    """A store that acts begin with, and the seeds of its versions."""

    folder: Path
    seeds: dict[str, int]

    def copy(self, folder: Path) -> Path:
        """The same once more. Objects never change, so their files may be shared."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder, copy_function=os.link)
        return folder


def unsynced(folder: Path) -> saver.Saver:
    return saver.Saver(LocalStorage(folder, Unsynced()))


def made(folder: Path, seeds: dict[str, int]) -> Before:
    store = unsynced(folder)
    for ref, seed in seeds.items():
        assert str(store.save(ref.partition("@")[0], value(seed), notes=str(seed))) == ref
    return Before(folder, seeds)


def made_of_hundreds(folder: Path) -> Before:
    """A store with hundreds of records: versions of two models, tags, deleted versions, a collection."""
    before, store = made(folder, {"m@1": 1, "m@2": 2}), unsynced(folder)
    seeds = dict(before.seeds)
    for seed in range(3, RECORDS // 2):
        version = store.save("m" if seed % 3 else "n", value(seed), notes=str(seed))
        seeds[str(version)] = seed
        if seed % 2:
            store.tag(str(version), f"tag-{seed}")
        if seed % 5 == 0:
            del seeds[str(store.delete(str(version), tags=True)[0])]
    store.gc(grace=0)
    seeds[str(store.save("m", value(900), notes="900"))] = 900
    return Before(before.folder, seeds)
