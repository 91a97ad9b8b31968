"""A holder of the keys of sealed stores, for tests of storages and repositories: it has the very keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from saver.storage import Storage
from saver.storages.sealed import SealedStorage


class OneHolder:
    """The keys of one store."""

    def __init__(self) -> None:
        self.names = os.urandom(32)
        self.epochs = [os.urandom(32)]

    def make(self, storage: Storage) -> tuple[OneHolder, dict[str, Any]]:
        return self, {}

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> OneHolder:
        return self


def sealed(storage: Storage) -> SealedStorage:
    """A sealed storage that a store may be made in, or objects put into."""
    found = SealedStorage(storage, OneHolder())
    found.begin("0" * 32)
    return found
