"""Tests of what every storage must do."""

from __future__ import annotations

import pytest

from saver.storage import Storage
from saver.testing.storages.keys import KeysTests
from saver.testing.storages.reading import ReadingTests
from saver.testing.storages.writing import WritingTests


class StorageTests(WritingTests, ReadingTests, KeysTests):
    """Tests of a storage: subclass it, say how an empty one is made, and run pytest.

        class TestMyStorage(StorageTests):
            @pytest.fixture
            def storage(self, tmp_path):
                return MyStorage(tmp_path)

    They test everything that a storage promises, except one thing that no program can observe: that objects
    survive a power loss. For files, `FaultyFiles` and `crash_states` test that as well.
    """

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `storage`")
