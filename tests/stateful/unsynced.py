"""Stores whose power nobody cuts, so that their files need not be synced: tests make hundreds of them."""

from __future__ import annotations

from pathlib import Path

import saver
from saver.disk.files import Files
from saver.storages.local import LocalStorage


class Unsynced(Files):
    """The local file system, without waiting for the disk."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: str) -> None:
        pass


def unsynced(folder: Path) -> saver.Saver:
    """The store in a folder that is thrown away."""
    return saver.Saver(LocalStorage(folder, Unsynced()))
