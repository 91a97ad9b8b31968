"""A store of this machine with what came from a hub, for as long as it is read."""

from __future__ import annotations

from saver.repo.repository import Repository
from saver.storages.local import LocalStorage


class Arrived(LocalStorage):
    """Such a store, which messages call by the name of the hub."""

    def __init__(self, folder: str, shown: str) -> None:
        super().__init__(folder)
        self._address = shown

    def __str__(self) -> str:
        return self._address


def is_filled(repo: Repository) -> bool:
    """Whether a pull that was interrupted has come so far."""
    if not repo.exists():
        return False
    repo.open()
    return any(repo.models())
