"""A storage whose objects are sealed keeps the contract of storages, whatever is beneath it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from saver.storage import Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.testing import StorageTests
from sealing import sealed


class TestSealedMemory(StorageTests):
    @pytest.fixture
    def storage(self) -> Storage:
        return sealed(MemoryStorage())


class TestSealedFolder(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return sealed(LocalStorage(tmp_path / "store"))
